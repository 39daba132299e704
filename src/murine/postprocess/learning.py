"""Steps whose numbers come from labels: how long bouts last, what follows what, how short they ever are.

Only ever from the labels of training recordings: whoever calls decides which those are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.postprocess.markov import SemiMarkov, lanes
from murine.postprocess.shortest import ShortestBout
from murine.types import UNLABELLED, Bouts, Ethogram, FloatArray, Timeline, runs

_PSEUDO_BOUTS = 2.0
"""What all behaviours together count, beside a behaviour's own bouts: a behaviour of few bouts leans on them."""

_LEAST_SPREAD = 0.05
"""Bouts are never taken to be more alike than this (deviation of the logarithm)."""


@dataclass(frozen=True, eq=False)
class BoutStatistics:
    """What labels tell of bouts. `whole`, `cut`: seconds of the bouts of each behaviour, then of the time between
    them (2 C rows); those in `cut` are cut off by the end of a recording or of an annotated stretch. `changes`
    (C, C): how often the column's behaviour came right after the row's.
    """

    ethogram: Ethogram
    whole: tuple[FloatArray, ...]
    cut: tuple[FloatArray, ...]
    changes: NDArray[np.int64]

    @property
    def lengths(self) -> tuple[FloatArray, ...]:
        """Seconds of each behaviour's bouts; those cut off only of a behaviour that has no other."""
        return self._known[: len(self.ethogram)]

    @property
    def gaps(self) -> tuple[FloatArray, ...]:
        """Seconds between each behaviour's bouts; those cut off only of a behaviour that has no other."""
        return self._known[len(self.ethogram) :]

    @property
    def _known(self) -> tuple[FloatArray, ...]:
        return tuple(a if len(a) else b for a, b in zip(self.whole, self.cut, strict=True))


def bout_statistics(bouts: Bouts, timeline: Timeline) -> BoutStatistics:
    """Return the bouts of a labelled recording in numbers."""
    ethogram, frames = bouts.ethogram, bouts.frames()
    edges = np.append(timeline.times, timeline.end)
    whole: list[list[float]] = []
    cut: list[list[float]] = []
    for state in (1, 0):
        for column in frames.T:
            whole.append([])
            cut.append([])
            for start, stop in runs(column == state):
                inside = start > 0 and stop < len(frames)
                inside = inside and column[start - 1] != UNLABELLED and column[stop] != UNLABELLED
                (whole if inside else cut)[-1].append(float(edges[stop] - edges[start]))
    changes = np.zeros((len(ethogram), len(ethogram)), dtype=np.int64)
    for columns in lanes(ethogram):
        if len(columns) > 1:
            _count_changes(frames, columns, changes)
    return BoutStatistics(ethogram, tuple(map(np.array, whole)), tuple(map(np.array, cut)), changes)


def joined(statistics: Sequence[BoutStatistics]) -> BoutStatistics:
    """Return the statistics of several recordings together; raises InputError where there is none."""
    if not statistics:
        raise InputError("there are no labels to learn the lengths of bouts from")
    return BoutStatistics(
        statistics[0].ethogram,
        tuple(np.concatenate(rows) for rows in zip(*(s.whole for s in statistics), strict=True)),
        tuple(np.concatenate(rows) for rows in zip(*(s.cut for s in statistics), strict=True)),
        np.sum([s.changes for s in statistics], axis=0),
    )


def _count_changes(frames: NDArray[np.int8], columns: Sequence[int], changes: NDArray[np.int64]) -> None:
    """Count which of some columns, that exclude each other, comes right after which."""
    part = frames[:, columns]
    state = np.where((part == 1).any(axis=1), part.argmax(axis=1), -1)
    at = np.flatnonzero((state[1:] != state[:-1]) & (state[1:] >= 0) & (state[:-1] >= 0))
    places = np.array(columns)
    np.add.at(changes, (places[state[at]], places[state[at + 1]]), 1)


def learn_semi_markov(
    statistics: BoutStatistics,
    *,
    shape: str = "lognormal",
    emission: float = 1.0,
    resolution_s: float = 0.0,
    longest_s: float = 10.0,
) -> SemiMarkov:
    """Return the step with means, deviations and changes as the labels have them.

    A behaviour's own bouts are joined by two bouts such as all behaviours have, and every change by one more in
    the proportion of how often each behaviour comes, so that nothing rare becomes impossible.
    """
    ethogram, changes = statistics.ethogram, statistics.changes
    count = len(ethogram)
    means, spreads = _typical(statistics.lengths)
    gaps, gap_spreads = _typical(statistics.gaps)
    following = np.zeros((count, count))
    for columns in lanes(ethogram):
        if len(columns) == 1:
            continue
        part = np.ix_(columns, columns)
        often = changes[part].sum(axis=0) + 1.0
        rows = changes[part] + often / often.sum()
        np.fill_diagonal(rows, 0.0)
        following[part] = rows / rows.sum(axis=1, keepdims=True)
    return SemiMarkov(
        emission=emission,
        shape=shape,
        resolution_s=resolution_s,
        longest_s=longest_s,
        behaviours=ethogram.behaviours,
        means_s=_short(means),
        spreads=_short(spreads),
        gaps_s=_short(gaps),
        gap_spreads=_short(gap_spreads),
        following=tuple(_short(row) for row in following),
    )


def learn_shortest_bout(statistics: BoutStatistics, quantile: float) -> ShortestBout:
    """Return the step that takes out bouts shorter than this quantile of a behaviour's labelled bouts."""
    names = [
        n for n, own in zip(statistics.ethogram.behaviours, statistics.lengths, strict=True) if len(own)
    ]
    limits = [float(np.quantile(own, quantile)) for own in statistics.lengths if len(own)]
    return ShortestBout(behaviours=tuple(names), each_s=_short(limits))


def _typical(lengths: Sequence[FloatArray]) -> tuple[list[float], list[float]]:
    """Return means in seconds and deviations of the logarithm, leaning on those of all behaviours together."""
    known = [np.log(own) for own in lengths if len(own)]
    if not known:
        return [1.0] * len(lengths), [1.0] * len(lengths)
    # every behaviour counts alike, however many bouts it has
    centre = float(np.mean([np.log(np.exp(own).mean()) for own in known]))
    variance = float(np.mean([own.var() for own in known]))
    means, spreads = [], []
    for own in lengths:
        n = len(own)
        log_mean = float(np.log(own.mean())) if n else 0.0
        own_variance = float(np.log(own).var()) if n else 0.0
        means.append(float(np.exp((n * log_mean + _PSEUDO_BOUTS * centre) / (n + _PSEUDO_BOUTS))))
        shared = (n * own_variance + _PSEUDO_BOUTS * variance) / (n + _PSEUDO_BOUTS)
        spreads.append(float(np.clip(np.sqrt(shared), _LEAST_SPREAD, 5.0)))
    return means, spreads


def _short(values: Iterable[float]) -> tuple[float, ...]:
    """Return numbers with six digits, which a recipe can show."""
    return tuple(float(f"{value:.6g}") for value in values)
