"""From probabilities to bouts: an ordered list of small steps, each doing nothing at 0.

Three kinds, in this order: on probabilities (`median`, `box`), the decision (`thresholds`, `viterbi`,
`semi_markov`, or the plain one: the most probable behaviour, or in a multi-label ethogram those of at least 0.5),
on decided bouts (`closing`, `opening`, `minimum_bout`, `shortest_bout`). All durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from murine.errors import ConfigError, InputError, suggest
from murine.postprocess.base import ORDER, STEPS, Decided, Decision, Smoothing, Step
from murine.postprocess.bouts import Closing, MinimumBout
from murine.postprocess.decision import Viterbi, decide, decide_pieces
from murine.postprocess.markov import SemiMarkov
from murine.postprocess.scaling import Scaling
from murine.postprocess.shortest import Opening, ShortestBout
from murine.postprocess.smoothing import Box, Median, smoothed
from murine.postprocess.thresholds import Thresholds
from murine.predictions import pieces_of
from murine.types import Bouts, Ethogram, Prediction, Timeline, runs

__all__ = [
    "STEPS",
    "Box",
    "Closing",
    "Decided",
    "Median",
    "MinimumBout",
    "Opening",
    "Scaling",
    "SemiMarkov",
    "ShortestBout",
    "Step",
    "Thresholds",
    "Viterbi",
    "apply",
    "apply_own",
    "apply_pieces",
    "decide",
    "make_steps",
]


def make_steps(tables: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Make steps from tables like `{"name": "median", "seconds": 0.5}`, as a recipe holds them.

    Raises ConfigError listing every unknown step or setting, value out of range and wrong order.
    """
    steps: list[Step] = []
    faults: list[str] = []
    for i, table in enumerate(tables):
        where = f"postprocess step {i + 1}"
        settings = dict(table)
        name = settings.pop("name", None)
        if not isinstance(name, str) or name not in STEPS:
            hint = suggest(str(name), STEPS) if name is not None else f" Known: {', '.join(STEPS)}."
            faults.append(f"{where}: name = {name!r} is not a step.{hint}")
            continue
        known = [f.name for f in fields(STEPS[name])]  # type: ignore[arg-type]
        odd = [key for key in settings if key not in known]
        faults += [f"{where} ({name}): unknown setting '{key}'.{suggest(key, known)}" for key in odd]
        try:
            step = STEPS[name](**{k: v for k, v in settings.items() if k in known})
        except (InputError, TypeError) as error:
            faults.append(f"{where}: {error}")
            continue
        steps.append(step)
    faults += _order_faults(steps)
    if faults:
        raise ConfigError("postprocess", faults)
    return tuple(steps)


_WORDS = {"probabilities": "on probabilities", "decision": "a decision", "bouts": "on bouts"}


def _named(kind: str) -> list[str]:
    return [name for name, step in STEPS.items() if step.kind == kind]  # type: ignore[attr-defined]


def _order_faults(steps: Sequence[Step]) -> list[str]:
    faults = []
    places = [ORDER.index(step.kind) for step in steps]
    if places != sorted(places):
        faults.append(
            "steps come in the order: "
            + ", then ".join(f"{_WORDS[kind]} ({', '.join(_named(kind))})" for kind in ORDER)
        )
    if places.count(1) > 1:
        faults.append(f"there can be only one decision ({' or '.join(_named('decision'))})")
    return faults


def apply_own(prediction: Prediction, path: Path) -> Bouts:
    """Turn a prediction into bouts by the steps of the recipe that made it, which its file names.

    Raises ConfigError that names the file, `path`, and every step in it that is unknown or wrong.
    """
    tables = prediction.meta.get("postprocess", ())
    try:
        listed = isinstance(tables, list | tuple)
        if not listed or not all(isinstance(table, Mapping) for table in tables):
            raise ConfigError("postprocess", [f"a list of steps was expected; came {tables!r}"])
        return apply(prediction, make_steps(tables))
    except ConfigError as error:
        raise ConfigError(path, error.faults) from None


def apply(prediction: Prediction, steps: Sequence[Step] = ()) -> Bouts:
    """Turn a prediction into bouts; every frame counts as annotated.

    Raises ConfigError if the steps are not in order, InputError if one names an unknown behaviour.
    """
    pieces = pieces_of(prediction.probabilities)
    return apply_pieces(pieces, prediction.timeline, prediction.ethogram, steps)


def apply_pieces(
    pieces: Iterable[NDArray[Any]],
    timeline: Timeline,
    ethogram: Ethogram,
    steps: Sequence[Step] = (),
) -> Bouts:
    """Turn probabilities that come piece by piece (n, C) into bouts, as `apply` does.

    Memory: a few bytes per frame and behaviour, for what was decided. Raises as `apply` does.
    """
    faults = _order_faults(steps)
    if faults:
        raise ConfigError("postprocess", faults)
    smoothing = [cast(Smoothing, s) for s in steps if s.kind == "probabilities"]
    values = smoothed(pieces, smoothing, timeline, ethogram)
    decisions = [cast(Decision, s) for s in steps if s.kind == "decision"]
    over = decisions[0].over if decisions else decide_pieces
    decided = over(values, timeline, ethogram)
    for step in (s for s in steps if s.kind == "bouts"):
        decided = step(decided, timeline, ethogram)
    rows = [(a, b, c) for c in range(len(ethogram)) for a, b in runs(decided[:, c])]
    start, stop, column = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Bouts(ethogram, len(timeline), start, stop, column, np.array([[0, len(timeline)]]))
