"""From a pose to one row of numbers per frame: clean, compute block by block, order the animals, name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.pose.clean import drop_origin, drop_unsure, fill_gaps, scale
from murine.pose.features.scene import FAMILIES, Family, Part, Rows, Scene, Whole
from murine.pose.features.sets import expand_features, known_features
from murine.pose.identity import match_identities
from murine.types import BoolArray, FloatArray, Pose, Timeline

Value = TypeVar("Value", bound=np.generic)

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
    body_lengths: bool = False,
) -> FeatureTable:
    """Return the features of every frame, the families (or named sets of them) side by side in their order.

    `rate`: frames per second, or the recording's timeline, whose own times then go into every speed.
    Before: points at exactly (0, 0) and points less sure than `confidence` are missing; gaps of at most
    `gap_s` seconds are filled. `body_lengths`: lengths and speeds in the recording's median body length (front
    to back) instead of pixels. `symmetric`: the animals are interchangeable. They are then followed by least
    displacement, and each animal's value gives way to the sorted values of all (two animals: lower, higher;
    an animal whose value is unknown takes the highest known one, so that both columns hold it).
    Swapping the animals in any frames changes nothing. Raises InputError for an unknown or repeated family, a
    family the pose cannot give, and for a timeline of another length.
    """
    plan = _Plan.make(pose, rate, families, symmetric, gap_s, confidence, body_lengths)
    names = plan.names()
    values = np.empty((len(pose), len(names)), dtype=np.float32)
    for start, block in plan.blocks(BLOCK):
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
    body_lengths: bool = False,
    block: int = BLOCK,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (start, (n, F) values) of consecutive blocks: `feature_table` in bounded memory."""
    if block < 1:
        raise InputError(f"a block must be 1 frame or more; came {block}")
    plan = _Plan.make(pose, rate, families, symmetric, gap_s, confidence, body_lengths)
    yield from plan.blocks(block)


def feature_names(
    animals: Sequence[str], keypoints: Sequence[str], families: Sequence[str], *, symmetric: bool = False
) -> tuple[str, ...]:
    """Return the column names that `feature_table` gives for a pose of these animals and keypoints."""
    nothing = np.full((1, len(animals), len(keypoints), 2), np.nan, dtype=np.float32)
    pose = Pose(nothing, tuple(animals), tuple(keypoints))
    return _Plan.make(pose, 1.0, families, symmetric, 0.0, 0.0, False).names()


@dataclass(frozen=True, eq=False)
class _Plan:
    whole: Whole
    found: BoolArray
    families: tuple[Family, ...]
    symmetric: bool

    @classmethod
    def make(
        cls,
        pose: Pose,
        rate: float | Timeline,
        families: Sequence[str],
        symmetric: bool,
        gap_s: float,
        confidence: float,
        body_lengths: bool,
    ) -> _Plan:
        chosen = _chosen(families)
        times, fps = _times(len(pose), rate)
        if not gap_s >= 0 or not np.isfinite(gap_s):
            raise InputError(f"gap_s must be 0 or a time in seconds; came {gap_s}")
        pose = drop_unsure(drop_origin(pose), confidence)
        if symmetric:
            pose = match_identities(pose)
        found = ~pose.missing
        # A rate worked out of time stamps may say 29.99999.
        pose, _ = fill_gaps(pose, int(gap_s * fps + 1e-4))
        whole = Whole(pose, times, fps)
        if body_lengths:
            length = whole.body_length
            whole = Whole(scale(pose, length if length > 0 else 1.0), times, fps)
        return cls(whole, found, chosen, symmetric)

    def scene(self, start: int, stop: int) -> Scene:
        pose = self.whole.pose
        x, y = (_time_last(pose.xy[start:stop, ..., side]) for side in (0, 1))
        found = _time_last(self.found[start:stop])
        confidence = None if pose.confidence is None else _time_last(pose.confidence[start:stop])
        return Scene(x, y, found, confidence, self.whole.times[start:stop], self.whole)

    def names(self) -> tuple[str, ...]:
        """Return the column names; raises InputError where there would be no column at all."""
        scene = self.scene(0, min(1, len(self.whole.pose)))
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

    def blocks(self, size: int) -> Iterator[tuple[int, Rows]]:
        total = len(self.whole.pose)
        # One frame more on each side: the speeds look one frame back, rounding may ask for another.
        margin = 2 + int(np.ceil(max(f.reach_s for f in self.families) * self.whole.fps))
        for start in range(0, total, size):
            stop = min(start + size, total)
            first = max(start - margin, 0)
            scene = self.scene(first, min(stop + margin, total))
            cut = slice(start - first, stop - first)
            parts = [
                _ordered(part, self.symmetric)[..., cut]
                for family in self.families
                for part in family.compute(scene)
            ]
            columns = [part.reshape(-1, stop - start) for part in parts]
            yield start, np.ascontiguousarray(np.concatenate(columns).T)


def _time_last(values: NDArray[Value]) -> NDArray[Value]:
    return np.ascontiguousarray(np.moveaxis(values, 0, -1))


def _chosen(families: Sequence[str]) -> tuple[Family, ...]:
    if not families:
        raise InputError(f"no pose features are named. Known: {', '.join(known_features())}")
    expanded = expand_features(families)
    twice = sorted({name for name in expanded if expanded.count(name) > 1})
    if twice:
        raise InputError(f"pose features named twice: {', '.join(twice)}")
    return tuple(FAMILIES[name] for name in expanded)


def _times(frames: int, rate: float | Timeline) -> tuple[FloatArray, float]:
    timeline = rate if isinstance(rate, Timeline) else Timeline.uniform(frames, rate)
    if len(timeline) != frames:
        raise InputError(f"the pose has {frames} frames, its timeline {len(timeline)}; they must match")
    return timeline.times, timeline.fps if frames > 1 or isinstance(rate, Timeline) else float(rate)


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
