"""From probabilities to what holds in each frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.postprocess.base import STEPS, Decided, Kind, check_duration, task_parts
from murine.types import Ethogram, FloatArray, Timeline


def decide(values: NDArray[Any], ethogram: Ethogram) -> Decided:
    """Return the plain decision of (T, C) probabilities: the largest, or those of at least 0.5.

    Of each exclusive task the largest.
    """
    return ethogram.plain_decision(values)


def decide_pieces(pieces: Iterable[NDArray[Any]], timeline: Timeline, ethogram: Ethogram) -> Decided:
    """Return the plain decisions (T, C) of pieces (n, C) that follow each other."""
    result = np.empty((len(timeline), len(ethogram)), dtype=bool)
    at = 0
    for piece in pieces:
        result[at : at + len(piece)] = decide(piece, ethogram)
        at += len(piece)
    return result


@STEPS.register("viterbi")
@dataclass(frozen=True)
class Viterbi:
    """The most probable sequence if behaviours last `mean_bout_s` seconds on average.

    The prior is a Markov chain in continuous time: bouts last `mean_bout_s` on average, whatever the
    frame rate, and all other behaviours are equally probable next. Each frame's log probability counts `emission`
    times: below 1 because neighbouring frames tell nearly the same. In a multi-label ethogram each
    behaviour is decided by itself, on or off; of several tasks each by itself, as its behaviours exclude each other
    or not. At 0 the plain decision.
    """

    mean_bout_s: float = 0.0
    emission: float = 1.0
    kind: ClassVar[Kind] = "decision"

    def __post_init__(self) -> None:
        check_duration("viterbi: mean_bout_s", self.mean_bout_s)
        number = isinstance(self.emission, int | float)
        if not number or not 0 < self.emission <= 10:
            raise InputError(
                f"viterbi: emission must be a number above 0, at most 10; came {self.emission!r}"
            )

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return (T, C) decisions by exact dynamic programming."""
        return self.over([values], timeline, ethogram)

    def over(self, pieces: Iterable[NDArray[Any]], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return the (T, C) decisions of pieces (n, C); held are a byte or two per frame and behaviour."""
        if not self.mean_bout_s:
            return decide_pieces(pieces, timeline, ethogram)
        elapsed = np.diff(timeline.times) / self.mean_bout_s
        parts = task_parts(ethogram)
        sizes = [n for columns, own in parts for n in _sizes(columns, own)]
        path = _viterbi((self._logs(piece, parts, sizes) for piece in pieces), elapsed, sizes)
        result = np.empty((len(timeline), len(ethogram)), dtype=bool)
        first = 0
        for columns, own in parts:
            if own.exclusive:
                result[:, columns] = path[:, [first]] == np.arange(len(own))
                first += 1
            else:
                result[:, columns] = path[:, first : first + len(own)] == 1
                first += len(own)
        return result

    def _logs(
        self, piece: NDArray[Any], parts: Sequence[tuple[slice, Ethogram]], sizes: Sequence[int]
    ) -> NDArray[np.float64]:
        """Return the logarithms (n, N, S) of the states of all chains; those that a chain has not are -inf."""
        rows = []
        for columns, own in parts:
            values = piece[:, columns]
            if own.exclusive:
                rows.append(self._log(values)[:, None])
            else:
                rows.append(np.stack([self._log(1.0 - values), self._log(values)], axis=2))
        if len(rows) == 1:
            return rows[0]
        result = np.full((len(piece), len(sizes), max(sizes)), -np.inf)
        at = 0
        for row in rows:
            result[:, at : at + row.shape[1], : row.shape[2]] = row
            at += row.shape[1]
        return result

    def _log(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return self.emission * np.log(np.clip(values.astype(np.float64), 1e-6, 1.0))


def _sizes(columns: slice, ethogram: Ethogram) -> list[int]:
    """Return the number of states of each chain of a task: one of all its behaviours, or yes and no of each."""
    return [len(ethogram)] if ethogram.exclusive else [2] * (columns.stop - columns.start)


def _viterbi(
    logs: Iterator[NDArray[np.float64]], elapsed: FloatArray, sizes: Sequence[int]
) -> NDArray[np.integer[Any]]:
    """Return the best path (T, N) of N independent chains from pieces of their logarithms (n, N, S).

    `elapsed` (T - 1,): time between frames in mean bouts; `sizes`: how many of the S states each chain has. All
    changes of state are equally probable, and never more than staying, so the best predecessor of a state is
    itself or the best of all states: O(T S) instead of O(T S^2).
    """
    first = next(logs)
    length, (chains, states) = len(elapsed) + 1, first.shape[1:]
    kind = np.min_scalar_type(states)
    if states == 1:
        return np.zeros((length, chains), dtype=kind)
    different, which = np.unique(sizes, return_inverse=True)
    laws = [_law(elapsed, int(size)) for size in different]
    # (T - 1, 1) where all chains are alike, else (T - 1, different sizes)
    stay, change = (np.stack([law[i] for law in laws], axis=1) for i in (0, 1))
    own = np.broadcast_to(np.arange(states), (chains, states))
    came = np.empty((length, chains, states), dtype=kind)
    score = first[0]
    rows = chain(first[1:], (row for piece in logs for row in piece))
    for t, log in enumerate(rows, start=1):
        best = score.argmax(axis=1)[:, None]
        held, left = stay[t - 1], change[t - 1]
        if len(laws) > 1:
            held, left = held[which][:, None], left[which][:, None]
        moved = np.take_along_axis(score, best, axis=1) + left
        stayed = score + held
        kept = stayed >= moved
        came[t] = np.where(kept, own, best)
        score = np.where(kept, stayed, moved) + log
    path = np.empty((length, chains), dtype=kind)
    path[-1] = score.argmax(axis=1)
    each = np.arange(chains)
    for t in range(length - 1, 0, -1):
        path[t - 1] = came[t, each, path[t]]
    return path


def _law(elapsed: FloatArray, states: int) -> tuple[FloatArray, FloatArray]:
    """Return the log probabilities (T - 1,) of staying in one of some states, and of going to a certain other."""
    if states == 1:
        return np.zeros_like(elapsed), np.full_like(elapsed, -np.inf)
    # P(same after dt) = 1/S + (1 - 1/S) e, P(another one) = (1 - e)/S, e = exp(-dt/mean S/(S - 1)).
    decay = elapsed * states / (states - 1)
    stay = np.log1p((states - 1) * np.exp(-decay)) - np.log(states)
    change = np.log(np.maximum(-np.expm1(-decay), 1e-300)) - np.log(states)
    return stay, change
