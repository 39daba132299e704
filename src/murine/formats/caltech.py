"""Caltech Behavior Annotator text: streams S1, S2, ... of 1-based inclusive frames that tile the video.

Every frame of a stream carries a label, so a frame without one is *not annotated*. Frames annotated
as none of the behaviours are written as `other`, which comes back as a behaviour: put it on the
project's ignore list to make it "none" again.
"""

from __future__ import annotations

import re
import string
from itertools import pairwise
from pathlib import Path

import numpy as np

from murine.errors import InputError
from murine.formats.base import (
    FORMATS,
    NOT_ANNOTATED,
    Fault,
    LabelFormat,
    LabelRow,
    LabelTable,
    LabelTarget,
    unseen,
)
from murine.formats.text import head_text, read_text, write_bytes
from murine.types import Bouts, runs

_TITLE = "Caltech Behavior Annotator - Annotation File"
_STREAM = re.compile(r"^\s*(S\d+):?\s+start\s+end\s+type\s*$", re.IGNORECASE)
_ROW = re.compile(r"^\s*(\d+)\s+(\d+)\s+(\S.*?)\s*$")
OTHER = "other"


def parse(path: Path) -> LabelTable:
    """Read an annotation file; raises InputError that names the file and the line."""
    lines = read_text(path, "label file").split("\n")
    if not lines[0].lstrip().startswith("Caltech Behavior Annotator"):
        raise InputError(f"{path}: line 1 is not '{_TITLE}'; this is no Caltech annotation file.")
    declared: list[str] = []
    rows: list[LabelRow] = []
    streams: list[str] = []
    stream, config = "", False
    for number, line in enumerate(lines[1:], start=2):
        header, row = _STREAM.match(line), _ROW.match(line)
        if header:
            stream, config = header[1].upper(), False
            streams.append(stream)
        elif line.strip().lower().startswith("configuration file"):
            config = True
        elif not line.strip() or set(line.strip()) == {"-"}:
            continue
        elif config:
            # A name and its key, apart by a tab, or by the last space where there is no tab.
            declared.append(re.split(r"\t|\s+(?=\S+\s*$)", line.strip(), maxsplit=1)[0].strip())
        elif stream and row:
            first, last, name = int(row[1]), int(row[2]), row[3]
            if declared and name not in declared:
                raise InputError(
                    f"{path}, line {number}: behaviour '{name}' is not in the file's configuration "
                    f"({', '.join(declared)}). Was the file cut short?"
                )
            if not 1 <= first <= last:
                raise InputError(
                    f"{path}, line {number}: frames {first} to {last}; they count from 1 and the end "
                    "comes after the start."
                )
            rows.append(LabelRow(first - 1, last, name, stream=stream, where=f"line {number}"))
        else:
            raise InputError(
                f"{path}, line {number}: {line.strip()[:60]!r} came where 'start end behaviour' was "
                "expected. Was the file cut short or edited?"
            )
    if bare := [name for name in streams if name not in {row.stream for row in rows}]:
        raise InputError(f"{path}: stream {bare[0]} has no labels. Was the file cut short?")
    if not stream:
        raise InputError(f"{path}: no stream (a line 'S1: start end type'). Was the file cut short?")
    return LabelTable(
        "caltech", path, "frames", tuple(rows), declared=tuple(declared), streams=tuple(dict.fromkeys(streams)),
        tiled=True, faults=_overlaps(rows),
    )  # fmt: skip


def _overlaps(rows: list[LabelRow]) -> tuple[Fault, ...]:
    """Return a fault per pair of overlapping rows: a stream holds one behaviour at a time."""
    return tuple(
        Fault(
            f"{second.where}: '{second.behaviour}' begins in frame {int(second.start) + 1} before "
            f"'{first.behaviour}' of {first.where} ends in frame {int(first.stop)}. Correct the file.",
            stream=first.stream,
        )
        for first, second in pairwise(sorted(rows, key=lambda r: (r.stream, r.start)))
        if first.stream == second.stream and second.start < first.stop
    )


def _tile(bouts: Bouts, columns: list[int]) -> list[tuple[int, int, str]]:
    """Return bouts of some behaviours that tile the recording: gaps are `other` or not annotated."""
    name_of = bouts.ethogram.behaviours
    tiles = [
        (s, e, name_of[c])
        for s, e, c in zip(bouts.start, bouts.stop, bouts.behaviour, strict=True)
        if c in columns
    ]
    free = np.ones(bouts.n_frames, dtype=bool)
    for start, stop, _ in tiles:
        free[start:stop] = False
    nobody = unseen(bouts)
    tiles += [(a, b, OTHER) for a, b in runs(free & ~nobody)]
    tiles += [(a, b, NOT_ANNOTATED) for a, b in runs(free & nobody)]
    return sorted((int(a), int(b), name) for a, b, name in tiles)


def _lanes(bouts: Bouts) -> list[list[int]]:
    """Return behaviours shared out over as few streams as keep each free of overlaps (first fit)."""
    if bouts.ethogram.exclusive:
        return [list(range(len(bouts.ethogram)))]
    frames = bouts.frames() == 1
    lanes: list[list[int]] = []
    for column in range(len(bouts.ethogram)):
        fits = [lane for lane in lanes if not (frames[:, lane].any(axis=1) & frames[:, column]).any()]
        if fits:
            fits[0].append(column)
        else:
            lanes.append([column])
    return lanes


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write an annotation file; overlapping behaviours go to streams of their own."""
    streams = [_tile(bouts, lane) for lane in _lanes(bouts)]
    names = dict.fromkeys(bouts.ethogram.behaviours)
    names.update(dict.fromkeys(name for tiles in streams for _, _, name in tiles))
    lines = [_TITLE, "", "Configuration file:"]
    free = list(string.ascii_lowercase + string.digits + string.ascii_uppercase)
    for name in names:
        key = next((k for k in [*name.lower(), *free] if k in free), "?")
        if key in free:
            free.remove(key)
        lines.append(f"{name}\t{key}")
    for number, tiles in enumerate(streams, start=1):
        lines += ["", f"S{number}:\tstart\tend\ttype", "-" * 29]
        lines += [f"   \t{start + 1}\t{stop}\t{name}" for start, stop, name in tiles]
    write_bytes(path, "\r\n".join([*lines, "  ", ""]).encode())


def _sniff(path: Path, head: bytes) -> bool:
    return head_text(head).lstrip().startswith("Caltech Behavior Annotator")


FORMATS.add(
    "caltech",
    LabelFormat(
        "caltech", "Caltech Behavior Annotator text, streams S1, S2, ...", (".txt",),
        _sniff, parse, write,
        lossy="frames annotated as none are written as 'other'; times are frames only; no subject",
    ),
)  # fmt: skip
