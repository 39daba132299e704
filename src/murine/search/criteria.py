"""A score found by its name: in what an evaluation computes, or in its folds' tables of epochs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from murine.data.splits import Split
from murine.errors import InputError, suggest
from murine.files import require_file
from murine.train.checkpoint import METRICS_FILE
from murine.train.crossval import Judged, score_all
from murine.types import Bouts, Ethogram, Prediction, Timeline

EPOCH_SCORES = (
    "validation_loss",
    "validation_accuracy",
    "validation_macro_f1",
    "validation_pr_auc",
    "train_loss",
)
"""Columns of metrics.csv: of a fold's best epoch, by its validation recordings, which its test ones are not."""

_OTHER_NAMES = {
    "pr_auc": "map",
    "average_precision": "map",
    "f1@10": "f1_10",
    "f1@25": "f1_25",
    "f1@50": "f1_50",
    "auc": "auc_macro",
}
"""Common names of scores that evaluations call otherwise."""

_PARTS = ("pooled", "segments", "raw")
"""Where a plain name is looked for, in this order."""


def score_names(scores: Mapping[str, Any]) -> list[str]:
    """Return every name that `find_score` knows in some scores: plain ones, and paths such as "raw.kappa"."""
    plain = [name for part in _PARTS for name in _numbers(scores.get(part) or {})]
    behaviours = [
        f"{behaviour}.{name}"
        for behaviour, row in scores["pooled"]["per_class"].items()
        for name in _numbers(row)
    ]
    paths = [path for path, _ in _walk({k: v for k, v in scores.items() if k not in _EACH}, "")]
    return list(dict.fromkeys([*plain, *_OTHER_NAMES, *behaviours, *paths]))


_EACH = ("recordings", "folds", "intervals", "drawn")


def _numbers(table: Mapping[str, Any]) -> list[str]:
    return [
        k
        for k, v in table.items()
        if v is None or (isinstance(v, int | float) and not isinstance(v, bool))
    ]


def _walk(table: Mapping[str, Any], path: str) -> Iterator[tuple[str, float | None]]:
    for key, value in table.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _walk(value, here)
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield here, value


def find_score(name: str, scores: Mapping[str, Any]) -> float | None:
    """Return a score by its name; None where it does not exist for these recordings.

    "macro_f1" is looked for in the frame scores of all folds together, "f1_50" (or "f1@50") in those of segments,
    "walk.f1" among the behaviours; a path such as "raw.macro_f1" names any number of scores.json. Raises
    InputError with the nearest names where there is none.
    """
    wanted = _OTHER_NAMES.get(name, name)
    for part in _PARTS:
        table = scores.get(part) or {}
        if wanted in _numbers(table):
            return _finite(table[wanted])
    behaviour, _, last = wanted.rpartition(".")
    row = scores["pooled"]["per_class"].get(behaviour, {})
    if last in _numbers(row):
        return _finite(row[last])
    found = dict(_walk({k: v for k, v in scores.items() if k not in _EACH}, ""))
    if wanted in found:
        return _finite(found[wanted])
    names = [n for n in score_names(scores) if "." not in n or "." in name]
    raise InputError(
        f"no score '{name}' to search by.{suggest(name, [*names, *EPOCH_SCORES])} Any number of an evaluation's "
        "scores.json can be named by its path, such as pooled.macro_f1"
    )


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def check_score(name: str, ethogram: Ethogram, unit: str) -> None:
    """Raise InputError where no evaluation of these behaviours would have a score of this name."""
    if name not in EPOCH_SCORES:
        find_score(name, _made_up(ethogram, unit))


def _made_up(ethogram: Ethogram, unit: str) -> dict[str, Any]:
    """Return scores of two recordings that show each behaviour for a while, to see what they are called."""
    length = 4 * len(ethogram)
    timeline = Timeline.uniform(length, 10.0)
    rows = [(4 * i, 4 * i + 4, name) for i, name in enumerate(ethogram.behaviours)]
    bouts = Bouts.build(ethogram, length, rows)
    values = np.where(bouts.frames() == 1, 0.9, 0.1)
    if ethogram.exclusive:
        values /= values.sum(axis=1, keepdims=True)
    judged = {
        id_: Judged(bouts, Prediction(id_, ethogram, values.astype(np.float32), timeline, {}), bouts)
        for id_ in ("a", "b")
    }
    splits = [Split("fold-1", (), (), ("a", "b"), {"a": "a", "b": "b"})]
    return score_all(judged, splits, unit)


def epoch_score(name: str, run: Path, watch: str = "loss") -> float | None:
    """Return a column of a run's best epoch; where each behaviour has a network, the mean of theirs.

    The best epoch is that of the lowest validation loss, or of the largest area under precision and recall if
    training watched that (`watch`, "pr_auc"); the last one where nothing was kept for validation. Raises
    InputError for a run without metrics.csv.
    """
    text = require_file(run / METRICS_FILE, "the table of epochs").read_text(encoding="utf-8")
    networks: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        networks.setdefault(row.get("behaviour", ""), []).append(row)
    found = [v for each in networks.values() if (v := _best_of(each, name, watch)) is not None]
    return mean(found)


def _best_of(rows: Sequence[Mapping[str, str]], name: str, watch: str) -> float | None:
    column, sign = ("validation_pr_auc", -1.0) if watch == "pr_auc" else ("validation_loss", 1.0)
    judged = [row for row in rows if row.get(column)]
    best = min(judged, key=lambda row: sign * float(row[column])) if judged else rows[-1]
    return _finite(float(best[name])) if best.get(name) else None


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, None of nothing."""
    return float(np.mean(values)) if values else None
