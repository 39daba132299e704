"""Features of two animals towards each other. A recording of one animal has none of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from murine.pose.features.motion import SLOW_S, body_velocity
from murine.pose.features.scene import FAMILIES, Part, Rows, Scene, length, unit


@FAMILIES.family("between")
def between(scene: Scene) -> list[Part]:
    """Distance between each keypoint of one animal and each of the other, px: K x K per two animals.

    Of unlike keypoints there are two, from one animal's first to the other's second and the reverse.
    """
    points = scene.whole.pose.keypoints
    unlike = list(combinations(range(len(points)), 2))
    frames = scene.x.shape[2]
    like = np.empty((len(scene.pairs), len(points), frames), dtype=np.float32)
    for n, (a, b) in enumerate(scene.pairs):
        like[n] = length(scene.x[a] - scene.x[b], scene.y[a] - scene.y[b])
    cross = np.empty((len(scene.directed), len(unlike), frames), dtype=np.float32)
    for n, (a, b) in enumerate(scene.directed):
        for g, (i, j) in enumerate(unlike):
            cross[n, g] = length(scene.x[a, i] - scene.x[b, j], scene.y[a, i] - scene.y[b, j])
    return [
        Part("pair", like, tuple(f"{name}-{name}" for name in points)),
        Part("directed", cross, tuple(f"{points[i]}-{points[j]}" for i, j in unlike)),
    ]


@FAMILIES.family("proximity")
def proximity(scene: Scene) -> list[Part]:
    """Distance of the two centres, least distance of any two points (px), overlap of the two boxes (0..1).

    Overlap is the intersection over the union of the boxes around each animal's known points.
    """
    rows = [_proximity(scene, a, b) for a, b in scene.pairs]
    return [Part("pair", _stack(rows, scene), ("centres", "nearest", "overlap"))]


@FAMILIES.family("centre_distance")
def centre_distances(scene: Scene) -> list[Part]:
    """Distance between the centres of two animals, px."""
    return [
        Part("pair", _stack([[centre_distance(scene, a, b)] for a, b in scene.pairs], scene, 1), ("px",))
    ]


@FAMILIES.family("box_overlap")
def box_overlap(scene: Scene) -> list[Part]:
    """Area that the boxes around two animals' known points share, px^2: 0 where they are apart."""
    rows = [[_shared_box(scene, a, b)[0]] for a, b in scene.pairs]
    return [Part("pair", _stack(rows, scene, 1), ("area",))]


def _proximity(scene: Scene, a: int, b: int) -> list[Rows]:
    overlap = _overlap(scene, a, b)
    return [centre_distance(scene, a, b), nearest_distance(scene, a, b), overlap]


def centre_distance(scene: Scene, a: int, b: int) -> Rows:
    """Return (T,) the distance between the centres of two animals, px."""
    x, y = scene.centre
    return length(x[a] - x[b], y[a] - y[b])


def nearest_distance(scene: Scene, a: int, b: int) -> Rows:
    """Return (T,) the least distance between any known point of one animal and any of the other, px."""
    squared = np.full(scene.x.shape[2], np.nan, dtype=np.float32)
    for i in range(scene.x.shape[1]):
        dx, dy = scene.x[a, i] - scene.x[b], scene.y[a, i] - scene.y[b]
        squared = np.fmin(squared, np.fmin.reduce(dx * dx + dy * dy, axis=0))
    return np.asarray(np.sqrt(squared))


def _shared_box(scene: Scene, a: int, b: int) -> tuple[Rows, list[Rows]]:
    """Return (T,) the area that two animals' boxes share, and that of each."""
    joint, *sizes = (np.ones(scene.x.shape[2], dtype=np.float32) for _ in range(3))
    for values in (scene.x, scene.y):
        low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
        joint = joint * np.maximum(np.minimum(high[a], high[b]) - np.maximum(low[a], low[b]), 0)
        sizes = [sizes[0] * (high[a] - low[a]), sizes[1] * (high[b] - low[b])]
    return joint, sizes


