"""Poses as a network expects them: animals and keypoints in its order, and the point it crops around."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from murine.errors import InputError, suggest
from murine.types import Pose


def check_seen(pose: Pose, source: str) -> None:
    """Raise InputError for an animal without a position in any frame: whatever came of it would be made up."""
    gone = np.asarray(pose.missing.all(axis=(0, 2)))
    if gone.all():
        raise InputError(f"{source}: no keypoint has a position in any frame")
    if gone.any():
        names = ", ".join(name for name, absent in zip(pose.animals, gone, strict=True) if absent)
        raise InputError(f"{source}: absent in every frame: {names}")


def arrange_pose(pose: Pose, animals: Sequence[str], keypoints: Sequence[str], source: str) -> Pose:
    """Return a pose with these keypoints, in this order, and as many animals.

    Keypoints go by name, and any others are left out. Animals go by name where the names are the same,
    else by position: names of individuals differ from study to study. Raises InputError.
    """
    lacking = [name for name in keypoints if name not in pose.keypoints]
    if lacking:
        raise InputError(
            f"{source}: has no keypoint {', '.join(lacking)}, which the model needs."
            + suggest(lacking[0], pose.keypoints)
        )
    if len(animals) != len(pose.animals):
        raise InputError(
            f"{source}: tracks {len(pose.animals)} animals ({', '.join(pose.animals)}), and the model needs "
            f"{len(animals)} ({', '.join(animals)})"
        )
    same = set(animals) == set(pose.animals)
    rows = [pose.animals.index(a) for a in animals] if same else list(range(len(animals)))
    columns = [pose.keypoints.index(name) for name in keypoints]
    if rows == list(range(len(rows))) and tuple(keypoints) == pose.keypoints:
        return Pose(pose.xy, tuple(animals), pose.keypoints, pose.confidence)
    confidence = None if pose.confidence is None else pose.confidence[:, rows][:, :, columns]
    return Pose(pose.xy[:, rows][:, :, columns], tuple(animals), tuple(keypoints), confidence)


def tracked_point(pose: Pose, name: str, recording: str) -> tuple[int, int]:
    """Return the animal and keypoint of "keypoint" or "animal.keypoint"."""
    spots = {
        f"{a}.{k}": (i, j) for i, a in enumerate(pose.animals) for j, k in enumerate(pose.keypoints)
    }
    if name in spots:
        return spots[name]
    if name in pose.keypoints and len(pose.animals) == 1:
        return 0, pose.keypoints.index(name)
    if name in pose.keypoints:
        raise InputError(
            f"recording '{recording}' tracks {len(pose.animals)} animals: name one in input.crop_keypoint, "
            f"as in '{pose.animals[0]}.{name}'"
        )
    known = pose.keypoints if len(pose.animals) == 1 else tuple(spots)
    raise InputError(
        f"recording '{recording}' has no keypoint '{name}' to crop around.{suggest(name, known)}"
    )
