"""Predictions on disk: one Parquet file per recording, whole or absent.

Columns: `frame` (int64), `time` (seconds, float64), then one float32 column per behaviour. The file's
metadata holds the recording's name, the ethogram and the prediction's history, so that the file says by
itself what it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from murine import __version__
from murine.errors import InputError, VersionError
from murine.files import replacing, require_file
from murine.types import Ethogram, Prediction, Timeline

FORMAT = 1
"""Version of the layout; a file with a higher one was written by a later murine."""

ROWS = 16384
"""Rows encoded at once, so that writing a long recording needs no more memory than a short one."""

WITHIN = "predictions"
"""The folder of an evaluation that holds its predictions."""

_KEY = b"murine"
_OWN_COLUMNS = ("frame", "time")


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Write a prediction in one piece; raises StorageError where the file cannot be written."""
    header = {
        "format": FORMAT,
        "murine_version": __version__,
        "recording": prediction.recording,
        "ethogram": prediction.ethogram.to_dict(),
        "meta": dict(prediction.meta),
    }
    columns: dict[str, Any] = {
        "frame": np.arange(len(prediction), dtype=np.int64),
        "time": prediction.timeline.times,
    }
    for index, name in enumerate(prediction.ethogram.behaviours):
        columns[_column(name)] = np.ascontiguousarray(prediction.probabilities[:, index])
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(header).encode()})
    with replacing(Path(path)) as part:
        # probabilities hardly repeat: a dictionary of them would cost memory and make the file larger
        pq.write_table(table, part, use_dictionary=False, row_group_size=ROWS)


def read_prediction(path: Path) -> Prediction:
    """Read a prediction.

    Raises InputError for a file that is none or is damaged, VersionError for one of a later murine.
    """
    header = read_header(path)
    ethogram = Ethogram(**header["ethogram"])
    try:
        table = pq.read_table(path)
        times = table.column("time").to_numpy()
        columns = [table.column(_column(name)).to_numpy() for name in ethogram.behaviours]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise InputError(
            f"{path}: a damaged prediction ({error}). Predict this recording again."
        ) from error
    return Prediction(
        header["recording"], ethogram, np.stack(columns, axis=1), Timeline(times), header["meta"]
    )


def read_header(path: Path) -> dict[str, Any]:
    """Return what a prediction file says about itself, without reading its rows.

    Keys: `format`, `murine_version`, `recording`, `ethogram`, `meta`. Raises as `read_prediction`.
    """
    path = require_file(Path(path), "prediction")
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: not a readable Parquet file ({error}). A prediction written by 'murine predict' "
            "was expected."
        ) from error
    if _KEY not in metadata:
        raise InputError(
            f"{path}: a Parquet file, but no prediction of murine (its metadata lacks the key 'murine')."
        )
    try:
        header: dict[str, Any] = dict(json.loads(metadata[_KEY]))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: a damaged prediction ({error}). Predict this recording again."
        ) from error
    if header.get("format", FORMAT) > FORMAT:
        raise VersionError(
            f"{path}: written by murine {header.get('murine_version')} in layout {header['format']}; "
            f"this is {__version__}, which reads up to layout {FORMAT}. Install the newer version."
        )
    lacking = [key for key in ("recording", "ethogram", "meta") if key not in header]
    if lacking:
        raise InputError(
            f"{path}: a damaged prediction (it does not say its {', '.join(lacking)}). Predict this "
            "recording again."
        )
    return header


def find_predictions(folder: Path) -> list[Path]:
    """Return the prediction files of a folder or of an evaluation, by name.

    Raises InputError where there is none.
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"{folder}: not found. Give the folder that 'murine predict' wrote to.")
    place = predictions_folder(folder)
    found = sorted(p for p in place.glob("*.parquet") if not p.name.startswith("."))
    if not found:
        raise InputError(f"{folder}: holds no prediction (*.parquet). Run 'murine predict' first.")
    return found


def predictions_folder(folder: Path) -> Path:
    """Return where the predictions of a folder lie: in itself, or within (an evaluation)."""
    within = Path(folder) / WITHIN
    return Path(folder) if any(Path(folder).glob("*.parquet")) or not within.is_dir() else within


def _column(behaviour: str) -> str:
    """Return a behaviour's column name: its own, unless one of ours is called the same."""
    return f"behaviour: {behaviour}" if behaviour in _OWN_COLUMNS else behaviour
