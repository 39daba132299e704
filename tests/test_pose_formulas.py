"""Every feature against its formula written out again, frame by frame, in plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import atan2, cos, dist, hypot, isnan, nan, sin

import numpy as np
import pose_formulas_more
import pytest
from pose_world import (
    BACK,
    FORMULAS,
    FRONT,
    KEYPOINTS,
    MIDDLE,
    World,
    bounds,
    each_animal,
    each_directed,
    each_pair,
    formula,
    points_of,
    relative_speed,
)

from murine.pose import FEATURES, feature_table
from murine.pose.features import rolling
from murine.types import Timeline


@formula
def coordinates(w: World, t: int) -> dict[str, float]:
    return each_animal(lambda a: points_of(lambda k: w.p(t, a, k)))


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
    assert pose_formulas_more.WINDOWED <= set(FORMULAS) == set(FEATURES)


@pytest.mark.parametrize("family", FORMULAS)
def test_family_agrees_with_its_formula(world: World, family: str) -> None:
    table = feature_table(world.pose, Timeline(world.times), [family], gap_s=0, place=world.place)
    windowed = family.startswith("rolling") or family in pose_formulas_more.WINDOWED
    frames = range(0, world.frames, 6) if windowed else range(world.frames)
    for t in frames:
        expected = FORMULAS[family](world, t)
        assert table.names == tuple(f"{family}.{name}" for name in expected)
        # float32 along the way: an sd of equal values is a small number instead of 0.
        np.testing.assert_allclose(
            table.values[t], list(expected.values()), rtol=2e-4, atol=2e-3, err_msg=f"frame {t}"
        )
    if family not in ("quality", "missing_points", "clock") and not windowed:
        assert np.isnan(table.values).any()
    assert not np.isnan(table.values).all(axis=0).any()
