"""What a recording adds to the scores of many, as one row of numbers: rows are summed, and sums have scores.

N recordings, C behaviours. So a choice among hundreds of decodings, and intervals over recordings, need each
recording judged once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError, suggest
from murine.metrics.segments import hits, overlaps, segments
from murine.types import UNLABELLED, Ethogram, FloatArray

Frames = NDArray[np.int8]

OVERLAP = 0.5
"""Intersection over union from which a predicted bout is a true one."""


def count(truth: Frames, decided: Frames, ethogram: Ethogram) -> FloatArray:
    """Return (4 C + 3,) counts: frames truly and wrongly said and not said of each behaviour, then bouts hit, made
    up and missed.

    `truth`, `decided`: (T, C) of 1, 0 and -1 (not annotated: left out). Bouts only where behaviours exclude
    each other.
    """
    truth, decided = (with_background(frames, ethogram) for frames in (truth, decided))
    known = truth != UNLABELLED
    yes, said = truth == 1, decided == 1
    cells = ((yes & said), (~yes & said), (~yes & ~said), (yes & ~said))
    each = np.stack([(cell & known).sum(axis=0) for cell in cells], axis=1)
    bouts = (0, 0, 0)
    if ethogram.exclusive:
        true, other = (_classes(frames) for frames in (truth, decided))
        keep = (true >= 0) & (other >= 0)
        real, found = segments(true, keep), segments(other, keep)
        matched = hits(overlaps(real, found), len(real.start), OVERLAP)
        bouts = (matched.tp, matched.fp, matched.fn)
    return np.concatenate([each.ravel(), bouts]).astype(np.float64)


def with_background(frames: Frames, ethogram: Ethogram) -> Frames:
    """Return frames (T, C) in which what is annotated as none of the behaviours is the background."""
    if ethogram.background_index is None:
        return frames
    nothing = (frames == 0).all(axis=1)
    if not nothing.any():
        return frames
    filled = frames.copy()
    filled[nothing, ethogram.background_index] = 1
    return filled


def _classes(frames: Frames) -> NDArray[np.int64]:
    return np.where((frames == 1).any(axis=1), frames.argmax(axis=1), UNLABELLED).astype(np.int64)


@dataclass(frozen=True)
class _Parts:
    """The counts of many sums (..., C) and of their bouts (...)."""

    tp: FloatArray
    fp: FloatArray
    tn: FloatArray
    fn: FloatArray
    hit: FloatArray
    made_up: FloatArray
    missed: FloatArray
    exclusive: bool


def _accuracy(of: _Parts) -> FloatArray:
    if of.exclusive:  # every frame is of one behaviour, so frames are what is true of any
        return _ratio(of.tp.sum(axis=-1), (of.tp + of.fn).sum(axis=-1))
    return _ratio((of.tp + of.tn).sum(axis=-1), (of.tp + of.fp + of.tn + of.fn).sum(axis=-1))


def _balanced(of: _Parts) -> FloatArray:
    recall = _ratio(of.tp, of.tp + of.fn)
    if of.exclusive:
        return _mean(recall)
    sides = np.stack([recall, _ratio(of.tn, of.tn + of.fp)])
    known = np.moveaxis(sides, 0, -1)
    return _mean(np.where(np.isnan(recall), np.nan, _mean(known)))


def _macro_f1(of: _Parts) -> FloatArray:
    return _mean(_ratio(2.0 * of.tp, 2.0 * of.tp + of.fp + of.fn))


def _f1_50(of: _Parts) -> FloatArray:
    return _ratio(2.0 * of.hit, 2.0 * of.hit + of.made_up + of.missed)


CRITERIA: Mapping[str, Callable[[_Parts], FloatArray]] = {
    "macro_f1": _macro_f1,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced,
    "f1_50": _f1_50,
    "macro_f1+f1_50": lambda of: (_macro_f1(of) + _f1_50(of)) / 2.0,
}
"""Scores by which something may be chosen, 0..1; `f1_50` is of bouts, the last the mean of frames and bouts."""


def check_criterion(name: str, ethogram: Ethogram) -> None:
    """Raise InputError for a score there is not, or one that these behaviours do not have."""
    if name not in CRITERIA:
        raise InputError(
            f"what is best is said by {', '.join(CRITERIA)}; came '{name}'.{suggest(name, CRITERIA)}"
        )
    if "f1_50" in name and not ethogram.exclusive:
        raise InputError(
            f"'{name}' counts bouts of behaviours that exclude each other, and here they may overlap. Choose "
            "macro_f1, accuracy or balanced_accuracy."
        )


def score_counts(sums: FloatArray, name: str, ethogram: Ethogram) -> FloatArray:
    """Return the score (...) of sums (..., 4 C + 3) of counts, NaN where there is none to be had."""
    each = sums[..., :-3].reshape(*sums.shape[:-1], len(ethogram), 4)
    bouts = sums[..., -3:]
    tp, fp, tn, fn = np.moveaxis(each, -1, 0)
    hit, made_up, missed = np.moveaxis(bouts, -1, 0)
    parts = _Parts(tp, fp, tn, fn, hit, made_up, missed, ethogram.exclusive)
    return CRITERIA[name](parts)


def all_scores(sums: FloatArray, ethogram: Ethogram) -> dict[str, float | None]:
    """Return every score of one sum of counts, None where there is none to be had."""
    names = [
        name for name in CRITERIA if "+" not in name and ("f1_50" not in name or ethogram.exclusive)
    ]
    values = {name: float(score_counts(sums, name, ethogram)) for name in names}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def gain_interval(
    before: FloatArray, after: FloatArray, name: str, ethogram: Ethogram, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % interval of a gain, by drawing groups of recordings anew 1,000 times.

    `before`, `after`: (N, 4 C + 3) counts of each group. None with fewer than two groups.
    """
    if len(before) < 2:
        return None
    rng = np.random.default_rng([seed, 0])
    drawn = rng.multinomial(len(before), np.full(len(before), 1.0 / len(before)), size=1000)
    gains = score_counts(drawn @ after, name, ethogram) - score_counts(drawn @ before, name, ethogram)
    known = gains[~np.isnan(gains)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    lacking = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(part, whole, out=lacking, where=np.asarray(whole) > 0))


def _mean(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))
