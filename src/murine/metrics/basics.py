"""The arithmetic under every score: counts, ranks, agreement. A score that cannot be had is None.

None is used where a denominator is zero (a behaviour that never happens has no recall): a 0 or a NaN
there would travel into a mean in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.types import BoolArray, FloatArray, IntArray


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole, or None where whole is 0."""
    return float(part) / float(whole) if whole else None


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those values that exist, or None if there is none."""
    known = [v for v in values if v is not None]
    return float(sum(known) / len(known)) if known else None


@dataclass(frozen=True)
class Counts:
    """One behaviour against the rest: true and false positives, true and false negatives, in frames."""

    tp: int
    fp: int
    tn: int
    fn: int

    @classmethod
    def of(cls, truth: BoolArray, decided: BoolArray) -> Counts:
        """Count two (N,) masks against each other."""
        tp = int(np.count_nonzero(truth & decided))
        positive, said = int(np.count_nonzero(truth)), int(np.count_nonzero(decided))
        return cls(tp, said - tp, len(truth) - positive - said + tp, positive - tp)

    @property
    def accuracy(self) -> float | None:
        """Share of frames decided rightly."""
        return ratio(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn)

    @property
    def precision(self) -> float | None:
        """Share of the frames said to show the behaviour that do; None if it is never said."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the behaviour's frames that were found; None if it never happens."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float | None:
        """Share of the other frames left alone; None if there is no other frame."""
        return ratio(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float | None:
        """2 tp / (2 tp + fp + fn); None if the behaviour neither happens nor is said."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa of the two-by-two table."""
        return kappa([[self.tp, self.fn], [self.fp, self.tn]])


def confusion(truth: IntArray, decided: IntArray, classes: int) -> NDArray[np.int64]:
    """Return the (C, C) counts of frames; row: true behaviour, column: decided behaviour."""
    joint = truth.astype(np.int64) * classes + decided
    return np.bincount(joint, minlength=classes * classes).reshape(classes, classes)


def kappa(table: ArrayLike) -> float | None:
    """Return Cohen's kappa of a (C, C) table of counts; None where chance alone agrees fully."""
    counts = np.asarray(table, dtype=np.float64)
    total = counts.sum()
    if not total:
        return None
    chance = float((counts.sum(axis=0) * counts.sum(axis=1)).sum()) / total**2
    return None if chance == 1.0 else float((np.trace(counts) / total - chance) / (1.0 - chance))


def _steps(truth: BoolArray, score: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True positives, and frames said positive, at each distinct threshold, highest first."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    return np.cumsum(truth[order], dtype=np.int64)[last], last + 1


def roc_auc(truth: BoolArray, score: FloatArray) -> float | None:
    """Return the area under the ROC curve: the chance that a positive frame outranks a negative one.

    Equal scores count half. None without a positive or without a negative frame.
    """
    positive = int(np.count_nonzero(truth))
    negative = len(truth) - positive
    if not positive or not negative:
        return None
    found, said = _steps(truth, score)
    false = said - found
    # Twice the area in whole numbers: ties are exact, nothing is rounded before the division.
    width = np.diff(false, prepend=0)
    height = found + np.concatenate([[0], found[:-1]])
    return float(int((width * height).sum()) / (2 * positive * negative))


def average_precision(truth: BoolArray, score: FloatArray) -> float | None:
    """Return the mean precision over the positive frames, no interpolation; None without one.

    The sum over thresholds of (change of recall) x precision, equal scores at one threshold.
    """
    positive = int(np.count_nonzero(truth))
    if not positive:
        return None
    found, said = _steps(truth, score)
    return float((np.diff(found, prepend=0) * (found / said)).sum() / positive)
