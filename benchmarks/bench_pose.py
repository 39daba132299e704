"""Pose features: frames per second beside the bytes they must move, and the memory they need beside the pose."""

from __future__ import annotations

import tracemalloc

import numpy as np

from benchmarks import Figure, seconds_of
from murine.pose import feature_chunks, feature_names, match_identities
from murine.types import Pose

ANIMALS = ("a", "b")
KEYPOINTS = ("top", "body", "tail", "tail-m", "tail-e")
FPS = 30.0
SETS = {
    "social set": (
        "between", "proximity", "facing", "approach", "closing", "relative_heading",
        "speeds_slow", "velocity", "turning", "bend", "quality",
    ),
    "social set and running means": (
        "between", "proximity", "facing", "approach", "closing", "relative_heading", "speeds_slow",
        "velocity", "turning", "bend", "quality", "distances", "egocentric", "area",
        "rolling_0.5s", "rolling_1s", "rolling_2s", "rolling_4s",
    ),
}  # fmt: skip


def main(quick: bool) -> list[Figure]:
    """Return frames/s for two sets of families, identities included, and the memory beside the pose."""
    pose = encounter(4_000 if quick else 108_000)
    figures = [
        Figure(
            "following identities",
            len(pose) / seconds_of(lambda: match_identities(pose)),
            "frames/s",
            len(pose) / moving(pose, 0),
            "the pose read and written once at the speed of a copy of memory",
        )
    ]
    for name, families in SETS.items():
        columns = len(feature_names(ANIMALS, KEYPOINTS, families, symmetric=True))
        seconds = seconds_of(lambda chosen=families: use(pose, chosen))
        figures.append(
            Figure(
                f"{name}, {columns} columns",
                len(pose) / seconds,
                "frames/s",
                len(pose) / moving(pose, columns),
                "the pose read and the features written once at the speed of a copy of memory",
            )
        )
    families = SETS["social set and running means"]
    tracemalloc.start()
    use(pose, families)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    columns = len(feature_names(ANIMALS, KEYPOINTS, families, symmetric=True))
    figures.append(
        Figure(
            f"peak memory of {len(pose):,} frames, {columns} columns",
            peak / 2**20,
            "MiB",
            size_of(pose) / 2**20,
            "one copy of the pose: identities are put in order and gaps filled in a copy",
            lower=True,
        )
    )
    return figures


def encounter(frames: int) -> Pose:
    """Two animals that wander and lose points, and each other's names, as often as the rats of rat-social."""
    rng = np.random.default_rng(0)
    way = np.cumsum(rng.normal(0, 2, (frames, 2, 1, 2)), axis=0)
    xy = (
        600
        + 300 * np.sin(way / 300)
        + rng.normal(0, 40, (1, 2, 5, 2))
        + rng.normal(0, 1, (frames, 2, 5, 2))
    )
    # Runs of frames without a point (a third) or without an animal (a fifth).
    lost = np.repeat(rng.random((frames // 20 + 1, 2, 5)) < 0.2, 20, axis=0)[:frames]
    absent = np.repeat(rng.random((frames // 20 + 1, 2)) < 0.2, 20, axis=0)[:frames]
    xy[lost | absent[..., None]] = np.nan
    swap = np.repeat(rng.random(frames // 50 + 1) < 0.5, 50)[:frames]
    xy[swap] = xy[swap][:, ::-1]
    return Pose(xy, ANIMALS, KEYPOINTS, rng.random((frames, 2, 5)).astype(np.float32))


def use(pose: Pose, families: tuple[str, ...]) -> int:
    return sum(len(values) for _, values in feature_chunks(pose, FPS, families, symmetric=True))


def size_of(pose: Pose) -> int:
    assert pose.confidence is not None
    return pose.xy.nbytes + pose.confidence.nbytes


def moving(pose: Pose, columns: int) -> float:
    """Return the seconds that reading the pose and writing the columns take, measured by copying."""
    given = np.ones(size_of(pose) // 4, dtype=np.float32)
    read = np.empty_like(given)
    seconds = seconds_of(lambda: np.copyto(read, given), 5)
    if columns:
        block = np.ones((4096, columns), dtype=np.float32)
        result = np.empty_like(block)
        seconds += seconds_of(lambda: np.copyto(result, block), 20) * len(pose) / len(block)
    return seconds
