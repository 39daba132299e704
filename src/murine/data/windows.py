"""Which frames are used, how they are cut into windows, and how windows become one row per frame again.

Pure integers and arrays: no files, no network. Everything here lives in the *sample* domain: a recording
of T frames is sampled at S of them, windows are half-open intervals of samples, and predictions (S, C)
return to (T, C) through each frame's `owner`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError
from murine.types import FloatArray, IntArray, Timeline

Predicts = Literal["all", "centre", "last"]

PREDICTS: tuple[Predicts, ...] = ("all", "centre", "last")


@dataclass(frozen=True, eq=False)
class Sampling:
    """`samples`: (S,) frames used, increasing. `owner`: (T,) the sample (0..S) nearest to each frame.

    `moments`: (S,) seconds, where samples lie between frames (`rates.at_rate`): `samples` are then the frames whose
    labels they carry, of which several may be the same.
    """

    samples: IntArray
    owner: IntArray
    moments: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.samples)


def sample_frames(timeline: Timeline, spacing_s: float) -> Sampling:
    """Return the frames nearest to the times 0, spacing, 2 x spacing, ... after the first frame.

    Every frame at spacing 0, and when the spacing is finer than the frames; a frame is taken once. At a
    tie the earlier frame is taken, so that rounding in the times cannot change the choice.
    Raises InputError for a negative spacing.
    """
    if not 0 <= spacing_s < np.inf:
        raise InputError(f"spacing_s must be 0 (every frame) or a time in seconds; came {spacing_s}")
    times = timeline.times - timeline.times[0]
    if len(times) == 1 or spacing_s <= np.diff(times).min() / 2:
        frames = np.arange(len(timeline))
        return Sampling(frames, frames)
    # Frame i is nearest to the times up to halfway to the next; it is taken if a multiple is among them.
    upper = np.append((times[1:] + times[:-1]) / 2, times[-1])
    multiples = np.floor(upper / spacing_s + 1e-6)
    samples = np.flatnonzero(np.diff(multiples, prepend=-1) > 0)
    return Sampling(samples, _nearest(times[samples], times))


def _nearest(sorted_times: FloatArray, at: FloatArray) -> IntArray:
    """Return the index of the time nearest to each of `at`; the earlier one at a tie."""
    if len(sorted_times) == 1:
        return np.zeros(len(at), dtype=np.int64)
    right = np.clip(np.searchsorted(sorted_times, at), 1, len(sorted_times) - 1)
    before = at - sorted_times[right - 1]
    after = sorted_times[right] - at
    slack = 1e-6 * (before + after)
    return np.where(after < before - slack, right, right - 1).astype(np.int64)


def samples_per(seconds: float, timeline: Timeline, sampling: Sampling) -> int:
    """Return a duration as a number of samples, at least 1 (a stride, a smoothing width)."""
    if len(sampling) < 2:
        return 1
    moments = timeline.times[sampling.samples] if sampling.moments is None else sampling.moments
    interval = float(np.median(np.diff(moments)))
    return max(1, int(np.floor(seconds / interval + 0.5)))


def stride_in_samples(seconds: float, size: int, timeline: Timeline, sampling: Sampling) -> int:
    """Return the samples from one window of `size` samples to the next; 0 seconds: side by side.

    `size` 0 stands for a window over the whole recording.
    """
    if seconds == 0:
        return size or len(sampling)
    return samples_per(seconds, timeline, sampling)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over `n` samples, in order of `start`; all of one length.

    `start`, `stop`: (N,) the samples a window sees; where n is shorter than a window, `stop` exceeds n
    and whoever reads the samples pads. `target_start`, `target_stop`: (N,) the samples it answers for.
    """

    n: int
    predicts: Predicts
    start: IntArray
    stop: IntArray
    target_start: IntArray
    target_stop: IntArray

    def __len__(self) -> int:
        return len(self.start)

    def place(self, index: int, values: FloatArray) -> tuple[int, FloatArray]:
        """Return where a window's output belongs: first sample and (L, C) values, for `Stitcher.add`.

        `values`: (T_out, C). Rows of padding are cut; the one row of a clip model is repeated over the
        samples it answers for.
        """
        first = int(self.target_start[index])
        length = int(self.target_stop[index]) - first
        if self.predicts == "all":
            return first, values[:length]
        return first, np.broadcast_to(values.reshape(1, -1), (length, values.shape[-1]))

    def first_touching(self, sample: int) -> int:
        """Return the first window that answers for `sample` or a later one (N if there is none)."""
        return int(np.searchsorted(self.target_stop, sample, side="right"))


