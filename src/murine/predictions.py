"""Predictions on disk: one Parquet file per recording, whole or absent.

Columns: `frame` (int64), `time` (seconds, float64), then one float32 column per behaviour. The file's
metadata holds the recording's name, the ethogram and the prediction's history, so that the file says by
itself what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from murine import __version__
from murine.errors import InputError, VersionError
from murine.files import replacing, require_file
from murine.types import Ethogram, Prediction, Timeline, check_probabilities

Piece = NDArray[np.float32]
"""(n, C): the probabilities of some frames that follow each other."""

FORMAT = 1
"""Version of the layout; a file with a higher one was written by a later murine."""

ROWS = 16384
"""Rows of a row group: encoded at once, so that a long recording needs no more memory than a short one."""

WITHIN = "predictions"
"""The folder of an evaluation that holds its predictions."""

_KEY = b"murine"
_OWN_COLUMNS = ("frame", "time")


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Write a prediction in one piece; raises StorageError where the file cannot be written."""
    write_pieces(
        path,
        pieces_of(prediction.probabilities),
        recording=prediction.recording,
        ethogram=prediction.ethogram,
        timeline=prediction.timeline,
        meta=prediction.meta,
    )


def write_pieces(
    path: Path,
    pieces: Iterable[Piece],
    *,
    recording: str,
    ethogram: Ethogram,
    timeline: Timeline,
    meta: Mapping[str, Any],
) -> None:
    """Write a prediction whose probabilities (n, C) come piece by piece; at no time is it held whole.

    The file is whole or absent, and the same however it is cut. Raises InputError where a frame is
    uncovered (NaN) or a value lies outside 0..1, StorageError where the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "murine_version": __version__,
        "recording": recording,
        "ethogram": ethogram.to_dict(),
        "meta": dict(meta),
    }
    kinds = [("frame", pa.int64()), ("time", pa.float64())]
    kinds += [(_column(name), pa.float32()) for name in ethogram.behaviours]
    schema = pa.schema(kinds, {_KEY: json.dumps(header).encode()})
    at = 0
    # probabilities hardly repeat: a dictionary of them would cost memory and make the file larger
    with replacing(Path(path)) as part, pq.ParquetWriter(part, schema, use_dictionary=False) as file:
        for rows in _recut(pieces, ROWS):
            check_probabilities(rows, (len(rows), len(ethogram)), recording, first=at)
            stop = at + len(rows)
            columns = [np.arange(at, stop, dtype=np.int64), timeline.times[at:stop], *rows.T]
            batch = [_arrow(column, kind) for column, (_, kind) in zip(columns, kinds, strict=True)]
            file.write_batch(pa.RecordBatch.from_arrays(batch, schema=schema))
            at = stop
        if at != len(timeline):
            raise ValueError(f"{at} rows came for the {len(timeline)} frames of '{recording}'")


def pieces_of(values: NDArray[np.float32]) -> Iterator[Piece]:
    """Give (T, C) values in pieces of `ROWS` rows."""
    return (values[at : at + ROWS] for at in range(0, len(values), ROWS))


def _recut(pieces: Iterable[Piece], length: int) -> Iterator[Piece]:
    """Give the same rows in pieces of `length`, the last one of what is left."""
    held: list[Piece] = []
    count = 0
    for piece in pieces:
        while count + len(piece) >= length:
            cut = length - count
            yield piece[:cut] if not held else np.concatenate([*held, piece[:cut]])
            held, count, piece = [], 0, piece[cut:]
        if len(piece):
            held.append(piece)
            count += len(piece)
    if held:
        yield np.concatenate(held)


@dataclass(frozen=True, eq=False)
class StoredPrediction:
    """A prediction on disk, whose probabilities are read piece by piece."""

    path: Path
    recording: str
    ethogram: Ethogram
    timeline: Timeline
    meta: Mapping[str, Any]

    def pieces(self) -> Iterator[Piece]:
        """Give the probabilities (n, C), from the first frame to the last; raises InputError for damage."""
        names = [_column(name) for name in self.ethogram.behaviours]
        for batch in _batches(self.path):
            values = np.empty((batch.num_rows, len(names)), dtype=np.float32)
            for i, name in enumerate(names):
                values[:, i] = _numbers(batch, name, self.path)
            yield values


def open_prediction(path: Path) -> StoredPrediction:
    """Return what a prediction file holds but its probabilities; raises as `read_prediction`."""
    path = Path(path)
    header = read_header(path)
    ethogram = Ethogram(**header["ethogram"])
    times = np.concatenate([_numbers(batch, "time", path) for batch in _batches(path)] or [np.empty(0)])
    times.setflags(write=False)
    return StoredPrediction(path, header["recording"], ethogram, Timeline(times), header["meta"])


def read_prediction(path: Path) -> Prediction:
    """Read a prediction.

    Raises InputError for a file that is none or is damaged, VersionError for one of a later murine.
    """
    stored = open_prediction(path)
    values = np.empty((len(stored.timeline), len(stored.ethogram)), dtype=np.float32)
    at = 0
    for piece in stored.pieces():
        values[at : at + len(piece)] = piece
        at += len(piece)
    values.setflags(write=False)
    return Prediction(stored.recording, stored.ethogram, values, stored.timeline, stored.meta)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Give the rows of a file, a group after the other; raises InputError for damage."""
    try:
        # what is read ahead, and by threads, would be the whole of a long file
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(ROWS, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    # pa.array() would do, but loads pandas where it is installed: 40 MB for nothing
    return pa.Array.from_buffers(
        kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values).data)]
    )


def _numbers(batch: pa.RecordBatch, name: str, path: Path) -> NDArray[Any]:
    """Return a column's numbers, NaN where empty; raises InputError where there is no such column."""
    if name not in batch.schema.names:
        raise _damaged(path, f"its column '{name}' is missing")
    column = batch.column(name)
    kinds = {pa.float32(): np.float32, pa.float64(): np.float64}
    if column.null_count or column.type not in kinds:  # not as we write it; slower, and loads pandas
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    values = np.frombuffer(column.buffers()[1], dtype=kinds[column.type])
    return values[column.offset : column.offset + len(column)]


def _damaged(path: Path, fault: object) -> InputError:
    return InputError(f"{path}: a damaged prediction ({fault}). Predict this recording again.")


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
        raise _damaged(path, error) from error
    if header.get("format", FORMAT) > FORMAT:
        raise VersionError(
            f"{path}: written by murine {header.get('murine_version')} in layout {header['format']}; "
            f"this is {__version__}, which reads up to layout {FORMAT}. Install the newer version."
        )
    lacking = [key for key in ("recording", "ethogram", "meta") if key not in header]
    if lacking:
        raise _damaged(path, f"it does not say its {', '.join(lacking)}")
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
