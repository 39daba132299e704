"""What each recording adds to every score, so that scores of any choice of recordings need no second count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.metrics.frames import one_class
from murine.metrics.matching import BoutCounts, count_bouts
from murine.metrics.segments import count_segments
from murine.types import Ethogram, Timeline

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Pair:
    """One recording: what people said, (T, C) of 1, 0, -1 (not annotated), and what is held against it.

    `decided`: (T, C) of the same kind; `probabilities`: (T, C) where there are any; `timeline`: of the frames,
    None where the rows are no frames (clips).
    """

    truth: NDArray[np.int8]
    decided: NDArray[np.int8]
    probabilities: Values | None = None
    timeline: Timeline | None = None

    @property
    def labelled(self) -> bool:
        """Whether anything in it can be scored."""
        return bool((self.truth != -1).any())

    def part(self, columns: slice) -> Pair:
        """Return the same of some behaviours."""
        values = None if self.probabilities is None else self.probabilities[:, columns]
        return replace(
            self,
            truth=self.truth[:, columns],
            decided=self.decided[:, columns],
            probabilities=values,
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one recording adds. `frames`: (C, 4) of exclusive behaviours: frames decided rightly, true, decided,
    decided among those that truly are no background; else tp, fp, tn, fn. `segments`: as `count_segments`, None
    where behaviours may overlap. `bouts`, `seconds`: as `count_bouts`; empty without times. `ranked`: (T, C) labels
    as in `Pair`, the background filled in, and probabilities; None without any.
    """

    frames: NDArray[np.int64]
    segments: NDArray[np.float64] | None
    bouts: tuple[BoutCounts, ...]
    seconds: float
    ranked: tuple[NDArray[np.int8], Values] | None


def fill_background(frames: NDArray[np.int8], ethogram: Ethogram) -> NDArray[np.int8]:
    """Return (T, C) frames in which annotated as none of the others is the background, where there is one, of the
    whole or of each task.
    """
    places = [(ethogram.columns(task), task.background) for task in ethogram.tasks]
    places = places or [(slice(0, len(ethogram)), ethogram.background)]
    filled = frames
    for columns, background in places:
        if background is not None:
            none = (frames[:, columns] == 0).all(axis=1)
            filled = frames.copy() if filled is frames else filled
            filled[none, ethogram.index(background)] = 1
    return filled


def outcome_of(pair: Pair, ethogram: Ethogram) -> Outcome:
    """Return what a recording adds; raises InputError for shapes that do not fit, or clashes of labels."""
    shape = (len(pair.truth), len(ethogram))
    for array in (pair.truth, pair.decided, pair.probabilities):
        if array is not None and array.shape != shape:
            raise InputError(f"frames must be {shape}; came {array.shape}")
    truth, said = (fill_background(x, ethogram) for x in (pair.truth, pair.decided))
    if ethogram.exclusive:
        true, other = (
            one_class(x, ethogram, what) for x, what in ((truth, "truth"), (said, "decisions"))
        )
        frames = _exclusive(true, other, ethogram)
    else:
        frames = _multi_label(truth, said)
    ranked = None if pair.probabilities is None else (truth, pair.probabilities)
    if pair.timeline is None:
        return Outcome(frames, None, (), 0.0, ranked)
    segments = count_segments(true, other) if ethogram.exclusive else None
    bouts, seconds = count_bouts(truth, said, pair.timeline)
    return Outcome(frames, segments, bouts, seconds, ranked)


def _exclusive(
    true: NDArray[np.int64], said: NDArray[np.int64], ethogram: Ethogram
) -> NDArray[np.int64]:
    size = len(ethogram)
    seen = (true >= 0) & (said >= 0)
    inside = seen if ethogram.background is None else seen & (true != ethogram.background_index)
    table = [true[seen & (true == said)], true[seen], said[seen], said[inside]]
    return np.stack([np.bincount(values, minlength=size) for values in table], axis=1)


def _multi_label(truth: NDArray[np.int8], said: NDArray[np.int8]) -> NDArray[np.int64]:
    seen, yes, held = (truth != -1) & (said != -1), truth == 1, said == 1
    kinds = (yes & held, ~yes & held, ~yes & ~held, yes & ~held)
    return np.stack([(kind & seen).sum(axis=0) for kind in kinds], axis=1)


def task_parts(
    pairs: Sequence[Pair], ethogram: Ethogram
) -> dict[str, tuple[Ethogram, tuple[int, ...], list[Pair]]]:
    """Return for each task its own ethogram, which recordings have labels of it, and those recordings' part."""
    parts = {}
    for task in ethogram.tasks:
        own = [pair.part(ethogram.columns(task)) for pair in pairs]
        kept = tuple(i for i, pair in enumerate(own) if pair.labelled)
        rows = [own[i] for i in kept]
        alone = Ethogram(task.behaviours, task.exclusive, task.background)
        if alone.exclusive and not all(_one_each(x, alone) for p in rows for x in (p.truth, p.decided)):
            alone = Ethogram(
                task.behaviours, exclusive=False
            )  # frames with none of them, and no background
        parts[task.name] = (alone, kept, rows)
    return parts


def _one_each(frames: NDArray[np.int8], ethogram: Ethogram) -> bool:
    """Return whether every annotated frame shows exactly one behaviour."""
    filled = fill_background(frames, ethogram)
    seen = filled[(filled != -1).any(axis=1)]
    return bool(((seen == 1).sum(axis=1) == 1).all())
