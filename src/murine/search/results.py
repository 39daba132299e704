"""What a search leaves: its trials as a table, what each setting explains, pictures, the best recipe."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from murine.config import Recipe, save_recipe
from murine.config.convert import show
from murine.files import write_text
from murine.report import save_picture
from murine.search.making import make_recipe
from murine.search.pictures import draw_history, draw_importance
from murine.search.settings import Search
from murine.search.space import Axis, Choice
from murine.search.trials import FINISHED, Trial

TABLE_FILE = "trials.csv"
BEST_FILE = "best.toml"
HISTORY, IMPORTANCE = "history", "importance"

_GROUPS = 4
"""Numbers of a range are gathered into so many groups of equal size, to see what they explain."""


@dataclass(frozen=True)
class Results:
    """The files of a finished search by what they are, and what each setting explains (`importances`)."""

    files: Mapping[str, Path]
    importance: Mapping[str, float | None]


def write_table(out: Path, search: Search, trials: Sequence[Trial]) -> Path:
    """Write trials.csv: a row per trial, in order; the criterion (with `seeds` their mean and standard deviation),
    every setting, the main scores.
    """
    keys = [axis.key for axis in search.space]
    scores = list(dict.fromkeys(name for trial in trials for name in trial.scores))
    if search.criterion in scores:
        scores.remove(search.criterion)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    spread = ["sd"] if search.seeds else []
    head = ["trial", "state", search.criterion, *spread, *keys, "folds", "seconds", *scores, "why"]
    table.writerow(head)
    for trial in sorted(trials, key=lambda one: one.number):
        table.writerow(
            [
                trial.number,
                trial.state,
                _cell(trial.value if trial.state == FINISHED else trial.told),
                *([_cell(trial.deviation)] if spread else []),
                *(value_text(trial.values[key]) for key in keys),
                len(trial.folds),
                trial.seconds,
                *(_cell(trial.scores.get(name)) for name in scores),
                trial.why.replace("\n", " "),
            ]
        )
    write_text(out / TABLE_FILE, text.getvalue())
    return out / TABLE_FILE


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def value_text(value: Any) -> str:
    """Return a value of a space as a table shows it."""
    return value if isinstance(value, str) else show(value)


def write_results(out: Path, search: Search, trials: Sequence[Trial], best: Trial) -> Results:
    """Write the table, the pictures (PNG and SVG) and best.toml of a search."""
    importance = importances(search, trials)
    files = {"trials": write_table(out, search, trials)}
    for name, figure in (
        (HISTORY, draw_history(search, trials)),
        (IMPORTANCE, draw_importance(importance)),
    ):
        files[name], files[f"{name}_svg"] = save_picture(figure, out / name)
    save_recipe(best_recipe(search, best), out / BEST_FILE)
    return Results({**files, "best": out / BEST_FILE}, importance)


def best_recipe(search: Search, best: Trial) -> Recipe:
    """Return the recipe of the best trial, its description saying where it comes from."""
    recipe = make_recipe(search, best.values)
    number = "" if best.value is None else f" {best.value:.4g}"
    found = (
        f"trial {best.number} of the search {search.name}, {search.criterion}{number} (optimistic: chosen on the "
        "folds it was judged by)"
    )
    name = f"{recipe.name.rsplit('/', 1)[-1]}-{search.name.rsplit('/', 1)[-1]}"
    return replace(recipe, name=name, description=f"{recipe.description} {found}".strip())


def importances(search: Search, trials: Sequence[Trial]) -> dict[str, float | None]:
    """Return the share (0 to 1) of the differences between finished trials that each setting explains by itself.

    The sum of squares between the settings' values over the whole. Of a grid tried whole this is the main effect of
    an analysis of variance. Of any other search what chance explains on average is taken off (epsilon squared,
    Kelley 1935). None where it cannot be told: one value, no differences, a trial for each value.
    """
    done = [t for t in trials if t.state == FINISHED and t.value is not None]
    values = np.array([t.value for t in done], dtype=np.float64)
    whole = search.method == "grid" and len(done) == search.size
    found: dict[str, float | None] = {}
    for axis in search.space:
        groups = _groups(axis, [t.values[axis.key] for t in done])
        found[axis.key] = _explained(values, groups, whole)
    return found


def _groups(axis: Axis, values: Sequence[Any]) -> list[int]:
    """Return a group for each value: its own, or of a range's many numbers that of its rank."""
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    if isinstance(axis, Choice) or len(distinct) <= _GROUPS:
        return [distinct.index(value) for value in values]
    order = np.argsort(np.argsort(np.array(values, dtype=np.float64), kind="stable"), kind="stable")
    return [int(group) for group in order * _GROUPS // len(values)]


def _explained(
    values: np.ndarray[Any, np.dtype[np.float64]], groups: Sequence[int], whole: bool
) -> float | None:
    number, count = len(values), len(set(groups))
    if count < 2 or number <= count:
        return None
    labels = np.array(groups)
    total = float(((values - values.mean()) ** 2).sum())
    if total <= 1e-24:
        return None
    between = sum(
        float((labels == g).sum() * (values[labels == g].mean() - values.mean()) ** 2)
        for g in set(groups)
    )
    if not whole:
        between -= (count - 1) * (total - between) / (number - count)
    return float(np.clip(between / total, 0.0, 1.0))
