"""All scores of recordings drawn any number of times each, from what each of them adds.

D draws, R recordings, C behaviours. A score that a draw does not have is NaN in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from murine.metrics.basics import average_precision
from murine.metrics.matching import BoutCounts
from murine.metrics.outcomes import Outcome, Values
from murine.metrics.segments import THRESHOLDS
from murine.types import Ethogram

Drawn = NDArray[np.float64]

STEPS = 512
"""Thresholds at which the precision of a behaviour is looked up in a draw; of fewer positives each is one."""


class Pool:
    """The outcomes of recordings, ready to be weighed."""

    def __init__(self, outcomes: Sequence[Outcome], ethogram: Ethogram) -> None:
        self.ethogram = ethogram
        self._frames = np.stack([o.frames for o in outcomes]).astype(np.float64)
        cuts = [o.segments for o in outcomes if o.segments is not None]
        self._segments = np.stack(cuts) if len(cuts) == len(outcomes) else None
        self._ranks: list[_Ranks] = []
        ranked = [o.ranked for o in outcomes if o.ranked is not None]
        if len(ranked) == len(outcomes):
            truth, values = (np.concatenate([row[side] for row in ranked]) for side in (0, 1))
            whose = np.repeat(np.arange(len(ranked)), [len(row[0]) for row in ranked])
            self._ranks = [_Ranks(t, v, whose) for t, v in zip(truth.T, values.T, strict=True)]
        self._bouts: list[_Lane] = []
        if all(o.bouts for o in outcomes):
            seconds = np.array([o.seconds for o in outcomes])
            columns = range(len(ethogram))
            self._bouts = [_Lane([o.bouts[c] for o in outcomes], seconds) for c in columns]

    def __len__(self) -> int:
        return len(self._frames)

    def scores(self, weights: Drawn) -> dict[str, Drawn]:
        """Return every score (D,) where recordings count as often as `weights` (D, R) say.

        Keys: those of `FrameScores`; `f1 NAME` and `average_precision NAME` of each behaviour; `edit`,
        `f1_10`, `f1_25`, `f1_50`; and `bout_KEY NAME` for what `BoutMatches` says of each.
        """
        names = self.ethogram.behaviours
        frames = np.tensordot(weights, self._frames, axes=1)
        found = _exclusive(frames, self.ethogram) if self.ethogram.exclusive else _multi_label(frames)
        each = found.pop("f1")
        scores = found | {f"f1 {name}": each[:, c] for c, name in enumerate(names)}
        if self._ranks:
            precision = np.stack([ranks.precision(weights) for ranks in self._ranks], axis=1)
            scores["map"] = mean_of(precision)
            scores["map_foreground"] = mean_of(precision[:, list(self.ethogram.foreground)])
            scores |= {f"average_precision {name}": precision[:, c] for c, name in enumerate(names)}
        if self._segments is not None:
            edit, count, _, _, *hits = (weights @ self._segments).T
            scores["edit"] = _over(edit, count)
            for k, (tp, fp, fn) in zip(THRESHOLDS, zip(*[iter(hits)] * 3, strict=True), strict=True):
                scores[f"f1_{k}"] = 100 * _over(2 * tp, 2 * tp + fp + fn)
        for name, lane in zip(names, self._bouts, strict=False):
            scores |= {f"bout_{key} {name}": values for key, values in lane.scores(weights).items()}
        return scores


class _Ranks:
    """Frames of one behaviour by their probability, for its average precision in any draw.

    Precision changes at positive frames only, so that it is looked up at their probabilities. Of more than
    `STEPS` different ones, as many evenly spread are taken, and what this changes for all recordings once each is
    taken off every draw.
    """

    def __init__(self, labels: NDArray[np.int8], values: Values, whose: NDArray[np.int64]) -> None:
        known = labels != -1
        truth, values, whose, recordings = labels[known] == 1, values[known], whose[known], whose[-1] + 1
        self._exact = average_precision(truth, values)
        steps = np.unique(values[truth])
        if len(steps) > STEPS:
            ordered = np.sort(values[truth])
            at = np.linspace(0, len(ordered) - 1, STEPS + 1)[:-1].astype(np.int64)
            steps = np.unique(ordered[at])
        # Bin 0 holds the frames above the highest threshold: the order of falling probability.
        bins = len(steps) - np.searchsorted(steps, values, side="right")
        inside = bins < len(steps)
        shape = (len(steps), int(recordings))
        self._all, self._shown = (
            sparse.coo_array((np.ones(int(of.sum())), (bins[of], whose[of])), shape=shape).tocsr()
            for of in (inside, inside & truth)
        )
        self._shift = 0.0
        if self._exact is not None:
            self._shift = self._exact - float(self._looked_up(np.ones((1, int(recordings))))[0])

    def precision(self, weights: Drawn) -> Drawn:
        """Return the average precision (D,) of each draw."""
        if self._exact is None:
            return np.full(len(weights), np.nan)
        return np.clip(self._looked_up(weights) + self._shift, 0.0, 1.0)

    def _looked_up(self, weights: Drawn) -> Drawn:
        each = self._shown @ weights.T
        found, said = np.cumsum(each, axis=0), np.cumsum(self._all @ weights.T, axis=0)
        return _over((each * np.nan_to_num(_over(found, said))).sum(axis=0), found[-1])


class _Lane:
    """One behaviour's bouts, and when those that were met began and ended."""

    def __init__(self, counts: Sequence[BoutCounts], seconds: Drawn) -> None:
        kinds = ("true", "predicted", "matched", "fragmented", "merged", "true_s", "predicted_s")
        rows = [[getattr(n, kind) for kind in kinds] for n in counts]
        self._table = np.column_stack([np.array(rows, dtype=np.float64), seconds])
        self._whose = np.repeat(np.arange(len(counts)), [n.matched for n in counts])
        self._edges = {
            "onset": np.concatenate([n.onsets for n in counts]),
            "offset": np.concatenate([n.offsets for n in counts]),
        }

    def scores(self, weights: Drawn) -> dict[str, Drawn]:
        """Return what `BoutMatches` calls by these names, (D,) each."""
        true, said, matched, pieces, merged, true_s, said_s, seconds = (weights @ self._table).T
        result = {
            "precision": _over(matched, said),
            "recall": _over(matched, true),
            "f1": _over(2 * matched, true + said),
            "fragmented_share": _over(pieces, true),
            "merged_share": _over(merged, said),
            "share_error": _over(said_s - true_s, seconds),
        }
        mine = weights[:, self._whose]
        for edge, times in self._edges.items():
            result[f"{edge}_s"] = weighted_median(times, mine)
            result[f"{edge}_error_s"] = weighted_median(np.abs(times), mine)
        return result


