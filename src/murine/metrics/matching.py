"""Bouts met one by one: found, missed, made up, broken into pieces or run together, too early or too late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.metrics.basics import Counts, ratio
from murine.metrics.segments import Segments, segments
from murine.types import Timeline

By = Literal["iou", "overlap"]


@dataclass(frozen=True)
class BoutMatches:
    """How the bouts of one behaviour were met, pooled over recordings.

    `true`, `predicted`: bouts on either side; `matched`: pairs, each bout in at most one. `fragmented`: true
    bouts that share frames with two or more predicted ones; `merged`: predicted bouts that share frames with
    two or more true ones; `fragmented_share`, `merged_share`: of the true, of the predicted bouts.
    `onset_s`, `offset_s`: median of predicted minus true time over the pairs, in seconds (below 0: too early);
    `onset_error_s`, `offset_error_s`: median of its size. `true_s`, `predicted_s`: time in the behaviour;
    `share_error`: their difference over all time that both sides
    annotated. None where there is nothing to divide by.
    """

    behaviour: str
    true: int
    predicted: int
    matched: int
    fragmented: int
    merged: int
    fragmented_share: float | None
    merged_share: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    onset_s: float | None
    onset_error_s: float | None
    offset_s: float | None
    offset_error_s: float | None
    true_s: float
    predicted_s: float
    share_error: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class BoutCounts:
    """What one recording adds to one behaviour's `BoutMatches`; `onsets`, `offsets`: of each pair, in seconds."""

    true: int
    predicted: int
    matched: int
    fragmented: int
    merged: int
    true_s: float
    predicted_s: float
    onsets: NDArray[np.float64]
    offsets: NDArray[np.float64]


def match_bouts(
    behaviours: Sequence[str],
    truth: Sequence[NDArray[np.int8]],
    predicted: Sequence[NDArray[np.int8]],
    timelines: Sequence[Timeline],
    *,
    by: By = "iou",
    threshold: float = 0.5,
) -> tuple[BoutMatches, ...]:
    """Match the bouts of each behaviour and return one row per behaviour.

    `truth`, `predicted`: for each recording (T, C) values 1, 0, -1 (not annotated); frames that either side
    did not annotate are left out and part the bouts. A pair needs frames in common and at least `threshold`
    of: intersection over union ("iou"), or the share of the true bout that is covered ("overlap", where 0
    stands for any frame). Pairs are made from the largest overlap down. Raises InputError for
    recordings that do not fit each other.
    """
    if not len(truth) == len(predicted) == len(timelines):
        raise InputError(
            f"{len(truth)} true, {len(predicted)} predicted recordings and {len(timelines)} timelines "
            "do not go together"
        )
    counted = []
    for i, (a, b, timeline) in enumerate(zip(truth, predicted, timelines, strict=True)):
        if not a.shape == b.shape == (len(timeline), len(behaviours)):
            raise InputError(
                f"recording {i}: true frames {a.shape}, predicted {b.shape}, "
                f"{len(timeline)} times of {len(behaviours)} behaviours"
            )
        counted.append(count_bouts(a, b, timeline, by=by, threshold=threshold))
    return pool_matches(behaviours, counted)


def count_bouts(
    truth: NDArray[np.int8],
    predicted: NDArray[np.int8],
    timeline: Timeline,
    *,
    by: By = "iou",
    threshold: float = 0.5,
) -> tuple[tuple[BoutCounts, ...], float]:
    """Match the bouts of one recording, as `match_bouts`: counts of each behaviour, and the seconds both annotated."""
    if by not in ("iou", "overlap") or not 0 <= threshold <= 1:
        raise InputError(f"bouts match by iou or overlap of 0 to 1; came {by} of {threshold}")
    times = timeline.seconds(np.arange(len(timeline) + 1))
    seen = (truth != -1) & (predicted != -1)
    seconds = float(np.diff(times)[seen.any(axis=1)].sum())
    columns = range(truth.shape[1])
    rows = (_lane(truth[:, c], predicted[:, c], seen[:, c], times, by, threshold) for c in columns)
    return tuple(rows), seconds


