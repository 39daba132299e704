"""Further formulas of features, written out again: hulls, ellipses, what the seconds around a frame show."""

from __future__ import annotations

from collections.abc import Callable
from math import atan2, cos, dist, hypot, isnan, nan, pi, sin

import numpy as np
from pose_world import (
    BACK,
    FORMULAS,
    FRONT,
    KEYPOINTS,
    World,
    bounds,
    each_animal,
    each_directed,
    each_pair,
    formula,
    relative_speed,
)

from murine.pose.features import windowed

Point = tuple[float, float]


def spread(w: World, t: int, a: int) -> float:
    away = [dist(w.centre(t, a), p) for p in w.known(t, a)]
    return sum(away) / len(away) if away else nan


@formula
def extension(w: World, t: int) -> dict[str, float]:
    return each_animal(
        lambda a: {"spread": spread(w, t, a), "length": dist(w.p(t, a, FRONT), w.p(t, a, BACK))}
    )


@formula
def ellipse(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        points = w.known(t, a)
        if len(points) < 2:
            return dict.fromkeys(("major", "minor", "ratio"), nan)
        lesser, greater = np.linalg.eigvalsh(np.cov(np.array(points).T, bias=True))
        major, minor = 2 * greater**0.5, 2 * max(lesser, 0.0) ** 0.5
        return {"major": major, "minor": minor, "ratio": minor / major}

    return each_animal(give)


def corners(points: list[Point]) -> list[Point]:
    """The points of which the line to some other leaves all to one side, around their middle."""
    middle = (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))

    def at_the_rim(p: Point) -> bool:
        return any(
            all((q[0] - p[0]) * (r[1] - p[1]) >= (q[1] - p[1]) * (r[0] - p[0]) for r in points)
            for q in points
            if q != p
        )

    rim = [p for p in points if at_the_rim(p)]
    return sorted(rim, key=lambda p: atan2(p[1] - middle[1], p[0] - middle[0]))


def polygon_area(polygon: list[Point]) -> float:
    around = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return sum(x * v - u * y for (x, y), (u, v) in around) / 2


def clipped(polygon: list[Point], start: Point, end: Point) -> list[Point]:
    """The part of a polygon left of a line."""

    def side(p: Point) -> float:
        return (end[0] - start[0]) * (p[1] - start[1]) - (end[1] - start[1]) * (p[0] - start[0])

    result: list[Point] = []
    for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if side(p) >= 0:
            result.append(p)
        if (side(p) < 0) != (side(q) < 0):
            share = side(p) / (side(p) - side(q))
            result.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
    return result


