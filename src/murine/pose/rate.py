"""A pose at other moments than those it was filmed at: more frames a second, or fewer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from murine.types import BoolArray, FloatArray, IntArray, Pose

# Moments this close to a frame's, as a share of the interval between frames, are that frame's.
_SAME = 1e-6


def at_times(pose: Pose, times: FloatArray, moments: FloatArray) -> Pose:
    """Return the pose at other moments (M,), given the times (T,) of its frames, both increasing.

    Between neighbouring known frames of a point runs its quadratic spline (through three frames and more; a
    straight line through two); a moment at a frame's own time keeps its position to the last bit. A point is
    missing at moments that do not lie between two known neighbours, or at a known frame: no gap is bridged and
    nothing is extrapolated. Confidences are those of the nearest frame.
    """
    below, above, nearest, exact = _neighbours(times, moments)
    xy = np.full((len(moments), *pose.xy.shape[1:]), np.nan, dtype=np.float32)
    missing = pose.missing
    for a in range(len(pose.animals)):
        for k in range(len(pose.keypoints)):
            known = ~missing[:, a, k]
            wanted = known[below] & known[above] & ~exact
            for start, stop in _runs(known):
                inside = slice(*np.searchsorted(moments, times[[start, stop - 1]], side="left"))
                if inside.stop == inside.start or stop - start < 2:
                    continue
                spline = make_interp_spline(
                    times[start:stop] - times[start], pose.xy[start:stop, a, k].astype(np.float64),
                    k=2 if stop - start > 2 else 1,
                )  # fmt: skip
                xy[inside, a, k] = spline(moments[inside] - times[start])
            xy[~wanted, a, k] = np.nan
            xy[exact, a, k] = pose.xy[nearest[exact], a, k]
    confidence = None if pose.confidence is None else pose.confidence[nearest]
    return replace(pose, xy=xy, confidence=confidence)


def found_at(found: BoolArray, times: FloatArray, moments: FloatArray) -> BoolArray:
    """Return (M, A, K) whether the tracker had a point at other moments: at both frames around, or at the very one."""
    below, above, nearest, exact = _neighbours(times, moments)
    both = found[below] & found[above]
    both[exact] = found[nearest[exact]]
    return np.asarray(both)


def _neighbours(
    times: FloatArray, moments: FloatArray
) -> tuple[IntArray, IntArray, IntArray, BoolArray]:
    """Return of each moment the frames before and after, the nearest, and whether it is that one's time."""
    last = len(times) - 1
    above = np.clip(np.searchsorted(times, moments), min(1, last), last)
    below = np.maximum(above - 1, 0)
    nearest = np.where(moments - times[below] <= times[above] - moments, below, above)
    interval = np.median(np.diff(times)) if last else 1.0
    exact = np.abs(times[nearest] - moments) <= _SAME * interval
    return below, above, nearest, exact


def _runs(known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (N, 2) where each run of True begins and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    return np.asarray(edges.reshape(-1, 2))
