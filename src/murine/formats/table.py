"""Plain tables that any program can write: a bout per row, or a frame per row; csv or parquet.

Bouts: columns `behaviour` (or `behavior`) with `start`, `stop` in frames (0-based, half-open; also
`start_frame`, `stop_frame`) or `start_s`, `stop_s` in seconds; optional `subject`, `stream`,
`recording`. The behaviour `not annotated` marks stretches nobody looked at.
Frames: a column `frame` and either one column per behaviour holding 0, 1 or nothing (not annotated), or
one column `behaviour` with its name (empty: not annotated). Frames that are absent are not annotated.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from murine.errors import InputError
from murine.files import replacing, require_file
from murine.formats.base import (
    FORMATS,
    NOT_ANNOTATED,
    LabelFormat,
    LabelRow,
    LabelTable,
    LabelTarget,
    Unit,
    marked,
)
from murine.formats.states import points
from murine.formats.text import decode, delimiter, head_text, read_bytes, write_bytes
from murine.types import BoolArray, Bouts

_BEHAVIOUR = ("behaviour", "behavior")
_START_STOP: tuple[tuple[str, str, Unit], ...] = (
    ("start", "stop", "frames"),
    ("start_frame", "stop_frame", "frames"),
    ("start_s", "stop_s", "seconds"),
)
_TIME = ("time", "time_s")
_PARQUET = b"PAR1"
_PREDICTION = b"murine"  # the metadata key of predictions
_TRUE = {
    "1": 1,
    "1.0": 1,
    "true": 1,
    "0": 0,
    "0.0": 0,
    "false": 0,
    "-1": -1,
    "-1.0": -1,
    "": -1,
    "nan": -1,
    "na": -1,
}


def _names(path: Path, head: bytes) -> list[str]:
    """Return lower-case column names, of a damaged parquet file none."""
    if head.startswith(_PARQUET):
        try:
            return [n.lower() for n in parquet.read_schema(path).names]
        except (pa.ArrowException, OSError, ValueError):
            return []
    line = head_text(head).split("\n", 1)[0]
    return [cell.strip().strip('"').lower() for cell in line.split(delimiter(line))]


def _bounds(names: Sequence[str]) -> tuple[str, str, Unit] | None:
    return next((b for b in _START_STOP if {b[0], b[1]} <= set(names)), None)


def _sniff_bouts(path: Path, head: bytes) -> bool:
    names = _names(path, head)
    return bool(set(_BEHAVIOUR) & set(names)) and _bounds(names) is not None


def _sniff_frames(path: Path, head: bytes) -> bool:
    names = _names(path, head)
    damaged = head.startswith(_PARQUET) and not names
    told = "frame" in names and len(names) > 1 and _bounds(names) is None
    return damaged or (told and not points(names))  # with pose in front it is a table of SimBA


def _load(path: Path) -> pa.Table:
    """Return a table with lower-case names of its special columns; every csv cell is a text.

    Raises InputError for a damaged file and for a prediction, which is no label file.
    """
    path = require_file(path, "label file")
    with path.open("rb") as handle:
        is_parquet = handle.read(4) == _PARQUET
    try:
        if is_parquet:
            table = parquet.read_table(path)
            table.validate(full=True)
            if _PREDICTION in (table.schema.metadata or {}):
                raise InputError(
                    f"{path}: a prediction of murine (probabilities) came where labels were expected. Turn it "
                    "into labels first: murine export ... --to bouts."
                )
        else:
            text = decode(read_bytes(path, "label file"), path)
            line = text.split("\n", 1)[0]
            names = [c.strip().strip('"') for c in line.split(delimiter(line))]
            table = arrow_csv.read_csv(
                io.BytesIO(text.encode()),
                parse_options=arrow_csv.ParseOptions(delimiter=delimiter(line)),
                read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=1),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: the table cannot be read ({str(error)[:160]}). It was cut short or edited; write it again."
        ) from None
    return table


def _column(table: pa.Table, *names: str) -> list[Any] | None:
    """Return the values of the first column that has one of `names`, whatever its case."""
    for position, name in enumerate(table.column_names):
        if name.lower() in names:
            return list(table.column(position).to_pylist())
    return None


def _text(values: list[Any] | None, at: int) -> str:
    return "" if values is None or values[at] is None else str(values[at]).strip()


def _number(path: Path, value: Any, what: str, row: int) -> float:
    try:
        number = float(value)
        if not np.isfinite(number):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(f"{path}, row {row + 1}: {what} is {value!r}; a number was expected.") from None
    return number


def parse_bouts(path: Path) -> LabelTable:
    """Read a table of bouts; raises InputError that names the file and the row."""
    table = _load(path)
    bounds = _bounds([n.lower() for n in table.column_names])
    behaviours = _column(table, *_BEHAVIOUR)
    if bounds is None or behaviours is None:
        raise InputError(
            f"{path}: columns behaviour, start, stop (frames) or behaviour, start_s, stop_s were expected; "
            f"came {', '.join(table.column_names)}."
        )
    starts, stops = _column(table, bounds[0]) or [], _column(table, bounds[1]) or []
    subjects, streams = _column(table, "subject"), _column(table, "stream")
    recordings = _column(table, "recording", "observation")
    rows = []
    for i in range(table.num_rows):
        start, stop = _number(path, starts[i], bounds[0], i), _number(path, stops[i], bounds[1], i)
        if bounds[2] == "frames" and not (start.is_integer() and stop.is_integer()):
            raise InputError(
                f"{path}, row {i + 1}: {bounds[0]} {start:g}, {bounds[1]} {stop:g} are not whole frames. Name "
                "the columns start_s and stop_s if they are seconds."
            )
        if not _text(behaviours, i):
            raise InputError(f"{path}, row {i + 1}: no behaviour is named.")
        if stop < start or (stop == start and bounds[2] == "frames"):
            raise InputError(f"{path}, row {i + 1}: stop {stop:g} does not come after start {start:g}.")
        rows.append(
            LabelRow(
                start, stop, _text(behaviours, i), _text(subjects, i), _text(streams, i),
                _text(recordings, i), where=f"row {i + 1}",
            )
        )  # fmt: skip
    observations = tuple(dict.fromkeys(r.observation for r in rows)) or ("",)
    ordered = tuple(sorted(rows, key=lambda r: r.start))
    return LabelTable("bouts", path, bounds[2], ordered, observations)


def _states(path: Path, name: str, column: Any, frames: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return 1, 0, -1 (not annotated) of a behaviour's column; raises InputError for anything else."""
    values, codes = np.unique(
        np.array(
            ["" if v is None else str(v).strip().lower() for v in column.to_pylist()], dtype=object
        ).astype(str),
        return_inverse=True,
    )
    wrong = [i for i, v in enumerate(values) if v not in _TRUE]
    if wrong:
        row = int(np.isin(codes, wrong).argmax())
        raise InputError(
            f"{path}: column '{name}' holds {str(values[codes[row]])!r} in frame {frames[row]}; 0, 1 or nothing "
            "(not annotated) was expected. Probabilities are no labels."
        )
    return np.array([_TRUE[str(v)] for v in values], dtype=np.int8)[codes]


