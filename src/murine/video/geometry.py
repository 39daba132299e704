"""Where in the picture to look: resizing, rows, and windows around a tracked point."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError
from murine.types import FloatArray, runs

Pixels = NDArray[np.uint8]


def resize(frames: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize (..., H, W, C) or one (H, W) picture to `size` (height, width) by averaging areas.

    Enlarging interpolates linearly. A picture that has the size already is returned as it is.
    """
    if frames.ndim == 2:
        return _resize_one(frames, size)
    if frames.shape[-3:-1] == tuple(size):
        return frames
    flat = frames.reshape(-1, *frames.shape[-3:])
    result = np.empty((len(flat), *size, frames.shape[-1]), dtype=np.uint8)
    for i, frame in enumerate(flat):
        result[i] = _resize_one(frame, size).reshape(*size, -1)
    return result.reshape(*frames.shape[:-3], *size, frames.shape[-1])


def _resize_one(frame: Pixels, size: tuple[int, int]) -> Pixels:
    height, width = size
    if height < 1 or width < 1:
        raise InputError(f"a picture cannot be resized to {height}x{width}; sizes start at 1x1")
    if frame.shape[:2] == (height, width):
        return frame
    shrinks = height <= frame.shape[0] and width <= frame.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, (width, height), interpolation=how), dtype=np.uint8)


def crop_rows(frames: Pixels, top: int, bottom: int) -> Pixels:
    """Cut `top` rows off the upper and `bottom` rows off the lower edge of (..., H, W, C).

    Raises InputError where nothing would be left.
    """
    height = frames.shape[-3]
    if top < 0 or bottom < 0 or top + bottom >= height:
        raise InputError(f"cutting {top} + {bottom} rows leaves nothing of {height} rows")
    return frames[..., top : height - bottom, :, :]


def window_at(centre: ArrayLike, size: int, height: int, width: int) -> tuple[int, int]:
    """Return the top left corner (row, column) of a square window around a point (x, y) in pixels.

    Near a border the window is shifted inwards, never padded. Raises InputError for a frame
    smaller than the window, or a centre that is not finite.
    """
    x, y = (float(value) for value in np.asarray(centre, dtype=np.float64))
    if not (np.isfinite(x) and np.isfinite(y)):
        raise InputError("the point to crop around is missing; interpolate the centres first")
    if not 0 < size <= min(height, width):
        raise InputError(
            f"a window of {size} pixels does not fit into a frame of {width}x{height}; "
            f"choose crop_size between 1 and {min(height, width)}"
        )
    # A pixel's position is its centre: a window of `size` around x spans x - (size - 1) / 2 onwards.
    row = int(np.floor(y - (size - 1) / 2 + 0.5))
    column = int(np.floor(x - (size - 1) / 2 + 0.5))
    return min(max(row, 0), height - size), min(max(column, 0), width - size)


def crop_at(frame: Pixels, centre_xy: ArrayLike, size: int) -> Pixels:
    """Return the (size, size[, C]) window of a frame around a point (x, y); see `window_at`."""
    row, column = window_at(centre_xy, size, frame.shape[0], frame.shape[1])
    return frame[row : row + size, column : column + size]


def interpolate_centres(xy: ArrayLike, limit: int) -> FloatArray:
    """Fill gaps of at most `limit` frames in (T, 2) points linearly; at either end they hold the nearest point.

    Raises InputError where no frame has a point, and naming the frames of a longer gap: a window that looks
    somewhere else for long would show what is not there.
    """
    points = np.array(xy, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"centres must be (T, 2); came {points.shape}")
    seen = np.isfinite(points).all(axis=1)
    if not seen.any():
        raise InputError("no frame has a point to crop around")
    gaps = [(start, stop) for start, stop in runs(~seen) if stop - start > limit]
    if gaps:
        start, stop = max(gaps, key=lambda gap: gap[1] - gap[0])
        others = f", as in {len(gaps) - 1} other stretches" if len(gaps) > 1 else ""
        raise InputError(
            f"frames {start} to {stop - 1} have no point to crop around ({stop - start} frames{others}), and gaps "
            f"of at most {limit} frames are filled"
        )
    frames = np.arange(len(points))
    filled: FloatArray = np.stack(
        [np.interp(frames, frames[seen], points[seen, axis]) for axis in (0, 1)], axis=1
    )
    return filled
