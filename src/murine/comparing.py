"""Two evaluations of the same recordings: which is better, and by how much for certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from murine.config import load_recipe
from murine.ensemble.values import check_same_behaviours, in_order_of
from murine.errors import InputError, suggest
from murine.metrics import PROTOCOLS, Pair, bootstrap_differences, outcome_of
from murine.metrics.outcomes import fill_background, task_parts
from murine.postprocess import apply, apply_own
from murine.predictions import find_predictions, read_prediction
from murine.progress import SILENT, Progress
from murine.project import Project, load_bouts, load_project
from murine.train.crossval import (
    EVALUATION_FILE,
    Judged,
    drawn_over,
    load_scores,
    pair_of,
    project_of,
    read_splits,
)
from murine.train.runs import CONFIG_FILE
from murine.types import Ethogram, Task


@dataclass(frozen=True, eq=False)
class _Side:
    """One of the two: labels beside predictions of each labelled recording, and the group each is in."""

    name: str
    ethogram: Ethogram
    pairs: Mapping[str, Pair]
    groups: Mapping[str, str]
    over: str


def compare_paths(
    first: Path,
    second: Path,
    *,
    study: Path | None = None,
    by: str = "",
    task: str = "",
    protocol: str = "",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Compare two evaluations, or folders of predictions beside a project's labels, recording by recording.

    In each draw both have the same recordings: what makes a recording hard is in both scores and does not widen the
    interval of their difference. Drawn are the groups the first
    evaluation was split by, or those of column `by`. `study`: the project with the labels, which evaluations
    know by themselves. `task`: of projects with tasks, only that one, whose plain names another project's
    behaviours may have. `protocol`: decided as it asks for, such as "calms21". Keys: `first`, `second`,
    `recordings`, `only_in_first`, `only_in_second`, `drawn`, `scores` (of each: both values, `difference`,
    second less first, `interval` of 95 %, `better`, the share of draws in which the second is) and `tasks` (the
    same of each). Raises InputError where labels, behaviours or recordings do not go together.
    """
    plain = bool(protocol) and PROTOCOLS[protocol].plain
    sides = [_side(Path(path), study, by, task, plain, progress) for path in (first, second)]
    common = [id_ for id_ in sides[0].pairs if id_ in sides[1].pairs]
    only = [sorted(set(side.pairs) - set(common)) for side in sides]
    if not common:
        raise InputError(
            f"no labelled recording is in both: {', '.join(only[0][:5]) or 'none'} in {first}, "
            f"{', '.join(only[1][:5]) or 'none'} in {second}"
        )
    ethogram = sides[0].ethogram
    one = [sides[0].pairs[id_] for id_ in common]
    other = [_as(ethogram, sides[1], id_) for id_ in common]
    for id_, mine, theirs in zip(common, one, other, strict=True):
        _check_same_labels(id_, mine, theirs, ethogram, sides)
    groups = [sides[0].groups.get(id_, id_) for id_ in common]
    value: dict[str, Any] = {
        "first": str(first),
        "second": str(second),
        "recordings": len(common),
        "only_in_first": only[0],
        "only_in_second": only[1],
        "drawn": {"over": sides[0].over, "count": len(set(groups))},
        "scores": _differences(one, other, ethogram, groups),
        "tasks": {},
    }
    parts = [task_parts(pairs, ethogram) for pairs in (one, other)]
    for name, (own, kept, pairs) in parts[0].items():
        alone, _, others = parts[1][name]
        same = own if own == alone else Ethogram(own.behaviours, exclusive=False)
        if kept:
            value["tasks"][name] = _differences(pairs, others, same, [groups[i] for i in kept])
    return value


