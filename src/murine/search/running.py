"""A search run: trial after trial, each an evaluation, every fold told as it ends; what is done is kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from murine.config import Recipe
from murine.data.splits import Split
from murine.errors import ConfigError, InputError, ProjectError
from murine.files import results_folder
from murine.progress import SILENT, Progress
from murine.project import suffix
from murine.search.advising import is_hopeless, propose, require_optuna
from murine.search.criteria import EPOCH_SCORES, epoch_score, find_score, mean
from murine.search.folder import open_folder
from murine.search.making import check_space, make_recipe, with_seed
from murine.search.results import Results, write_results, write_table
from murine.search.settings import Search
from murine.search.space import combinations
from murine.search.trials import (
    FAILED,
    FINISHED,
    PRUNED,
    RUNNING,
    Trial,
    best_trial,
    check_ethograms,
    check_same,
    read_trials,
    trial_folder,
    write_trial,
)
from murine.train.crossval import Evaluation, evaluate, judge_recording, score_all
from murine.train.study import Study

MAIN_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "map", "f1_50")
"""What a finished trial's row shows besides the criterion."""

_HOPE = 3
"""Trials that may fail before any is finished; then the search ends, as the rest would fail too."""

OPTIMISTIC = (
    "The best trial was chosen by its score on these test folds, so that score is too good; expect less of new "
    "recordings. --nested chooses on the training folds alone and says how much less."
)


@dataclass(frozen=True)
class Searched:
    """What a search came to. `best`: the finished trial with the best value; `results`: the files written."""

    folder: Path
    search: Search
    trials: tuple[Trial, ...]
    best: Trial
    results: Results

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return {
            "folder": str(self.folder),
            "criterion": self.search.criterion,
            "minimized": self.search.minimized,
            "best": self.best.to_dict(),
            "optimistic": OPTIMISTIC,
            "trials": [trial.to_dict() for trial in self.trials],
            "importance": dict(self.results.importance),
            "files": {key: str(path) for key, path in self.results.files.items()},
        }


_Report = Callable[[Path, str, Study, Split, Mapping[str, Path]], None]
"""Told a unit's folder and name, the study, a fold and the predictions of its recordings."""


class _GivenUpError(Exception):
    """A trial is not worth going on with; the text says why."""


def default_folder(project_folder: Path, search: Search) -> Path:
    """Return PROJECT/searches/NAME, NAME being the search's and the values of `only`."""
    return Path(project_folder) / "searches" / (search.name.rsplit("/", 1)[-1] + suffix(search.only))


def search(
    project_folder: Path,
    plan: Search,
    *,
    out: Path | None = None,
    resume: bool = True,
    progress: Progress = SILENT,
) -> Searched:
    """Try combinations of a recipe's settings on a project's labelled recordings, each cross-validated.

    `out`: default PROJECT/searches/NAME. OUT/trials/NUMBER is an evaluation each (a folder for each seed within,
    where there are `seeds`). A finished, failed or pruned trial is never run again, an interrupted one goes on
    where it was; `resume` False begins anew. Afterwards OUT holds trials.csv, history and importance as
    pictures and best.toml, the best recipe. Its score is optimistic: it was chosen on the folds it is
    judged by (`search_nested`). Raises ConfigError for a space that makes no recipes, InputError for a criterion that
    does not exist, a folder of another search, labels that changed meanwhile, or where no trial finishes.
    """
    require_optuna(plan)
    check_space(plan)
    out = Path(out) if out is not None else default_folder(project_folder, plan)
    with results_folder(out):
        open_folder(out, Path(project_folder), plan, resume=resume)
    grid = list(combinations(plan.space)) if plan.method == "grid" else []
    trials = {trial.number: trial for trial in read_trials(out)}
    with progress.task("searching", plan.wanted, "trials") as task:
        for number in range(1, plan.wanted + 1):
            before = [trials[n] for n in sorted(trials) if n < number]
            known = trials.get(number)
            if grid:
                values: Mapping[str, Any] = grid[number - 1]
            else:
                values = known.values if known is not None else propose(plan, number, before)
            if known is not None:
                check_same(known, values, out)
            if known is None or known.state == RUNNING:
                task.note(f"{number}: {_told(values)}")
                trials[number] = _try(
                    project_folder, plan, number, values, before, out, progress, again=known is not None
                )
                _thin_out(out, plan, list(trials.values()))
                write_table(out, plan, list(trials.values()))
                _check_hope(list(trials.values()))
            task.advance()
    every = tuple(trials[n] for n in sorted(trials))
    best = best_trial(every, minimized=plan.minimized)
    if best is None:
        raise InputError(f"{out}: none of {len(every)} trials was finished. Trial 1: {every[0].why}")
    return Searched(out, plan, every, best, write_results(out, plan, every, best))


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.rsplit('.', 1)[-1]} {value}" for key, value in values.items())


def _check_hope(trials: Sequence[Trial]) -> None:
    """Raise InputError where all trials failed so far, and more than chance would have it."""
    if len(trials) >= _HOPE and all(trial.state == FAILED for trial in trials):
        raise InputError(
            f"the first {len(trials)} trials all failed, so the search stops. The last one: {trials[-1].why}"
        )


