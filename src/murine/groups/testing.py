"""Two or more groups of numbers: permutation tests, Holm's correction, effect sizes with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb, lgamma

import numpy as np

from murine.types import FloatArray

EXACT = 20_000
"""Ways to deal out the animals up to which all are tried."""
DRAWS = 9_999
"""Random ways otherwise; with the one that was found they make 10,000."""
BOOTSTRAPS = 2_000
LEVEL = 0.95
FEWEST = 3
"""Animals in a group below which an interval says nothing."""

Ends = tuple[float, float]


@dataclass(frozen=True)
class Tested:
    """`p`: two-sided; `exact`: every way was tried, of which there are `ways`, so that p is 1 / ways at least."""

    p: float
    exact: bool
    ways: int


@lru_cache(maxsize=64)
def _deals(first: int, second: int, seed: int) -> tuple[np.ndarray, bool]:
    """Return (W, N) of 1 where an animal is dealt to the first group."""
    size, ways = first + second, comb(first + second, first)
    if ways <= EXACT:
        rows = np.array(list(combinations(range(size), first)))
    else:
        order = np.random.default_rng(seed).random((DRAWS, size)).argsort(axis=1)
        rows = order[:, :first]
    table = np.zeros((len(rows), size))
    np.put_along_axis(table, rows, 1.0, axis=1)
    return table, ways <= EXACT


def _share_as_far(found: FloatArray, observed: float, exact: bool) -> float:
    # sums in another order differ by rounding; what is equal must count as equal
    reach = abs(observed) - 1e-9 * max(float(np.abs(found).max(initial=0.0)), abs(observed))
    far = int((np.abs(found) >= reach).sum())
    # the way that was found is one of all ways (Phipson and Smyth 2010)
    return far / len(found) if exact else (far + 1) / (len(found) + 1)


def permutation_test(first: FloatArray, second: FloatArray, *, seed: int = 0) -> Tested:
    """Test the difference of means by dealing the animals out anew; all ways where there are few."""
    deals, exact = _deals(len(first), len(second), seed)
    pooled = np.concatenate([first, second])
    pooled = pooled - pooled.mean()
    sums = deals @ pooled
    means = sums / len(first) - (pooled.sum() - sums) / len(second)
    p = _share_as_far(means, float(first.mean() - second.mean()), exact)
    return Tested(p, exact, comb(len(pooled), len(first)))


def paired_test(first: FloatArray, second: FloatArray, *, seed: int = 0) -> Tested:
    """Test the mean difference of the same animals by turning its sign in every way, or in many."""
    change = first - second
    ways = 2 ** len(change)
    if ways <= EXACT:
        signs = 1.0 - 2.0 * ((np.arange(ways)[:, None] >> np.arange(len(change))) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (DRAWS, len(change)))
    exact = ways <= EXACT
    return Tested(_share_as_far(signs @ change / len(change), float(change.mean()), exact), exact, ways)


def overall_test(groups: Sequence[FloatArray], *, seed: int = 0) -> float:
    """Return p of several groups at once: the spread between their means, animals dealt out at random."""
    sizes = [len(group) for group in groups]
    pooled = np.concatenate(groups)
    pooled = pooled - pooled.mean()
    ends = np.cumsum(sizes)

    def spread(rows: FloatArray) -> FloatArray:
        parts = np.split(rows, ends[:-1], axis=1)
        return np.asarray(sum(part.sum(axis=1) ** 2 / part.shape[1] for part in parts))

    order = np.random.default_rng(seed).random((DRAWS, len(pooled))).argsort(axis=1)
    return _share_as_far(spread(pooled[order]), float(spread(pooled[None])[0]), exact=False)


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, step by step (Holm 1979)."""
    order = np.argsort(values, kind="stable")
    result, highest = [0.0] * len(values), 0.0
    for rank, i in enumerate(order.tolist()):
        highest = max(highest, min(1.0, (len(values) - rank) * values[i]))
        result[i] = highest
    return result


def hedges_g(first: FloatArray, second: FloatArray, *, paired: bool = False) -> float | None:
    """Return the difference of means (first less second) in standard deviations, corrected for few animals.

    The deviation is pooled; of paired numbers the mean of both (Hedges 1981; Lakens 2013). None without any
    spread, or fewer than two in a group.
    """
    if min(len(first), len(second)) < 2:
        return None
    found = _g(first[None], second[None], paired)[0]
    return float(found) if np.isfinite(found) else None


def _g(first: FloatArray, second: FloatArray, paired: bool) -> FloatArray:
    n, m = first.shape[1], second.shape[1]
    if paired:
        free = n - 1
        deviation = (first.std(axis=1, ddof=1) + second.std(axis=1, ddof=1)) / 2
    else:
        free = n + m - 2
        ours, theirs = first.var(axis=1, ddof=1), second.var(axis=1, ddof=1)
        deviation = np.sqrt(((n - 1) * ours + (m - 1) * theirs) / free)
    fair = np.exp(lgamma(free / 2) - lgamma((free - 1) / 2)) / np.sqrt(free / 2) if free > 1 else 1.0
    scale = np.maximum(np.abs(first).max(axis=1), np.abs(second).max(axis=1))
    difference = first.mean(axis=1) - second.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(deviation > 1e-12 * scale, fair * difference / deviation, np.nan)


def rank_biserial(first: FloatArray, second: FloatArray) -> float:
    """Return how much oftener an animal of the first group has more than one of the second than less, -1 to 1."""
    return float(np.sign(first[:, None] - second[None, :]).mean())


def intervals(
    first: FloatArray, second: FloatArray, *, paired: bool = False, seed: int = 0
) -> tuple[Ends | None, Ends | None]:
    """Return intervals of 95 % of the difference of means and of Hedges' g, animals drawn again and again.

    Within each group, of paired numbers together (Efron and Tibshirani 1993, percentiles). None with fewer
    than three animals in a group, or where more than a tenth of the draws have no spread.
    """
    if min(len(first), len(second)) < FEWEST:
        return None, None
    random = np.random.default_rng(seed)
    ours = random.integers(0, len(first), (BOOTSTRAPS, len(first)))
    theirs = ours if paired else random.integers(0, len(second), (BOOTSTRAPS, len(second)))
    a, b = first[ours], second[theirs]
    effects = _g(a, b, paired)
    known = effects[np.isfinite(effects)]
    difference = _ends(a.mean(axis=1) - b.mean(axis=1))
    return difference, _ends(known) if len(known) >= 0.9 * BOOTSTRAPS else None


def _ends(values: FloatArray) -> Ends:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