def plan(n: int, size: int, stride: int, predicts: Predicts = "all") -> Windows:
    """Cut `n` samples into windows of `size` (0: one window over all) that start `stride` apart.

    The last window is moved back to end with the recording, so no window is ever shorter; n < size gives
    one window [0, size). A window answers for all its samples ("all"), for the samples nearest to its
    centre, start + size // 2 ("centre"), or for those since the window before ended ("last"); the latter
    two share out [0, n) without overlap. Raises InputError for numbers that cannot cover the recording.
    """
    if predicts not in PREDICTS:
        raise InputError(f"a model predicts one of {', '.join(PREDICTS)}; came '{predicts}'")
    if n < 1 or size < 0 or (size > 0 and stride < 1):
        raise InputError(f"cannot cut {n} samples into windows of {size} with a stride of {stride}")
    size = size or n
    if predicts == "all" and stride > size and n > size:
        raise InputError(
            f"a stride of {stride} samples is longer than the window of {size}: the samples between "
            f"would never be seen. Choose a stride of at most {size} samples"
        )
    last = max(n - size, 0)
    start = np.arange(0, last + 1, max(stride, 1), dtype=np.int64)
    if start[-1] != last:
        start = np.append(start, last)
    stop = start + size
    if predicts == "all":
        return Windows(n, predicts, start, stop, start, np.minimum(stop, n))
    answers = start + size // 2 if predicts == "centre" else stop - 1
    # The halfway sample goes to the earlier window; a causal model answers for what lies behind it.
    edges = (answers[:-1] + answers[1:]) // 2 + 1 if predicts == "centre" else stop[:-1]
    bounds = np.concatenate([[0], edges, [n]])
    return Windows(n, predicts, start, stop, bounds[:-1], bounds[1:])


def taper(length: int) -> NDArray[np.float64]:
    """Return (L,) weights that rise from the ends of a window to its middle, where it sees most."""
    ramp = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1))
    return np.asarray(ramp / ramp.max(), dtype=np.float64)


class Stitcher:
    """Scatter the outputs of windows over a recording and average where they overlap.

    In memory: `add` every window in any order, then `result`. For a recording of any length: `add` in
    order of start, call `finished` now and then (it hands out the rows no later window can touch and
    forgets them) and `rest` at the end; the rows are the same. `first`: rows before it are known from an
    earlier, interrupted run; what windows say about them is dropped.
    """

    def __init__(self, n: int, classes: int, *, first: int = 0) -> None:
        if not 0 <= first <= n or classes < 1:
            raise ValueError(f"cannot stitch {n} samples from {first} on with {classes} behaviours")
        self.n = n
        self.classes = classes
        self._resumed = first
        self._kept = first
        self._latest = first
        self._sum = np.zeros((0, classes), dtype=np.float64)
        self._weight = np.zeros(0, dtype=np.float64)

    def add(self, start: int, values: FloatArray, weight: ArrayLike | None = None) -> None:
        """Add (L, C) `values` for the samples from `start` on; `weight`: (L,) from 0 up, 1 by default.

        Raises InputError for values that are not finite, ValueError for rows outside the recording or
        already handed out.
        """
        stop = start + len(values)
        if values.ndim != 2 or values.shape[1] != self.classes or start < 0 or stop > self.n:
            raise ValueError(
                f"values {values.shape} at sample {start} do not fit {self.n} samples x {self.classes}"
            )
        if not np.isfinite(values).all():
            bad = start + int(np.argmin(np.isfinite(values).all(axis=1)))
            raise InputError(
                f"the model's output is not a number at sample {bad}. Its weights are damaged or its "
                "training diverged: train again, with a lower learning rate"
            )
        weights = np.ones(len(values)) if weight is None else np.asarray(weight, dtype=np.float64)
        if weights.shape != (len(values),) or not (weights >= 0).all():
            raise ValueError(f"weights must be {len(values)} numbers from 0 up")
        if start < self._kept and self._kept > self._resumed:
            raise ValueError(f"rows before {self._kept} were handed out; add windows in order of start")
        self._latest = max(self._latest, start)
        skip = max(self._kept - start, 0)
        if skip >= len(values):
            return
        self._reserve(stop - self._kept)
        rows = slice(start + skip - self._kept, stop - self._kept)
        self._sum[rows] += weights[skip:, None] * values[skip:]
        self._weight[rows] += weights[skip:]

    def finished(self) -> tuple[int, NDArray[np.float32]]:
        """Hand out and forget the rows before the latest start: their first sample and (L, C) means.

        Raises InputError naming the first sample that no window covered.
        """
        return self._hand_out(self._latest)

    def rest(self) -> tuple[int, NDArray[np.float32]]:
        """Hand out all rows that are left: their first sample and (L, C) means.

        Raises InputError naming the first sample that no window covered.
        """
        return self._hand_out(self.n)

    def result(self) -> NDArray[np.float32]:
        """Return all rows (n, C); raises InputError naming the first sample no window covered."""
        if self._kept > 0:
            raise ValueError("the first rows are not here; collect all with `finished` and `rest`")
        return self._means(self.n)

    def _hand_out(self, stop: int) -> tuple[int, NDArray[np.float32]]:
        first, means = self._kept, self._means(stop)
        self._sum = self._sum[stop - first :].copy()
        self._weight = self._weight[stop - first :].copy()
        self._kept = stop
        return first, means

    def _means(self, stop: int) -> NDArray[np.float32]:
        length = stop - self._kept
        self._reserve(length)
        weight = self._weight[:length]
        if length and not weight.all():
            missing = self._kept + int(np.argmin(weight > 0))
            raise InputError(f"no window covers sample {missing} of {self.n}")
        return (self._sum[:length] / weight[:, None]).astype(np.float32)

    def _reserve(self, length: int) -> None:
        """Make room for `length` rows; doubling keeps the copying linear in the recording's length."""
        if length > len(self._sum):
            grown = min(max(length, 2 * len(self._sum)), self.n - self._kept) - len(self._sum)
            self._sum = np.concatenate([self._sum, np.zeros((grown, self.classes))])
            self._weight = np.concatenate([self._weight, np.zeros(grown)])
