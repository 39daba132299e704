"""Behaviours in NWB files: tables of intervals (seconds from the start of the session) with a column of names.

Read by h5py alone: any `TimeIntervals` with a text column such as `label` or `behavior` (that of ndx-ethogram
is one), and the older `BehavioralEpochs`, a series per behaviour. Several tables are streams. Written through
pynwb, an extra, so that the file carries its schema: one table `behaviours`.
"""

from __future__ import annotations

import math
import warnings
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError, MissingExtraError
from murine.files import replacing
from murine.formats.base import (
    FORMATS,
    NOT_ANNOTATED,
    LabelFormat,
    LabelRow,
    LabelTable,
    LabelTarget,
    marked,
)
from murine.formats.hdf5 import holds, opened, text, texts
from murine.types import Bouts

TABLE = "behaviours"
_WHAT = "an NWB file with intervals"
_NAMES = (
    "label", "labels", "behaviour", "behavior", "behaviour_name", "behavior_name", "behaviours", "behaviors",
    "annotation", "event", "event_name", "description",
)  # fmt: skip
_PLACES = ("intervals", "processing", "analysis", "scratch", "acquisition")


def _kind(node: Any) -> str:
    return text(node.attrs.get("neurodata_type", ""))


def _name_column(node: Any) -> str:
    """Return the column of a table that names behaviours, "" without one."""
    if not {"start_time", "stop_time"} <= set(node):
        return ""
    return next((n for n in _NAMES if n in node and node[n].dtype.kind in "OSU"), "")


def _found(file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tables of intervals with names, and the series of behavioural epochs, by their names."""
    tables: dict[str, Any] = {}
    series: dict[str, Any] = {}

    def visit(_: str, node: Any) -> None:
        name = node.name.rsplit("/", 1)[-1]
        if isinstance(node, h5py.Group) and _name_column(node):
            tables[name if name not in tables else node.name] = node
        elif isinstance(node, h5py.Group) and _kind(node) == "IntervalSeries":
            series[name] = node

    for place in _PLACES:
        if place in file:
            file[place].visititems(visit)
    return tables, series


def parse(path: Path) -> LabelTable:
    """Read the intervals of a file; raises InputError that names the table and the row."""
    path = Path(path)
    with opened(path, _WHAT, "label file") as file:
        tables, series = _found(file)
        person = file.get("general/subject/subject_id")
        subject = "" if person is None else text(person[()])
        rows = [r for name, node in tables.items() for r in _of_table(path, name, node, subject)]
        for name, node in series.items():
            rows += _of_series(path, name, node, subject)
    if not tables and not series:
        raise InputError(
            f"{path}: no table of intervals with a column such as 'label' or 'behavior'. Is it the right file?"
        )
    streams = [*tables, *([TABLE] if series and not tables else ["epochs"] if series else [])]
    shown = tuple(streams) if len(streams) > 1 else ()
    if not shown:
        rows = [LabelRow(r.start, r.stop, r.behaviour, r.subject, where=r.where) for r in rows]
    ordered = tuple(sorted(rows, key=lambda r: r.start))
    return LabelTable("nwb-intervals", path, "seconds", ordered, streams=shown, stream_word="table")


def _of_table(path: Path, name: str, node: Any, subject: str) -> list[LabelRow]:
    starts, stops = node["start_time"][()].astype(np.float64), node["stop_time"][()].astype(np.float64)
    labels = texts(node[_name_column(node)][()])
    if not len(starts) == len(stops) == len(labels):
        raise InputError(
            f"{path}: the columns of table '{name}' differ in length. Was the file cut short?"
        )
    rows = []
    for i, (start, stop, label) in enumerate(zip(starts.tolist(), stops.tolist(), labels, strict=True)):
        where = f"table '{name}', row {i}"
        if not label.strip():
            raise InputError(f"{path}, {where}: no behaviour is named.")
        if not math.isfinite(start) or not math.isfinite(stop) or stop < start:
            raise InputError(f"{path}, {where}: '{label}' runs from {start:g} to {stop:g} s.")
        rows.append(LabelRow(start, stop, label.strip(), subject, name, where=where))
    return rows


def _of_series(path: Path, name: str, node: Any, subject: str) -> list[LabelRow]:
    """Return the bouts of an interval series: a positive value starts one, a negative one ends it."""
    values, times = node["data"][()], node["timestamps"][()].astype(np.float64)
    if (
        len(values) != len(times)
        or len(values) % 2
        or (values[::2] <= 0).any()
        or (values[1::2] >= 0).any()
    ):
        raise InputError(f"{path}: series '{name}' does not start and stop in turns. Correct it.")
    edges = list(pairwise(times.tolist()))[::2]
    return [
        LabelRow(a, b, name, subject, "epochs", where=f"series '{name}', event {2 * i}")
        for i, (a, b) in enumerate(edges)
    ]


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write a file with one table of intervals; raises MissingExtraError without pynwb."""
    with warnings.catch_warnings():
        # Whatever pynwb has to say of names and versions concerns its own developers.
        warnings.simplefilter("ignore")
        try:
            import pynwb
            from pynwb.epoch import TimeIntervals
            from pynwb.file import Subject
        except ImportError:
            raise MissingExtraError(f"{path}: writing NWB", "nwb") from None
        table = TimeIntervals(name=TABLE, description="bouts of behaviour, half-open, from murine")
        rows = list(marked(bouts))
        # Of a column without a row the writer cannot tell by itself that it holds text.
        held: list[str] | NDArray[np.bytes_] = [] if rows else np.empty(0, dtype="S1")
        table.add_column(name="label", description="the behaviour", data=held)
        for start, stop, name in rows:
            begin, end = (float(target.timeline.seconds(edge)) for edge in (start, stop))
            table.add_interval(start_time=begin, stop_time=end, label=name)
        file = pynwb.NWBFile(
            session_description=f"behaviour in {target.recording or path.stem}",
            identifier=target.recording or path.stem,
            session_start_time=datetime(1970, 1, 1, tzinfo=UTC),
            subject=Subject(subject_id=target.subject) if target.subject else None,
        )
        file.add_time_intervals(table)
        with replacing(path) as part, pynwb.NWBHDF5IO(str(part), "w") as io:
            io.write(file)


def _sniff(path: Path, head: bytes) -> bool:
    if not holds(path, head, "session_description"):
        return False
    with opened(path, _WHAT, "label file") as file:
        tables, series = _found(file)
    return bool(tables or series)


FORMATS.add(
    "nwb-intervals",
    LabelFormat(
        "nwb-intervals", "intervals in NWB files (writing: extra 'nwb')", (".nwb",), _sniff, parse, write,
        lossy=f"the session's date and all else of the file; frames nobody annotated are written as '{NOT_ANNOTATED}'; "
        "behaviours without a bout",
    ),
)  # fmt: skip
