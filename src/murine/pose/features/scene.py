"""What a feature function is given and what it gives back, and the dictionary it joins.

To add a feature, write a function in one of the files of this folder that takes a `Scene` and returns its
`Part`s, and put `@FAMILIES.family("its_name")` above it. Its docstring gives formula and unit.

Arrays are kept with time last here, (A, K, T) instead of (T, A, K): every formula then runs along memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.pose.place import Place, View
from murine.pose.skeleton import Axis, body_axis
from murine.registry import Registry
from murine.types import BoolArray, FloatArray, Pose

Value = TypeVar("Value")
Real = TypeVar("Real", np.float32, np.float64)
Rows = NDArray[np.float32]
Kind = Literal["scene", "animal", "pair", "directed"]

# At most this many frames are looked at for a recording's own scales; more would not move a median.
_SCALE_FRAMES = 20_000


@dataclass(frozen=True, eq=False)
class Part:
    """Columns of one kind: `values` (N, G, T) float32 with NaN where unknown, `names` one per G.

    kind "scene": N = 1, one value for the whole scene, which must not depend on the order of the animals;
    "animal": N = A, the same quantity of each animal; "pair": N = A (A - 1) / 2, a quantity that is the same
    seen from either side, pairs in the order of `Scene.pairs`; "directed": N = A (A - 1), one animal towards
    another, in the order of `Scene.directed`.
    """

    kind: Kind
    values: Rows
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Whole:
    """What is known of the whole recording, whichever frames a scene shows. `unit`: the pixels that are 1."""

    pose: Pose
    times: FloatArray
    fps: float
    place: Place = field(default_factory=Place)
    unit: float = 1.0

    @cached_property
    def axis(self) -> Axis | None:
        """Front, middle and back of the body, by the names of the keypoints."""
        return body_axis(self.pose.keypoints)

    @cached_property
    def _few(self) -> Rows:
        step = -(-len(self.pose) // _SCALE_FRAMES)
        return self.pose.xy[::step]

    @cached_property
    def bounds(self) -> FloatArray:
        """(2, 2): lower and upper x, lower and upper y of the arena, in pixels.

        Where its walls are not known percentiles 1 and 99 of all points stand for them, NaN where there is none.
        """
        if self.place.walls is not None:
            left, top, right, bottom = self.place.walls
            return np.array([[left, right], [top, bottom]]) / self.unit
        rows = [column[~np.isnan(column)] for column in (self._few[..., 0], self._few[..., 1])]
        empty = [np.nan, np.nan]
        return np.array([np.percentile(row, [1, 99]) if len(row) else empty for row in rows])

    @cached_property
    def body_length(self) -> float:
        """Median distance from front to back over all frames and animals, in pixels; NaN if unknown."""
        if self.axis is None:
            return float("nan")
        apart = self._few[:, :, self.axis.front] - self._few[:, :, self.axis.back]
        length = np.sqrt((apart**2).sum(axis=-1))
        known = length[~np.isnan(length)]
        return float(np.median(known)) if len(known) else float("nan")


@dataclass(frozen=True, eq=False)
class Scene:
    """Some consecutive frames of a recording: what a feature function sees.

    `x`, `y`: (A, K, T) float32 in pixels (or body lengths), NaN where missing after short gaps were filled.
    `found`: (A, K, T), True where the tracker itself had the point. `confidence`: (A, K, T) or None.
    `times`: (T,) seconds. `view`: how the scene was moved for training; `clock`: (T,) the time of the recording
    where it is not `times`. Properties are worked out once, for whoever asks.
    """

    x: Rows
    y: Rows
    found: BoolArray
    confidence: Rows | None
    times: FloatArray
    whole: Whole
    view: View | None = None
    clock: FloatArray | None = None

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Each two animals once: (0, 1), (0, 2), ..., (1, 2), ..."""
        return list(combinations(range(len(self.x)), 2))

    @property
    def directed(self) -> list[tuple[int, int]]:
        """Each animal towards each other one: (0, 1), (1, 0), (0, 2), (2, 0), ..."""
        return [(i, j) for a, b in self.pairs for i, j in ((a, b), (b, a))]

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return {}

    def once(self, name: str, compute: Callable[[], Value]) -> Value:
        """Return what `compute` gives, the first time; the same again for whoever asks by that name."""
        if name not in self._kept:
            self._kept[name] = compute()
        value: Value = self._kept[name]
        return value

    @cached_property
    def known(self) -> BoolArray:
        """(A, K, T): True where a point has a position."""
        return ~np.isnan(self.x)

    @cached_property
    def centre(self) -> tuple[Rows, Rows]:
        """Both x and y (A, T) of each animal's centre: the mean of its known points."""
        return self.mean(self.x), self.mean(self.y)

    def mean(self, values: NDArray[Real]) -> NDArray[Real]:
        """Return the mean over the keypoints of (A, K, T), leaving out NaN: (A, T)."""
        known = ~np.isnan(values)
        count = known.sum(axis=1, dtype=np.float32)
        total = np.where(known, values, np.float32(0)).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / np.where(count > 0, count, np.float32(np.nan)))

    @cached_property
    def heading(self) -> tuple[Rows, Rows]:
        """Unit vector (A, T) of each animal's body axis: from the back to the front.

        Where one end is unknown the half of the axis that is known stands in. Raises InputError for a pose of
        a single keypoint, which has no axis.
        """
        axis = self.need_axis("a heading")
        dx = self.x[:, axis.front] - self.x[:, axis.back]
        dy = self.y[:, axis.front] - self.y[:, axis.back]
        if axis.middle is not None:
            for start, end in ((axis.middle, axis.front), (axis.back, axis.middle)):
                unknown = np.isnan(dx)
                dx = np.where(unknown, self.x[:, end] - self.x[:, start], dx)
                dy = np.where(unknown, self.y[:, end] - self.y[:, start], dy)
        return unit(dx, dy)

    @cached_property
    def bounds(self) -> FloatArray:
        """(2, 2): lower and upper x, lower and upper y of the arena, as positions `in_arena` count."""
        factor = 1.0 if self.view is None else self.view.factor
        return self.whole.bounds * factor

    @property
    def middle(self) -> tuple[np.float32, np.float32]:
        """Where in the picture the middle of the arena is, x and y."""
        x, y = self.to_picture(self.whole.bounds.mean(axis=1))
        return np.float32(x), np.float32(y)

    def to_picture(self, point: FloatArray) -> FloatArray:
        """Return where a point of the recording's own picture lies after the scene was moved."""
        return point if self.view is None else self.view.matrix @ point + self.view.offset

    def in_arena(self, x: Rows, y: Rows) -> tuple[Rows, Rows]:
        """Return positions along the walls of the arena, wherever it was turned for training."""
        if self.view is None:
            return x, y
        back = self.view.back.astype(np.float32)
        dx, dy = (v - o for v, o in zip((x, y), self.view.offset.astype(np.float32), strict=True))
        return back[0, 0] * dx + back[0, 1] * dy, back[1, 0] * dx + back[1, 1] * dy

    def need_axis(self, what: str) -> Axis:
        """Return the body axis; raises InputError that says what needs two keypoints."""
        if self.whole.axis is None:
            raise InputError(
                f"{what} needs at least two keypoints; the pose has only "
                f"'{self.whole.pose.keypoints[0]}'. Leave that family out of pose_features"
            )
        return self.whole.axis

    def half(self, span_s: float) -> int:
        """Return half of a span in frames, rounded, at least 1; half a frame goes down.

        So 0.5 s at 30 frames per second is 7 frames to each side, 15 in all, even where a rate worked out of
        time stamps says 29.99999 or 30.00001.
        """
        return max(1, math.ceil(span_s * self.whole.fps / 2 - 0.5 - 1e-4))

    def change(self, values: Rows, span_s: float) -> Rows:
        """Return the rate of change per second of (..., T) values over a span centred on each frame.

        At both ends of the recording the span is what there is of it; a single frame has no change (NaN).
        """
        half = self.half(span_s)
        elapsed = _ahead_minus_behind(self.times, half)
        with np.errstate(invalid="ignore", divide="ignore"):
            per_second = np.where(elapsed > 0, 1 / elapsed, np.nan).astype(np.float32)
        return np.asarray(_ahead_minus_behind(values, half) * per_second)


