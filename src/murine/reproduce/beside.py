"""Ours beside theirs: the values of a table's cells, their difference, and why they may differ."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from murine.columns import table
from murine.metrics.basics import Counts, mean
from murine.models import MODELS, create_model
from murine.reproduce.entries import Document, Entry, Measure, Row


@dataclass(frozen=True)
class Cell:
    """One number of a table. `ours`, `theirs`: with their deviations over seeds, None where there are none.

    Texts where settings are compared. `exact`: whether ours rounds to the printed digits. `source`: where it
    is printed.
    """

    row: str
    measure: str
    ours: float | str | None
    ours_sd: float | None
    theirs: float | str | None
    theirs_sd: float | None
    difference: float | None
    exact: bool | None
    digits: int
    source: str


@dataclass(frozen=True)
class Order:
    """A published order of two rows by a measure, and whether ours has it too (None: cannot be told)."""

    better: str
    worse: str
    measure: str
    holds: bool | None


@dataclass(frozen=True)
class Outcome:
    """A table or figure done again. `folders`: of each row, where its results lie; `notes`: what to know of ours."""

    document: str
    entry: str
    title: str
    scale: str
    cells: tuple[Cell, ...]
    orders: tuple[Order, ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    folders: Mapping[str, tuple[str, ...]]
    file: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return asdict(self)

    def text(self) -> str:
        """Return what the command prints."""
        head = ("row", "measure", "ours", "SD", "published", "SD", "difference")
        lines = [
            self.title,
            table(head, [self._row(cell) for cell in self.cells], right=(False, False, *[True] * 5)),
        ]
        for order in self.orders:
            said = {True: "holds", False: "does not hold", None: "cannot be told"}[order.holds]
            lines.append(
                f"published order, {order.better} above {order.worse} ({order.measure}): {said}"
            )
        lines += [f"note: {note}" for note in self.notes]
        if self.reasons:
            lines += ["why ours may differ:", *(f"  - {reason}" for reason in self.reasons)]
        for row, folders in self.folders.items():
            lines.append(f"{row}: {', '.join(folders)}")
        return "\n".join(lines)

    @staticmethod
    def _row(cell: Cell) -> tuple[object, ...]:
        values = (cell.ours, cell.ours_sd, cell.theirs, cell.theirs_sd, cell.difference)
        return (cell.row, cell.measure, *(_number(value, cell.digits) for value in values))


def _number(value: float | str | None, digits: int) -> str:
    """Return a number with so many decimals, no minus before a zero."""
    return value if isinstance(value, str) else "-" if value is None else f"{value:z,.{digits}f}"


def fill(
    document: Document,
    entry: Entry,
    scores: Mapping[str, Sequence[Mapping[str, Any]]],
    behaviours: Mapping[str, str],
) -> tuple[Cell, ...]:
    """Return the cells of an entry. `scores`: of each row's seeds, by label; rows without come from what is printed.

    `behaviours`: what a published behaviour is called in ours, where that is another name.
    """
    cells = []
    for row in entry.rows:
        for key in dict.fromkeys((*row.published, *entry.measures)):
            measure = document.measures[key]
            ours, sd = _ours(document, entry, row, measure, scores.get(row.label, ()), behaviours)
            theirs, their_sd = _theirs(row.published.get(key))
            both = isinstance(ours, int | float) and isinstance(theirs, int | float)
            exact = None
            if ours is not None and theirs is not None:
                exact = _shown(ours, measure) == _shown(theirs, measure)
            cells.append(
                Cell(
                    row.label,
                    measure.title,
                    ours,
                    sd,
                    theirs,
                    their_sd,
                    float(ours) - float(theirs) if both else None,  # type: ignore[arg-type]
                    exact,
                    measure.digits,
                    f"{document.title}, {entry.place}, row '{row.label}'",
                )
            )
    return tuple(cells)


def _shown(value: float | str, measure: Measure) -> str:
    return value if isinstance(value, str) else f"{value:.{measure.digits}f}"


def _theirs(value: Any) -> tuple[float | str | None, float | None]:
    if isinstance(value, tuple | list):
        return value[0], value[1]
    return value, None


def _ours(
    document: Document,
    entry: Entry,
    row: Row,
    measure: Measure,
    scores: Sequence[Mapping[str, Any]],
    behaviours: Mapping[str, str],
) -> tuple[float | str | None, float | None]:
    if row.model:
        return float(parameters(row.model)), None
    if row.counts and not scores:
        return of_counts(row.counts, measure.score.rpartition(".")[2]), None
    if row.seed >= 0:
        scores = scores[row.seed : row.seed + 1]
    if measure.score.startswith("tasks."):
        found: list[Any] = [of_tasks(one, row.tasks, measure.score.rpartition(".")[2]) for one in scores]
    else:
        found = [value_at(one, measure.score, entry.behaviour, behaviours) for one in scores]
    if any(isinstance(value, str) for value in found):
        return str(found[0]), None
    known = [measure.factor * float(value) for value in found if value is not None]
    if not known or len(known) < len(found):
        return None, None
    return fmean(known), stdev(known) if len(known) > 1 else None


def parameters(model: str) -> int:
    """Return the values of a network, counted as the papers do."""
    with torch.device("meta"):  # shapes without memory or random numbers
        made = create_model(model, classes=MODELS[model].counted["classes"])
    return made.keras_parameters()


def of_counts(counts: Sequence[int], name: str) -> float | None:
    """Return a score of true and false positives, true and false negatives; None for one that needs more."""
    value = getattr(Counts(*counts), name, None)
    return None if value is None else float(value)


def of_tasks(scores: Mapping[str, Any], pattern: str, name: str) -> float | None:
    """Return the mean of a score over behaviours, then over the tasks whose names match, as CalMS21 takes it."""
    told = scores["protocols"]["calms21"]["tasks"]
    parts = [rows["per_class"].values() for task, rows in told.items() if re.fullmatch(pattern, task)]
    return mean(mean(row[name] for row in rows) for rows in parts)


def value_at(
    scores: Mapping[str, Any],
    path: str,
    behaviour: str = "",
    behaviours: Mapping[str, str] | None = None,
) -> float | str | None:
    """Return a score by its place, such as "pooled.auc_micro"; None where there is none.

    "behaviour.recall": of the entry's behaviour; "search.model.units": a setting that a search chose.
    """
    if not path:
        return None
    first, _, rest = path.partition(".")
    if first == "search":
        chosen = scores["search"].get(rest)
        if isinstance(chosen, list | tuple):
            return ", ".join(str(part) for part in chosen)
        return chosen  # type: ignore[no-any-return]
    if first == "behaviour":
        row = scores["pooled"]["per_class"].get((behaviours or {}).get(behaviour, behaviour))
        if row is None:
            return None
        if rest in row:
            return row[rest]  # type: ignore[no-any-return]
        return of_counts([row[key] for key in ("tp", "fp", "tn", "fn")], rest)
    value: Any = scores
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value  # type: ignore[no-any-return]


def compare_orders(document: Document, entry: Entry, cells: Sequence[Cell]) -> tuple[Order, ...]:
    """Return the published orders of an entry's rows, and whether ours have them."""
    found = []
    for better, worse in entry.orders:
        title = document.measures[entry.order_by].title
        ours = {cell.row: cell.ours for cell in cells if cell.measure == title}
        first, second = ours.get(better), ours.get(worse)
        holds = None
        if isinstance(first, int | float) and isinstance(second, int | float):
            holds = first > second
        found.append(Order(better, worse, title, holds))
    return tuple(found)


def plain_paths(folders: Mapping[str, Sequence[Path]]) -> dict[str, tuple[str, ...]]:
    """Return where each row's results lie, as text."""
    return {row: tuple(str(path) for path in paths) for row, paths in folders.items() if paths}
