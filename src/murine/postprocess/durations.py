"""How long bouts last, as a decision needs it: chances of each length in steps, the rest at a constant rate.

S states, D lengths told apart. A bout longer than D steps ends in each further step with one and the same
chance, so that no length is impossible and the work stays bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from murine.types import FloatArray

SHAPES = ("lognormal", "geometric")
"""How lengths scatter around their mean: bouts of a typical length, or ones that end at any time alike."""

_LEAST = 1e-12
"""A chance below this counts as this: no length is impossible."""


@dataclass(frozen=True, eq=False)
class Durations:
    """Logarithms of what may happen to bouts of S states; lengths 1..D lie in columns 0..D - 1.

    `ends` (S, D): a bout lasts exactly so long; `reaches` (S, D): at least so long; `left` (S, D): a bout that
    was under way at the start lasts exactly so much longer; `left_reaches` (S, D): at least so much longer.
    `beyond`, `left_beyond` (S,): it lasts longer than D; `goes_on`, `stops` (S,): then of each step. `mean`
    (S,): steps.
    """

    ends: FloatArray
    reaches: FloatArray
    left: FloatArray
    left_reaches: FloatArray
    beyond: FloatArray
    left_beyond: FloatArray
    goes_on: FloatArray
    stops: FloatArray
    mean: FloatArray


def make_durations(
    means: Sequence[float], spreads: Sequence[float], longest: int, shape: str
) -> Durations:
    """Return the law of bouts with these mean lengths (steps) and deviations of the logarithm of length.

    `longest`: lengths told apart, at most; "geometric" needs only one and no spread. The rest of a bout that
    was under way at the start follows the law of what is left of a bout met at a random time.
    """
    mean = np.maximum(np.asarray(means, dtype=np.float64), 1.0)
    stops: FloatArray | None
    if shape == "geometric":
        stop = np.clip(1.0 / mean, 1e-9, 1.0 - 1e-9)
        exact, stops = stop[:, None], stop
    else:
        spread = np.asarray(spreads, dtype=np.float64)
        centre = np.log(mean) - spread**2 / 2.0  # so that the mean is the mean
        edges = np.log(np.arange(1, longest + 1) + 0.5)
        below = ndtr((edges - centre[:, None]) / spread[:, None])
        exact = np.maximum(np.diff(below, axis=1, prepend=0.0), _LEAST)
        # the mass that the floor adds must not make more than everything
        exact /= np.maximum(exact.sum(axis=1, keepdims=True) + 1e-9, 1.0)
        stops = None
    beyond = np.maximum(1.0 - exact.sum(axis=1), _LEAST)
    reaches = np.minimum(beyond[:, None] + exact[:, ::-1].cumsum(axis=1)[:, ::-1], 1.0)
    if stops is None:
        # so that long bouts last as long on average as the law says
        stops = np.clip(beyond / np.maximum(mean - reaches.sum(axis=1), beyond), 1e-6, 1.0 - 1e-6)
    tail = beyond / stops  # the sum of chances to reach D + 1, D + 2, ...
    total = reaches.sum(axis=1) + tail
    left_reaches = (tail[:, None] + reaches[:, ::-1].cumsum(axis=1)[:, ::-1]) / total[:, None]
    return Durations(
        ends=np.log(exact),
        reaches=np.log(reaches),
        left=np.log(reaches / total[:, None]),
        left_reaches=np.log(left_reaches),
        beyond=np.log(beyond),
        # reaching D + m from a random time on sums to beyond / stops x goes_on^(m - 1) / total
        left_beyond=np.log(tail / total),
        goes_on=np.log1p(-stops),
        stops=np.log(stops),
        mean=total,
    )


def shares_of_time(durations: Durations, following: NDArray[Any]) -> FloatArray:
    """Return (S,) the share of time spent in each state in the long run.

    `following` (S, S): chances of the next state, row from, column to.
    """
    states = len(following)
    equations = np.vstack([following.T - np.eye(states), np.ones(states)])
    visits = np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0]
    time = np.maximum(visits, 1e-9) * durations.mean
    return np.asarray(time / time.sum())
