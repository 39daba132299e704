"""Raters among themselves: what a model's scores are to be measured by.

Two people who label the same video do not agree wholly. Their agreement is the most that can be asked of a
model that learned from one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.metrics.basics import mean
from murine.metrics.score import LabelScores, common_frames, score_many
from murine.types import Bouts, Ethogram


@dataclass(frozen=True)
class Agreement:
    """`pairs`: each two raters, the second scored against the first (kappa and F1 do not change when they are
    swapped). `against_majority`: each rater against what most of the others say; frames on which they are
    divided are left out; only with three raters or more. `fleiss`: Fleiss' kappa of each behaviour, yes or no,
    over frames that all raters annotated; `fleiss_all`: of all classes at once, where they exclude each other.
    """

    raters: tuple[str, ...]
    ethogram: Ethogram
    pairs: Mapping[tuple[str, str], LabelScores]
    against_majority: Mapping[str, LabelScores]
    fleiss: Mapping[str, float | None]
    fleiss_all: float | None

    @property
    def kappa(self) -> float | None:
        """Mean Cohen's kappa of the pairs."""
        return mean(scores.frames.kappa for scores in self.pairs.values())

    @property
    def macro_f1(self) -> float | None:
        """Mean over the pairs of macro F1 without the background: the human ceiling of a model's."""
        return mean(scores.frames.macro_f1_foreground for scores in self.pairs.values())

    def f1(self, behaviour: str) -> tuple[float | None, float | None]:
        """Return the mean and the least F1 of a behaviour over the pairs that saw it; raises InputError."""
        scores = [pair.frames.behaviour(behaviour).f1 for pair in self.pairs.values()]
        return mean(scores), min((x for x in scores if x is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return {
            "raters": list(self.raters),
            "kappa": self.kappa,
            "macro_f1": self.macro_f1,
            "fleiss": dict(self.fleiss),
            "fleiss_all": self.fleiss_all,
            "pairs": [
                {"raters": list(names), **scores.to_dict()} for names, scores in self.pairs.items()
            ],
            "against_majority": {
                rater: scores.to_dict() for rater, scores in self.against_majority.items()
            },
        }


def agree(raters: Mapping[str, Sequence[Bouts]]) -> Agreement:
    """Compare raters who labelled the same recordings, given in the same order.

    Raises InputError for fewer than two raters, and where recordings or behaviours do not fit.
    """
    names = tuple(raters)
    if len(names) < 2:
        raise InputError(f"agreement needs two raters or more; came {', '.join(names) or 'none'}")
    if len({len(rows) for rows in raters.values()}) > 1:
        told = ", ".join(f"{name} {len(rows)}" for name, rows in raters.items())
        raise InputError(f"the raters have different numbers of recordings: {told}")
    pairs = {}
    for a, b in combinations(names, 2):
        try:
            pairs[a, b] = score_many(raters[a], raters[b])
        except InputError as error:
            raise InputError(f"{a} and {b}: {error}") from error
    ethogram, frames = common_frames([list(rows) for rows in raters.values()])
    tables = [np.concatenate(rows) for rows in frames]
    majority = {}
    if len(names) > 2:
        for i, name in enumerate(names):
            others = [most(tables[:i] + tables[i + 1 :], ethogram)]
            bouts = [Bouts.from_frames(ethogram, table) for table in (*others, tables[i])]
            if len(bouts[0].annotated):
                majority[name] = score_many(bouts[:1], bouts[1:])
    stack = np.stack(tables)
    known = (stack != -1).all(axis=0)
    fleiss = {
        name: fleiss_kappa(_votes(stack[:, known[:, c], c]))
        for c, name in enumerate(ethogram.behaviours)
    }
    whole = None
    if ethogram.exclusive:
        every = stack[:, known.all(axis=1)]
        whole = fleiss_kappa((every == 1).sum(axis=0))
    return Agreement(names, ethogram, pairs, majority, fleiss, whole)


def most(tables: Sequence[NDArray[np.int8]], ethogram: Ethogram) -> NDArray[np.int8]:
    """Return (T, C) what most raters say, from (T, C) of 1, 0, -1 each; -1 where they are divided.

    Exclusive: the behaviour with more votes than any other; else yes or no for each behaviour by itself.
    Raters who did not annotate a frame have no vote on it.
    """
    stack = np.stack(tables)
    yes, no = (stack == 1).sum(axis=0), (stack == 0).sum(axis=0)
    if not ethogram.exclusive:
        return np.where(yes == no, -1, yes > no).astype(np.int8)
    ranked = np.sort(yes, axis=1)
    clear = ranked[:, -1] > (ranked[:, -2] if yes.shape[1] > 1 else 0)
    winner = yes.argmax(axis=1)[:, None] == np.arange(yes.shape[1])
    return np.where(clear[:, None], winner, -1).astype(np.int8)


def fleiss_kappa(votes: NDArray[np.integer[Any]]) -> float | None:
    """Return Fleiss' kappa of (N, K) votes, the same number of raters for each of N things; None where chance
    alone agrees fully, or nothing is there (Fleiss 1971).
    """
    if not len(votes):
        return None
    raters = int(votes[0].sum())
    if raters < 2 or (votes.sum(axis=1) != raters).any():
        raise InputError("Fleiss' kappa needs the same number of raters, two or more, for everything")
    counts = votes.astype(np.float64)
    agreed = float(((counts**2).sum(axis=1) - raters).mean() / (raters * (raters - 1)))
    chance = float((counts.mean(axis=0) / raters) @ (counts.mean(axis=0) / raters))
    return None if chance == 1.0 else (agreed - chance) / (1.0 - chance)


def _votes(values: NDArray[np.int8]) -> NDArray[np.int64]:
    """(raters, N) of 1 and 0 to (N, 2) votes."""
    yes = (values == 1).sum(axis=0)
    return np.stack([yes, len(values) - yes], axis=1)
