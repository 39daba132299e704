"""Segmental scores: are the bouts right in order and extent, whatever the frames between them.

Source: facts of Lea et al. 2017 (F1@k) and Farha & Gall 2019 (edit) as the MS-TCN++ paper uses them:
edit = 100 (1 - Levenshtein(predicted, true) / longer of the two); F1@k: a predicted segment is a hit if
its intersection over union with a not yet matched true segment of its behaviour is at least k / 100.
Of several such segments the one with the largest overlap is taken, predicted segments in order of time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError
from murine.metrics.basics import Counts, mean

THRESHOLDS = (10, 25, 50)


class Segments(NamedTuple):
    """Runs of one behaviour: half-open frame intervals and their columns, in order of time."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    behaviour: NDArray[np.int64]


@dataclass(frozen=True)
class SegmentScores:
    """`edit` and F1@10, 25, 50 in percent; `true`, `predicted`: how many segments there are.

    None where there is no segment at all.
    """

    edit: float | None
    f1_10: float | None
    f1_25: float | None
    f1_50: float | None
    true: int
    predicted: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return dict(self.__dict__)


def segments(classes: ArrayLike, keep: ArrayLike | None = None) -> Segments:
    """Cut (T,) columns into runs; a run ends at a change and at every frame not in the mask `keep`."""
    values = np.asarray(classes, dtype=np.int64)
    inside = values >= 0 if keep is None else np.asarray(keep, dtype=bool) & (values >= 0)
    # A frame left out gets a value of its own, so that it parts the runs on its sides.
    padded = np.concatenate([[-1], np.where(inside, values, -1), [-1]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    start, stop = edges[:-1], edges[1:]
    behaviour = padded[start + 1]
    real = behaviour >= 0
    return Segments(start[real], stop[real], behaviour[real])


def levenshtein(first: ArrayLike, second: ArrayLike) -> int:
    """Return the least number of insertions, deletions and replacements from one row to the other."""
    a, b = np.asarray(first), np.asarray(second)
    places = np.arange(len(b) + 1)
    row = places.copy()
    for i, value in enumerate(a):
        best = np.concatenate([[i + 1], np.minimum(row[1:] + 1, row[:-1] + (b != value))])
        # Insertions chain along the row: best[j] = min over k <= j of best[k] + (j - k).
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])


def edit_score(true: Segments, predicted: Segments) -> float | None:
    """Return the segmental edit score in percent; 100 is the right order of behaviours."""
    longest = max(len(true.behaviour), len(predicted.behaviour))
    if not longest:
        return None
    return 100.0 * (1.0 - levenshtein(predicted.behaviour, true.behaviour) / longest)


def hits(true: Segments, predicted: Segments, threshold: float) -> Counts:
    """Match predicted to true segments at an overlap of at least `threshold` (0..1); tn is 0."""
    found = 0
    for column in np.unique(predicted.behaviour):
        mine, theirs = predicted.behaviour == column, true.behaviour == column
        starts, stops = true.start[theirs], true.stop[theirs]
        free = np.ones(len(starts), dtype=bool)
        for start, stop in zip(predicted.start[mine], predicted.stop[mine], strict=True):
            # True segments of one behaviour are apart and ordered: those that overlap are neighbours.
            low, high = np.searchsorted(stops, start, side="right"), np.searchsorted(starts, stop)
            shared = np.minimum(stops[low:high], stop) - np.maximum(starts[low:high], start)
            union = np.maximum(stops[low:high], stop) - np.minimum(starts[low:high], start)
            overlap = np.where(free[low:high], shared / union, -1.0)
            if len(overlap) and overlap.max() >= threshold:
                free[low + int(overlap.argmax())] = False
                found += 1
    return Counts(found, len(predicted.start) - found, 0, len(true.start) - found)


def score_segments(
    truth: Sequence[ArrayLike], predicted: Sequence[ArrayLike], *, without: Collection[int] = ()
) -> SegmentScores:
    """Score recordings of (T,) columns, -1 where not annotated; such frames part the segments.

    `without`: columns whose segments are not counted (the background, in some papers). Matches are
    pooled over recordings, edit is their mean. Raises InputError where numbers of frames differ.
    """
    if len(truth) != len(predicted):
        raise InputError(f"{len(truth)} true and {len(predicted)} predicted recordings do not pair")
    counts = {k: [0, 0, 0] for k in THRESHOLDS}
    edits: list[float | None] = []
    true_count = predicted_count = 0
    for i, (a, b) in enumerate(zip(truth, predicted, strict=True)):
        true_classes, predicted_classes = np.asarray(a), np.asarray(b)
        if true_classes.shape != predicted_classes.shape or true_classes.ndim != 1:
            raise InputError(
                f"recording {i}: true frames {true_classes.shape}, predicted {predicted_classes.shape}"
            )
        keep = (true_classes >= 0) & (predicted_classes >= 0)
        true_cut, predicted_cut = (
            _without(segments(x, keep), without) for x in (true_classes, predicted_classes)
        )
        edits.append(edit_score(true_cut, predicted_cut))
        true_count += len(true_cut.start)
        predicted_count += len(predicted_cut.start)
        for k in THRESHOLDS:
            n = hits(true_cut, predicted_cut, k / 100)
            counts[k] = [counts[k][0] + n.tp, counts[k][1] + n.fp, counts[k][2] + n.fn]
    f1 = [Counts(tp, fp, 0, fn).f1 for tp, fp, fn in counts.values()]
    percent = [None if value is None else 100.0 * value for value in f1]
    at_10, at_25, at_50 = percent
    return SegmentScores(mean(edits), at_10, at_25, at_50, true_count, predicted_count)


def _without(cut: Segments, columns: Collection[int]) -> Segments:
    real = ~np.isin(cut.behaviour, list(columns))
    return Segments(cut.start[real], cut.stop[real], cut.behaviour[real])
