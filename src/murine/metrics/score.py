"""One set of labels against another: two raters, or a prediction against a human."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError, suggest
from murine.metrics.frames import FrameScores, score_frames
from murine.metrics.segments import SegmentScores, score_segments
from murine.types import Bouts, Ethogram

NONE = "none of these"
"""The background added where exclusive labels leave frames without a behaviour and name none."""


@dataclass(frozen=True)
class LabelScores:
    """Frame scores (the areas are None: labels have no probabilities), and segmental scores.

    `segments`: over all behaviours, the background too; None where behaviours may overlap.
    """

    frames: FrameScores
    segments: SegmentScores | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return {
            "frames": self.frames.to_dict(),
            "segments": None if self.segments is None else self.segments.to_dict(),
        }


def score_bouts(truth: Bouts, predicted: Bouts) -> LabelScores:
    """Score `predicted` against `truth`, behaviours met by name, frames annotated in both.

    A background counts as "none of the others": it may be missing on one side. If behaviours overlap
    on either side both are scored as multi-label. Raises InputError for other behaviours on the two
    sides, other numbers of frames, no frame annotated in both.
    """
    return score_many([truth], [predicted])


def score_many(truth: Sequence[Bouts], predicted: Sequence[Bouts]) -> LabelScores:
    """Score several recordings together, their frames pooled; see `score_bouts`."""
    if len(truth) != len(predicted) or not truth:
        raise InputError(f"{len(truth)} true and {len(predicted)} predicted recordings do not pair")
    for i, (a, b) in enumerate(zip(truth, predicted, strict=True)):
        if a.n_frames != b.n_frames:
            which = f"recording {i + 1} of {len(truth)}: " if len(truth) > 1 else ""
            raise InputError(
                f"{which}the truth has {a.n_frames} frames, the other labels {b.n_frames}; they belong "
                "to different recordings or frame rates"
            )
    ethogram = _common([b.ethogram for b in (*truth, *predicted)])
    true = [_frames(b, ethogram) for b in truth]
    said = [_frames(b, ethogram) for b in predicted]
    ethogram, true, said = _close(ethogram, true, said)
    for human, other in zip(true, said, strict=True):
        human[(other == -1).all(axis=1)] = -1  # what only one side looked at is nobody's fault
    pooled = score_frames(np.concatenate(true), None, ethogram, decided=np.concatenate(said))
    if not ethogram.exclusive:
        return LabelScores(pooled, None)
    return LabelScores(pooled, score_segments([_columns(t) for t in true], [_columns(s) for s in said]))


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
    own = bouts.frames()
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
    ethogram: Ethogram, true: list[NDArray[np.int8]], said: list[NDArray[np.int8]]
) -> tuple[Ethogram, list[NDArray[np.int8]], list[NDArray[np.int8]]]:
    """Add a background column where exclusive labels leave a frame without a behaviour."""
    if not ethogram.exclusive or ethogram.background is not None:
        return ethogram, true, said
    if not any((t == 0).all(axis=1).any() for t in (*true, *said)):
        return ethogram, true, said

    def closed(table: NDArray[np.int8]) -> NDArray[np.int8]:
        seen = (table != -1).any(axis=1)
        none = np.where(seen, (table == 0).all(axis=1), -1).astype(np.int8)
        return np.column_stack([table, none])

    wider = Ethogram((*ethogram.behaviours, NONE), background=NONE)
    return wider, [closed(t) for t in true], [closed(s) for s in said]


def _columns(frames: NDArray[np.int8]) -> NDArray[np.int64]:
    return np.where((frames == 1).any(axis=1), frames.argmax(axis=1), -1)