def _try(
    project_folder: Path,
    search: Search,
    number: int,
    values: Mapping[str, Any],
    before: Sequence[Trial],
    out: Path,
    progress: Progress,
    *,
    again: bool,
) -> Trial:
    """Run a trial to its end, whatever that is; return its record, which is on disk too."""
    folder, began = trial_folder(out, number), time.monotonic()
    trial = Trial(number, values)
    write_trial(out, trial)
    folds: dict[str, float | None] = {}

    def report(place: Path, label: str, study: Study, split: Split, paths: Mapping[str, Path]) -> None:
        folds[label + split.name] = _fold_value(search, place, study, split, paths)
        running = replace(trial, folds=dict(folds), seconds=round(time.monotonic() - began, 1))
        write_trial(out, running)
        if why := is_hopeless(search, running, before):
            raise _GivenUpError(why)

    try:
        recipe = make_recipe(search, values)
        each: dict[str, Evaluation] = {}
        found: dict[str, float] = {}
        for label, place, seeded in _units(search, recipe, folder):
            evaluation = _evaluate(project_folder, search, seeded, place, label, report, progress, again)
            each[label] = evaluation
            own = [v for name, v in folds.items() if name.startswith(label) and v is not None]
            value = _value(search, evaluation.scores, own)
            if value is None:
                raise InputError(f"its {search.criterion} does not exist for these recordings")
            found[label.rstrip("/")] = value
        tables = [evaluation.scores for evaluation in each.values()]
        ethograms = {k.rstrip("/") or "trial": e.scores["pooled"]["ethogram"] for k, e in each.items()}
        check_ethograms(ethograms, folder)
        seeds = found if search.seeds else {}
        value = mean(list(found.values()))
        trial = replace(trial, state=FINISHED, value=value, scores=_main(tables), seeds=seeds)
    except _GivenUpError as error:
        trial = replace(trial, state=PRUNED, why=str(error))
    except ProjectError:
        raise
    except (InputError, ConfigError) as error:
        trial = replace(trial, state=FAILED, why=str(error))
    trial = replace(trial, folds=dict(folds), seconds=round(time.monotonic() - began, 1))
    write_trial(out, trial)
    return trial


def _units(search: Search, recipe: Recipe, folder: Path) -> list[tuple[str, Path, Recipe]]:
    """Return what a trial evaluates: its name in front of folds, its folder, its recipe; one for each seed."""
    if not search.seeds:
        return [("", folder, recipe)]
    return [(f"seed-{s}/", folder / f"seed-{s}", with_seed(recipe, s)) for s in search.seeds]


def _evaluate(
    project_folder: Path,
    search: Search,
    recipe: Recipe,
    place: Path,
    label: str,
    report: _Report,
    progress: Progress,
    again: bool,
) -> Evaluation:
    told = []

    def after_fold(study: Study, split: Split, paths: Mapping[str, Path]) -> None:
        told.append(split.name)
        report(place, label, study, split, paths)

    def run(resume: bool) -> Evaluation:
        return evaluate(
            project_folder,
            recipe,
            out=place,
            only=search.only,
            resume=resume,
            after_fold=after_fold,
            progress=progress,
        )

    try:
        return run(True)
    except InputError:
        if not again or told:
            raise
        # an interrupted trial whose files were touched since: it was not finished, so it begins anew
        return run(False)


def _fold_value(
    search: Search, place: Path, study: Study, split: Split, paths: Mapping[str, Path]
) -> float | None:
    """Return the criterion of one fold alone; None where its recordings do not have it."""
    if search.criterion in EPOCH_SCORES:
        return epoch_score(search.criterion, place / "folds" / split.name, study.recipe.training.watch)
    judged = {id_: judge_recording(study, path, study.recipe) for id_, path in paths.items()}
    if not any((one.truth.frames() != -1).any() for one in judged.values()):
        return None
    return find_score(search.criterion, score_all(judged, [split], study.project.unit))


def _value(search: Search, scores: Mapping[str, Any], folds: Sequence[float]) -> float | None:
    if search.criterion in EPOCH_SCORES or search.over == "folds":
        return mean(folds)
    return find_score(search.criterion, scores)


def _main(scores: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the main scores, of several seeds their means."""
    main: dict[str, float | None] = {}
    for name in MAIN_SCORES:
        if name == "f1_50" and scores[0].get("segments") is None:
            continue
        values = [v for table in scores if (v := find_score(name, table)) is not None]
        main[name] = mean(values)
    return main


def _thin_out(out: Path, search: Search, trials: Sequence[Trial]) -> None:
    """Take the networks of trials away that are over and not the best; scores and predictions stay."""
    if search.keep == "all":
        return
    best = best_trial(trials, minimized=search.minimized)
    for trial in trials:
        if trial.state == RUNNING or trial is best:
            continue
        for folds in trial_folder(out, trial.number).glob("**/folds"):
            shutil.rmtree(folds, ignore_errors=True)
