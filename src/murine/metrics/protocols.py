"""Published ways to score, by name: what is pooled, how it is decided, over which behaviours the mean is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from murine.metrics.basics import mean
from murine.metrics.frames import FrameScores, score_frames
from murine.metrics.intervals import draw_weights, interval_of, units_of
from murine.metrics.outcomes import Pair, fill_background, outcome_of, task_parts
from murine.metrics.pool import Drawn, Pool, mean_of
from murine.registry import Registry
from murine.types import Ethogram


@dataclass(frozen=True)
class Protocol:
    """`plain`: decided by the most probable behaviour of each frame, without post-processing. `scores`: what the
    protocol reports, by our names.
    """

    title: str
    meaning: str
    plain: bool
    scores: tuple[str, ...]


PROTOCOLS: Registry[Protocol] = Registry("protocol")
# Sun et al. 2021, as paper 004 follows it: frames of all test recordings pooled, argmax, F1 and average precision of
# each behaviour, the mean without "other"; task 2 the mean over annotators, task 3 over behaviours (one task each).
PROTOCOLS.add(
    "calms21",
    Protocol(
        "CalMS21",
        "frames of all recordings pooled, the most probable behaviour of each (no post-processing), mean over "
        "behaviours without the background",
        True,
        ("macro_f1_foreground", "map_foreground"),
    ),
)


def follow(
    name: str, pairs: Sequence[Pair], ethogram: Ethogram, groups: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what a protocol reports as JSON-like values: `macro_f1`, `map` (None without probabilities), `tasks`
    with `n` and `per_class` of each (one called "" where there are none), `intervals` of the first two, drawn as
    `bootstrap_intervals` does. Of several tasks each is scored by itself and counts alike.
    """
    protocol = PROTOCOLS[name]
    plain = [_plain(pair, ethogram) for pair in pairs] if protocol.plain else list(pairs)
    parts = {"": (ethogram, tuple(range(len(plain))), plain)}
    if ethogram.tasks:
        parts = {task: part for task, part in task_parts(plain, ethogram).items() if part[2]}
    scores = {task: pooled_frames(own, rows) for task, (own, _, rows) in parts.items()}
    result: dict[str, Any] = {"meaning": protocol.meaning}
    for key in protocol.scores:
        result[_short(key)] = mean(getattr(frames, key) for frames in scores.values())
    result["tasks"] = {task: _table(frames) for task, frames in scores.items()}
    result["intervals"] = _intervals(protocol, parts, units_of(len(plain), groups))
    return result


Parts = Mapping[str, tuple[Ethogram, tuple[int, ...], list[Pair]]]


def pooled_frames(ethogram: Ethogram, pairs: Sequence[Pair]) -> FrameScores:
    """Return the frame scores of recordings together; the areas only where all have probabilities."""
    truth, said = (
        np.concatenate([fill_background(getattr(pair, side), ethogram) for pair in pairs])
        for side in ("truth", "decided")
    )
    values = [pair.probabilities for pair in pairs if pair.probabilities is not None]
    pooled = np.concatenate(values) if len(values) == len(pairs) else None
    return score_frames(truth, pooled, ethogram, decided=said)


def _table(scores: FrameScores) -> dict[str, Any]:
    kept = ("f1", "precision", "recall", "average_precision", "support")
    rows = [scores.behaviours[c] for c in scores.ethogram.foreground]
    return {
        "n": scores.n,
        "per_class": {row.behaviour: {key: getattr(row, key) for key in kept} for row in rows},
    }


def _intervals(protocol: Protocol, parts: Parts, units: list[int]) -> dict[str, list[float]]:
    """Return the interval of each score, the mean over tasks taken in every draw."""
    if len(set(units)) < 2:
        return {}
    pools = [
        (Pool([outcome_of(replace(pair, timeline=None), own) for pair in rows], own), list(kept))
        for own, kept, rows in parts.values()
    ]
    drawn: dict[str, list[Drawn]] = {}
    for weights in draw_weights(units):
        each = [pool.scores(weights[:, kept]) for pool, kept in pools]
        for key in protocol.scores:
            if all(key in scores for scores in each):
                drawn.setdefault(key, []).append(
                    mean_of(np.stack([scores[key] for scores in each], axis=1))
                )
    found = {_short(key): interval_of(np.concatenate(values)) for key, values in drawn.items()}
    return {key: list(ends) for key, ends in found.items() if ends is not None}


def _short(key: str) -> str:
    return key.removesuffix("_foreground")


def _plain(pair: Pair, ethogram: Ethogram) -> Pair:
    """Return the same decided by the probabilities alone, where there are any."""
    if pair.probabilities is None:
        return pair
    decided = ethogram.plain_decision(pair.probabilities).astype(np.int8)
    return replace(pair, decided=decided)
