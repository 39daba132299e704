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
from murine.postprocess.chains import Chains, Law
from murine.postprocess.decision import decide_pieces
from murine.postprocess.durations import SHAPES, make_durations
from murine.types import Ethogram, FloatArray, Timeline

_AT_ONCE = 64
"""Recordings decided at once: more would leave the processor's own memory."""

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
        runs = _lanes_of(self, ethogram, timeline)
        together = self.frames_together(timeline)
        for row in self._rows(pieces, together):
            for run in runs:
                run.chains.step(run.take(*row))
        result = np.zeros((len(timeline), len(ethogram)), dtype=bool)
        for run in runs:
            run.chains.finish(np.arange(len(run.lanes)))
            for i, columns in enumerate(run.lanes):
                _put(result, columns, run.chains.path(i), together, ethogram)
        return result

    def frames_together(self, timeline: Timeline) -> int:
        """Return how many frames are decided together."""
        return max(1, round(self.resolution_s * timeline.fps))

    def _rows(
        self, pieces: Iterable[NDArray[Any]], together: int
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Give for each step (C,) sums of log probabilities, and of those of the opposite."""
        held: list[NDArray[Any]] = []
        count = 0
        for piece in pieces:
            held.append(piece)
            count += len(piece)
            whole = count - count % together
            if whole:
                rows = np.concatenate(held)
                yield from zip(*self.logs(rows[:whole], together), strict=True)
                held, count = [rows[whole:]], count - whole
        if count:
            yield from zip(*self.logs(np.concatenate(held), together), strict=True)

    def logs(self, values: NDArray[Any], together: int) -> tuple[FloatArray, FloatArray]:
        """Return for each step (N, C) sums of log probabilities, and of those of the opposite."""
        exact = values.astype(np.float64)
        both = (self.emission * np.log(np.clip(part, 1e-6, 1.0)) for part in (exact, 1.0 - exact))
        starts = np.arange(0, len(exact), together)
        yes, no = (np.add.reduceat(part, starts, axis=0) if together > 1 else part for part in both)
        return yes, no

    def law(self, columns: Sequence[int], ethogram: Ethogram, rate: float) -> Law:
        """Return durations and log chances of what follows, of behaviours that exclude each other.

        Of a single column: of its absence and its presence. Raises InputError where nothing was learned of one.
        """
        names = [ethogram.behaviours[c] for c in columns]
        if len(names) == 1 and ethogram.exclusive:
            return make_durations([1.0], [1.0], 1, "geometric"), np.ones((1, 1))
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


def decide_many(
    steps: Sequence[SemiMarkov],
    values: Sequence[NDArray[Any]],
    timelines: Sequence[Timeline],
    ethogram: Ethogram,
) -> list[Decided]:
    """Return what each step decides of its recording, all recordings at once: much faster than one by one."""
    results = [np.zeros((len(timeline), len(ethogram)), dtype=bool) for timeline in timelines]
    waiting: dict[tuple[int, ...], list[_Task]] = {}
    for i, (step, own, timeline) in enumerate(zip(steps, values, timelines, strict=True)):
        together = step.frames_together(timeline)
        logs = step.logs(own, together)
        for run in _lanes_of(step, ethogram, timeline):
            rows = np.stack([run.take(*row) for row in zip(*logs, strict=True)])
            for n, columns in enumerate(run.lanes):
                task = _Task(i, columns, together, run.laws[n], rows[:, n])
                waiting.setdefault(task.law[0].ends.shape, []).append(task)
    for tasks in waiting.values():
        for first in range(0, len(tasks), _AT_ONCE):
            part = tasks[first : first + _AT_ONCE]
            chains = _decided(part)
            for n, task in enumerate(part):
                _put(results[task.recording], task.columns, chains.path(n), task.together, ethogram)
    return results


@dataclass(frozen=True, eq=False)
class _Task:
    """A sequence to be found: the columns of a recording, their law, and (N, S) log probabilities."""

    recording: int
    columns: tuple[int, ...]
    together: int
    law: Law
    logs: FloatArray


def _decided(tasks: Sequence[_Task]) -> Chains:
    """Return chains that went through all steps of some tasks, each finished where it ends."""
    lengths = np.array([len(task.logs) for task in tasks])
    chains = Chains([task.law for task in tasks])
    padded = np.zeros((lengths.max(), len(tasks), tasks[0].logs.shape[1]))
    for n, task in enumerate(tasks):
        padded[: len(task.logs), n] = task.logs
    ends = {int(length): np.flatnonzero(lengths == length) for length in set(lengths.tolist())}
    for t, row in enumerate(padded, start=1):
        chains.step(row)
        if t in ends:
            chains.finish(ends[t])
    return chains


@dataclass(frozen=True, eq=False)
class _Lanes:
    """Columns of one recording that are decided at once, lane by lane, each by a law of the same size."""

    lanes: tuple[tuple[int, ...], ...]
    laws: tuple[Law, ...]
    alone: bool
    chains: Chains

    def take(self, yes: FloatArray, no: FloatArray) -> FloatArray:
        """Return the log probabilities (N, S) of the lanes' states."""
        if self.alone:
            columns = [lane[0] for lane in self.lanes]
            return np.stack([no[columns], yes[columns]], axis=1)
        return np.asarray(yes[np.array(self.lanes)])


def _lanes_of(step: SemiMarkov, ethogram: Ethogram, timeline: Timeline) -> list[_Lanes]:
    rate = timeline.fps / step.frames_together(timeline)
    groups: dict[tuple[int, bool], list[tuple[int, ...]]] = {}
    for columns in lanes(ethogram):
        alone = len(columns) == 1 and not ethogram.exclusive
        groups.setdefault((len(columns), alone), []).append(columns)
    found = []
    for (_, alone), same in groups.items():
        laws = tuple(step.law(columns, ethogram, rate) for columns in same)
        found.append(_Lanes(tuple(same), laws, alone, Chains(laws)))
    return found


def _put(
    result: Decided, columns: Sequence[int], path: NDArray[Any], together: int, ethogram: Ethogram
) -> None:
    """Write the states of steps into the columns of a recording's frames."""
    states = path.repeat(together)[: len(result)]
    if len(columns) == 1:
        result[:, columns[0]] = states == (0 if ethogram.exclusive else 1)
    else:
        result[:, list(columns)] = states[:, None] == np.arange(len(columns))
