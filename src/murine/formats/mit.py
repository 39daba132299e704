"""Annotation text of the MIT home-cage database: a line `frame: 1-253 eat` for each bout.

Frames count from 1 and the last one belongs to the bout. Only frames with a line are annotated; frames
annotated as none of the behaviours are written as `other`, which comes back as a behaviour.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from murine.errors import InputError
from murine.formats.base import FORMATS, NOT_ANNOTATED, LabelFormat, LabelRow, LabelTable, LabelTarget
from murine.formats.clips import MIT_LABELS
from murine.formats.text import head_text, read_text, write_bytes
from murine.types import Bouts, runs

OTHER = "other"

_ROW = re.compile(r"^\s*frames?\s*:\s*(\d+)\s*-\s*(\d+)\s+(\S.*?)\s*$", re.IGNORECASE)
_FIRST = re.compile(r"^\s*frames?\s*:\s*\d", re.IGNORECASE)


def parse(path: Path) -> LabelTable:
    """Read an annotation file; raises InputError that names the file and the line."""
    path = Path(path)
    lines = read_text(path, "label file").split("\n")
    rows: list[LabelRow] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _ROW.match(line)
        if not match:
            raise InputError(
                f"{path}, line {number}: {line.strip()[:60]!r} came where 'frame: FIRST-LAST behaviour' was "
                "expected. Was the file cut short or edited?"
            )
        first, last, name = int(match[1]), int(match[2]), match[3]
        if not 1 <= first <= last:
            raise InputError(
                f"{path}, line {number}: frames {first} to {last}; they count from 1 and the end comes "
                "after the start."
            )
        rows.append(LabelRow(first - 1, last, name, where=f"line {number}"))
    if not rows:
        raise InputError(f"{path}: holds no line 'frame: FIRST-LAST behaviour'. Is it the right file?")
    last_name = rows[-1].behaviour
    known = {*MIT_LABELS.values(), OTHER, *(row.behaviour for row in rows[:-1])}
    if lines[-1].strip() and last_name not in known:
        # Without a line end after it, a name that occurs nowhere else may be the beginning of one.
        raise InputError(
            f"{path}: ends within line {len(lines)} ('{last_name}'). Was the file cut short? If it is whole, "
            "add an empty line at its end."
        )
    ordered = tuple(sorted(rows, key=lambda row: row.start))
    return LabelTable("mit", path, "frames", ordered, tiled=True)


def line_of(start: int, stop: int, behaviour: str) -> str:
    """Return the line of the half-open bout [start, stop)."""
    return f"frame: {start + 1}-{stop} {behaviour}"


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write an annotation file; overlapping behaviours get overlapping lines."""
    free = np.zeros(bouts.n_frames, dtype=bool)
    for begin, end in bouts.annotated.tolist():
        free[begin:end] = True
    for begin, end in zip(bouts.start, bouts.stop, strict=True):
        free[begin:end] = False
    rows = sorted([*bouts.intervals(), *((a, b, OTHER) for a, b in runs(free))])
    # A file without a line would be empty, and read as a fault.
    rows = rows or [(0, bouts.n_frames, NOT_ANNOTATED)]
    write_bytes(path, "".join(f"{line_of(*row)}\n" for row in rows).encode())


def _sniff(path: Path, head: bytes) -> bool:
    return bool(_FIRST.match(head_text(head).lstrip()))


FORMATS.add(
    "mit",
    LabelFormat(
        "mit", "text of the MIT home-cage database, 'frame: 1-253 eat'", (".txt",), _sniff, parse, write,
        lossy="frames annotated as none are written as 'other'; times are frames only; no subject; behaviours "
        "without a bout",
    ),
)  # fmt: skip
