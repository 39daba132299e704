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
    two or more true ones. `onset_s`, `offset_s`: median of predicted minus true time over the pairs, in
    seconds (below 0: too early); `onset_error_s`, `offset_error_s`: median of its size. `true_s`,
    `predicted_s`: time in the behaviour; `share_error`: their difference over all time that both sides
    annotated. None where there is nothing to divide by.
    """

    behaviour: str
    true: int
    predicted: int
    matched: int
    fragmented: int
    merged: int
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


@dataclass(frozen=True)
class _Lane:
    """One behaviour of one recording: bouts on either side, frames they share, pairs."""

    true: Segments
    predicted: Segments
    shared: list[tuple[int, int, int]]
    pairs: list[tuple[int, int]]

    def met_by_many(self, side: int) -> int:
        """Count the true (0) or predicted (1) bouts that share frames with two or more of the other side."""
        return sum(n > 1 for n in _times([row[side] for row in self.shared]))


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
    if by not in ("iou", "overlap") or not 0 <= threshold <= 1:
        raise InputError(f"bouts match by iou or overlap of 0 to 1; came {by} of {threshold}")
    if not len(truth) == len(predicted) == len(timelines):
        raise InputError(
            f"{len(truth)} true, {len(predicted)} predicted recordings and {len(timelines)} timelines "
            "do not go together"
        )
    edges = [timeline.seconds(np.arange(len(timeline) + 1)) for timeline in timelines]
    seconds, keeps = 0.0, []
    for i, (a, b, times) in enumerate(zip(truth, predicted, edges, strict=True)):
        if not a.shape == b.shape == (len(times) - 1, len(behaviours)):
            raise InputError(
                f"recording {i}: true frames {a.shape}, predicted {b.shape}, "
                f"{len(times) - 1} times of {len(behaviours)} behaviours"
            )
        seen = (a != -1) & (b != -1)
        keeps.append(seen)
        seconds += float(np.diff(times)[seen.any(axis=1)].sum())
    rows = []
    for c, name in enumerate(behaviours):
        lanes = [
            _lane(a[:, c], b[:, c], keep[:, c], by, threshold)
            for a, b, keep in zip(truth, predicted, keeps, strict=True)
        ]
        rows.append(_row(name, lanes, edges, seconds))
    return tuple(rows)


def _lane(
    true: NDArray[np.int8], said: NDArray[np.int8], keep: NDArray[np.bool_], by: By, threshold: float
) -> _Lane:
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
    return _Lane(first, second, shared, pairs)


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


def _row(
    name: str, lanes: Sequence[_Lane], edges: Sequence[NDArray[np.floating[Any]]], seconds: float
) -> BoutMatches:
    true, said = (sum(len(side.start) for side in sides) for sides in _sides(lanes))
    true_s, said_s = (
        sum(float((t[s.stop] - t[s.start]).sum()) for s, t in zip(sides, edges, strict=True))
        for sides in _sides(lanes)
    )
    matched = sum(len(lane.pairs) for lane in lanes)
    onsets, offsets = [], []
    for lane, t in zip(lanes, edges, strict=True):
        for i, j in lane.pairs:
            onsets.append(t[lane.predicted.start[j]] - t[lane.true.start[i]])
            offsets.append(t[lane.predicted.stop[j]] - t[lane.true.stop[i]])
    counts = Counts(matched, said - matched, 0, true - matched)
    return BoutMatches(
        name, true, said, matched,
        sum(lane.met_by_many(0) for lane in lanes),
        sum(lane.met_by_many(1) for lane in lanes),
        counts.precision, counts.recall, counts.f1,
        _median(onsets), _median(np.abs(onsets)), _median(offsets), _median(np.abs(offsets)),
        true_s, said_s, ratio(said_s - true_s, seconds),
    )  # fmt: skip


def _sides(lanes: Sequence[_Lane]) -> tuple[list[Segments], list[Segments]]:
    return [lane.true for lane in lanes], [lane.predicted for lane in lanes]


def _times(values: Sequence[int]) -> list[int]:
    counts: list[int] = np.bincount(np.asarray(values, dtype=np.int64)).tolist() if values else []
    return counts


def _median(values: Sequence[float] | NDArray[np.floating[Any]]) -> float | None:
    return float(np.median(values)) if len(values) else None
