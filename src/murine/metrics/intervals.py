"""How far a score could be off for the recordings that happened to be there: bootstrap over recordings.

Frames of one recording are no independent witnesses, so that whole recordings are drawn (Efron and Tibshirani
1993, percentile interval).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.types import Ethogram

DRAWS = 2000
LEVEL = 0.95

Interval = tuple[float, float]


def count_outcomes(
    truth: NDArray[np.int8], decided: NDArray[np.int8], ethogram: Ethogram
) -> NDArray[np.int64]:
    """Count what one recording adds to every score, (C, C) or (C, 4).

    `truth`, `decided`: (T, C) of 1, 0, -1 (not annotated, left out). Exclusive: frames by true row and decided
    column; else tp, fp, tn, fn of each behaviour.
    """
    if ethogram.exclusive:
        seen = (truth == 1).any(axis=1) & (decided == 1).any(axis=1)
        rows, columns = truth[seen].argmax(axis=1), decided[seen].argmax(axis=1)
        size = len(ethogram)
        return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    seen, yes, said = (truth != -1) & (decided != -1), truth == 1, decided == 1
    kinds = (yes & said, ~yes & said, ~yes & ~said, yes & ~said)
    return np.stack([(kind & seen).sum(axis=0) for kind in kinds], axis=1)


def bootstrap_intervals(
    counts: Sequence[NDArray[np.int64]],
    ethogram: Ethogram,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return an interval for each score that follows from counts, and `f1 BEHAVIOUR` for each behaviour.

    `counts`: those of each recording (or animal: the sum of its recordings). Empty with fewer than two. A draw
    in which a score cannot be had (a behaviour that never happens) is left out of that score.
    """
    if draws < 1 or not 0 < level < 1:
        raise InputError(
            f"an interval needs draws and a level between 0 and 1; came {draws} and {level}"
        )
    if len(counts) < 2:
        return {}
    table = np.stack(counts).astype(np.float64)
    generator = np.random.default_rng(seed)
    chosen = generator.multinomial(len(table), np.full(len(table), 1 / len(table)), size=draws)
    drawn = np.tensordot(chosen.astype(np.float64), table, axes=1)
    scores = _exclusive(drawn, ethogram) if ethogram.exclusive else _multi_label(drawn, ethogram)
    tails = (100 * (1 - level) / 2, 100 * (1 + level) / 2)
    found = {}
    for name, values in scores.items():
        known = values[np.isfinite(values)]
        if len(known):
            low, high = np.percentile(known, tails)
            found[name] = (float(low), float(high))
    return found


def _over(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole, NaN where whole is 0."""
    result: NDArray[np.float64] = np.divide(
        part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0
    )
    return result


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean along the last axis of what is there, NaN where nothing is."""
    there = np.isfinite(values)
    return _over(np.where(there, values, 0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))


def _exclusive(drawn: NDArray[np.float64], ethogram: Ethogram) -> dict[str, NDArray[np.float64]]:
    """(D, C, C) counts to scores (D,)."""
    hits, true, said = np.einsum("dcc->dc", drawn), drawn.sum(axis=2), drawn.sum(axis=1)
    total = true.sum(axis=1)
    f1 = _over(2 * hits, true + said)
    agreed = _over(hits.sum(axis=1), total)
    chance = _over((true * said).sum(axis=1), total**2)
    front = list(ethogram.foreground)
    return {
        "accuracy": agreed,
        "balanced_accuracy": _mean(_over(hits, true)),
        "kappa": _over(agreed - chance, 1 - chance),
        "macro_f1": _mean(f1),
        "macro_f1_foreground": _mean(f1[:, front]),
        **{f"f1 {name}": f1[:, c] for c, name in enumerate(ethogram.behaviours)},
    }


def _multi_label(drawn: NDArray[np.float64], ethogram: Ethogram) -> dict[str, NDArray[np.float64]]:
    """(D, C, 4) counts to scores (D,)."""
    tp, fp, tn, fn = np.moveaxis(drawn, 2, 0)
    total = tp + fp + tn + fn
    f1, recall = _over(2 * tp, 2 * tp + fp + fn), _over(tp, tp + fn)
    both = np.where(np.isfinite(recall), (recall + _over(tn, tn + fp)) / 2, np.nan)
    agreed = _over(tp + tn, total)
    chance = _over((tp + fn) * (tp + fp) + (tn + fp) * (tn + fn), total**2)
    return {
        "accuracy": _over((tp + tn).sum(axis=1), total.sum(axis=1)),
        "balanced_accuracy": _mean(both),
        "kappa": _mean(_over(agreed - chance, 1 - chance)),
        "macro_f1": _mean(f1),
        "macro_f1_foreground": _mean(f1),
        **{f"f1 {name}": f1[:, c] for c, name in enumerate(ethogram.behaviours)},
    }