def _ahead_minus_behind(values: NDArray[Any], half: int) -> NDArray[Any]:
    first = np.repeat(values[..., :1], half, axis=-1)
    last = np.repeat(values[..., -1:], half, axis=-1)
    long = np.concatenate([first, values, last], axis=-1)
    return np.asarray(long[..., 2 * half :] - long[..., : -2 * half])


def length(dx: Rows, dy: Rows) -> Rows:
    """Return sqrt(dx^2 + dy^2)."""
    return np.asarray(np.sqrt(dx * dx + dy * dy))


def unit(dx: Rows, dy: Rows) -> tuple[Rows, Rows]:
    """Return dx and dy divided by their length; NaN where that is 0."""
    size = length(dx, dy)
    with np.errstate(invalid="ignore", divide="ignore"):
        inverse = np.where(size > 0, 1 / size, np.float32(np.nan))
    return np.asarray(dx * inverse), np.asarray(dy * inverse)


@dataclass(frozen=True)
class Family:
    """Some features that belong together. `reach_s`: seconds that they look ahead and back."""

    name: str
    compute: Callable[[Scene], list[Part]]
    reach_s: float = 0.0

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.compute.__doc__ or "").strip().split("\n")[0]


class Families(Registry[Family]):
    """The dictionary of feature families."""

    def family(
        self, name: str, reach_s: float = 0.0
    ) -> Callable[[Callable[[Scene], list[Part]]], Callable[[Scene], list[Part]]]:
        """Return a decorator that registers a feature function under `name`."""

        def add(compute: Callable[[Scene], list[Part]]) -> Callable[[Scene], list[Part]]:
            self.add(name, Family(name, compute, reach_s))
            return compute

        return add


FAMILIES = Families("pose feature family")
