"""Convex hulls of the animals' points: how large they are, and how far two of them overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from murine.pose.features.scene import FAMILIES, Part, Rows, Scene, length
from murine.types import IntArray

_NAN = np.float32(np.nan)


@dataclass(frozen=True, eq=False)
class Hull:
    """Corners `x`, `y` (K + 1, ...) in order, the last one the first again; repeated where there are fewer than K.

    No point has a negative cross product with an edge: all lie to one side of it.
    """

    x: Rows
    y: Rows

    @property
    def area(self) -> Rows:
        """The area inside, from triangles with the first corner: far from the origin no digits are lost."""
        x, y = self.x - self.x[:1], self.y - self.y[:1]
        return np.asarray((x[:-1] * y[1:] - x[1:] * y[:-1]).sum(axis=0) / 2)

    @property
    def outline(self) -> Rows:
        """The length of the way around."""
        return np.asarray(length(np.diff(self.x, axis=0), np.diff(self.y, axis=0)).sum(axis=0))

    def at(self, animal: int, frames: IntArray) -> Hull:
        """Return one animal's hull in some frames."""
        return Hull(self.x[:, animal, frames], self.y[:, animal, frames])


def convex_hull(x: Rows, y: Rows) -> Hull:
    """Return the hulls of (K, ...) points, NaN where one is missing; NaN all over where none is known.

    A string is wound around the points of all frames at once (Jarvis 1973): from the uppermost point on, the
    next corner is the one that leaves no point on the outer side of the line to it.
    """
    top = np.fmin.reduce(y, axis=0)
    first = np.fmin.reduce(np.where(y == top, x, np.float32(np.inf)), axis=0)
    first = np.where(np.isnan(top), _NAN, first)
    # A missing point hides behind the first corner.
    missing = np.isnan(x)
    x, y = np.where(missing, first, x), np.where(missing, top, y)
    corners_x, corners_y = [first], [top]
    closed = np.zeros(top.shape, dtype=np.bool_)
    for _ in range(len(x) - 1):
        from_x, from_y = corners_x[-1], corners_y[-1]
        next_x, next_y = first, top
        dx, dy = first - from_x, top - from_y
        for point_x, point_y in zip(x, y, strict=True):
            to_x, to_y = point_x - from_x, point_y - from_y
            turn = dx * to_y - dy * to_x
            # Of several points on one line the farthest is the corner.
            farther = (turn == 0) & (to_x * to_x + to_y * to_y > dx * dx + dy * dy)
            outer = (turn < 0) | farther
            next_x, next_y = np.where(outer, point_x, next_x), np.where(outer, point_y, next_y)
            dx, dy = np.where(outer, to_x, dx), np.where(outer, to_y, dy)
        closed |= (next_x == first) & (next_y == top)
        corners_x.append(np.where(closed, first, next_x))
        corners_y.append(np.where(closed, top, next_y))
    return Hull(np.array([*corners_x, first]), np.array([*corners_y, top]))


def overlap_area(one: Hull, other: Hull) -> NDArray[np.float64]:
    """Return the area that two hulls share, (n,), of corners (K + 1, n).

    Its outline is what of each hull's edges lies in the other (Cyrus and Beck 1978); edges that both have
    count once.
    """
    total = np.zeros(one.x.shape[1:], dtype=np.float64)
    origin = one.x[0], one.y[0]
    for mine, theirs, shared in ((one, other, True), (other, one, False)):
        total += _edges_inside(mine, theirs, origin, shared)
    return np.asarray(np.maximum(total / 2, 0))


def _edges_inside(
    mine: Hull, theirs: Hull, origin: tuple[Rows, Rows], shared: bool
) -> NDArray[np.float64]:
    """Return the sum of the cross products of the ends of what of my edges lies in their hull."""
    (x, their_x), (y, their_y) = (
        [(side - start).astype(np.float64) for side in sides]
        for sides, start in zip(((mine.x, theirs.x), (mine.y, theirs.y)), origin, strict=True)
    )
    start_x, start_y, edge_x, edge_y = x[:-1], y[:-1], np.diff(x, axis=0), np.diff(y, axis=0)
    enter, leave = np.zeros(start_x.shape), np.ones(start_x.shape)
    for wall in range(len(their_x) - 1):
        wall_x, wall_y = their_x[wall + 1] - their_x[wall], their_y[wall + 1] - their_y[wall]
        depth = wall_x * (start_y - their_y[wall]) - wall_y * (start_x - their_x[wall])
        change = wall_x * edge_y - wall_y * edge_x
        end = depth + change
        with np.errstate(invalid="ignore", divide="ignore"):
            at = -depth / change
        enter = np.where((depth < 0) & (end >= 0), np.maximum(enter, at), enter)
        leave = np.where((depth >= 0) & (end < 0), np.minimum(leave, at), leave)
        along = (depth == 0) & (end == 0) & ((wall_x != 0) | (wall_y != 0))
        same = wall_x * edge_x + wall_y * edge_y > 0
        out = ((depth < 0) & (end < 0)) | (along & ~(same if shared else np.zeros_like(same)))
        leave = np.where(out, -1.0, leave)
    inside = leave > enter
    first_x, first_y = start_x + enter * edge_x, start_y + enter * edge_y
    last_x, last_y = start_x + leave * edge_x, start_y + leave * edge_y
    return np.asarray(np.where(inside, first_x * last_y - last_x * first_y, 0).sum(axis=0))


def hulls(scene: Scene) -> Hull:
    """Return the hull of each animal, worked out once for a scene: corners (K + 1, A, T)."""
    return scene.once("hull", lambda: convex_hull(scene.x.swapaxes(0, 1), scene.y.swapaxes(0, 1)))


@FAMILIES.family("hull")
def hull(scene: Scene) -> list[Part]:
    """Area (px^2) and outline (px) of the convex hull of an animal's known points."""
    found = hulls(scene)
    return [Part("animal", np.stack([found.area, found.outline], axis=1), ("area", "outline"))]


@FAMILIES.family("hull_overlap")
def hull_overlap(scene: Scene) -> list[Part]:
    """Area that the convex hulls of two animals share: over the smaller hull and over their union (0..1)."""
    found = hulls(scene)
    area = found.area
    low = [np.fmin.reduce(values, axis=1) for values in (scene.x, scene.y)]
    high = [np.fmax.reduce(values, axis=1) for values in (scene.x, scene.y)]
    values = np.zeros((len(scene.pairs), 2, scene.x.shape[2]), dtype=np.float32)
    for n, (a, b) in enumerate(scene.pairs):
        apart = [
            np.maximum(lo[a], lo[b]) > np.minimum(hi[a], hi[b]) for lo, hi in zip(low, high, strict=True)
        ]
        smaller = np.minimum(area[a], area[b])
        unknown = np.isnan(smaller)
        # Most frames show two animals apart: only where their boxes meet is there anything to cut.
        near = np.flatnonzero(~(apart[0] | apart[1] | unknown) & (smaller > 0))
        joint = overlap_area(found.at(a, near), found.at(b, near))
        union = area[a, near] + area[b, near] - joint
        values[n, 0, near], values[n, 1, near] = joint / smaller[near], joint / union
        values[n, :, unknown] = np.nan
    return [Part("pair", np.clip(values, 0, 1), ("smaller", "union"))]
