"""A pose whose features are worked out frame by frame in plain arithmetic, and what the formulas are written with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import atan2, dist, isnan, nan, pi

import numpy as np

from murine.pose.place import Place
from murine.types import Pose

KEYPOINTS = ("nose", "body", "tail", "tail-m")
FRONT, MIDDLE, BACK = 0, 1, 2
ANIMALS = ("a", "b", "c")
FPS = 30.0
SLOW = 2  # half of 1/6 s in frames, rounded to even


class World:
    """A pose that wanders, with a fifth of its points missing, and irregular times."""

    def __init__(self, frames: int = 72, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        walk = 300 + rng.normal(0, 6, (frames, 3, 1, 2)).cumsum(axis=0)
        xy = walk + rng.normal(0, 25, (1, 3, 4, 2)) + rng.normal(0, 3, (frames, 3, 4, 2))
        xy[rng.random((frames, 3, 4)) < 0.2] = nan
        xy[10:14, 1] = nan
        self.times = np.cumsum(rng.uniform(0.8, 1.2, frames)) / FPS
        # The median interval is what the rate is taken from.
        self.times *= (1 / FPS) / np.median(np.diff(self.times))
        confidence = rng.random((frames, 3, 4)).astype(np.float32)
        self.pose = Pose(xy, ANIMALS, KEYPOINTS, confidence)
        self.xy = self.pose.xy.astype(float)
        self.place = Place(points={"feeder": (250.0, 310.0), "nest": (330.0, 280.0)})
        self.frames = frames

    def p(self, t: int, a: int, k: int) -> tuple[float, float]:
        return tuple(self.xy[t, a, k].tolist())

    def known(self, t: int, a: int) -> list[tuple[float, float]]:
        return [self.p(t, a, k) for k in range(4) if not isnan(self.xy[t, a, k, 0])]

    def centre(self, t: int, a: int) -> tuple[float, float]:
        points = self.known(t, a)
        if not points:
            return nan, nan
        return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)

    def heading(self, t: int, a: int) -> float:
        for back, front in ((BACK, FRONT), (MIDDLE, FRONT), (BACK, MIDDLE)):
            (x, y), (fx, fy) = self.p(t, a, back), self.p(t, a, front)
            if not isnan(x + fx):
                return atan2(fy - y, fx - x)
        return nan

    def span(self, t: int) -> tuple[int, int]:
        return max(t - SLOW, 0), min(t + SLOW, self.frames - 1)

    def velocity(self, t: int, a: int) -> tuple[float, float]:
        i, j = self.span(t)
        steps = [
            ((self.xy[j, a, k] - self.xy[i, a, k]) / (self.times[j] - self.times[i])).tolist()
            for k in range(4)
        ]
        steps = [s for s in steps if not isnan(s[0])]
        if not steps:
            return nan, nan
        return sum(s[0] for s in steps) / len(steps), sum(s[1] for s in steps) / len(steps)

    def turning(self, t: int, a: int) -> float:
        i, j = self.span(t)
        change = self.heading(j, a) - self.heading(i, a)
        return abs((change + pi) % (2 * pi) - pi) / (self.times[j] - self.times[i])

    def box(self, t: int, a: int) -> tuple[float, float, float, float]:
        points = self.known(t, a)
        if not points:
            return nan, nan, nan, nan
        x, y = zip(*points, strict=True)
        return min(x), max(x), min(y), max(y)

    def towards(self, t: int, a: int, b: int) -> float:
        (x, y), (to_x, to_y) = self.centre(t, a), self.centre(t, b)
        return atan2(to_y - y, to_x - x)

    def missed(self, t: int, a: int) -> float:
        return 1 - len(self.known(t, a)) / 4

    def nearest(self, t: int, a: int, b: int) -> float:
        apart = [dist(p, q) for p in self.known(t, a) for q in self.known(t, b)]
        return min(apart, default=nan)


Formula = Callable[[World, int], dict[str, float]]
FORMULAS: dict[str, Formula] = {}
PAIRS = list(combinations(range(3), 2))
DIRECTED = [(i, j) for a, b in PAIRS for i, j in ((a, b), (b, a))]


def formula(function: Formula) -> Formula:
    FORMULAS[function.__name__] = function
    return function


def each_animal(give: Callable[[int], dict[str, float]]) -> dict[str, float]:
    return {f"{ANIMALS[a]}.{name}": value for a in range(3) for name, value in give(a).items()}


def each_pair(give: Callable[[int, int], dict[str, float]]) -> dict[str, float]:
    return {
        f"{ANIMALS[a]}-{ANIMALS[b]}.{name}": value
        for a, b in PAIRS
        for name, value in give(a, b).items()
    }


def each_directed(give: Callable[[int, int], dict[str, float]]) -> dict[str, float]:
    return {
        f"{ANIMALS[a]}>{ANIMALS[b]}.{name}": v for a, b in DIRECTED for name, v in give(a, b).items()
    }


def points_of(give: Callable[[int], tuple[float, float]]) -> dict[str, float]:
    return {f"{name}.{'xy'[d]}": give(k)[d] for k, name in enumerate(KEYPOINTS) for d in (0, 1)}


def bounds(w: World) -> list[tuple[float, float]]:
    rows = [sorted(v for v in w.xy[..., d].ravel().tolist() if not isnan(v)) for d in (0, 1)]

    def percentile(row: list[float], share: float) -> float:
        at = (len(row) - 1) * share
        low = int(at)
        return row[low] + (at - low) * (row[min(low + 1, len(row) - 1)] - row[low])

    return [(percentile(row, 0.01), percentile(row, 0.99)) for row in rows]


def relative_speed(w: World, t: int, a: int, b: int) -> float:
    return dist(w.velocity(t, a), w.velocity(t, b))
