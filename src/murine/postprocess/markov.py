"""The most probable sequence of bouts, when it is known how long bouts last and what follows what.

A hidden semi-Markov model: each bout's length is drawn once, from its behaviour's own law, where an ordinary
Markov chain can only let it end at any time alike (shape "geometric" is that chain). Exact dynamic programming
over explicit durations; source of the recursion: Yu 2010, Hidden semi-Markov models, Artificial
Intelligence 174, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.postprocess.base import STEPS, Decided, Kind, check_duration, check_names
from murine.postprocess.decision import decide_pieces
from murine.postprocess.durations import SHAPES, Durations, make_durations, shares_of_time
from murine.types import Ethogram, FloatArray, Timeline

_LONGEST = 2000
"""Lengths told apart, at most: longer bouts end at a constant rate."""


@STEPS.register("semi_markov")
@dataclass(frozen=True)
class SemiMarkov:
    """The most probable bouts, by how long each behaviour lasts and what follows it.

    Usually learned from labels (`murine tune`): of `behaviours`, `means_s` and `spreads` (deviation of the
    logarithm) of their bouts, `gaps_s` and `gap_spreads` of the time between (where behaviours may overlap, and
    each is decided by itself), and `following`, the chances of what comes next, row by row. Without: all bouts
    last `mean_bout_s` on average, with `spread`; at 0 the plain decision. `shape`: "lognormal", or "geometric",
    an ordinary Markov chain. Each frame's log probability counts `emission` times. Decided every
    `resolution_s`; durations up to `longest_s` are told apart, longer bouts end at a constant rate.
    """

    mean_bout_s: float = 0.0
    spread: float = 1.0
    emission: float = 1.0
    shape: str = "lognormal"
    resolution_s: float = 0.0
    longest_s: float = 10.0
    behaviours: tuple[str, ...] = ()
    means_s: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    gaps_s: tuple[float, ...] = ()
    gap_spreads: tuple[float, ...] = ()
    following: tuple[tuple[float, ...], ...] = ()
    kind: ClassVar[Kind] = "decision"

    def __post_init__(self) -> None:
        for name in ("mean_bout_s", "resolution_s", "longest_s"):
            check_duration(f"semi_markov: {name}", getattr(self, name))
        for name, most in (("spread", 5.0), ("emission", 10.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
                raise InputError(
                    f"semi_markov: {name} must be a number above 0, at most {most:g}; came {value!r}"
                )
        if self.shape not in SHAPES:
            raise InputError(f"semi_markov: shape must be {' or '.join(SHAPES)}; came {self.shape!r}")
        check_names("semi_markov: behaviours", self.behaviours)
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        for name in ("means_s", "spreads", "gaps_s", "gap_spreads"):
            object.__setattr__(self, name, self._positive(name))
        rows = self.following
        count = len(self.behaviours)
        if not isinstance(rows, list | tuple) or len(rows) != count:
            raise InputError(f"semi_markov: following needs a row for each of {count} behaviours")
        for row in rows:
            if not isinstance(row, list | tuple) or len(row) != count:
                raise InputError(f"semi_markov: a row of following needs {count} chances; came {row!r}")
            if not all(isinstance(v, int | float) and 0 <= v <= 1 for v in row):
                raise InputError(f"semi_markov: chances are numbers from 0 to 1; came {row!r}")
        object.__setattr__(self, "following", tuple(tuple(float(v) for v in row) for row in rows))

    def _positive(self, name: str) -> tuple[float, ...]:
        values = getattr(self, name)
        right = isinstance(values, list | tuple) and len(values) == len(self.behaviours)
        if not right or not all(
            isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < 1e9 for v in values
        ):
            raise InputError(
                f"semi_markov: {name} needs a number above 0 for each of {len(self.behaviours)} behaviours; "
                f"came {values!r}"
            )
        return tuple(float(v) for v in values)

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return (T, C) decisions by exact dynamic programming."""
        return self.over([values], timeline, ethogram)

    def over(self, pieces: Iterable[NDArray[Any]], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return the (T, C) decisions of pieces (n, C); held are six bytes per step and behaviour."""
        if not self.mean_bout_s and not self.behaviours:
            return decide_pieces(pieces, timeline, ethogram)
        together = max(1, round(self.resolution_s * timeline.fps))
        rate = timeline.fps / together
        chains = [_Chain(self, ethogram, part, rate) for part in lanes(ethogram)]
        for row in self._rows(pieces, together):
            for chain in chains:
                chain.step(row)
        result = np.zeros((len(timeline), len(ethogram)), dtype=bool)
        for chain in chains:
            path = chain.path().repeat(together)[: len(timeline)]
            if chain.columns is None:
                result[:, chain.column] = path == 1
            else:
                result[:, chain.columns] = path[:, None] == np.arange(len(chain.columns))
        return result

    def _rows(
        self, pieces: Iterable[NDArray[Any]], together: int
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Give for each step (C,) sums of log probabilities, and of those of the opposite."""
        held: list[tuple[FloatArray, FloatArray]] = []
        for piece in pieces:
            values = piece.astype(np.float64)
            yes = self.emission * np.log(np.clip(values, 1e-6, 1.0))
            no = self.emission * np.log(np.clip(1.0 - values, 1e-6, 1.0))
            if together == 1:
                yield from zip(yes, no, strict=True)
                continue
            for row in zip(yes, no, strict=True):
                held.append(row)
                if len(held) == together:
                    yield _summed(held)
                    held = []
        if held:
            yield _summed(held)

    def law(
        self, columns: Sequence[int], ethogram: Ethogram, rate: float
    ) -> tuple[Durations, FloatArray]:
        """Return durations and log chances of what follows, of behaviours that exclude each other.

        Of a single column: of its absence and its presence. Raises InputError where nothing was learned of one.
        """
        names = [ethogram.behaviours[c] for c in columns]
        if not self.behaviours:
            states = max(len(names), 2)
            means, spreads = [self.mean_bout_s] * states, [self.spread] * states
            following = np.full((states, states), 1.0)
        else:
            if lacking := [name for name in names if name not in self.behaviours]:
                raise InputError(
                    f"semi_markov: nothing was learned of {', '.join(lacking)}, only of "
                    f"{', '.join(self.behaviours)}. Learn it again from labels of these (murine tune)"
                )
            at = [self.behaviours.index(name) for name in names]
            means, spreads = [self.means_s[i] for i in at], [self.spreads[i] for i in at]
            following = np.array(self.following)[np.ix_(at, at)]
            if len(names) == 1:
                means, spreads = [self.gaps_s[at[0]], *means], [self.gap_spreads[at[0]], *spreads]
                following = np.ones((2, 2))
        following = np.maximum(following, 1e-9)
        np.fill_diagonal(following, 0.0)
        following /= following.sum(axis=1, keepdims=True)
        steps = [rate * mean for mean in means]
        longest = int(np.clip(np.ceil(self.longest_s * rate - 1e-6), 1, _LONGEST))
        return make_durations(steps, spreads, longest, self.shape), following


def lanes(ethogram: Ethogram) -> list[tuple[int, ...]]:
    """Return the columns that are decided together: behaviours that exclude each other, or one by itself."""
    if ethogram.exclusive:
        return [tuple(range(len(ethogram)))]
    found: list[tuple[int, ...]] = []
    inside: set[int] = set()
    for task in ethogram.tasks:
        if task.exclusive and len(task.behaviours) > 1:
            part = ethogram.columns(task)
            found.append(tuple(range(part.start, part.stop)))
            inside.update(found[-1])
    return [*found, *((c,) for c in range(len(ethogram)) if c not in inside)]


def _summed(rows: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    return np.sum([row[0] for row in rows], axis=0), np.sum([row[1] for row in rows], axis=0)


class _Chain:
    """One sequence of bouts, found step by step.

    `best` (S,): the best score of all steps so far if a bout of a state ends with the last one. `window` holds,
    for each of the last D boundaries, the best score of a bout that begins there, less the scores of all frames
    before, so that the score of the frames within a bout is one difference.
    """

    def __init__(
        self, step: SemiMarkov, ethogram: Ethogram, columns: tuple[int, ...], rate: float
    ) -> None:
        self.column = columns[0]
        single = len(columns) == 1 and not ethogram.exclusive
        self.columns = None if single else np.array(columns)
        self.alone = ethogram.exclusive and len(columns) == 1
        self.time = 0
        if self.alone:
            return
        self.durations, following = step.law(columns, ethogram, rate)
        self.first = np.log(shares_of_time(self.durations, following))
        with np.errstate(divide="ignore"):
            self.change = np.log(following)
        states, self.longest = self.durations.ends.shape
        self.each = np.arange(states)
        self.sum = np.zeros(states)
        self.window = np.full((states, 2 * self.longest), -np.inf)
        self.tail = np.full(states, -np.inf)
        self.tail_start = np.zeros(states, dtype=np.int32)
        self.entered: FloatArray | None = None
        self.starts: list[NDArray[np.int32]] = []
        self.came: list[NDArray[np.uint16]] = []

    def step(self, row: tuple[FloatArray, FloatArray]) -> None:
        """Take the log probabilities of one more step."""
        self.time += 1
        if self.alone:
            return
        t, durations = self.time, self.durations
        if self.columns is None:
            self.sum[0] += row[1][self.column]
            self.sum[1] += row[0][self.column]
        else:
            self.sum += row[0][self.columns]
        recent = self._begin(t)
        lasting = recent + durations.ends
        length = lasting.argmax(axis=1)
        best = lasting[self.each, length]
        start = (t - 1 - length).astype(np.int32)
        tail = self.tail + durations.stops
        longer = tail > best
        best, start = np.where(longer, tail, best), np.where(longer, self.tail_start, start)
        only = self.first + durations.left_exactly(t)
        whole = only > best
        best, start = np.where(whole, only, best), np.where(whole, 0, start)
        best = best + self.sum
        arrived = best[:, None] + self.change
        source = arrived.argmax(axis=0)
        self.entered = arrived[source, self.each] - self.sum
        self.starts.append(start.astype(np.int32))
        self.came.append(source.astype(np.uint16))

    def _begin(self, t: int) -> FloatArray:
        """Put what may begin at boundary t - 1 into the window; return it (S, D), the latest first."""
        place = -(t - 1) % self.longest
        if self.entered is not None:
            # What the window gives up began D + 1 steps ago: such a bout is now a long one.
            grown = self.window[:, place] + self.durations.beyond
            kept = self.tail + self.durations.goes_on
            new = grown > kept
            self.tail = np.where(new, grown, kept)
            self.tail_start[new] = t - 1 - self.longest
            self.window[:, place] = self.window[:, place + self.longest] = self.entered
        return np.asarray(self.window[:, place : place + self.longest])

    def path(self) -> NDArray[np.integer[Any]]:
        """Return the state (T,) of every step; the last bout may go on after the end."""
        total = self.time
        if self.alone:
            return np.zeros(total, dtype=np.int64)
        place = -(total - 1) % self.longest
        lasting = self.window[:, place : place + self.longest] + self.durations.reaches
        length = lasting.argmax(axis=1)
        best, start = lasting[self.each, length], total - 1 - length
        longer = self.tail > best
        best, start = np.where(longer, self.tail, best), np.where(longer, self.tail_start, start)
        only = self.first + self.durations.left_at_least(total)
        whole = only > best
        best, start = np.where(whole, only, best), np.where(whole, 0, start)
        state = int((best + self.sum).argmax())
        path = np.empty(total, dtype=np.int64)
        stop, begin = total, int(start[state])
        while True:
            path[begin:stop] = state
            if begin == 0:
                return path
            stop, state = begin, int(self.came[begin - 1][state])
            begin = int(self.starts[stop - 1][state])
