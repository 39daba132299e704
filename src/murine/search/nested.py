"""A search judged honestly: for each fold another search, on the recordings that the fold trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from murine import __version__
from murine.config import Recipe, SplitSettings
from murine.data.splits import Split, make_splits
from murine.errors import InputError
from murine.files import file_hash, read_json, results_folder, value_hash, write_json
from murine.predict.run import history
from murine.predict.sources import PreparedSource
from murine.predict.stream import predict_recording
from murine.predictions import WITHIN, write_prediction
from murine.progress import SILENT, Progress
from murine.project import load_project
from murine.search.advising import require_optuna
from murine.search.criteria import EPOCH_SCORES, check_score, epoch_score, find_score, mean
from murine.search.making import RECIPE, check_space, first_recipes
from murine.search.results import best_recipe
from murine.search.running import default_folder
from murine.search.running import search as search_flat
from murine.search.settings import Search
from murine.search.trials import Trial
from murine.train.crossval import (
    EVALUATION_FILE,
    SCORES_FILE,
    Judged,
    drawn_over,
    judge_recording,
    score_all,
    write_evaluation,
)
from murine.train.run import check_folder, train_split
from murine.train.runs import STAGE_FOLDER, load_run
from murine.train.study import Study, described, open_study

SEARCHES = "searches"

_FOLDS = 5
"""Inside a fold, where the recipe names its folds and they are used up."""


@dataclass(frozen=True)
class Nested:
    """What a nested search came to: an evaluation's folder and scores, and of each fold the trial it chose.

    `honest`: the criterion of networks whose settings were chosen without the recordings they are judged on;
    `optimistic`: the mean over folds of what the chosen trials had on the folds they were chosen by.
    """

    folder: Path
    search: Search
    chosen: Mapping[str, Trial]
    honest: float | None
    optimistic: float
    scores: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return {
            "folder": str(self.folder),
            "criterion": self.search.criterion,
            "honest": self.honest,
            "optimistic": self.optimistic,
            "chosen": {fold: trial.to_dict() for fold, trial in self.chosen.items()},
            "scores": self.scores,
        }


def search_nested(
    project_folder: Path,
    plan: Search,
    *,
    out: Path | None = None,
    resume: bool = True,
    progress: Progress = SILENT,
) -> Nested:
    """Search anew for each fold on its training recordings alone, then judge the fold with what was found.

    `out`: default PROJECT/searches/NAME-nested; it becomes an evaluation, as `evaluate` writes it, with a search
    for each fold in OUT/searches. A search goes on where it was stopped, as `search` does. The split is that
    of the recipe; inside, folds are laid the same way over the groups that are left. A fold is judged by one network,
    of the recipe's own seed, whatever `seeds` chose by. Raises InputError, before any
    training, where the split leaves fewer than two groups inside, where a behaviour would be missing there, or
    where the space varies the split, besides what `search` raises.
    """
    require_optuna(plan)
    check_space(plan)
    base, project = _base(plan), load_project(project_folder)
    project_folder = Path(project_folder)
    flat = default_folder(project_folder, plan)
    out = Path(out) if out is not None else flat.with_name(f"{flat.name}-nested")
    with results_folder(out):
        check_score(plan.criterion, project.ethogram, project.unit)
        there = (
            read_json(out / EVALUATION_FILE, "evaluation") if (out / EVALUATION_FILE).exists() else {}
        )
        if any(out.iterdir()) and "nested_search" not in there:
            raise InputError(
                f"{out}: holds something else. Choose another folder for the search (--out)."
            )
        study = open_study(project_folder, base, only=plan.only, progress=progress)
        splits = make_splits(
            study.recordings, base.split, study.label_counts, behaviours=study.ethogram.behaviours
        )
        inner = {split.name: _inner(plan, base.split, split, study) for split in splits}
        (out / SCORES_FILE).unlink(missing_ok=True)
        named = replace(base, name=f"{plan.name.rsplit('/', 1)[-1]}-nested")
        more = {"nested_search": plan.name, **({"only": list(plan.only)} if plan.only else {})}
        write_evaluation(out, project_folder, named, splits, more)
    chosen: dict[str, Trial] = {}
    judged: dict[str, Judged] = {}
    with progress.task("nested search", len(splits), "folds") as task:
        for split in splits:
            task.note(split.name)
            inside = out / SEARCHES / split.name
            found = search_flat(
                project_folder, inner[split.name], out=inside, resume=resume, progress=progress
            )
            chosen[split.name] = found.best
            recipe = replace(best_recipe(plan, found.best), split=base.split)
            judged |= _judge(project_folder, plan, recipe, split, out, resume, progress)
            task.advance()
    scores = score_all(judged, splits, study.project.unit, over=drawn_over(base.split)) | {"reused": []}
    write_json(out / SCORES_FILE, scores)
    told = [float(t.value) for t in chosen.values() if t.value is not None]
    honest = _honest(plan, scores, judged, splits, out, study.project.unit)
    return Nested(out, plan, chosen, honest, float(np.mean(told)), scores)


def _base(search: Search) -> Recipe:
    """Return a recipe with the split that all trials share; raises InputError where they do not."""
    varied = [axis.key for axis in search.space if axis.key.startswith("split.")]
    recipes = first_recipes(search)
    if varied or any(recipe.split != recipes[0].split for recipe in recipes):
        what = varied[0] if varied else f"the split of its recipes (space.{RECIPE})"
        raise InputError(
            f"--nested judges all trials on the same folds, and this search varies {what}. Leave it out, or search "
            "without --nested."
        )
    return recipes[0]


def _inner(search: Search, settings: SplitSettings, split: Split, study: Study) -> Search:
    """Return the search inside a fold: on the recordings it trains on, split the way the recipe splits them."""
    ids = (*split.train, *split.validation)
    groups = dict.fromkeys(split.groups[id_] for id_ in ids)
    if len(groups) < 2:
        raise InputError(
            f"{split.name} trains on one group ('{next(iter(groups), '')}'), so none is left to choose settings by. "
            "Label another, split by a finer column (split.by), or search without --nested."
        )
    rows = np.isin([recording.id for recording in study.recordings], ids)
    absent = np.flatnonzero(study.label_counts[rows].sum(axis=0) == 0)
    if len(absent):
        names = ", ".join(study.ethogram.behaviours[i] for i in absent)
        raise InputError(
            f"{split.name}: none of the recordings it trains on shows {names}, so no search can be made on them. "
            "Choose fewer or other folds (split.folds, split.stratify), or search without --nested."
        )
    tested = set(split.side_groups("test"))
    fixed = tuple(fold for fold in settings.fixed if not tested & set(fold))
    folds = settings.folds and min(settings.folds, len(groups))
    if settings.fixed:
        fixed = fixed if len(fixed) > 1 else ()
        folds = 0 if fixed else min(_FOLDS, len(groups))
    inside = {"split.fixed": fixed, "split.folds": folds, "split.train_share": 1.0}
    only = tuple(f"recording={id_}" for id_ in ids)
    return replace(search, fixed={**search.fixed, **inside}, only=only)


def _judge(
    project_folder: Path,
    search: Search,
    recipe: Recipe,
    split: Split,
    out: Path,
    resume: bool,
    progress: Progress,
) -> dict[str, Judged]:
    """Train one fold with what its search found, and return its test recordings beside their labels."""
    study = open_study(project_folder, recipe, only=search.only, progress=progress)
    folder = out / "folds" / split.name
    try:
        check_folder(folder, study.identity(split))
    except InputError:
        resume = False  # more trials found other settings
    run = train_split(study, split, folder, resume=resume, progress=progress)
    if study.stage is not None:
        study = described(study, load_run(folder / STAGE_FOLDER), progress=progress)
    judged = {}
    for id_ in split.test:
        path, recording = out / WITHIN / f"{id_}.parquet", study.project.recording(id_)
        files = {**recording.videos, "pose": recording.pose}
        hashes = {what: file_hash(file) for what, file in files.items() if file is not None}
        key = value_hash([__version__, run.hash, dict(study.prepared[id_].keys)])
        meta = {"key": key, "fold": split.name, **history(run, recording, hashes)}
        source = PreparedSource(study.prepared[id_])
        device = recipe.training.device
        write_prediction(path, predict_recording(run, source, device=device, meta=meta))
        judged[id_] = judge_recording(study, path, recipe)
    return judged


def _honest(
    search: Search,
    scores: Mapping[str, Any],
    judged: Mapping[str, Judged],
    splits: Sequence[Split],
    out: Path,
    unit: str,
) -> float | None:
    """Return the criterion of the outer folds, as a trial's value is made of its folds."""
    if search.criterion not in EPOCH_SCORES and search.over == "pooled":
        return find_score(search.criterion, scores)
    found = []
    for split in splits:
        own = {id_: judged[id_] for id_ in split.test}
        if search.criterion in EPOCH_SCORES:
            place = out / "folds" / split.name
            watch = load_run(place).recipe.training.watch
            found.append(epoch_score(search.criterion, place, watch))
        else:
            found.append(find_score(search.criterion, score_all(own, [split], unit)))
    return mean([value for value in found if value is not None])
