"""Who is who from frame to frame: trackers swap animals, so identities are followed by least displacement.

Speeds and filled gaps need one animal's path. Where the order of the animals in a file means nothing, paths
are found first; what is left unknown, a path taken over by the other animal while one was lost, does not
matter to features that are sorted over the animals afterwards.
"""

from __future__ import annotations

from math import hypot

import numpy as np
from numpy.typing import NDArray

from murine.pose.clean import take_animals
from murine.types import Pose

# A distance no animal covers, in pixels: an animal never seen before is the last choice.
_NEVER = 1e9
_BLOCK = 4096

Points = NDArray[np.float32]


def match_identities(pose: Pose) -> Pose:
    """Return the pose with its animals reordered in each frame so that each one moves least.

    See `identity_order`. The names of the file's columns then only mean "the same animal as in the
    frame before".
    """
    if len(pose.animals) < 2 or len(pose) < 2:
        return pose
    order = identity_order(pose.xy)
    if (order == np.arange(order.shape[1])).all():
        return pose
    return take_animals(pose, order)


def identity_order(xy: Points) -> NDArray[np.int64]:
    """Return (T, A): which slot of the file each animal occupies in each frame; xy (T, A, K, 2), pixels.

    The animals of a frame are given to paths so that the sum of displacements is least. A displacement is
    the mean over the keypoints seen in both frames, or that of the centres where there is none in common,
    measured from where the path was last seen, however long ago. Which path is the first hangs on the points
    alone: permuting the animals in any frames gives the same paths.
    """
    length, animals = xy.shape[:2]
    order = np.tile(np.arange(animals), (length, 1))
    if animals < 2 or length < 2:
        return order
    present = np.asarray((~np.isnan(xy[..., 0])).any(axis=2))
    steps = _steps(xy)
    everybody = np.asarray(present.all(axis=1))
    to_itself = (steps.argmin(axis=2) == np.arange(animals)).all(axis=1)
    # Only the frames where somebody is lost, found or swapped need a decision one by one.
    hard = np.flatnonzero(~(to_itself & everybody[1:] & everybody[:-1])) + 1
    slots = _slots_by_points(xy[0])
    order[0] = slots
    # Of each path: the frame and the slot in which it was last seen.
    last_seen = [(0, slot) if present[0, slot] else None for slot in slots]
    old: dict[int, tuple[int, list[list[float]]]] = {}
    previous = 0
    for t, here, step in zip(
        hard.tolist(), present[hard].tolist(), steps[hard - 1].tolist(), strict=True
    ):
        if t > previous + 1:
            order[previous + 1 : t] = slots
            last_seen = [(t - 1, slot) for slot in slots]
        now: list[list[list[float]]] | None = None
        columns: list[list[float]] = []
        for path, seen in enumerate(last_seen):
            if seen is None:
                columns.append([_NEVER if there else 0.0 for there in here])
            elif seen[0] == t - 1:
                columns.append([step[slot][seen[1]] if here[slot] else 0.0 for slot in range(animals)])
            else:
                if path not in old or old[path][0] != seen[0]:
                    old[path] = (seen[0], xy[seen].tolist())
                now = xy[t].tolist() if now is None else now
                columns.append(
                    [_apart(now[slot], old[path][1]) if here[slot] else 0.0 for slot in range(animals)]
                )
        slots = _assign(columns, xy[t])
        order[t] = slots
        last_seen = [
            (t, slot) if here[slot] else seen for slot, seen in zip(slots, last_seen, strict=True)
        ]
        previous = t
    order[previous + 1 :] = slots
    return order


def _assign(columns: list[list[float]], points: Points) -> list[int]:
    """Return the slot of each path in a frame at least total cost; columns[path][slot].

    Trackers now and then give both animals the same points, and costs tie exactly. Slots are put in the order
    of their coordinates before the choice, so that it hangs on the points and not on the slots.
    """
    if len(columns) == 2:
        stay, swap = columns[0][0] + columns[1][1], columns[0][1] + columns[1][0]
        if stay != swap:
            return [0, 1] if stay < swap else [1, 0]
    from scipy.optimize import linear_sum_assignment  # takes .4 s, which two animals need not wait for

    by_points = _slots_by_points(points)
    cost = np.array(columns)[:, by_points]
    return [by_points[column] for column in linear_sum_assignment(cost)[1]]


def _slots_by_points(points: Points) -> list[int]:
    """Return the slots of one frame, (A, K, 2), in the order of their coordinates, missing ones first."""
    rows = np.nan_to_num(points, nan=-_NEVER).reshape(len(points), -1).tolist()
    return sorted(range(len(rows)), key=rows.__getitem__)


def _steps(xy: Points) -> NDArray[np.float32]:
    """Return (T - 1, A now, A before): the displacement from each animal of a frame to each of the next."""
    length, animals = xy.shape[:2]
    result = np.empty((length - 1, animals, animals), dtype=np.float32)
    for start in range(0, length - 1, _BLOCK):
        x, y = (np.moveaxis(xy[start : start + _BLOCK + 1, ..., d], 0, -1).copy() for d in (0, 1))
        known = ~np.isnan(x)
        count = np.maximum(known.sum(axis=1), 1)
        centre_x, centre_y = (np.where(known, v, 0).sum(axis=1) / count for v in (x, y))
        for a in range(animals):
            for b in range(animals):
                dx, dy = x[a, :, 1:] - x[b, :, :-1], y[a, :, 1:] - y[b, :, :-1]
                distance = np.sqrt(dx * dx + dy * dy)
                both = known[a, :, 1:] & known[b, :, :-1]
                common = both.sum(axis=0)
                by_points = np.where(both, distance, 0).sum(axis=0) / np.maximum(common, 1)
                by_centres = np.hypot(
                    centre_x[a, 1:] - centre_x[b, :-1], centre_y[a, 1:] - centre_y[b, :-1]
                )
                stop = start + distance.shape[1]
                result[start:stop, a, b] = np.where(common > 0, by_points, by_centres)
    return result


def _apart(now: list[list[float]], then: list[list[float]]) -> float:
    """Return the displacement between two sights of an animal, each K points with NaN where missing."""
    total, common = 0.0, 0
    for (x, y), (old_x, old_y) in zip(now, then, strict=True):
        distance = hypot(x - old_x, y - old_y)
        if distance == distance:  # not NaN: seen both times
            total += distance
            common += 1
    if common:
        return total / common
    (x, y), (old_x, old_y) = _centre(now), _centre(then)
    return hypot(x - old_x, y - old_y)


def _centre(points: list[list[float]]) -> tuple[float, float]:
    known = [(x, y) for x, y in points if x == x]
    return sum(x for x, _ in known) / len(known), sum(y for _, y in known) / len(known)
