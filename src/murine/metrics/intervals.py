"""How far a score could be off for the recordings that happened to be there: bootstrap over recordings.

Frames of one recording are no independent witnesses, so that whole recordings are drawn, or where several are
of one animal or session whole groups of them (Efron and Tibshirani 1993, percentile interval).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from murine.errors import InputError
from murine.metrics.outcomes import Outcome
from murine.metrics.pool import Drawn, Pool
from murine.types import Ethogram

DRAWS = 2000
LEVEL = 0.95

Interval = tuple[float, float]

_AT_ONCE = 200
"""Draws weighed together: memory is this times the bouts that were met."""


@dataclass(frozen=True)
class Difference:
    """A score of two evaluations of the same recordings: `difference` is the second less the first.

    `interval`: of the difference; None with fewer than two groups. `better`: share of draws in which the second
    scores more, half of the equal ones.
    """

    first: float
    second: float
    difference: float
    interval: Interval | None
    better: float | None


def bootstrap_intervals(
    outcomes: Sequence[Outcome],
    ethogram: Ethogram,
    *,
    groups: Sequence[str] = (),
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return an interval for each score that `Pool.scores` names.

    `groups`: the animal, session or cage of each recording, which is drawn as a whole; default: every
    recording by itself. Empty with fewer than two. A draw in which a score cannot be had (a behaviour that never
    happens) is left out of that score.
    """
    units = units_of(len(outcomes), groups, draws, level)
    if len(set(units)) < 2:
        return {}
    pool = Pool(outcomes, ethogram)
    drawn = _joined([pool.scores(weights) for weights in draw_weights(units, draws, seed)])
    found = {name: interval_of(values, level) for name, values in drawn.items()}
    return {name: ends for name, ends in found.items() if ends is not None}


def bootstrap_differences(
    first: Sequence[Outcome],
    second: Sequence[Outcome],
    ethogram: Ethogram,
    *,
    groups: Sequence[str] = (),
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compare two evaluations of the same recordings, in the same order: in each draw both have the same ones.

    Scores that either side does not have are left out. Raises InputError for other numbers of recordings.
    """
    if len(first) != len(second):
        raise InputError(f"{len(first)} and {len(second)} recordings do not pair")
    units = units_of(len(first), groups, draws, level)
    pools = [Pool(outcomes, ethogram) for outcomes in (first, second)]
    whole = [pool.scores(np.ones((1, len(units)))) for pool in pools]
    drawn: list[dict[str, Drawn]] = [{}, {}]
    if len(set(units)) > 1:
        each = [[pool.scores(weights) for pool in pools] for weights in draw_weights(units, draws, seed)]
        drawn = [_joined([pair[side] for pair in each]) for side in (0, 1)]
    found = {}
    for name in whole[0]:
        if name not in whole[1]:
            continue
        one, other = (float(scores[name][0]) for scores in whole)
        if not np.isfinite([one, other]).all():
            continue
        ends = better = None
        if drawn[0]:
            apart = drawn[1][name] - drawn[0][name]
            ends = interval_of(apart, level)
            known = apart[np.isfinite(apart)]
            better = float(((known > 0) + (known == 0) / 2).mean()) if len(known) else None
        found[name] = Difference(one, other, other - one, ends, better)
    return found


def units_of(count: int, groups: Sequence[str], draws: int = DRAWS, level: float = LEVEL) -> list[int]:
    """Return the number of each recording's group, in order of appearance; raises InputError."""
    if draws < 1 or not 0 < level < 1:
        raise InputError(
            f"an interval needs draws and a level between 0 and 1; came {draws} and {level}"
        )
    if groups and len(groups) != count:
        raise InputError(f"{count} recordings came with the groups of {len(groups)}")
    numbers: dict[str, int] = {}
    names = groups or [str(i) for i in range(count)]
    return [numbers.setdefault(name, len(numbers)) for name in names]


def draw_weights(units: Sequence[int], draws: int = DRAWS, seed: int = 0) -> Iterator[Drawn]:
    """Give how often each recording is drawn (n, R), a part of the draws at a time."""
    generator = np.random.default_rng(seed)
    count = max(units) + 1
    for done in range(0, draws, _AT_ONCE):
        size = min(_AT_ONCE, draws - done)
        chosen = generator.multinomial(count, np.full(count, 1 / count), size=size)
        yield chosen[:, list(units)].astype(np.float64)


def _joined(parts: Sequence[dict[str, Drawn]]) -> dict[str, Drawn]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval_of(values: Drawn, level: float = LEVEL) -> Interval | None:
    """Return the interval of a score over draws, None where none has it."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.percentile(known, (100 * (1 - level) / 2, 100 * (1 + level) / 2))
    return float(low), float(high)
