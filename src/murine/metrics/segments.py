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
from murine.metrics.basics import Counts, ratio

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


Overlaps = list[list[tuple[float, int]]]
"""For each predicted segment: (intersection over union, index) of the true ones it shares frames with."""


def overlaps(true: Segments, predicted: Segments) -> Overlaps:
    """Return the overlaps of predicted with true segments of the same behaviour, in order of time."""
    lanes: dict[int, list[tuple[int, int, int]]] = {}
    for j, (start, stop, c) in enumerate(zip(*(column.tolist() for column in true), strict=True)):
        lanes.setdefault(c, []).append((start, stop, j))
    first = dict.fromkeys(lanes, 0)
    result: Overlaps = []
    for start, stop, c in zip(*(column.tolist() for column in predicted), strict=True):
        lane, found = lanes.get(c, []), []
        at = first.get(c, 0)
        while at < len(lane) and lane[at][1] <= start:
            at += 1
        first[c] = at  # segments of one behaviour are apart and ordered: none before it counts again
        while at < len(lane) and lane[at][0] < stop:
            begin, end, j = lane[at]
            found.append(
                ((min(end, stop) - max(begin, start)) / (max(end, stop) - min(begin, start)), j)
            )
            at += 1
        result.append(found)
    return result


def hits(shared: Overlaps, true: int, threshold: float) -> Counts:
    """Match predicted to `true` many segments at an overlap of at least `threshold` (0..1); tn is 0."""
    taken: set[int] = set()
    for found in shared:
        free = [(overlap, -j) for overlap, j in found if overlap >= threshold and j not in taken]
        if free:
            taken.add(-max(free)[1])
    return Counts(len(taken), len(shared) - len(taken), 0, true - len(taken))


def count_segments(
    truth: ArrayLike, predicted: ArrayLike, *, without: Collection[int] = ()
) -> NDArray[np.float64]:
    """Return what one recording of (T,) columns adds: its edit score and 1 (0 and 0 without a segment), how many
    segments are true and predicted, then hits, false and missed ones at each threshold.

    Raises InputError where numbers of frames differ.
    """
    true, other = np.asarray(truth), np.asarray(predicted)
    if true.shape != other.shape or true.ndim != 1:
        raise InputError(f"true frames {true.shape}, predicted {other.shape}")
    keep = (true >= 0) & (other >= 0)
    true_cut, other_cut = (_without(segments(x, keep), without) for x in (true, other))
    edit = edit_score(true_cut, other_cut)
    shared = overlaps(true_cut, other_cut)
    matched = (hits(shared, len(true_cut.start), k / 100) for k in THRESHOLDS)
    counts = [n for at in matched for n in (at.tp, at.fp, at.fn)]
    lengths = (len(true_cut.start), len(other_cut.start))
    return np.array([edit or 0.0, edit is not None, *lengths, *counts], dtype=np.float64)


def score_segments(
    truth: Sequence[ArrayLike], predicted: Sequence[ArrayLike], *, without: Collection[int] = ()
) -> SegmentScores:
    """Score recordings of (T,) columns, -1 where not annotated; such frames part the segments.

    `without`: columns whose segments are not counted (the background, in some papers). Matches are
    pooled over recordings, edit is their mean. Raises InputError where numbers of frames differ.
    """
    if len(truth) != len(predicted):
        raise InputError(f"{len(truth)} true and {len(predicted)} predicted recordings do not pair")
    counted = []
    for i, (a, b) in enumerate(zip(truth, predicted, strict=True)):
        try:
            counted.append(count_segments(a, b, without=without))
        except InputError as error:
            raise InputError(f"recording {i}: {error}") from error
    return pool_segments(counted)


def pool_segments(counted: Sequence[NDArray[np.float64]]) -> SegmentScores:
    """Return the scores of recordings, of which `count_segments` told what each adds."""
    total = np.sum(counted, axis=0) if counted else np.zeros(4 + 3 * len(THRESHOLDS))
    edit, recordings, true, said, *counts = total.tolist()
    f1 = [
        Counts(int(tp), int(fp), 0, int(fn)).f1 for tp, fp, fn in zip(*[iter(counts)] * 3, strict=True)
    ]
    at_10, at_25, at_50 = (None if value is None else 100.0 * value for value in f1)
    return SegmentScores(ratio(edit, recordings), at_10, at_25, at_50, int(true), int(said))


def _without(cut: Segments, columns: Collection[int]) -> Segments:
    real = ~np.isin(cut.behaviour, list(columns))
    return Segments(cut.start[real], cut.stop[real], cut.behaviour[real])
