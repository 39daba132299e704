"""Short bouts taken out: all of them (opening), or by how short a behaviour's own bouts ever are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.postprocess.base import STEPS, Decided, Kind, check_duration, check_names, in_each_task
from murine.postprocess.bouts import MinimumBout
from murine.types import Ethogram, Timeline, runs

_TOLERANCE = 1e-6
"""Seconds: three frames at 10 frames/s last 0.3 s whatever the rounding of their time stamps."""


@STEPS.register("opening")
@dataclass(frozen=True)
class Opening:
    """Take out bouts shorter than `seconds` and leave nothing in their place.

    Exclusive with a background: their frames become background (`minimum_bout` gives them to a neighbour).
    Exclusive without one: as `minimum_bout`. Each of several tasks by itself. `behaviours`: only bouts of these
    (none: all but the background).
    """

    seconds: float = 0.0
    behaviours: tuple[str, ...] = ()
    kind: ClassVar[Kind] = "bouts"

    def __post_init__(self) -> None:
        check_duration("opening: seconds", self.seconds)
        check_names("opening: behaviours", self.behaviours)
        object.__setattr__(self, "behaviours", tuple(self.behaviours))

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return (T, C) decisions without short bouts."""
        if ethogram.tasks:
            make = partial(Opening, self.seconds)
            return in_each_task(make, self.behaviours, values, timeline, ethogram)
        background = ethogram.background_index
        chosen = [ethogram.index(name) for name in self.behaviours] or range(len(ethogram))
        if not self.seconds:
            return values
        if ethogram.exclusive and background is None:
            return MinimumBout(self.seconds, self.behaviours)(values, timeline, ethogram)
        edges = np.append(timeline.times, timeline.end)
        result = values.copy()
        for c in chosen:
            if c == background:
                continue
            for start, stop in runs(values[:, c]):
                if edges[stop] - edges[start] < self.seconds - _TOLERANCE:
                    result[start:stop, c] = False
                    if background is not None:
                        result[start:stop, background] = True
        return result


@STEPS.register("shortest_bout")
@dataclass(frozen=True)
class ShortestBout:
    """Take out bouts shorter than those of their behaviour ever are, as `minimum_bout` does, behaviour by behaviour.

    `each_s`: the least seconds of each of `behaviours`, usually learned from labels (`murine tune`); all
    others: `seconds`. The behaviour with the shortest limit goes first.
    """

    seconds: float = 0.0
    behaviours: tuple[str, ...] = ()
    each_s: tuple[float, ...] = ()
    kind: ClassVar[Kind] = "bouts"

    def __post_init__(self) -> None:
        check_duration("shortest_bout: seconds", self.seconds)
        check_names("shortest_bout: behaviours", self.behaviours)
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        if not isinstance(self.each_s, list | tuple) or len(self.each_s) != len(self.behaviours):
            raise InputError(
                f"shortest_bout: each_s needs a duration for each of {len(self.behaviours)} behaviours; came "
                f"{self.each_s!r}"
            )
        for value in self.each_s:
            check_duration("shortest_bout: each_s", value)
        object.__setattr__(self, "each_s", tuple(float(v) for v in self.each_s))

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return (T, C) decisions without bouts that are too short."""
        limits = dict.fromkeys(ethogram.behaviours, self.seconds)
        for name, seconds in zip(self.behaviours, self.each_s, strict=True):
            limits[ethogram.behaviours[ethogram.index(name)]] = seconds
        for seconds in sorted({s for s in limits.values() if s > 0}):
            names = tuple(name for name, own in limits.items() if own == seconds)
            values = MinimumBout(seconds, names)(values, timeline, ethogram)
        return values