def _stretches(frames: NDArray[np.int64], mask: BoolArray) -> list[tuple[int, int]]:
    """Return half-open stretches of consecutive frame numbers where the mask is true."""
    wanted = frames[np.asarray(mask, dtype=bool)]
    breaks = np.flatnonzero(np.diff(wanted) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(wanted, breaks) if len(part)]


def parse_frames(path: Path) -> LabelTable:
    """Read a table of frames; raises InputError that names the file and the frame."""
    table = _load(path)
    numbers = _column(table, "frame")
    if numbers is None or not numbers:
        raise InputError(f"{path}: a column 'frame' with at least one row was expected.")
    values = np.array([_number(path, v, "frame", i) for i, v in enumerate(numbers)])
    if (values < 0).any() or (values % 1).any() or len(np.unique(values)) != len(values):
        raise InputError(f"{path}: frame numbers must be whole, from 0, each once.")
    order = np.argsort(values)
    frames = values[order].astype(np.int64)
    table = table.take(pa.array(order))
    single = _column(table, *_BEHAVIOUR)
    if single is not None:
        texts = np.array([_text(single, i) for i in range(len(single))], dtype=object)
        names = list(dict.fromkeys(t for t in texts if t and t != NOT_ANNOTATED))
        states = (
            np.stack([(texts == n).astype(np.int8) for n in names], axis=1)
            if names
            else np.zeros((len(texts), 0))
        )
        seen = np.array([t not in ("", NOT_ANNOTATED) for t in texts], dtype=bool)
    else:
        columns = [
            (i, n) for i, n in enumerate(table.column_names) if n.lower() not in ("frame", *_TIME)
        ]
        names = [n for _, n in columns]
        states = np.stack([_states(path, n, table.column(i), frames) for i, n in columns], axis=1)
        mixed = (states < 0).any(axis=1) & (states >= 0).any(axis=1)
        if mixed.any():
            raise InputError(
                f"{path}: frame {frames[int(mixed.argmax())]} is annotated for some behaviours and empty for others; "
                "fill in 0, or leave the whole row empty."
            )
        seen = np.asarray((states >= 0).any(axis=1))
    rows = [
        LabelRow(start, stop, name, where=f"frame {start}")
        for i, name in enumerate(names)
        for start, stop in _stretches(frames, states[:, i] == 1)
    ]
    spans = tuple((float(start), float(stop)) for start, stop in _stretches(frames, seen))
    ordered = tuple(sorted(rows, key=lambda r: r.start))
    return LabelTable(
        "frames", path, "frames", ordered, declared=tuple(names), annotated={"": spans},
        length=float(frames[-1] + 1),
    )  # fmt: skip


