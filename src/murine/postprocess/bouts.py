"""Steps on decided bouts."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from murine.postprocess.base import STEPS, Decided, Kind, check_duration, check_names, in_each_task
from murine.types import Ethogram, Timeline, runs

_TOLERANCE = 1e-6
"""Seconds: three frames at 10 frames/s last 0.3 s whatever the rounding of their time stamps."""


def _lasts(timeline: Timeline, start: int, stop: int) -> float:
    end = timeline.end if stop == len(timeline) else timeline.times[stop]
    return float(end - timeline.times[start])


def _chosen(behaviours: Sequence[str], ethogram: Ethogram) -> list[int]:
    """Return the columns a step is for; raises InputError for an unknown name. Empty: all."""
    return [ethogram.index(b) for b in behaviours] if behaviours else list(range(len(ethogram)))


@STEPS.register("closing")
@dataclass(frozen=True)
class Closing:
    """Fill a gap of at most `seconds` between two bouts of one behaviour.

    Multi-label: whatever else happens in the gap. Exclusive with a background: only where the gap is
    background, so that no other behaviour is overwritten. Exclusive without one: where the gap is a
    single bout of another behaviour, the shortest first. Each of several tasks by itself. `behaviours`: only
    these (none: all).
    """

    seconds: float = 0.0
    behaviours: tuple[str, ...] = ()
    kind: ClassVar[Kind] = "bouts"

    def __post_init__(self) -> None:
        check_duration("closing: seconds", self.seconds)
        check_names("closing: behaviours", self.behaviours)
        object.__setattr__(self, "behaviours", tuple(self.behaviours))

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return (T, C) decisions with the gaps filled."""
        if ethogram.tasks:
            make = partial(Closing, self.seconds)
            return in_each_task(make, self.behaviours, values, timeline, ethogram)
        chosen = _chosen(self.behaviours, ethogram)
        if not self.seconds:
            return values
        background = ethogram.background_index
        if ethogram.exclusive and background is None:
            return _merge(values, timeline, self.seconds, chosen, closing=True)
        result = values.copy()
        for c in chosen:
            if c == background:
                continue
            bouts = runs(values[:, c])
            for (_, left), (right, _) in pairwise(bouts):
                short = _lasts(timeline, left, right) <= self.seconds + _TOLERANCE
                if short and (background is None or values[left:right, background].all()):
                    result[left:right, c] = True
                    if background is not None:
                        result[left:right, background] = False
        return result


@STEPS.register("minimum_bout")
@dataclass(frozen=True)
class MinimumBout:
    """Take out bouts shorter than `seconds`.

    Multi-label: the frames no longer show the behaviour. Exclusive: the shortest bout (the earliest
    of equals) is given to the longer of its two neighbours (the earlier of equals), which then is
    longer, and so on until none is too short. Each of several tasks by itself. `behaviours`: only bouts of
    these (none: all, also the background's).
    """

    seconds: float = 0.0
    behaviours: tuple[str, ...] = ()
    kind: ClassVar[Kind] = "bouts"

    def __post_init__(self) -> None:
        check_duration("minimum_bout: seconds", self.seconds)
        check_names("minimum_bout: behaviours", self.behaviours)
        object.__setattr__(self, "behaviours", tuple(self.behaviours))

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return (T, C) decisions without short bouts."""
        if ethogram.tasks:
            make = partial(MinimumBout, self.seconds)
            return in_each_task(make, self.behaviours, values, timeline, ethogram)
        chosen = _chosen(self.behaviours, ethogram)
        if not self.seconds:
            return values
        if ethogram.exclusive:
            return _merge(values, timeline, self.seconds, chosen, closing=False)
        result = values.copy()
        for c in chosen:
            for start, stop in runs(values[:, c]):
                if _lasts(timeline, start, stop) < self.seconds - _TOLERANCE:
                    result[start:stop, c] = False
        return result


def _merge(
    values: Decided, timeline: Timeline, seconds: float, chosen: Sequence[int], *, closing: bool
) -> Decided:
    """Give short bouts of exclusive decisions to a neighbour, shortest first.

    `closing`: only bouts between two of one `chosen` behaviour, of at most `seconds`; otherwise bouts
    of a `chosen` behaviour shorter than `seconds`.
    """
    changes = [np.flatnonzero(one[1:] != one[:-1]) + 1 for one in values.T]
    starts: list[int] = np.unique(np.concatenate([[0], *changes])).astype(int).tolist()
    stops = [*starts[1:], len(values)]
    column: list[int] = values[starts].argmax(axis=1).tolist()
    left, right = list(range(-1, len(starts) - 1)), [*range(1, len(starts)), -1]
    alive = [True] * len(starts)
    wanted = frozenset(chosen)

    def length(i: int) -> float:
        return _lasts(timeline, starts[i], stops[i])

    def doomed(i: int) -> bool:
        if closing:
            inner = left[i] >= 0 and right[i] >= 0 and column[left[i]] == column[right[i]]
            return inner and column[left[i]] in wanted and length(i) <= seconds + _TOLERANCE
        neighbours = left[i] >= 0 or right[i] >= 0
        return neighbours and column[i] in wanted and length(i) < seconds - _TOLERANCE

    def absorb(i: int, j: int) -> None:
        """Give bout j, a neighbour of i, to i."""
        starts[i], stops[i] = min(starts[i], starts[j]), max(stops[i], stops[j])
        alive[j] = False
        if left[j] >= 0:
            right[left[j]] = right[j]
        if right[j] >= 0:
            left[right[j]] = left[j]

    queue: list[tuple[int, int, int]] = []

    def consider(i: int) -> None:
        if i >= 0 and doomed(i):
            heapq.heappush(queue, (round(length(i) / _TOLERANCE), starts[i], i))

    for i in range(len(starts)):
        consider(i)
    while queue:
        ticks, start, i = heapq.heappop(queue)
        current = (round(length(i) / _TOLERANCE), starts[i])
        if not alive[i] or (ticks, start) != current or not doomed(i):
            continue
        before, after = left[i], right[i]
        heir = after
        if after < 0 or (before >= 0 and length(before) >= length(after) - _TOLERANCE):
            heir = before
        absorb(heir, i)
        for other in (left[heir], right[heir]):
            if other >= 0 and column[other] == column[heir]:
                absorb(heir, other)
        for changed in (left[heir], heir, right[heir]):
            consider(changed)
    result = np.zeros_like(values)
    for i, held in enumerate(alive):
        if held:
            result[starts[i] : stops[i], column[i]] = True
    return result