def _overlap(scene: Scene, a: int, b: int) -> Rows:
    joint, sizes = _shared_box(scene, a, b)
    total = sizes[0] + sizes[1] - joint
    # Two boxes without an area (one point each) share nothing.
    return np.asarray(joint / np.where(total == 0, np.float32(1), total), dtype=np.float32)


@FAMILIES.family("facing")
def facing(scene: Scene) -> list[Part]:
    """Angle between an animal's heading and the direction to the other's centre, as cos and |sin|.

    Cosine 1: it looks at the other; -1: it turns its back.
    """
    forward_x, forward_y = scene.heading
    rows = []
    for a, b in scene.directed:
        to_x, to_y = _towards(scene, a, b)
        cosine = forward_x[a] * to_x + forward_y[a] * to_y
        rows.append([cosine, np.abs(forward_x[a] * to_y - forward_y[a] * to_x)])
    return [Part("directed", _stack(rows, scene, 2), ("cos", "sin"))]


@FAMILIES.family("other_seen")
def other_seen(scene: Scene) -> list[Part]:
    """Where an animal sees the other's front, centre and back: from its own centre, along its heading and across, px.

    Across is taken without its sign. Unknown where the animal has no heading or the other's point is missing.
    """
    axis = scene.need_axis("where the other is seen")
    x, y = scene.centre
    forward_x, forward_y = scene.heading
    points = {
        "front": (scene.x[:, axis.front], scene.y[:, axis.front]),
        "centre": (x, y),
        "back": (scene.x[:, axis.back], scene.y[:, axis.back]),
    }
    rows = []
    for a, b in scene.directed:
        row = []
        for there_x, there_y in points.values():
            dx, dy = there_x[b] - x[a], there_y[b] - y[a]
            row.append(dx * forward_x[a] + dy * forward_y[a])
            row.append(np.abs(dy * forward_x[a] - dx * forward_y[a]))
        rows.append(row)
    names = tuple(f"{point}.{way}" for point in points for way in ("along", "across"))
    return [Part("directed", _stack(rows, scene, len(names)), names)]


@FAMILIES.family("approach", reach_s=SLOW_S)
def approach(scene: Scene) -> list[Part]:
    """Speed of an animal towards the other's centre, over 1/6 s, px/s; negative away from it."""
    vx, vy = body_velocity(scene)
    rows = []
    for a, b in scene.directed:
        to_x, to_y = _towards(scene, a, b)
        rows.append([vx[a] * to_x + vy[a] * to_y])
    return [Part("directed", _stack(rows, scene, 1), ("speed",))]


@FAMILIES.family("closing", reach_s=SLOW_S)
def closing(scene: Scene) -> list[Part]:
    """Rate at which two animals close in, px/s: minus the change of their centre distance over 1/6 s.

    With it the size of their relative velocity, px/s.
    """
    vx, vy = body_velocity(scene)
    rows = []
    for a, b in scene.pairs:
        rate = -scene.change(centre_distance(scene, a, b), SLOW_S)
        rows.append([rate, length(vx[a] - vx[b], vy[a] - vy[b])])
    return [Part("pair", _stack(rows, scene, 2), ("rate", "relative"))]


@FAMILIES.family("relative_heading")
def relative_heading(scene: Scene) -> list[Part]:
    """Angle between the headings of two animals, as cos and |sin|: 1 and 0 when they point the same way."""
    forward_x, forward_y = scene.heading
    rows = []
    for a, b in scene.pairs:
        cosine = forward_x[a] * forward_x[b] + forward_y[a] * forward_y[b]
        rows.append([cosine, np.abs(forward_x[a] * forward_y[b] - forward_y[a] * forward_x[b])])
    return [Part("pair", _stack(rows, scene, 2), ("cos", "sin"))]


def _towards(scene: Scene, a: int, b: int) -> tuple[Rows, Rows]:
    x, y = scene.centre
    return unit(x[b] - x[a], y[b] - y[a])


def _stack(rows: list[list[Rows]], scene: Scene, columns: int = 3) -> Rows:
    if not rows:
        return np.empty((0, columns, scene.x.shape[2]), dtype=np.float32)
    return np.array(rows, dtype=np.float32)
