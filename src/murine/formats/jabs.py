"""Pose files of JABS (h5), versions 2 to 8: points are stored as (y, x), 0 confidence means missing.

Version 2 holds one mouse. Version 3 holds short tracks: each goes to the first animal that is free when
it begins, as JABS does it, so an animal is one mouse only within a track. From version 4 on
`instance_embed_id` names the mouse (from 1) wherever `id_mask` is 0. What later versions add (arena
points, segmentation, boxes) is not pose. The version is judged by what is in the file: real files carry
identities under an older version number.
"""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.formats.base import FORMATS, PoseFormat, PoseSummary
from murine.formats.deeplabcut import SINGLE
from murine.formats.hdf5 import distinct, holds, make_pose, opened, texts
from murine.types import Pose

KEYPOINTS = (
    "nose", "left_ear", "right_ear", "base_neck", "left_front_paw", "right_front_paw", "center_spine",
    "left_rear_paw", "right_rear_paw", "base_tail", "mid_tail", "tip_tail",
)  # fmt: skip
"""The points of every JABS file, in its order (JABS: `KeypointIndex`)."""

_WHAT = "a pose file of JABS"
_NOBODY = -1


def read(path: Path) -> Pose:
    """Read a JABS pose file; raises InputError."""
    path = Path(path)
    with opened(path, _WHAT) as file:
        group = file["poseest"]
        arrays = {name: group[name][()] for name in group if name in _USED}
        _check(path, arrays)
        external = group.get("external_identity_mapping")
        names = [] if external is None else texts(external[()])
    points, confidence = arrays["points"], arrays["confidence"]
    if points.ndim == 3:
        animal = np.zeros((len(points), 1), dtype=np.int64)
        points, confidence = points[:, None], confidence[:, None]
    elif "instance_embed_id" in arrays:
        there = arrays["id_mask"] == 0 if "id_mask" in arrays else arrays["instance_embed_id"] > 0
        animal = np.where(there, arrays["instance_embed_id"].astype(np.int64) - 1, _NOBODY)
    else:
        animal = _of_tracks(arrays["instance_count"], arrays["instance_track_id"])
    return _ordered(path, points, confidence, animal, names)


_USED = (
    "points", "confidence", "instance_count", "instance_track_id", "instance_embed_id", "id_mask",
)  # fmt: skip


def _check(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Raise InputError where the arrays are not those of a pose file."""
    points = arrays["points"]
    if points.ndim not in (3, 4) or points.shape[-2:] != (len(KEYPOINTS), 2):
        raise InputError(
            f"{path}: points of shape {points.shape} came where frames (x mice) x {len(KEYPOINTS)} x 2 was "
            "expected. Is it a pose file of JABS?"
        )
    for name, array in arrays.items():
        wanted = (
            points.shape[:-1] if name == "confidence" else points.shape[: 1 if "count" in name else 2]
        )
        if name != "points" and points.ndim == 4 and array.shape != wanted:
            raise InputError(f"{path}: '{name}' has shape {array.shape}; {wanted} was expected.")
    if arrays["confidence"].shape != points.shape[:-1]:
        raise InputError(f"{path}: confidence and points differ in length. Was the file cut short?")
    if (
        points.ndim == 4
        and "instance_embed_id" not in arrays
        and not {"instance_count", "instance_track_id"} <= set(arrays)
    ):
        raise InputError(f"{path}: several mice, and neither tracks nor identities tell them apart.")


def _of_tracks(counts: NDArray[Any], tracks: NDArray[Any]) -> NDArray[np.int64]:
    """Return (T, N) the animal of each instance of tracks: the first one free when its track begins."""
    animal = np.full(tracks.shape, _NOBODY, dtype=np.int64)
    free: list[int] = []
    made = 0
    holder: dict[int, int] = {}
    before: list[int] = []
    for frame, (count, row) in enumerate(zip(counts.tolist(), tracks.tolist(), strict=True)):
        now = row[:count]
        for track in before:
            if track not in now:
                heapq.heappush(free, holder.pop(track))
        for place, track in enumerate(now):
            if track not in holder:
                if not free:
                    heapq.heappush(free, made)
                    made += 1
                holder[track] = heapq.heappop(free)
            animal[frame, place] = holder[track]
        before = now
    return animal


def _ordered(
    path: Path,
    points: NDArray[Any],
    confidence: NDArray[Any],
    animal: NDArray[np.int64],
    names: list[str],
) -> Pose:
    """Return the pose with every instance under its animal."""
    count = int(animal.max(initial=_NOBODY)) + 1
    if count > points.shape[1]:
        raise InputError(
            f"{path}: identity {count} came where at most {points.shape[1]} mice are in a frame. Is the "
            "file damaged? Make it anew."
        )
    frame, place = np.nonzero(animal >= 0)
    who = animal[frame, place]
    xy = np.full((len(points), max(count, 1), len(KEYPOINTS), 2), np.nan, dtype=np.float32)
    sure = np.full(xy.shape[:3], np.nan, dtype=np.float32)
    xy[frame, who] = points[frame, place][..., ::-1]
    sure[frame, who] = confidence[frame, place]
    xy[~(sure > 0)] = np.nan
    animals = (
        (SINGLE,) if points.shape[1] == 1 else tuple(f"mouse_{i + 1}" for i in range(max(count, 1)))
    )
    if names and len(names) >= count:
        animals = distinct(names[:count])
    return make_pose(path, xy, animals, KEYPOINTS, sure)


def describe(path: Path) -> PoseSummary:
    """Return animals, keypoints and length of a JABS pose file."""
    pose = read(path)
    return PoseSummary.of("jabs", pose)


FORMATS.add(
    "jabs",
    PoseFormat(
        "jabs", "JABS pose file, versions 2 to 8", (".h5",),
        lambda path, head: holds(path, head, "poseest/points", "poseest/confidence"), read, describe, None,
        lossy="cm per pixel, arena points, segmentation and boxes; confidence above 1 is cut to 1; in version 3 "
        "an animal is one mouse only within a track",
    ),
)  # fmt: skip