@formula
def hull(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        points = w.known(t, a)
        if not points:
            return {"area": nan, "outline": nan}
        rim = corners(points)
        outline = sum(dist(p, q) for p, q in zip(rim, rim[1:] + rim[:1], strict=True))
        return {"area": polygon_area(rim), "outline": outline}

    return each_animal(give)


@formula
def hull_overlap(w: World, t: int) -> dict[str, float]:
    def give(a: int, b: int) -> dict[str, float]:
        if not w.known(t, a) or not w.known(t, b):
            return {"smaller": nan, "union": nan}
        one, other = corners(w.known(t, a)), corners(w.known(t, b))
        areas = polygon_area(one), polygon_area(other)
        joint = one
        for p, q in zip(other, other[1:] + other[:1], strict=True):
            joint = clipped(joint, p, q) if joint else []
        shared = polygon_area(joint) if joint and min(areas) > 0 else 0.0
        smaller = shared / min(areas) if min(areas) > 0 else 0.0
        return {"smaller": smaller, "union": shared / (sum(areas) - shared) if sum(areas) else 0.0}

    return each_pair(give)


@formula
def heading_rate(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        i, j = w.span(t)
        change = (w.heading(j, a) - w.heading(i, a) + pi) % (2 * pi) - pi
        return {"rate": change / (w.times[j] - w.times[i])}

    return each_animal(give)


@formula
def acceleration(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        i, j = w.span(t)
        (old_x, old_y), (new_x, new_y) = w.velocity(i, a), w.velocity(j, a)
        elapsed = w.times[j] - w.times[i]
        size = hypot(new_x - old_x, new_y - old_y) / elapsed
        off = atan2(new_y - old_y, new_x - old_x) - w.heading(t, a)
        return {"size": size, "along": size * cos(off), "across": abs(size * sin(off))}

    return each_animal(give)


@formula
def walls(w: World, t: int) -> dict[str, float]:
    (left, right), (top, bottom) = bounds(w)

    def give(a: int) -> dict[str, float]:
        x, y = w.p(t, a, FRONT)
        near = sorted((min(x - left, right - x), min(y - top, bottom - y)))
        return {"near": near[0], "corner": near[1]}

    return each_animal(give)


@formula
def middle(w: World, t: int) -> dict[str, float]:
    there = [(low + high) / 2 for low, high in bounds(w)]
    return each_animal(lambda a: {"distance": dist(w.centre(t, a), there)})


@formula
def points(w: World, t: int) -> dict[str, float]:
    def give(a: int) -> dict[str, float]:
        row = {}
        (x, y), angle = w.centre(t, a), w.heading(t, a)
        for name, (u, v) in w.place.points.items():
            row[f"{name}.centre"] = dist((x, y), (u, v))
            row[f"{name}.front"] = dist(w.p(t, a, FRONT), (u, v))
            row[f"{name}.cos"] = cos(atan2(v - y, u - x) - angle)
        return row

    return each_animal(give)


@formula
def confidences(w: World, t: int) -> dict[str, float]:
    assert w.pose.confidence is not None
    sure = np.where(w.pose.missing, nan, w.pose.confidence)
    return each_animal(lambda a: {name: float(sure[t, a, k]) for k, name in enumerate(KEYPOINTS)})


@formula
def centre_distance(w: World, t: int) -> dict[str, float]:
    return each_pair(lambda a, b: {"px": dist(w.centre(t, a), w.centre(t, b))})


@formula
def box_overlap(w: World, t: int) -> dict[str, float]:
    def give(a: int, b: int) -> dict[str, float]:
        one, other = w.box(t, a), w.box(t, b)
        if isnan(one[0] + other[0]):
            return {"area": nan}
        wide = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
        return {"area": wide * max(0.0, min(one[3], other[3]) - max(one[2], other[2]))}

    return each_pair(give)


@formula
def other_seen(w: World, t: int) -> dict[str, float]:
    def give(a: int, b: int) -> dict[str, float]:
        x, y = w.centre(t, a)
        there = {"front": w.p(t, b, FRONT), "centre": w.centre(t, b), "back": w.p(t, b, BACK)}
        row = {}
        for name, (u, v) in there.items():
            away, off = hypot(u - x, v - y), atan2(v - y, u - x) - w.heading(t, a)
            row |= {f"{name}.along": away * cos(off), f"{name}.across": abs(away * sin(off))}
        return row

    return each_directed(give)


def signals(w: World, t: int) -> list[tuple[str, dict[str, float]]]:
    """The windowed signals of one frame: kind of column, and name -> value."""

    def approach(a: int, b: int) -> float:
        (vx, vy), direction = w.velocity(t, a), w.towards(t, a, b)
        return vx * cos(direction) + vy * sin(direction)

    own = each_animal(
        lambda a: {
            "speed": hypot(*w.velocity(t, a)),
            "spread": spread(w, t, a),
            "turning": w.turning(t, a),
        }
    )
    pair = each_pair(
        lambda a, b: {
            "centres": dist(w.centre(t, a), w.centre(t, b)),
            "nearest": w.nearest(t, a, b),
            "relative": relative_speed(w, t, a, b),
        }
    )
    directed = each_directed(
        lambda a, b: {
            "approach": approach(a, b),
            "facing": cos(w.towards(t, a, b) - w.heading(t, a)),
        }
    )
    return [("own", own), ("pair", pair), ("directed", directed)]


def each_signal(
    w: World, frames: list[int], give: Callable[[list[float]], dict[str, float]], kinds: tuple[str, ...]
) -> dict[str, float]:
    """Values of a function of each signal's values in some frames, the function's words in the outer loop."""
    rows = [signals(w, i) if 0 <= i < w.frames else None for i in frames]
    shape = next(row for row in rows if row is not None)
    result: dict[str, float] = {}
    for n, (kind, names) in enumerate(shape):
        if kind not in kinds:
            continue
        made = {name: give([nan if row is None else row[n][1][name] for row in rows]) for name in names}
        owners = dict.fromkeys(name.rsplit(".", 1)[0] for name in names)
        words = next(iter(made.values()))
        for who in owners:
            for word in words:
                own = [name for name in made if name.rsplit(".", 1)[0] == who]
                result |= {f"{name}.{word}": made[name][word] for name in own}
    return result


ALL = ("own", "pair", "directed")
LAG = {0.25: 7, 0.5: 15, 1.0: 30, 2.0: 60}
HALF = {0.5: 7, 1.0: 15, 2.0: 30, 4.0: 60}


def around(w: World, t: int, window_s: float) -> list[int]:
    return list(range(max(0, t - HALF[window_s]), min(w.frames, t + HALF[window_s] + 1)))


def least_and_greatest(values: list[float]) -> dict[str, float]:
    known = [v for v in values if not isnan(v)]
    return {"least": min(known, default=nan), "greatest": max(known, default=nan)}


def mean_and_sd(values: list[float]) -> dict[str, float]:
    known = np.array([v for v in values if not isnan(v)])
    return {"mean": known.mean(), "sd": known.std()} if len(known) else {"mean": nan, "sd": nan}


def before_and_after(values: list[float]) -> dict[str, float]:
    return {"before": values[0], "after": values[1]}


def swings(window_s: float, values: list[float], missing: int) -> dict[str, float]:
    """The root of the power in each band: a Fourier sum over a window, of which `missing` frames do not exist."""
    known = np.array([v for v in values if not isnan(v)])
    size = len(values) + missing
    assert size == 2 * HALF[window_s] + 1
    edges = windowed.BANDS[window_s]
    result = {}
    for low, high in zip(edges, edges[1:], strict=False):
        bins = [k for k in range(1, HALF[window_s] + 1) if low <= k * 30 / size < high]
        clean = np.array([0.0 if isnan(v) else v - known.mean() for v in values])
        frame = np.arange(len(values))
        power = sum(2 * abs((clean * np.exp(-2j * pi * k * frame / size)).sum()) ** 2 for k in bins)
        result[f"{low:g}-{high:g}Hz"] = power**0.5 / size if len(known) else nan
    return result


for _s in windowed.EXTREMES_S:
    FORMULAS[f"extremes_{_s:g}s"] = lambda w, t, s=_s: each_signal(
        w, around(w, t, s), least_and_greatest, ALL
    )
for _s in windowed.TOWARDS_S:
    FORMULAS[f"rolling_towards_{_s:g}s"] = lambda w, t, s=_s: each_signal(
        w, around(w, t, s), mean_and_sd, ("directed",)
    )
for _s in windowed.LAGS_S:
    FORMULAS[f"lags_{_s:g}s"] = lambda w, t, s=_s: each_signal(
        w, [t - LAG[s], t + LAG[s], t], before_and_after, ALL
    )
for _s in windowed.BANDS:
    FORMULAS[f"bands_{_s:g}s"] = lambda w, t, s=_s: each_signal(
        w,
        around(w, t, s),
        lambda values: swings(s, values, 2 * HALF[s] + 1 - len(values)),
        ALL,
    )

WINDOWED = {name for name in FORMULAS if name.split("_")[0] in ("extremes", "rolling", "lags", "bands")}