def pool_matches(
    behaviours: Sequence[str], counted: Sequence[tuple[tuple[BoutCounts, ...], float]]
) -> tuple[BoutMatches, ...]:
    """Return one row per behaviour of what recordings added together."""
    seconds = sum(length for _, length in counted)
    return tuple(
        _row(name, [counts[c] for counts, _ in counted], seconds) for c, name in enumerate(behaviours)
    )


def _lane(
    true: NDArray[np.int8],
    said: NDArray[np.int8],
    keep: NDArray[np.bool_],
    times: NDArray[np.floating[Any]],
    by: By,
    threshold: float,
) -> BoutCounts:
    """Cut one behaviour into bouts and pair them, the largest overlap first."""
    first, second = (segments(np.where(x == 1, 0, -1), keep) for x in (true, said))
    shared = shared_frames(first, second)
    lengths, others = first.stop - first.start, second.stop - second.start
    ranked = []
    for i, j, frames in shared:
        whole = lengths[i] if by == "overlap" else lengths[i] + others[j] - frames
        if frames / whole >= threshold:
            ranked.append((-frames / whole, i, j))
    pairs, taken, used = [], set(), set()
    for _, i, j in sorted(ranked):
        if i not in taken and j not in used:
            pairs.append((i, j))
            taken.add(i)
            used.add(j)
    a, b = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return BoutCounts(
        len(lengths), len(others), len(pairs), _met_by_many(shared, 0), _met_by_many(shared, 1),
        float((times[first.stop] - times[first.start]).sum()),
        float((times[second.stop] - times[second.start]).sum()),
        onsets=times[second.start[b]] - times[first.start[a]],
        offsets=times[second.stop[b]] - times[first.stop[a]],
    )  # fmt: skip


def shared_frames(true: Segments, predicted: Segments) -> list[tuple[int, int, int]]:
    """Return (true bout, predicted bout, frames in common) of two rows of bouts that are apart and in order."""
    found = []
    begin = np.searchsorted(predicted.stop, true.start, side="right")
    end = np.searchsorted(predicted.start, true.stop, side="left")
    for i, (low, high) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
        for j in range(low, high):
            frames = min(true.stop[i], predicted.stop[j]) - max(true.start[i], predicted.start[j])
            found.append((i, j, int(frames)))
    return found


def _met_by_many(shared: Sequence[tuple[int, int, int]], side: int) -> int:
    """Count the true (0) or predicted (1) bouts that share frames with two or more of the other side."""
    met = np.array([row[side] for row in shared], dtype=np.int64)
    return int((np.bincount(met) > 1).sum()) if len(met) else 0


def _row(name: str, lanes: Sequence[BoutCounts], seconds: float) -> BoutMatches:
    kinds = ("true", "predicted", "matched", "fragmented", "merged")
    true, said, matched, pieces, together = (
        sum(getattr(lane, kind) for lane in lanes) for kind in kinds
    )
    true_s, said_s = (
        sum(times) for times in zip(*((n.true_s, n.predicted_s) for n in lanes), strict=True)
    )
    onsets, offsets = (
        np.concatenate(x) for x in zip(*((n.onsets, n.offsets) for n in lanes), strict=True)
    )
    counts = Counts(matched, said - matched, 0, true - matched)
    return BoutMatches(
        name, true, said, matched, pieces, together,
        ratio(pieces, true), ratio(together, said),
        counts.precision, counts.recall, counts.f1,
        _median(onsets), _median(np.abs(onsets)), _median(offsets), _median(np.abs(offsets)),
        true_s, said_s, ratio(said_s - true_s, seconds),
    )  # fmt: skip


def _median(values: NDArray[np.floating[Any]]) -> float | None:
    return float(np.median(values)) if len(values) else None
