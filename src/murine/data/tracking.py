"""Poses as a network expects them: animals and keypoints in its order, and the point it crops around."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from murine.config import InputSettings
from murine.errors import InputError, suggest
from murine.pose import Place, drop_origin, drop_unsure
from murine.pose.place import median_distance
from murine.types import Pose, Recording


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
        hints = {name: suggest(name, pose.keypoints) for name in lacking}
        meant = [f" {name}:{hint}" for name, hint in hints.items() if "Did you mean" in hint]
        several = "".join(meant) or suggest("", pose.keypoints)
        raise InputError(
            f"{source}: has no keypoint {', '.join(lacking)}, which the model needs."
            + (several if len(lacking) > 1 else hints[lacking[0]])
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


def place_of(recording: Recording, settings: InputSettings, pose: Pose) -> Place:
    """Return the walls, points of interest and scale that a recording's columns, or its keypoints, tell.

    Raises InputError for a column that is not there or holds no such numbers.
    """
    walls, scale = None, None
    if settings.arena:
        left, top, right, bottom = _numbers(recording, settings.arena, 4, "left, top, right and bottom")
        walls = (left, top, right, bottom)
    points = {}
    for name in settings.interest:
        x, y = _numbers(recording, name, 2, "x and y")
        points[name] = (x, y)
    if settings.pose_units == "cm":
        if len(settings.known_length) == 1:
            (pixels,) = _numbers(recording, settings.known_length[0], 1, "a length")
        else:
            first, second = settings.known_length
            sure = drop_unsure(drop_origin(pose), settings.confidence)
            pixels = median_distance(sure, first, second, f"recording '{recording.id}'")
        scale = pixels / settings.known_cm
    try:
        return Place(walls, points, scale)
    except InputError as error:
        raise InputError(f"recording '{recording.id}': {error}") from error


def _numbers(recording: Recording, column: str, count: int, what: str) -> list[float]:
    text = recording.groups.get(column, "")
    if not text.strip():
        raise InputError(
            f"recording '{recording.id}' has no '{column}', which the recipe asks for: fill that column of "
            f"recordings.csv with {what} in pixels. A file that is in no project has no columns; predict the project"
        )
    try:
        values = [float(part) for part in re.split(r"[\s,;]+", text.strip())]
    except ValueError:
        values = []
    if len(values) != count or not all(np.isfinite(values)):
        raise InputError(
            f"recording '{recording.id}', column '{column}': expected {what} in pixels, {count} number(s) with "
            f"spaces between; came '{text}'"
        )
    return values


def lead_animal(pose: Pose, agent: str, recording: Recording) -> Pose:
    """Return the pose with the agent first; the animals are then called agent, target (or target1, target2, ...).

    `agent`: a column of recordings.csv that holds the animal's name, or the name itself. Raises InputError where
    the pose has no such animal.
    """
    name = recording.group(agent) if agent in recording.groups else agent
    if name not in pose.animals:
        raise InputError(
            f"recording '{recording.id}' has no animal '{name}', which input.agent puts first."
            + suggest(name, pose.animals)
        )
    order = sorted(range(len(pose.animals)), key=lambda a: pose.animals[a] != name)
    others = len(pose.animals) - 1
    targets = ["target"] if others == 1 else [f"target{n + 1}" for n in range(others)]
    confidence = None if pose.confidence is None else pose.confidence[:, order]
    return Pose(pose.xy[:, order], ("agent", *targets), pose.keypoints, confidence)


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
