"""One set of labels against another: two raters, or a prediction against a human."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError, suggest
from murine.metrics.details import matched
from murine.metrics.frames import FrameScores
from murine.metrics.intervals import Interval, bootstrap_intervals
from murine.metrics.matching import BoutMatches
from murine.metrics.outcomes import Pair, Values, fill_background, outcome_of
from murine.metrics.protocols import follow, pooled_frames
from murine.metrics.segments import SegmentScores, score_segments
from murine.types import Bouts, Ethogram, Timeline

NONE = "none of these"
"""The background added where exclusive labels leave frames without a behaviour and name none."""


@dataclass(frozen=True)
class LabelScores:
    """Frame scores (the areas are None for labels, which have no probabilities), segmental scores, bouts one by one.

    `segments`: over all behaviours, the background too; None where behaviours may overlap. `bouts`: a row per
    behaviour; empty where no times were given. `intervals`: of 95 %, over recordings or the groups they are
    in; empty for one alone. `protocols`: published ways to score, as `metrics.follow` tells them.
    """

    frames: FrameScores
    segments: SegmentScores | None
    bouts: tuple[BoutMatches, ...] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return {
            "frames": self.frames.to_dict(),
            "segments": None if self.segments is None else self.segments.to_dict(),
            "bouts": [row.to_dict() for row in self.bouts],
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "protocols": {name: dict(told) for name, told in self.protocols.items()},
        }


def score_bouts(truth: Bouts, predicted: Bouts) -> LabelScores:
    """Score `predicted` against `truth`, behaviours met by name, frames annotated in both.

    A background counts as "none of the others": it may be missing on one side. If behaviours overlap
    on either side both are scored as multi-label. Raises InputError for other behaviours on the two
    sides, other numbers of frames, no frame annotated in both.
    """
    return score_many([truth], [predicted])


def score_many(
    truth: Sequence[Bouts],
    predicted: Sequence[Bouts],
    timelines: Sequence[Timeline] | None = None,
    *,
    probabilities: Sequence[Mapping[str, Values]] = (),
    groups: Sequence[str] = (),
    protocols: Sequence[str] = (),
) -> LabelScores:
    """Score several recordings together, their frames pooled; see `score_bouts`.

    With the times of their frames the bouts are matched too, at an intersection over union of .5. `probabilities`:
    for each recording (T,) of each behaviour, where the second side has them. `groups`: what each recording
    belongs to, such as its animal, drawn as a whole for intervals. `protocols`: names of published ways to
    score.
    """
    if len(truth) != len(predicted) or not truth:
        raise InputError(f"{len(truth)} true and {len(predicted)} predicted recordings do not pair")
    ethogram, pairs = common_pairs(truth, predicted, timelines, probabilities)
    frames = pooled_frames(ethogram, pairs)
    kept = [i for i, pair in enumerate(pairs) if pair.labelled]
    outcomes = [outcome_of(pairs[i], ethogram) for i in kept]
    names = [groups[i] for i in kept] if groups else [str(i) for i in kept]
    segments = None
    if ethogram.exclusive:
        segments = score_segments(
            [_columns(p.truth) for p in pairs], [_columns(p.decided) for p in pairs]
        )
    return LabelScores(
        frames,
        segments,
        matched(outcomes, ethogram),
        bootstrap_intervals(outcomes, ethogram, groups=names),
        {name: follow(name, [pairs[i] for i in kept], ethogram, names) for name in protocols},
    )


def common_pairs(
    truth: Sequence[Bouts],
    predicted: Sequence[Bouts],
    timelines: Sequence[Timeline] | None = None,
    probabilities: Sequence[Mapping[str, Values]] = (),
) -> tuple[Ethogram, list[Pair]]:
    """Return the ethogram of both sides and each recording in its columns; arguments as `score_many`.

    Probabilities are kept where there are some of every behaviour. What only one side looked at is nobody's
    fault: it counts as not annotated.
    """
    ethogram, (true, said) = common_frames([truth, predicted])
    pairs = []
    for i, (human, other) in enumerate(zip(true, said, strict=True)):
        human[(other == -1).all(axis=1) if ethogram.exclusive else other == -1] = -1
        given = probabilities[i] if probabilities else {}
        values = None
        if all(name in given for name in ethogram.behaviours):
            values = np.stack([given[name] for name in ethogram.behaviours], axis=1)
        pairs.append(Pair(human, other, values, None if timelines is None else timelines[i]))
    return ethogram, pairs


def common_frames(
    sides: Sequence[Sequence[Bouts]],
) -> tuple[Ethogram, list[list[NDArray[np.int8]]]]:
    """Return the ethogram of all, and for each side the (T, C) frames of each recording in its columns.

    Recordings come in the same order on each side. Raises InputError for other numbers of frames and for
    other behaviours; see `score_bouts`.
    """
    for i, rows in enumerate(zip(*sides, strict=True)):
        lengths = [bouts.n_frames for bouts in rows]
        if len(set(lengths)) > 1:
            which = f"recording {i + 1} of {len(sides[0])}: " if len(sides[0]) > 1 else ""
            raise InputError(
                f"{which}the truth has {lengths[0]} frames, the other labels "
                f"{', '.join(str(n) for n in lengths[1:])}; they belong "
                "to different recordings or frame rates"
            )
    ethogram = _common([bouts.ethogram for side in sides for bouts in side])
    return _close(ethogram, [[_frames(bouts, ethogram) for bouts in side] for side in sides])


def _common(ethograms: Sequence[Ethogram]) -> Ethogram:
    """Return the ethogram all agree on but for a background, in the order of the first."""
    first = ethograms[0]
    backgrounds = {e.background for e in ethograms if e.background is not None}
    if len(backgrounds) > 1:
        raise InputError(f"the labels name different backgrounds: {', '.join(sorted(backgrounds))}")
    background = next(iter(backgrounds), None)
    names = [b for b in first.behaviours if b != background]
    for other in ethograms[1:]:
        theirs = [b for b in other.behaviours if b != background]
        if set(theirs) != set(names):
            odd = sorted(set(theirs) ^ set(names))
            sides = [
                f"'{b}' only in the {'truth' if b in names else 'other labels'}."
                f"{suggest(b, theirs if b in names else names)}"
                for b in odd
            ]
            raise InputError("the two sides have different behaviours: " + " ".join(sides))
    if not all(e.exclusive for e in ethograms):
        if not names:
            raise InputError("there is no behaviour to score besides the background")
        return Ethogram(tuple(names), exclusive=False)
    order = list(first.behaviours)
    if background is not None and background not in order:
        order.append(background)
    return Ethogram(tuple(order), background=background)


def _frames(bouts: Bouts, ethogram: Ethogram) -> NDArray[np.int8]:
    """Return (T, C) frames of `bouts` in the columns of `ethogram`."""
    own = fill_background(bouts.frames(), bouts.ethogram)
    result = np.full((bouts.n_frames, len(ethogram)), -1, dtype=np.int8)
    result[(own != -1).any(axis=1)] = 0
    for c, name in enumerate(ethogram.behaviours):
        if name in bouts.ethogram.behaviours:
            result[:, c] = own[:, bouts.ethogram.index(name)]
    if ethogram.background_index is not None:
        none = (result == 0).all(axis=1)
        result[none, ethogram.background_index] = 1
    return result


def _close(
    ethogram: Ethogram, sides: list[list[NDArray[np.int8]]]
) -> tuple[Ethogram, list[list[NDArray[np.int8]]]]:
    """Add a background column where exclusive labels leave a frame without a behaviour."""
    if not ethogram.exclusive or ethogram.background is not None:
        return ethogram, sides
    if not any((table == 0).all(axis=1).any() for side in sides for table in side):
        return ethogram, sides

    def closed(table: NDArray[np.int8]) -> NDArray[np.int8]:
        seen = (table != -1).any(axis=1)
        none = np.where(seen, (table == 0).all(axis=1), -1).astype(np.int8)
        return np.column_stack([table, none])

    wider = Ethogram((*ethogram.behaviours, NONE), background=NONE)
    return wider, [[closed(table) for table in side] for side in sides]


def _columns(frames: NDArray[np.int8]) -> NDArray[np.int64]:
    return np.where((frames == 1).any(axis=1), frames.argmax(axis=1), -1)
