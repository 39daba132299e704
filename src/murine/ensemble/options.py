"""What `murine tune` chooses from: stages of post-processing, each with its options, the plainest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from murine.postprocess import SemiMarkov, ShortestBout
from murine.postprocess.base import STEPS
from murine.postprocess.learning import BoutStatistics, learn_semi_markov, learn_shortest_bout
from murine.postprocess.markov import lanes
from murine.types import UNLABELLED, Ethogram, FloatArray

Table = Mapping[str, Any]
Chain = tuple[Table, ...]
"""Steps as a recipe holds them."""

RESOLUTION_S = 0.1
"""Seconds: bouts begin and end at multiples of this where durations are learned; finer takes longer."""

_SAMPLE = 20_000
"""Frames, evenly spread, by which thresholds are found."""

_FACTORS = np.exp(np.linspace(np.log(0.1), np.log(10.0), 21))
"""Thresholds of behaviours that exclude each other are tried at these multiples."""


@dataclass(frozen=True)
class Material:
    """What an option may learn from: labels, and predictions beside their labels, never those it is judged on.

    `statistics` of the bouts; `thresholds`: the best ones (C,) for probabilities after some steps.
    """

    ethogram: Ethogram
    statistics: Callable[[], BoutStatistics]
    thresholds: Callable[[Chain], FloatArray]


@dataclass(frozen=True)
class Option:
    """One way to do a stage. `steps`: the tables of its steps, from material and the steps before it."""

    label: str
    steps: Callable[[Material, Chain], Chain]
    learns: bool = False


def _fixed(label: str, **settings: Any) -> Option:
    return Option(label, lambda material, before: (settings,))


def _none(label: str) -> Option:
    return Option(label, lambda material, before: ())


def _table(step: object) -> Table:
    """Return a step as a recipe holds it, settings at their defaults left out."""
    name = next(name for name, kind in STEPS.items() if kind is type(step))
    values = {f.name: (getattr(step, f.name), f.default) for f in fields(step)}  # type: ignore[arg-type]
    return {"name": name} | {key: value for key, (value, default) in values.items() if value != default}


def _semi_markov(shape: str, emission: float) -> Option:
    def steps(material: Material, before: Chain) -> Chain:
        step: SemiMarkov = learn_semi_markov(
            material.statistics(), shape=shape, emission=emission, resolution_s=RESOLUTION_S
        )
        return (_table(step),)

    what = "semi-Markov" if shape == "lognormal" else "Markov, learned"
    return Option(f"{what}, emission {emission:g}", steps, learns=True)


def _shortest(quantile: float) -> Option:
    def steps(material: Material, before: Chain) -> Chain:
        step: ShortestBout = learn_shortest_bout(material.statistics(), quantile)
        return (_table(step),)

    return Option(f"shorter than {quantile:.0%} of the labels' bouts", steps, learns=True)


def _thresholds(margin: float) -> Option:
    def steps(material: Material, before: Chain) -> Chain:
        limits = material.thresholds(before)
        table: dict[str, Any] = {
            "name": "thresholds",
            "behaviours": material.ethogram.behaviours,
            "values": tuple(float(f"{v:.4g}") for v in limits),
        }
        return ({**table, "margin": margin} if margin else table,)

    label = "thresholds" + (f", margin {margin:g}" if margin else "")
    return Option(label, steps, learns=True)


def best_thresholds(values: FloatArray, truth: FloatArray, ethogram: Ethogram) -> FloatArray:
    """Return the threshold (C,) of each behaviour with the best F1; among those that exclude each other the
    multiples with the best macro F1, found one behaviour at a time, twice around.

    `values`: (N, C) probabilities; `truth`: (N, C) of 1, 0 and -1. A behaviour that never happens keeps 0.5.
    """
    step = max(1, len(values) // _SAMPLE)
    values, truth = values[::step].astype(np.float64), truth[::step]
    limits = np.full(len(ethogram), 0.5)
    for columns in lanes(ethogram):
        known = (truth[:, columns] != UNLABELLED).any(axis=1)
        part, real = values[known][:, columns], truth[known][:, columns] == 1
        if len(columns) == 1 and not ethogram.exclusive:
            limits[columns[0]] = _best_cut(part[:, 0], real[:, 0])
        elif len(columns) > 1 and real.any():
            limits[list(columns)] = _best_multiples(part, real)
    return limits


def _best_cut(values: FloatArray, real: Any) -> float:
    """Return the threshold with the largest F1, in the middle between two values; 0.5 where nothing is true."""
    if not real.any():
        return 0.5
    order = np.argsort(-values, kind="stable")
    ranked, hit = values[order], np.cumsum(real[order])
    f1 = 2.0 * hit / (np.arange(1, len(hit) + 1) + real.sum())
    ends = np.append(ranked[1:] < ranked[:-1], True)  # equal values are decided alike
    at = int(np.where(ends, f1, -1.0).argmax())
    below = ranked[at + 1] if at + 1 < len(ranked) else 0.0
    return float(np.clip((ranked[at] + below) / 2.0, 1e-4, 1.0 - 1e-4))


def _best_multiples(values: FloatArray, real: Any) -> FloatArray:
    count = values.shape[1]
    limits = np.full(count, 0.5)
    happens = np.flatnonzero(real.any(axis=0))
    classes = real.argmax(axis=1)[real.any(axis=1)]
    values = values[real.any(axis=1)]
    best = _macro_f1(values / limits, classes, happens, count)
    for _ in range(2):
        for c in happens:
            for factor in _FACTORS:
                tried = limits.copy()
                tried[c] = float(np.clip(0.5 * factor, 0.01, 0.99))
                score = _macro_f1(values / tried, classes, happens, count)
                if score > best + 1e-9:
                    best, limits = score, tried
    return limits


def _macro_f1(ratios: FloatArray, classes: Any, happens: Any, count: int) -> float:
    said = ratios.argmax(axis=1)
    right = np.bincount(classes[said == classes], minlength=count)
    both = np.bincount(classes, minlength=count) + np.bincount(said, minlength=count)
    return float((2.0 * right[happens] / both[happens]).mean())


STAGES: Mapping[str, Sequence[Option]] = {
    "smooth": (
        _none("none"),
        *(_fixed(f"median {s:g} s", name="median", seconds=s) for s in (0.2, 0.5, 1.0, 2.0)),
        *(_fixed(f"mean {s:g} s", name="box", seconds=s) for s in (0.2, 0.5, 1.0, 2.0)),
    ),
    "decide": (
        _none("plain"),
        *(_thresholds(margin) for margin in (0.0, 0.1, 0.3)),
        *(
            _fixed(f"Viterbi {s:g} s, emission {e:g}", name="viterbi", mean_bout_s=s, emission=e)
            for s in (1.0, 5.0)
            for e in (0.05, 0.2)
        ),
        *(_semi_markov("geometric", e) for e in (0.02, 0.05, 0.1, 0.2, 0.5)),
        *(_semi_markov("lognormal", e) for e in (0.02, 0.05, 0.1, 0.2, 0.5)),
    ),
    "close": (
        _none("none"),
        *(_fixed(f"gaps to {s:g} s", name="closing", seconds=s) for s in (0.2, 0.5, 1.0)),
    ),
    "drop": (
        _none("none"),
        *(_fixed(f"bouts below {s:g} s", name="minimum_bout", seconds=s) for s in (0.2, 0.5, 1.0)),
        *(_fixed(f"opened by {s:g} s", name="opening", seconds=s) for s in (0.2, 0.5, 1.0)),
        *(_shortest(q) for q in (0.01, 0.05, 0.1)),
    ),
}
"""Stages in their order; of options that are equally good the first is chosen."""
