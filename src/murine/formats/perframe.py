"""Tables with a row per frame as many programs export them, without a column `frame`.

Either columns of 0 and 1 (or true and false), or one column with the behaviour's name, empty where nobody
looked. In front may stand a row number (unnamed, `index`, `frame_number`, ...) or the time in seconds
(`time`, `time_s`, `seconds`); without either, the rows are the frames.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.formats import states as shared
from murine.formats.base import FORMATS, NOT_ANNOTATED, LabelFormat, LabelRow, LabelTable
from murine.formats.deepethogram import BACKGROUND
from murine.formats.text import head_text

_NUMBER = frozenset(
    [
        "",
        "unnamed 0",
        "index",
        "frames",
        "frame number",
        "frame no",
        "frame id",
        "frame idx",
        "frame index",
    ]
)
_TIME = frozenset(
    ["time", "time s", "times", "seconds", "timestamp", "timestamps", "time sec", "time seconds"]
)
_NAME = frozenset(
    [
        "behaviour",
        "behavior",
        "behaviours",
        "behaviors",
        "label",
        "labels",
        "annotation",
        "class",
        "state",
    ]
)


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()


def _kinds(names: Sequence[str]) -> tuple[bool, bool, list[int]]:
    """Return whether the first column is a number or a time, and the places of the others."""
    first = _word(names[0])
    number, time = first in _NUMBER, first in _TIME
    return number, time, list(range(1 if number or time else 0, len(names)))


def _is_table(rows: Sequence[Sequence[str]]) -> bool:
    """Say whether the first rows of a table, the header among them, are those of a table of frames."""
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return False
    names, body = rows[0], rows[1:]
    number, time, places = _kinds(names)
    plain = [names[i] for i in places]
    if not plain or any(not n or re.fullmatch(r"[-+.\d]+", n) for n in plain):
        return False
    others = "frame" in [n.lower() for n in names] or names[0].lower() == "scorer"
    if others or (number and plain[0].lower() == BACKGROUND):
        return False
    if [_word(n) in _NAME for n in plain] == [True]:
        return True
    if not all(shared.is_state(row[i]) for row in body for i in places):
        return False
    return not (number or time) or all(_is_number(row[0]) for row in body)


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def parse(path: Path) -> LabelTable:
    """Read a table; raises InputError that names the file, the column and the row."""
    path = Path(path)
    names, content, separator = shared.load(path, "label file")
    number, time, places = _kinds(names)
    if not places:
        raise InputError(f"{path}: no column of a behaviour; came {', '.join(names)}.")
    if len(places) == 1 and _word(names[places[0]]) in _NAME:
        index, labels, states = _by_name(path, content, separator, len(names), number or time)
    else:
        labels = [names[i] for i in places]
        if wrong := [n for n in labels if not n]:
            raise InputError(f"{path}: {len(wrong)} columns have no name. Was the header cut short?")
        wanted = [0, *places] if number or time else places
        values = shared.numbers(path, shared.texts_to_states(content), separator, names, wanted)
        index = values[:, 0] if number or time else None
        states = shared.states_of(path, labels, values[:, 1:] if number or time else values)
    if time:
        assert index is not None
        return _timed(path, labels, states, index)
    frames = shared.frame_numbers(path, index, len(states))
    return shared.label_table("per-frame", path, labels, states, frames)


def _by_name(
    path: Path, content: bytes, separator: str, width: int, indexed: bool
) -> tuple[NDArray[np.float64] | None, list[str], NDArray[np.int8]]:
    """Return the index (None without), the names and the states of a table with one column of names."""
    lines = content.decode().split("\n")[1:]
    rows = [[c.strip().strip('"') for c in line.split(separator)] for line in lines]
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise InputError(f"{path}: a header without a single row. Was the file cut short?")
    if short := [i for i, row in enumerate(rows) if len(row) != width]:
        raise InputError(
            f"{path}, row {short[0] + 1}: {len(rows[short[0]])} cells where the header has {width}."
        )
    if indexed and (wrong := [i for i, row in enumerate(rows) if not _is_number(row[0])]):
        raise InputError(
            f"{path}, row {wrong[0] + 1}: {rows[wrong[0]][0]!r} came where a number was expected."
        )
    told = np.array([row[-1] for row in rows], dtype=object)
    if any(_is_number(t) for t in told):
        raise InputError(
            f"{path}: its behaviours are numbers, and no names are told. Write the names in their place."
        )
    labels = list(dict.fromkeys(t for t in told if t and t != NOT_ANNOTATED))
    states = (told[:, None] == np.array(labels, dtype=object)[None, :]).astype(np.int8)
    states[np.isin(told, ("", NOT_ANNOTATED))] = -1
    index = np.array([float(row[0]) for row in rows], dtype=np.float64) if indexed else None
    return index, labels, states


def _timed(
    path: Path, labels: Sequence[str], states: NDArray[np.int8], times: NDArray[np.float64]
) -> LabelTable:
    """Return the table of rows that last from their own time to the next one's."""
    if len(times) < 2 or not (np.diff(times) > 0).all() or times[0] < 0:
        raise InputError(
            f"{path}: times must grow from 0 on, over two rows at least. Export the table again."
        )
    edges = np.append(times, times[-1] + np.median(np.diff(times)))
    plain = shared.label_table("per-frame", path, labels, states, np.arange(len(times)))
    moved = tuple(
        LabelRow(
            float(edges[int(r.start)]),
            float(edges[int(r.stop)]),
            r.behaviour,
            where=f"row {int(r.start) + 1}",
        )
        for r in plain.rows
    )
    spans = tuple((float(edges[int(a)]), float(edges[int(b)])) for a, b in plain.annotated[""])
    return LabelTable(
        "per-frame",
        path,
        "seconds",
        moved,
        declared=plain.declared,
        annotated={"": spans},
        length=float(edges[-1]),
    )


def _sniff(path: Path, head: bytes) -> bool:
    _, rows = shared.first_rows(head_text(head))
    return _is_table(rows)


FORMATS.add(
    "per-frame",
    LabelFormat(
        "per-frame", "table of 0/1 columns or of names, a row per frame", (".csv",), _sniff, parse, None,
        lossy="times between rows, where the table names them",
    ),
)  # fmt: skip
