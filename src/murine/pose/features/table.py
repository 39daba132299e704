"""From a pose to one row of numbers per frame: clean, compute block by block, order the animals, name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.pose.features.scene import FAMILIES, Family, Part, Rows, Scene
from murine.pose.features.sets import expand_features, known_features
from murine.pose.place import Place
from murine.pose.track import Track, make_track
from murine.types import Pose, Timeline

BLOCK = 4096
"""Frames worked on at once: few enough that memory stays small, enough to hide the cost of a call."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """`values` (T, F) float32, NaN where unknown; `names` one per column, family.whose.what.

    Unknown values stay NaN here: `scaler.fit_scaler` leaves them out, `scaler.apply_scaler` makes them 0.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise InputError(f"{len(self.names)} names for features of shape {self.values.shape}")

    def __len__(self) -> int:
        return len(self.values)


def feature_table(
    pose: Pose,
    rate: float | Timeline,
    families: Sequence[str],
    *,
    symmetric: bool = False,
    gap_s: float = 0.5,
    confidence: float = 0.0,
    smooth_s: float = 0.0,
    units: str = "pixels",
    place: Place | None = None,
) -> FeatureTable:
    """Return the features of every frame, the families (or named sets of them) side by side in their order.

    `rate`: frames per second, or the recording's timeline, whose own times then go into every speed. What is done
    to the pose before: `track.make_track`. `symmetric`: the animals are interchangeable. Each animal's value gives
    way to the sorted values of all (two animals: lower, higher; an animal whose value is unknown takes the highest
    known one, so that both columns hold it). Swapping the animals in any frames changes nothing. Raises InputError
    for an unknown or repeated family, a family the pose cannot give, and for a timeline of another length.
    """
    plan = FeaturePlan.of(families, symmetric)
    track = make_track(
        pose, rate, symmetric=symmetric, gap_s=gap_s, confidence=confidence, smooth_s=smooth_s, units=units,
        place=place,
    )  # fmt: skip
    names = plan.names(track)
    values = np.empty((len(pose), len(names)), dtype=np.float32)
    for start, block in plan.blocks(track, BLOCK):
        values[start : start + len(block)] = block
    return FeatureTable(values, names)


def feature_chunks(
    pose: Pose,
    rate: float | Timeline,
    families: Sequence[str],
    *,
    symmetric: bool = False,
    gap_s: float = 0.5,
    confidence: float = 0.0,
    smooth_s: float = 0.0,
    units: str = "pixels",
    place: Place | None = None,
    block: int = BLOCK,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (start, (n, F) values) of consecutive blocks: `feature_table` in bounded memory."""
    if block < 1:
        raise InputError(f"a block must be 1 frame or more; came {block}")
    track = make_track(
        pose, rate, symmetric=symmetric, gap_s=gap_s, confidence=confidence, smooth_s=smooth_s, units=units,
        place=place,
    )  # fmt: skip
    yield from FeaturePlan.of(families, symmetric).blocks(track, block)


def feature_names(
    animals: Sequence[str],
    keypoints: Sequence[str],
    families: Sequence[str],
    *,
    symmetric: bool = False,
    points: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the column names that `feature_table` gives for a pose of these animals and keypoints.

    `points`: the names of points of interest, as of its `place`.
    """
    nothing = np.full((1, len(animals), len(keypoints), 2), np.nan, dtype=np.float32)
    place = Place(points=dict.fromkeys(points, (0.0, 0.0)))
    track = make_track(Pose(nothing, tuple(animals), tuple(keypoints)), 1.0, place=place)
    return FeaturePlan.of(families, symmetric).names(track)


@dataclass(frozen=True)
class FeaturePlan:
    """Which families, and whether the animals are interchangeable."""

    families: tuple[Family, ...]
    symmetric: bool

    @classmethod
    def of(cls, names: Sequence[str], symmetric: bool) -> FeaturePlan:
        """Return the plan of families and sets by their names; raises InputError for an unknown or repeated one."""
        if not names:
            raise InputError(f"no pose features are named. Known: {', '.join(known_features())}")
        expanded = expand_features(names)
        twice = sorted({name for name in expanded if expanded.count(name) > 1})
        if twice:
            raise InputError(f"pose features named twice: {', '.join(twice)}")
        return cls(tuple(FAMILIES[name] for name in expanded), symmetric)

    def names(self, track: Track) -> tuple[str, ...]:
        """Return the column names; raises InputError where there would be no column at all."""
        scene = track.scene(0, min(1, len(track)))
        names = [
            f"{family.name}.{name}"
            for family in self.families
            for part in family.compute(scene)
            for name in _part_names(part, scene, self.symmetric)
        ]
        if not names:
            raise InputError(
                f"the families {', '.join(f.name for f in self.families)} give no feature for "
                f"{len(scene.x)} animal(s) with {scene.x.shape[1]} keypoint(s). Name others in pose_features"
            )
        return tuple(names)

    def margin(self, fps: float) -> int:
        """Return how many frames to each side decide a frame's features."""
        # Two frames more: the speeds look one frame back, rounding may ask for another.
        return 2 + int(np.ceil(max(f.reach_s for f in self.families) * fps))

    def blocks(self, track: Track, size: int) -> Iterator[tuple[int, Rows]]:
        """Yield (start, (n, F) values) of consecutive blocks of `size` frames."""
        total, margin = len(track), self.margin(track.whole.fps)
        for start in range(0, total, size):
            stop = min(start + size, total)
            yield start, self.rows(track, start, stop, margin)

    def rows(self, track: Track, start: int, stop: int, margin: int) -> Rows:
        """Return the features (stop - start, F) of the frames [start, stop), `margin` frames around them seen."""
        first = max(start - margin, 0)
        scene = track.scene(first, min(stop + margin, len(track)))
        cut = slice(start - first, stop - first)
        parts = [
            _ordered(part, self.symmetric)[..., cut]
            for family in self.families
            for part in family.compute(scene)
        ]
        columns = [part.reshape(-1, stop - start) for part in parts]
        return np.ascontiguousarray(np.concatenate(columns).T)


def _ordered(part: Part, symmetric: bool) -> Rows:
    """Return (N, G, T), sorted over N where the animals are interchangeable; see `feature_table`."""
    values = part.values
    if not symmetric or len(values) < 2:
        return values
    if len(values) == 2:
        return np.stack([np.fmin(values[0], values[1]), np.fmax(values[0], values[1])])
    # numpy sorts NaN to the end; what is unknown then takes the highest known value.
    return np.sort(np.where(np.isnan(values), np.fmax.reduce(values, axis=0), values), axis=0)


def _part_names(part: Part, scene: Scene, symmetric: bool) -> list[str]:
    count = len(part.values)
    animals = scene.whole.pose.animals
    if part.kind == "scene":
        return list(part.names)
    if symmetric:
        ranks = {1: ("both",) if part.kind == "pair" else (animals[0],), 2: ("lower", "higher")}
        who: Sequence[str] = ranks.get(count, tuple(f"rank{n + 1}" for n in range(count)))
    elif part.kind == "animal":
        who = animals
    elif part.kind == "pair":
        who = tuple(f"{animals[a]}-{animals[b]}" for a, b in scene.pairs)
    else:
        who = tuple(f"{animals[a]}>{animals[b]}" for a, b in scene.directed)
    return [f"{one}.{name}" for one in who for name in part.names]
