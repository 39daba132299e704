"""Which keypoints mark the front, the middle, the back and the sides of an animal, whatever a tracker calls them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from murine.errors import InputError

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


def mirror_order(keypoints: Sequence[str]) -> list[int]:
    """Return which keypoint each one becomes in a mirror: left and right change places, the others stay.

    Sides are told by "left" and "right" anywhere in a name, or by a part "l" and "r" (nose_l, R-ear, earL). Raises
    InputError for a keypoint of one side without its partner on the other.
    """
    plain = [_parts(name) for name in keypoints]
    order = []
    for name, parts in zip(keypoints, plain, strict=True):
        partner = tuple(_other_side(part) for part in parts)
        if partner not in plain:
            raise InputError(
                f"keypoint '{name}' has no partner on the other side among {', '.join(keypoints)}, so a mirror "
                "would put it where it never is. Take 'mirror' out of training.augment"
            )
        order.append(plain.index(partner))
    return order


def _parts(name: str) -> tuple[str, ...]:
    """Return the words of a keypoint's name, in lower case: earL and ear_l are alike."""
    return tuple(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_").split("_"))


def _other_side(part: str) -> str:
    if part in ("l", "r"):
        return "r" if part == "l" else "l"
    if "left" in part:
        return part.replace("left", "right")
    return part.replace("right", "left")


def _first(names: Sequence[str], wanted: Sequence[str], taken: Sequence[int]) -> int | None:
    for word in wanted:
        if word in names and names.index(word) not in taken:
            return names.index(word)
    return None