def weighted_median(values: NDArray[np.floating[Any]], weights: Drawn) -> Drawn:
    """Return the median (D,) of values (M,) that count (D, M) times each, whole numbers; NaN where none does."""
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    reached = np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    low, high = (reached >= half).argmax(axis=1), (reached > half).argmax(axis=1)
    return np.where(half[:, 0] > 0, (ordered[low] + ordered[high]) / 2, np.nan)


def _over(part: Drawn, whole: Drawn) -> Drawn:
    """Return part / whole, NaN where whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    result: Drawn = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return result


def mean_of(values: Drawn) -> Drawn:
    """Return the mean along the last axis of what is there, NaN where nothing is."""
    there = np.isfinite(values)
    return _over(np.where(there, values, 0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))


def _exclusive(frames: Drawn, ethogram: Ethogram) -> dict[str, Drawn]:
    """(D, C, 4) counts to scores (D,), and `f1` (D, C)."""
    hits, true, said, inside = np.moveaxis(frames, 2, 0)
    total = true.sum(axis=1)
    f1 = _over(2 * hits, true + said)
    agreed = _over(hits.sum(axis=1), total)
    chance = _over((true * said).sum(axis=1), total**2)
    front = list(ethogram.foreground)
    return {
        "accuracy": agreed,
        "balanced_accuracy": mean_of(_over(hits, true)),
        "kappa": _over(agreed - chance, 1 - chance),
        "macro_f1": mean_of(f1),
        "macro_f1_foreground": mean_of(f1[:, front]),
        "macro_f1_foreground_without_background_frames": mean_of(
            _over(2 * hits, true + inside)[:, front]
        ),
        "f1": f1,
    }


def _multi_label(frames: Drawn) -> dict[str, Drawn]:
    """(D, C, 4) counts to scores (D,), and `f1` (D, C)."""
    tp, fp, tn, fn = np.moveaxis(frames, 2, 0)
    total = tp + fp + tn + fn
    f1, recall = _over(2 * tp, 2 * tp + fp + fn), _over(tp, tp + fn)
    both = np.where(np.isfinite(recall), (recall + _over(tn, tn + fp)) / 2, np.nan)
    agreed = _over(tp + tn, total)
    chance = _over((tp + fn) * (tp + fp) + (tn + fp) * (tn + fn), total**2)
    macro = mean_of(f1)
    return {
        "accuracy": _over((tp + tn).sum(axis=1), total.sum(axis=1)),
        "balanced_accuracy": mean_of(both),
        "kappa": mean_of(_over(agreed - chance, 1 - chance)),
        "macro_f1": macro,
        "macro_f1_foreground": macro,
        "macro_f1_foreground_without_background_frames": macro,
        "f1": f1,
    }