def _side(
    folder: Path, study: Path | None, by: str, task: str, plain: bool, progress: Progress
) -> _Side:
    judged = (folder / EVALUATION_FILE).exists()
    if judged:
        load_scores(folder)  # refuses one that is not finished
    elif study is None:
        raise InputError(
            f"{folder}: no evaluation, so its labels are not known. Name the project with --study."
        )
    project = load_project(study if study is not None else project_of(folder))
    groups, over = _groups(folder, project, by, judged)
    pairs: dict[str, Pair] = {}
    paths = find_predictions(folder)
    with progress.task(f"reading {folder.name}", len(paths), "recordings") as bar:
        for path in paths:
            prediction = read_prediction(path)
            bar.advance()
            recording = project.recording(prediction.recording)
            if not project.is_labelled(recording):
                continue
            what = f"{folder} and its project, recording '{recording.id}'"
            check_same_behaviours(prediction.ethogram, project.ethogram, what)
            values = in_order_of(project.ethogram, prediction)
            prediction = replace(prediction, ethogram=project.ethogram, probabilities=values)
            decided = apply(prediction) if plain else apply_own(prediction, path)
            truth = load_bouts(project, recording)
            if truth.n_frames != len(prediction):
                raise InputError(
                    f"{what}: {len(prediction)} frames are predicted and {truth.n_frames} labelled. "
                    "Evaluate or predict again."
                )
            pair = pair_of(Judged(truth, prediction, decided), project.unit)
            if pair.labelled:
                pairs[recording.id] = pair
    side = _Side(str(folder), project.ethogram, pairs, groups, over)
    return _of_task(side, task) if task and project.ethogram.tasks else side


def _groups(folder: Path, project: Project, by: str, judged: bool) -> tuple[dict[str, str], str]:
    """Return the group of each recording and what groups are called: a column, or what was split by."""
    if by == "recording":
        return {}, by
    if by:
        known = dict.fromkeys(c for r in project.recordings for c in r.groups)
        if by not in known:
            raise InputError(f"--by: recordings.csv has no column '{by}'.{suggest(by, known)}")
        return {r.id: r.group(by) for r in project.recordings if r.groups.get(by)}, by
    if not judged:
        return {}, "recording"
    groups = {id_: str(group) for split in read_splits(folder) for id_, group in split.groups.items()}
    return groups, drawn_over(load_recipe(str(folder / CONFIG_FILE)).split)


def _of_task(side: _Side, name: str) -> _Side:
    """Return one task of a side, its behaviours under their plain names."""
    tasks: dict[str, Task] = {t.name: t for t in side.ethogram.tasks}
    if name not in tasks:
        raise InputError(f"{side.name}: no task '{name}'.{suggest(name, tasks)}")
    task, columns = tasks[name], side.ethogram.columns(tasks[name])
    background = None if task.background is None else task.background.removeprefix(f"{name}/")
    parts = {id_: pair.part(columns) for id_, pair in side.pairs.items()}
    kept = {id_: pair for id_, pair in parts.items() if pair.labelled}
    return replace(side, ethogram=Ethogram(task.plain, task.exclusive, background), pairs=kept)


def _as(ethogram: Ethogram, side: _Side, id_: str) -> Pair:
    """Return a recording of the second side in the behaviours of the first."""
    pair = side.pairs[id_]
    if side.ethogram == ethogram:
        return pair
    check_same_behaviours(ethogram, side.ethogram, f"recording '{id_}'")
    order = [side.ethogram.index(name) for name in ethogram.behaviours]
    values = None if pair.probabilities is None else pair.probabilities[:, order]
    return replace(
        pair, truth=pair.truth[:, order], decided=pair.decided[:, order], probabilities=values
    )


def _check_same_labels(
    id_: str, mine: Pair, theirs: Pair, ethogram: Ethogram, sides: Sequence[_Side]
) -> None:
    if len(mine.truth) != len(theirs.truth):
        apart = f"{len(mine.truth)} and {len(theirs.truth)} frames"
    else:
        both = (fill_background(pair.truth, ethogram) for pair in (mine, theirs))
        differ = int(np.not_equal(*both).any(axis=1).sum())
        apart = f"{differ} of {len(mine.truth)} frames differ" if differ else ""
    if apart:
        raise InputError(
            f"recording '{id_}': {sides[0].name} and {sides[1].name} are judged by different labels ({apart}). "
            "Name one project for both with --study, or evaluate the second again."
        )


def _differences(
    first: Sequence[Pair], second: Sequence[Pair], ethogram: Ethogram, groups: Sequence[str]
) -> dict[str, Any]:
    one, other = ([outcome_of(pair, ethogram) for pair in pairs] for pairs in (first, second))
    found = bootstrap_differences(one, other, ethogram, groups=groups)
    return {name: asdict(difference) for name, difference in found.items()}
