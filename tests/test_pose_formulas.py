"""Every feature against its formula written out again, frame by frame, in plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import atan2, cos, dist, hypot, isnan, nan, pi, sin

import numpy as np
import pytest

from murine.pose import FEATURES, feature_table
from murine.pose.features import rolling
from murine.types import Pose, Timeline

KEYPOINTS = ("nose", "body", "tail", "tail-m")
FRONT, MIDDLE, BACK = 0, 1, 2
ANIMALS = ("a", "b", "c")
FPS = 30.0
SLOW = 2  # half of 1/6 s in frames, rounded to even


class World:
    """A pose that wanders, with a fifth of its points missing, and irregular times."""

    def __init__(self, frames: int = 45, seed: int = 3) -> None:
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


@formula
def coordinates(w: World, t: int) -> dict[str, float]:
    return each_animal(lambda a: points_of(lambda k: w.p(t, a, k)))


def bounds(w: World) -> list[tuple[float, float]]:
    rows = [sorted(v for v in w.xy[..., d].ravel().tolist() if not isnan(v)) for d in (0, 1)]

    def percentile(row: list[float], share: float) -> float:
        at = (len(row) - 1) * share
        low = int(at)
        return row[low] + (at - low) * (row[min(low + 1, len(row) - 1)] - row[low])

    return [(percentile(row, 0.01), percentile(row, 0.99)) for row in rows]


@formula
def centred_coordinates(w: World, t: int) -> dict[str, float]:
    middle = [(low + high) / 2 for low, high in bounds(w)]
    return each_animal(
        lambda a: points_of(lambda k: (w.p(t, a, k)[0] - middle[0], w.p(t, a, k)[1] - middle[1]))
    )


@formula
def egocentric(w: World, t: int) -> dict[str, float]:
    def seen(a: int, k: int) -> tuple[float, float]:
        (cx, cy), (x, y), angle = w.centre(t, a), w.p(t, a, k), -w.heading(t, a)
        dx, dy = x - cx, y - cy
        return dx * cos(angle) - dy * sin(angle), dx * sin(angle) + dy * cos(angle)

    return each_animal(lambda a: points_of(lambda k: seen(a, k)))


@formula
def distances(w: World, t: int) -> dict[str, float]:
    return each_animal(
        lambda a: {
            f"{KEYPOINTS[i]}-{KEYPOINTS[j]}": dist(w.p(t, a, i), w.p(t, a, j))
            for i, j in combinations(range(4), 2)
        }
    )


@formula
def centre(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        middle, points = w.centre(t, a), w.known(t, a)
        spread = sum(dist(middle, p) for p in points) / len(points) if points else nan
        return {"x": middle[0], "y": middle[1], "spread": spread}

    return each_animal(give)


@formula
def edge(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        walls = [
            min(value - low, high - value)
            for value, (low, high) in zip(w.centre(t, a), bounds(w), strict=True)
        ]
        return {"near": min(walls), "corner": max(walls)}

    return each_animal(give)


@formula
def heading(w: World, t: int) -> dict[str, float]:
    return each_animal(lambda a: {"cos": cos(w.heading(t, a)), "sin": sin(w.heading(t, a))})


@formula
def bend(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        front, middle, back = (w.p(t, a, k) for k in (FRONT, MIDDLE, BACK))
        ahead = atan2(front[1] - middle[1], front[0] - middle[0])
        behind = atan2(middle[1] - back[1], middle[0] - back[0])
        return {"cos": cos(ahead - behind), "sin": sin(ahead - behind)}

    return each_animal(give)


@formula
def area(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        left, right, top, bottom = w.box(t, a)
        wide, high = right - left, bottom - top
        return {"width": wide, "height": high, "area": wide * high}

    return each_animal(give)


@formula
def speeds(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        if t == 0:
            return dict.fromkeys(KEYPOINTS, nan)
        elapsed = w.times[t] - w.times[t - 1]
        return {name: dist(w.p(t, a, k), w.p(t - 1, a, k)) / elapsed for k, name in enumerate(KEYPOINTS)}

    return each_animal(give)


@formula
def speeds_slow(w: World, t: int) -> dict[str, float]:
    i, j = w.span(t)
    elapsed = w.times[j] - w.times[i]
    return each_animal(
        lambda a: {name: dist(w.p(j, a, k), w.p(i, a, k)) / elapsed for k, name in enumerate(KEYPOINTS)}
    )


@formula
def velocity(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        (vx, vy), angle = w.velocity(t, a), w.heading(t, a)
        speed, off = hypot(vx, vy), atan2(vy, vx) - angle
        return {"speed": speed, "along": speed * cos(off), "across": abs(speed * sin(off))}

    return each_animal(give)


@formula
def turning(w: World, t: int) -> dict[str, float]:
    return each_animal(lambda a: {"rate": w.turning(t, a)})


@formula
def between(w: World, t: int) -> dict[str, float]:
    like = each_pair(
        lambda a, b: {f"{n}-{n}": dist(w.p(t, a, k), w.p(t, b, k)) for k, n in enumerate(KEYPOINTS)}
    )
    unlike = each_directed(
        lambda a, b: {
            f"{KEYPOINTS[i]}-{KEYPOINTS[j]}": dist(w.p(t, a, i), w.p(t, b, j))
            for i, j in combinations(range(4), 2)
        }
    )
    return like | unlike


@formula
def proximity(w: World, t: int) -> dict[str, float]:
    def give(a: int, b: int) -> dict[str, float]:
        one, other = w.box(t, a), w.box(t, b)
        overlap = nan
        if not isnan(one[0] + other[0]):
            wide = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
            high = max(0.0, min(one[3], other[3]) - max(one[2], other[2]))
            sizes = [(box[1] - box[0]) * (box[3] - box[2]) for box in (one, other)]
            union = sum(sizes) - wide * high
            overlap = wide * high / union if union else 0.0
        apart = dist(w.centre(t, a), w.centre(t, b))
        return {"centres": apart, "nearest": w.nearest(t, a, b), "overlap": overlap}

    return each_pair(give)


@formula
def facing(w: World, t: int) -> dict[str, float]:
    def give(a: int, b: int) -> dict[str, float]:
        off = w.towards(t, a, b) - w.heading(t, a)
        return {"cos": cos(off), "sin": abs(sin(off))}

    return each_directed(give)


@formula
def approach(w: World, t: int) -> dict[str, float]:
    def give(a: int, b: int) -> dict[str, float]:
        (vx, vy), direction = w.velocity(t, a), w.towards(t, a, b)
        return {"speed": vx * cos(direction) + vy * sin(direction)}

    return each_directed(give)


def relative_speed(w: World, t: int, a: int, b: int) -> float:
    return dist(w.velocity(t, a), w.velocity(t, b))


@formula
def closing(w: World, t: int) -> dict[str, float]:
    def give(a: int, b: int) -> dict[str, float]:
        i, j = w.span(t)
        change = dist(w.centre(j, a), w.centre(j, b)) - dist(w.centre(i, a), w.centre(i, b))
        return {"rate": -change / (w.times[j] - w.times[i]), "relative": relative_speed(w, t, a, b)}

    return each_pair(give)


@formula
def relative_heading(w: World, t: int) -> dict[str, float]:
    def give(a: int, b: int) -> dict[str, float]:
        off = w.heading(t, a) - w.heading(t, b)
        return {"cos": cos(off), "sin": abs(sin(off))}

    return each_pair(give)


@formula
def quality(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        assert w.pose.confidence is not None
        sure = w.pose.confidence[t, a].astype(float)[~w.pose.missing[t, a]]
        absent = float(w.missed(t, a) == 1)
        return {
            "missing": w.missed(t, a),
            "absent": absent,
            "likelihood": sure.mean() if len(sure) else nan,
        }

    return each_animal(give)


@formula
def missing_points(w: World, t: int) -> dict[str, float]:
    return each_animal(
        lambda a: {name: float(isnan(w.p(t, a, k)[0])) for k, name in enumerate(KEYPOINTS)}
    )


@formula
def clock(w: World, t: int) -> dict[str, float]:
    return {"since_start": (w.times[t] - w.times[0]) / 60, "until_end": (w.times[-1] - w.times[t]) / 60}


def running(w: World, t: int, window_s: float) -> dict[str, float]:
    half = {0.5: 7, 1.0: 15, 2.0: 30, 4.0: 60}[window_s]
    frames = range(max(0, t - half), min(w.frames, t + half + 1))

    def mean_and_sd(rows: dict[str, Callable[[int], float]]) -> dict[str, float]:
        result = {}
        for name, value in rows.items():
            values = np.array([value(i) for i in frames])
            values = values[~np.isnan(values)]
            result[f"{name}.mean"] = values.mean() if len(values) else nan
            result[f"{name}.sd"] = values.std() if len(values) else nan
        return {k: result[k] for what in ("mean", "sd") for k in result if k.endswith(what)}

    def diagonal(i: int, a: int) -> float:
        left, right, top, bottom = w.box(i, a)
        return hypot(right - left, bottom - top)

    own = each_animal(
        lambda a: mean_and_sd(
            {
                "speed": lambda i: hypot(*w.velocity(i, a)),
                "size": lambda i: diagonal(i, a),
                "missing": lambda i: w.missed(i, a),
                "turning": lambda i: w.turning(i, a),
            }
        )
    )
    return own | each_pair(
        lambda a, b: mean_and_sd(
            {
                "centres": lambda i: dist(w.centre(i, a), w.centre(i, b)),
                "nearest": lambda i: w.nearest(i, a, b),
                "relative": lambda i: relative_speed(w, i, a, b),
            }
        )
    )


for _s in rolling.WINDOWS_S:
    FORMULAS[f"rolling_{_s:g}s"] = lambda w, t, s=_s: running(w, t, s)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_every_family_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(FEATURES)


@pytest.mark.parametrize("family", FORMULAS)
def test_family_agrees_with_its_formula(world: World, family: str) -> None:
    table = feature_table(world.pose, Timeline(world.times), [family], gap_s=0)
    frames = range(world.frames) if not family.startswith("rolling") else range(0, world.frames, 6)
    for t in frames:
        expected = FORMULAS[family](world, t)
        assert table.names == tuple(f"{family}.{name}" for name in expected)
        # float32 along the way: an sd of equal values is a small number instead of 0.
        np.testing.assert_allclose(
            table.values[t], list(expected.values()), rtol=2e-4, atol=2e-3, err_msg=f"frame {t}"
        )
    if family not in ("quality", "missing_points", "clock") and not family.startswith("rolling"):
        assert np.isnan(table.values).any()
    assert not np.isnan(table.values).all(axis=0).any()
