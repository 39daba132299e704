"""SimBA tables: pose (`Nose_1_x`, `Nose_1_y`, `Nose_1_p`), features and 0/1 columns of behaviours at the end.

One file may hold both pose and labels, so there is a format for each. Behaviours are the columns after the
last `Low_prob_detections_...`, else the last columns that hold only 0 and 1. `Probability_...` columns are
predictions and passed over. Labels are written as the row number and the 0/1 columns alone: SimBA adds
them to its own table of features.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from murine.errors import InputError
from murine.formats import states as shared
from murine.formats.base import FORMATS, LabelFormat, LabelTable, LabelTarget, PoseFormat, PoseSummary
from murine.formats.deeplabcut import SINGLE, prefixes
from murine.formats.hdf5 import make_pose
from murine.formats.text import decode, head_text, read_bytes
from murine.types import Bouts, Pose

IMPORTED = "IMPORTED_POSE"
"""What SimBA writes into the two upper header rows of pose that it has just imported."""

_INDEX = ("", "scorer", "unnamed: 0")
_LAST_FEATURE = re.compile(r"^low_prob_detections", re.IGNORECASE)
_PREDICTED = re.compile(r"^probability_", re.IGNORECASE)
_NUMBERED = re.compile(r"^(.+)_(\d+)$")
_MOST = 128


def _animals(points: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return point -> (animal, keypoint): by a number at the end, else by a prefix, else all are of one."""
    split = [_NUMBERED.match(p) for p in points]
    sets: dict[str, set[str]] = {}
    for match in split:
        if match:
            sets.setdefault(match[2], set()).add(match[1])
    same = len({frozenset(s) for s in sets.values()}) == 1
    if all(split) and len(sets) > 1 and same and len(next(iter(sets.values()))) >= 3:
        return {p: (f"Animal_{m[2]}", m[1]) for p, m in zip(points, split, strict=True) if m}
    by_prefix = prefixes(points)
    if by_prefix:
        return {full: (a, k) for a, named in by_prefix.items() for k, full in named.items()}
    return {p: (SINGLE, p) for p in points}


def _skip(path: Path) -> int:
    """Return the number of header rows."""
    text = decode(read_bytes(path, "pose file"), path)
    return 3 if IMPORTED in text.split("\n", 1)[0] else 1


def read(path: Path) -> Pose:
    """Read the pose of a SimBA table; raises InputError. Missing is an empty cell or exactly (0, 0)."""
    path = Path(path)
    skip = _skip(path)
    names, content, separator = shared.load(path, "pose file", skip)
    points = shared.points(names)
    if not points:
        raise InputError(
            f"{path}: no columns such as Nose_x, Nose_y, Nose_p in the header; this is no pose of SimBA."
        )
    owner = _animals(list(points))
    wanted = [place + i for place in points.values() for i in range(3)]
    values = shared.numbers(path, content, separator, names, wanted, skip)
    table = values.reshape(len(values), len(points), 3)
    animals = list(dict.fromkeys(a for a, _ in owner.values()))
    keypoints = list(dict.fromkeys(k for _, k in owner.values()))
    shape = (len(values), len(animals), len(keypoints))
    xy, sure = np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    for i, (animal, keypoint) in enumerate(owner[p] for p in points):
        at = animals.index(animal), keypoints.index(keypoint)
        xy[:, *at], sure[:, *at] = table[:, i, :2], table[:, i, 2]
    xy[(xy == 0).all(axis=-1)] = np.nan
    return make_pose(path, xy, animals, keypoints, sure)


def describe(path: Path) -> PoseSummary:
    """Return animals, keypoints and length of a table."""
    pose = read(path)
    return PoseSummary.of("simba-pose", pose)


def parse(path: Path) -> LabelTable:
    """Read the 0/1 columns of a SimBA table; raises InputError where there are none."""
    path = Path(path)
    names, content, separator = shared.load(path, "label file")
    places = _candidates(names)
    values = shared.numbers(path, content, separator, names, places)
    if not any(_LAST_FEATURE.match(n) for n in names):
        binary = [bool((np.isin(c, (0.0, 1.0)) | np.isnan(c)).all()) for c in values.T]
        first = len(binary) - (binary[::-1].index(False) if False in binary else len(binary))
        places, values = places[first:], values[:, first:]
    if not places:
        raise InputError(
            f"{path}: no columns of 0 and 1 stand at its end, so it holds no labels. Annotate it in SimBA, or "
            "give another label file."
        )
    labels = [names[i] for i in places]
    states = shared.states_of(path, labels, values)
    return shared.label_table("simba", path, labels, states, np.arange(len(states)))


def _candidates(names: Sequence[str]) -> list[int]:
    """Return the places of columns that may be labels."""
    features = [i for i, n in enumerate(names) if _LAST_FEATURE.match(n)]
    pose = [i + 2 for i in shared.points(names).values()]
    first = max([*features, *pose, 0]) + 1
    places = [i for i in range(first, len(names)) if not _PREDICTED.match(names[i])]
    return places if features else places[-_MOST:]


def write(path: Path, bouts: Bouts, target: LabelTarget) -> None:
    """Write the row number and a 0/1 column per behaviour."""
    odd = [b for b in bouts.ethogram.behaviours if _PREDICTED.match(b) or _LAST_FEATURE.match(b)]
    if odd:
        raise InputError(
            f"a behaviour called '{odd[0]}' cannot be written: SimBA uses that name for itself."
        )
    shared.write_states(path, "scorer", shared.zero_one(bouts))


def _header(head: bytes) -> tuple[list[str], bool]:
    """Return the names and whether they are those of a SimBA table."""
    text = head_text(head)
    if IMPORTED in text.split("\n", 1)[0]:
        _, rows = shared.first_rows(text, 4)
        return (rows[2], True) if len(rows) > 2 else ([], False)
    _, rows = shared.first_rows(text, 3)
    return (rows[0], bool(shared.points(rows[0]))) if rows else ([], False)


def _sniff_pose(path: Path, head: bytes) -> bool:
    return _header(head)[1]


def _sniff_labels(path: Path, head: bytes) -> bool:
    names, with_pose = _header(head)
    if with_pose:
        return IMPORTED.encode() not in head[:4096] and bool(_candidates(names))
    _, rows = shared.first_rows(head_text(head), 3)
    plain = len(rows) > 1 and len(names) > 1 and names[0].lower() == "scorer"
    return plain and rows[1][0].isdigit() and all(shared.is_state(c) for c in rows[1][1:])


FORMATS.add(
    "simba-pose",
    PoseFormat(
        "simba-pose", "pose in tables of SimBA", (".csv",), _sniff_pose, read, describe, None,
        lossy="features; a point at exactly (0, 0) is taken for missing",
    ),
)  # fmt: skip
FORMATS.add(
    "simba",
    LabelFormat(
        "simba", "0/1 columns in tables of SimBA", (".csv",), _sniff_labels, parse, write,
        lossy="no subject, no times; frames nobody annotated are written as the column 'not annotated'; pose and "
        "features are not written",
    ),
)  # fmt: skip
