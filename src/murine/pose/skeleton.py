"""Which keypoints mark the front, the middle and the back of an animal, whatever a tracker calls them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# In order of preference; compared in lower case without spaces, dots, dashes and underscores.
FRONT = ["nose", "snout", "nosetip", "head", "headcentre", "headcenter", "top", "neck"]
MIDDLE = [
    "bodycentre",
    "bodycenter",
    "centre",
    "center",
    "middle",
    "midbody",
    "body",
    "spine",
    "spine1",
    "back",
    "neck",
]
BACK = [
    "tailbase",
    "tailroot",
    "basetail",
    "tailstart",
    "tail0",
    "tail",
    "tail1",
    "rump",
    "hips",
    "lowerback",
]
BACK += ["bodycentre", "bodycenter", "centre", "center", "body"]


@dataclass(frozen=True)
class Axis:
    """Columns of the keypoints at both ends of the body axis; `middle` None: the mean of all points."""

    front: int
    back: int
    middle: int | None


def body_axis(keypoints: Sequence[str]) -> Axis | None:
    """Return the body axis by the keypoints' names; None where there is only one keypoint.

    Where no name is known the first keypoint counts as the front and the last one as the back.
    """
    if len(keypoints) < 2:
        return None
    plain = [re.sub(r"[\s._-]+", "", name.lower()) for name in keypoints]
    front = _first(plain, FRONT, ())
    if front is None:
        front = 0
    back = _first(plain, BACK, (front,))
    if back is None:
        back = len(plain) - 1 if front != len(plain) - 1 else 0
    return Axis(front, back, _first(plain, MIDDLE, (front, back)))


def _first(names: Sequence[str], wanted: Sequence[str], taken: Sequence[int]) -> int | None:
    for word in wanted:
        if word in names and names.index(word) not in taken:
            return names.index(word)
    return None
