"""Means, deviations and extremes over a window that moves along time, at a cost that its length hardly changes.

Several windows share their running sums; `benchmarks/bench_pose.py` has all of it beside pandas.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from murine.types import BoolArray

Rows = NDArray[np.float32]

_ZERO, _ONE, _NAN = np.float32(0), np.float32(1), np.float32(np.nan)
_FEW = 16
"""Every such frame is asked for about where a row lies."""


def running(values: Rows, half: int) -> tuple[Rows, Rows]:
    """Return mean and standard deviation over the 2 half + 1 values around each of (..., T), without NaN.

    NaN where no value of the window is known. At both ends of the row the window is what there is of it.
    """
    return RunningSums(values, half).over(half)


class RunningSums:
    """Sums in float64 of (..., T) values, NaN left out, of which any window's are a difference."""

    def __init__(self, values: Rows, widest: int) -> None:
        """`widest`: the largest `half` that will be asked for."""
        rows = values.reshape(-1, values.shape[-1])
        unknown = np.isnan(rows)
        self.shape = values.shape
        self.widest = min(widest, rows.shape[1])
        self.middle = _middle(rows[:, ::_FEW], unknown[:, ::_FEW])
        # Away from 0 a variance from sums of squares would lose its digits.
        centred = np.subtract(rows, self.middle)
        np.copyto(centred, _ZERO, where=unknown)
        self.sums, self.squares, self.numbers = _running_sums(centred, ~unknown, self.widest)
        # One window after the other is worked out in the same memory, which stays in the processor's cache.
        self._room = (
            np.empty(rows.shape), np.empty(rows.shape), np.empty(rows.shape, dtype=np.int32), centred,
        )  # fmt: skip

    def over(self, half: int) -> tuple[Rows, Rows]:
        """Return what `running` does."""
        length, near = self.shape[-1], min(half, self.widest)
        stop = slice(self.widest + near + 1, self.widest + near + 1 + length)
        start = slice(self.widest - near, self.widest - near + length)
        total, spread, number, share = self._room
        mean, deviation = np.empty_like(share), np.empty_like(share)
        np.subtract(self.numbers[:, stop], self.numbers[:, start], out=number)
        np.subtract(self.sums[:, stop], self.sums[:, start], out=total)
        np.copyto(mean, total, casting="same_kind")
        # number^2 variance = number (sum of squares) - sum^2
        np.subtract(self.squares[:, stop], self.squares[:, start], out=spread)
        np.multiply(spread, number, out=spread)
        np.multiply(total, total, out=total)
        np.subtract(spread, total, out=spread)
        np.copyto(deviation, spread, casting="same_kind")
        np.sqrt(np.maximum(deviation, _ZERO, out=deviation), out=deviation)
        np.copyto(share, number, casting="same_kind")
        with np.errstate(invalid="ignore", divide="ignore"):
            np.divide(_ONE, share, out=share)
            mean *= share  # 0 times infinity where none is known: NaN
            deviation *= share
        mean += self.middle
        return mean.reshape(self.shape), deviation.reshape(self.shape)


def _middle(rows: Rows, unknown: BoolArray) -> Rows:
    """Return (N, 1) a number near the known values of each row, 0 where none is known."""
    known = np.maximum((~unknown).sum(axis=1, keepdims=True), 1)
    total = np.where(unknown, _ZERO, rows).sum(axis=1, keepdims=True, dtype=np.float64)
    return np.asarray(total / known, dtype=np.float32)


def _running_sums(
    centred: Rows, known: BoolArray, margin: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Return the sums, the sums of squares and the number of the first 0 to T values of each row.

    The first and the last sum stand `margin` times more before and behind: (N, 2 margin + T + 1).
    """
    count, length = centred.shape
    # What OpenCV calls an integral has a line of zeros above it; the row before writes over that.
    shape = count + 1, 2 * margin + length + 1
    sums, squares, numbers = np.empty(shape), np.empty(shape), np.empty(shape, dtype=np.int32)
    inner = slice(margin, margin + length + 1)
    for i in reversed(range(count)):
        row, two = slice(i, i + 1), slice(i, i + 2)
        cv2.integral2(centred[row], sums[two, inner], squares[two, inner], cv2.CV_64F, cv2.CV_64F)
        cv2.integral(known[row].view(np.uint8), numbers[two, inner], cv2.CV_32S)
    for table in (sums, squares, numbers):
        table[:, :margin] = 0
        table[:, margin + length + 1 :] = table[:, margin + length, None]
    return sums[1:], squares[1:], numbers[1:]


def extremes(values: Rows, half: int) -> tuple[Rows, Rows]:
    """Return least and greatest known value of the 2 half + 1 values around each of (..., T).

    NaN where no value of the window is known. At both ends of the row the window is what there is of it.
    """
    known = ~np.isnan(values)
    least = _extreme(values, known, half, np.minimum, np.float32(np.inf))
    return least, _extreme(values, known, half, np.maximum, np.float32(-np.inf))


def _extreme(values: Rows, known: BoolArray, half: int, choose: Any, empty: np.float32) -> Rows:
    """Return the extreme of windows from two shorter ones that cover each, whose length is a power of two.

    These come of one another by doubling.
    """
    length = values.shape[-1]
    near = min(half, length)
    spans = np.full((*values.shape[:-1], length + 2 * near), empty, dtype=np.float32)
    other = np.empty_like(spans)
    np.copyto(spans[..., near : near + length], values, where=known)
    span, size = 1, spans.shape[-1]  # spans[..., i] is the extreme of the values i to i + span - 1
    while 2 * span <= 2 * near + 1:
        size -= span
        choose(spans[..., :size], spans[..., span : span + size], out=other[..., :size])
        spans, other = other, spans
        span *= 2
    last = 2 * near + 1 - span
    result: Rows = choose(spans[..., :length], spans[..., last : last + length])
    np.copyto(result, _NAN, where=result == empty)
    return result