def _save(path: Path, table: pa.Table) -> None:
    if path.suffix.lower() == ".parquet":
        with replacing(path) as part:
            parquet.write_table(table, part)
        return
    out = io.BytesIO()
    arrow_csv.write_csv(table, out, arrow_csv.WriteOptions(quoting_style="needed"))
    write_bytes(path, out.getvalue())


def write_bouts(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write a table of bouts, in frames and in seconds."""
    rows, clock = marked(bouts), target.clock()
    columns: dict[str, list[Any]] = {
        "behaviour": [name for _, _, name in rows],
        "start": [a for a, _, _ in rows],
        "stop": [b for _, b, _ in rows],
        "start_s": [float(clock(a)) for a, _, _ in rows],
        "stop_s": [float(clock(b)) for _, b, _ in rows],
    }
    columns |= {
        k: [v] * len(rows)
        for k, v in (("subject", target.subject), ("recording", target.recording))
        if v
    }
    _save(path, pa.table(columns, schema=_schema(columns)))


def _schema(columns: dict[str, list[Any]]) -> pa.Schema:
    kinds = {"start": pa.int64(), "stop": pa.int64(), "start_s": pa.float64(), "stop_s": pa.float64()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in columns])


def write_frames(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write a row per frame and a column per behaviour: 1, 0, or empty where not annotated."""
    taken = {"frame", *_TIME, *_BEHAVIOUR} & {b.lower() for b in bouts.ethogram.behaviours}
    if taken:
        raise InputError(
            f"a behaviour called {', '.join(taken)} cannot be a column of a table of frames."
        )
    states = bouts.frames()
    table = {"frame": pa.array(np.arange(bouts.n_frames)), "time": pa.array(target.timeline.times)}
    for i, name in enumerate(bouts.ethogram.behaviours):
        table[name] = pa.array(states[:, i], mask=states[:, i] < 0)
    _save(path, pa.table(table))


FORMATS.add(
    "bouts",
    LabelFormat(
        "bouts", "plain table, a bout per row", (".csv", ".parquet"), _sniff_bouts, parse_bouts, write_bouts,
        lossy="behaviours without a bout are not carried over",
    ),
)  # fmt: skip
FORMATS.add(
    "frames",
    LabelFormat(
        "frames", "plain table, a frame per row", (".csv", ".parquet"), _sniff_frames, parse_frames, write_frames,
        lossy="no subject and no recording is written",
    ),
)  # fmt: skip
