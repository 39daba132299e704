"""Pose made ready for features: points that cannot be trusted go, short gaps are filled, nothing is invented.

Every function gives a new value and leaves its input as it was. Axes: (T, A, K, 2) as in `types.Pose`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError
from murine.types import BoolArray, FloatArray, Pose


def drop_origin(pose: Pose) -> Pose:
    """Return the pose with every point at exactly (0, 0) missing.

    Several trackers and their median filters write (0, 0) where they found nothing; the corner pixel
    itself, hit exactly in both coordinates, does not occur among found points.
    """
    return _without(pose, (pose.xy == 0).all(axis=-1))


def drop_unsure(pose: Pose, confidence: float) -> Pose:
    """Return the pose with every point missing whose confidence lies below `confidence` (0..1).

    A point without a confidence stays: nothing is known against it. A pose without confidences comes
    back as it is. Raises InputError for a threshold outside 0..1.
    """
    if not 0 <= confidence <= 1:
        raise InputError(f"confidence must lie between 0 (keep all points) and 1; came {confidence}")
    if pose.confidence is None or confidence == 0:
        return pose
    return _without(pose, pose.confidence < confidence)


def _without(pose: Pose, points: BoolArray) -> Pose:
    if not points.any():
        return pose
    return replace(pose, xy=np.where(points[..., None], np.float32(np.nan), pose.xy))


def fill_gaps(pose: Pose, limit_frames: int) -> tuple[Pose, BoolArray]:
    """Fill gaps of at most `limit_frames` missing frames by a straight line between their two ends.

    Returns the pose and a mask (T, A, K), True where a point was filled. A longer gap stays missing as a
    whole, and so does one that touches the first or last frame: nothing is extrapolated. Confidences stay
    as they were, so a filled point has none. Raises InputError for a negative limit.
    """
    if limit_frames < 0:
        raise InputError(f"the longest gap to fill must be 0 frames or more; came {limit_frames}")
    missing = pose.missing
    if limit_frames == 0 or not missing.any() or missing.all():
        return pose, np.zeros_like(missing)
    length = len(pose)
    frame = np.arange(length, dtype=np.int32)[:, None, None]
    before = np.maximum.accumulate(np.where(missing, np.int32(-1), frame), axis=0)
    after = np.where(missing, np.int32(length), frame)[::-1]
    after = np.minimum.accumulate(after, axis=0)[::-1]
    filled = missing & (before >= 0) & (after < length) & (after - before - 1 <= limit_frames)
    at = np.nonzero(filled)
    left, right = before[at], after[at]
    share = ((at[0] - left) / (right - left)).astype(np.float32)[:, None]
    xy = pose.xy.copy()
    xy[at] = pose.xy[left, *at[1:]] * (1 - share) + pose.xy[right, *at[1:]] * share
    return replace(pose, xy=xy), filled


def smooth(pose: Pose, half: int) -> Pose:
    """Return the pose whose positions are the means over the 2 `half` + 1 frames around, of those that are known.

    At both ends of the recording the window is what there is of it. A missing point stays missing. Raises
    InputError for a negative number.
    """
    if half < 0:
        raise InputError(f"frames to each side must be 0 or more; came {half}")
    length = len(pose)
    if half == 0 or length == 0:
        return pose
    frame = np.arange(length)
    start, stop = np.maximum(frame - half, 0), np.minimum(frame + half + 1, length)
    missing = pose.missing
    known = _sums(~missing)
    number = known[stop] - known[start]
    xy = np.empty_like(pose.xy)
    for side in (0, 1):
        values = np.where(missing, 0, pose.xy[..., side].astype(np.float64))
        sums = _sums(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            xy[..., side] = (sums[stop] - sums[start]) / number
    return replace(pose, xy=np.where(missing[..., None], np.float32(np.nan), xy))


def _sums(values: NDArray[np.generic]) -> FloatArray:
    """Return (T + 1, ...) what comes before each frame, added up."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def centre(pose: Pose, origin: ArrayLike) -> Pose:
    """Return the pose with `origin` (x, y in pixels, of the frame's centre for example) at (0, 0).

    Raises InputError unless two finite numbers came.
    """
    point = np.asarray(origin, dtype=np.float64)
    if point.shape != (2,) or not np.isfinite(point).all():
        raise InputError(f"an origin is two numbers, x and y in pixels; came {origin!r}")
    return replace(pose, xy=(pose.xy - point).astype(np.float32))


def scale(pose: Pose, length: float) -> Pose:
    """Return the pose in units of `length` pixels. Raises InputError unless it is a positive number."""
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"a length to divide by must be a positive number of pixels; came {length}")
    return replace(pose, xy=pose.xy / np.float32(length))


def take_animals(pose: Pose, order: NDArray[np.integer]) -> Pose:
    """Return the pose whose animal a in frame t is animal `order[t, a]` of the pose that came."""
    xy = np.take_along_axis(pose.xy, order[:, :, None, None], axis=1)
    confidence = pose.confidence
    if confidence is not None:
        confidence = np.take_along_axis(confidence, order[:, :, None], axis=1)
    return replace(pose, xy=xy, confidence=confidence)
