"""Ethograms as small pictures: each pixel shows the share of its stretch of time, so nothing is skipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.report.palette import EMPTY, UNLABELLED, rgb
from murine.types import FloatArray, Timeline

WIDTH = 1200
"""Pixels across at most; an hour at 30 frames/s is 90 frames to a pixel."""

Picture = NDArray[np.uint8]
"""(H, W, 3) red, green, blue."""


def block_means(values: ArrayLike, timeline: Timeline, width: int) -> FloatArray:
    """Return (W, C) means of (T, C) values over `width` equal stretches of time.

    Each frame counts by its duration, at a variable rate too; the mean over the pixels is the mean
    over the time.
    """
    table = np.asarray(values, dtype=np.float64)
    edges = timeline.seconds(np.arange(len(timeline) + 1))
    area = np.vstack([np.zeros(table.shape[1]), np.cumsum(table * np.diff(edges)[:, None], axis=0)])
    at = np.linspace(edges[0], edges[-1], width + 1)
    cut = np.stack([np.interp(at, edges, column) for column in area.T], axis=1)
    return np.asarray(np.diff(cut, axis=0) / (at[1] - at[0]))


def pixels(timeline: Timeline, width: int = WIDTH) -> int:
    """Return how many pixels a recording needs: one per frame, at most `width`."""
    return max(1, min(width, len(timeline)))


def tint(share: FloatArray, colour: str, height: int, ground: str = EMPTY) -> Picture:
    """Return a strip (H, W, 3) from `ground` (share 0) to `colour` (share 1)."""
    low, high = np.array(rgb(ground), float), np.array(rgb(colour), float)
    row = low + np.clip(share, 0, 1)[:, None] * (high - low)
    return np.repeat(np.round(row).astype(np.uint8)[None], height, axis=0)


def blend(shares: FloatArray, colours: Sequence[str], height: int) -> Picture:
    """Return a strip of (W, C) shares in their behaviours' colours; what is left is empty."""
    table = np.array([rgb(c) for c in colours], float)
    total = shares.sum(axis=1, keepdims=True)
    fair = shares / np.maximum(total, 1.0)
    rest = 1.0 - np.minimum(total, 1.0)
    row = fair @ table + rest * np.array(rgb(EMPTY), float)
    return np.repeat(np.round(np.clip(row, 0, 255)).astype(np.uint8)[None], height, axis=0)


def hatch(strip: Picture, share: FloatArray) -> Picture:
    """Return the strip with diagonal stripes where most of a pixel's time is not annotated."""
    result = strip.copy()
    rows, columns = np.indices(strip.shape[:2])
    striped = (rows + columns) % 6 < 2
    hidden = share > 0.5
    result[:, hidden] = rgb(UNLABELLED[0])
    result[striped & hidden[None, :]] = rgb(UNLABELLED[1])
    return result


def shares(frames: NDArray[Any], timeline: Timeline, width: int) -> tuple[FloatArray, FloatArray]:
    """Return (W, C) shares of the behaviours and (W,) share that is not annotated, of (T, C) frames."""
    hidden = (frames == -1).all(axis=1)
    table = np.column_stack([frames == 1, hidden])
    means = block_means(table, timeline, width)
    return means[:, :-1], means[:, -1]


def stack(strips: Sequence[Picture | int], width: int) -> Picture:
    """Return strips under each other; an integer is a white gap of so many rows."""
    parts = [
        np.full((strip, width, 3), 255, np.uint8) if isinstance(strip, int) else strip
        for strip in strips
    ]
    return np.concatenate(parts, axis=0)
