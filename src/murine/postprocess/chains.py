"""The best sequences of bouts of several chains at once, found step by step.

N chains, S states, D lengths told apart. Exact dynamic programming over explicit durations (Yu 2010, Hidden
semi-Markov models, Artificial Intelligence 174, sections 2 and 3), a step of all chains in a few operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from murine.postprocess.durations import Durations, shares_of_time
from murine.types import FloatArray

Law = tuple[Durations, FloatArray]
"""How long bouts of S states last, and (S, S) the chances of what follows."""


class Chains:
    """N sequences of bouts, under laws of one size.

    `window` (N, S, 2 D) holds, for each of the last D boundaries, the best score of a bout that begins there, less
    the scores of all steps before, so that the score of the steps within a bout is one difference. It is written
    twice, so that the last D always lie side by side, the latest first.
    """

    def __init__(self, laws: Sequence[Law]) -> None:
        durations = [law[0] for law in laws]

        def stacked(name: str) -> FloatArray:
            return np.stack([getattr(d, name) for d in durations])

        self._ends, self._reaches = stacked("ends"), stacked("reaches")
        self._left, self._left_reaches = stacked("left"), stacked("left_reaches")
        self._beyond, self._left_beyond = stacked("beyond"), stacked("left_beyond")
        self._goes_on, self._stops = stacked("goes_on"), stacked("stops")
        self._first = np.log(np.stack([shares_of_time(*law) for law in laws]))
        with np.errstate(divide="ignore"):
            self._change = np.log(np.stack([law[1] for law in laws]))
        count, states, self._longest = self._ends.shape
        self._time = 0
        self._sum = np.zeros((count, states))
        self._window = np.full((count, states, 2 * self._longest), -np.inf)
        self._lasting = np.empty((count, states, self._longest))
        self._tail = np.full((count, states), -np.inf)
        self._tail_start = np.zeros((count, states), dtype=np.int32)
        self._entered: FloatArray | None = None
        self._starts: list[NDArray[np.int32]] = []
        self._came: list[NDArray[np.uint16]] = []
        self._last: dict[int, tuple[int, int, int]] = {}

    def step(self, logs: FloatArray) -> None:
        """Take the log probabilities (N, S) of one more step."""
        self._time += 1
        t = self._time
        self._sum = self._sum + logs
        np.add(self._begin(t), self._ends, out=self._lasting)
        best, start = self._of_bouts(self._tail + self._stops, self._left_exactly(t))
        arrived = (best + self._sum)[:, :, None] + self._change
        source = arrived.argmax(axis=1)
        self._entered = np.take_along_axis(arrived, source[:, None], axis=1)[:, 0] - self._sum
        self._starts.append(start)
        self._came.append(source.astype(np.uint16))

    def finish(self, which: NDArray[np.int64]) -> None:
        """End some chains with the last step; what goes on after it is not known."""
        t = self._time
        place = -(t - 1) % self._longest
        np.add(self._window[:, :, place : place + self._longest], self._reaches, out=self._lasting)
        best, start = self._of_bouts(self._tail, self._left_at_least(t))
        state = (best + self._sum).argmax(axis=1)
        for chain in which.tolist():
            last = int(state[chain])
            self._last[chain] = (t, last, int(start[chain, last]))

    def path(self, chain: int) -> NDArray[np.int64]:
        """Return the states (T,) of a chain that was finished."""
        stop, state, begin = self._last[chain]
        path = np.empty(stop, dtype=np.int64)
        while True:
            path[begin:stop] = state
            if begin == 0:
                return path
            stop, state = begin, int(self._came[begin - 1][chain, state])
            begin = int(self._starts[stop - 1][chain, state])

    def _of_bouts(self, tail: FloatArray, only: FloatArray) -> tuple[FloatArray, NDArray[np.int32]]:
        """Return the best score (N, S) of the last bout and where it starts: of those of up to D steps in `_lasting`,
        a longer one, or one that was under way at the start.
        """
        length = self._lasting.argmax(axis=2)
        best = np.take_along_axis(self._lasting, length[:, :, None], axis=2)[:, :, 0]
        start = (self._time - 1 - length).astype(np.int32)
        longer = tail > best
        best, start = np.where(longer, tail, best), np.where(longer, self._tail_start, start)
        only = self._first + only
        whole = only > best
        return np.where(whole, only, best), np.where(whole, np.int32(0), start)

    def _begin(self, t: int) -> FloatArray:
        """Put what may begin at boundary t - 1 into the window; return it (N, S, D), the latest first."""
        place = -(t - 1) % self._longest
        if self._entered is not None:
            # What the window gives up began D + 1 steps ago: such a bout is now a long one.
            grown = self._window[:, :, place] + self._beyond
            kept = self._tail + self._goes_on
            new = grown > kept
            self._tail = np.where(new, grown, kept)
            self._tail_start = np.where(new, np.int32(t - 1 - self._longest), self._tail_start)
            self._window[:, :, place] = self._entered
            self._window[:, :, place + self._longest] = self._entered
        return np.asarray(self._window[:, :, place : place + self._longest])

    def _left_exactly(self, steps: int) -> FloatArray:
        if steps <= self._longest:
            return np.asarray(self._left[:, :, steps - 1])
        return np.asarray(self._left_beyond + (steps - self._longest - 1) * self._goes_on + self._stops)

    def _left_at_least(self, steps: int) -> FloatArray:
        if steps <= self._longest:
            return np.asarray(self._left_reaches[:, :, steps - 1])
        return np.asarray(self._left_beyond + (steps - self._longest - 1) * self._goes_on)
