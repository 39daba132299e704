"""Steps on probabilities, and how they work on a recording that comes piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from murine.postprocess.base import STEPS, Kind, Smoothing, check_duration
from murine.types import Ethogram, Timeline


def half_window(seconds: float, timeline: Timeline) -> int:
    """Return how many frames lie within `seconds` / 2 on each side, at the recording's median rate."""
    return math.floor(seconds * timeline.fps / 2 + 1e-6)


@STEPS.register("median")
@dataclass(frozen=True)
class Median:
    """The running median of each behaviour's probability over `seconds` (an odd number of frames).

    On probabilities rather than on decided frames: for a multi-label ethogram the two are the same
    (a median passes through a threshold), and for an exclusive one a decision stays possible everywhere.
    At the ends the recording is mirrored.
    """

    seconds: float = 0.0
    kind: ClassVar[Kind] = "probabilities"

    def __post_init__(self) -> None:
        check_duration("median: seconds", self.seconds)

    def reach(self, timeline: Timeline) -> int:
        """Return how many frames to each side of a frame decide its new values."""
        return half_window(self.seconds, timeline)

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> NDArray[Any]:
        """Return smoothed (T, C) probabilities; rows need not sum to 1 any more."""
        half = self.reach(timeline)
        if not half:
            return values
        columns = [
            ndimage.median_filter(np.ascontiguousarray(column), size=2 * half + 1, mode="reflect")
            for column in values.T
        ]
        return np.stack(columns, axis=1)


@STEPS.register("box")
@dataclass(frozen=True)
class Box:
    """The running mean over `seconds` (an odd number of frames), the recording mirrored at its ends."""

    seconds: float = 0.0
    kind: ClassVar[Kind] = "probabilities"

    def __post_init__(self) -> None:
        check_duration("box: seconds", self.seconds)

    def reach(self, timeline: Timeline) -> int:
        """Return how many frames to each side of a frame decide its new values."""
        return half_window(self.seconds, timeline)

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> NDArray[Any]:
        """Return smoothed (T, C) probabilities; rows keep their sum."""
        half = self.reach(timeline)
        if not half:
            return values
        smooth = ndimage.uniform_filter1d(
            values.astype(np.float64), size=2 * half + 1, axis=0, mode="reflect"
        )
        return np.clip(smooth, 0.0, 1.0)


def smoothed(
    pieces: Iterable[NDArray[Any]], steps: Sequence[Smoothing], timeline: Timeline, ethogram: Ethogram
) -> Iterator[NDArray[Any]]:
    """Give pieces (n, C) of a recording after all steps, as if they had been given the whole of it.

    Held is what the frames still to come depend on: a piece, and the reach of all steps on both sides.
    """
    reach = sum(step.reach(timeline) for step in steps)
    if not reach:
        yield from pieces
        return
    held: list[NDArray[Any]] = []
    before = 0  # rows held that were given out already
    waiting = 0  # rows held that were not

    def run(keep: int) -> NDArray[Any]:
        """Return the rows to give out; hold on to `keep` more, whose neighbours are not here yet."""
        nonlocal held, before, waiting
        whole = values = np.concatenate(held)
        for step in steps:
            values = step(values, timeline, ethogram)
        done = values[before : len(whole) - keep]
        # The ends of what is held are mirrored like those of a recording: rows near them are not given out,
        # but where they are the recording's own.
        start = max(len(whole) - keep - reach, 0)
        held, before, waiting = [whole[start:].copy()], len(whole) - keep - start, keep
        return done

    for piece in pieces:
        held.append(piece)
        waiting += len(piece)
        if waiting >= 4 * reach:
            yield run(reach)
    if waiting:
        yield run(0)
