"""Post-processing chosen and learned on other recordings than it is judged on, and what each step is worth.

Nested: the folds of an evaluation are parted into at most five parts. What is chosen for the folds of a part, and
all that is learned on the way, comes from labels and out-of-fold predictions of the other parts' recordings; a
candidate is judged on a fold by what was learned without that fold.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from murine.config import Recipe, load_recipe, save_recipe
from murine.data.splits import Split
from murine.ensemble.counting import (
    all_scores,
    check_criterion,
    gain_interval,
    score_counts,
)
from murine.ensemble.options import STAGES, Chain
from murine.ensemble.searching import Chosen, Search, Source
from murine.errors import InputError, suggest
from murine.files import read_json, results_folder, write_json, write_text
from murine.postprocess import apply, make_steps
from murine.predictions import WITHIN, write_prediction
from murine.progress import SILENT, Progress
from murine.project import load_project
from murine.train.crossval import (
    EVALUATION_FILE,
    SCORES_FILE,
    Judged,
    drawn_over,
    leaks_of,
    load_scores,
    mark_leaks,
    project_of,
    read_splits,
    score_all,
    write_evaluation,
)
from murine.train.runs import CONFIG_FILE

TUNED = "tuned"
"""The key of evaluation.json that says how an evaluation was tuned."""

TUNING_FILE = "tuning.json"
TABLE_FILE = "tuning.csv"
RECIPE_FILE = "recipe.toml"


@dataclass(frozen=True)
class Tuned:
    """What tuning found. `worth`: a row for each stage: scores of all folds with the stages up to this one, and
    the gain over the row before; `chosen`: by fold and stage; `new`: the steps for new recordings.
    """

    folder: Path
    predictions: tuple[Path, ...]
    scores: dict[str, Any]
    metric: str
    worth: tuple[dict[str, Any], ...]
    chosen: dict[str, dict[str, str]]
    new: Chain

    def to_dict(self) -> dict[str, Any]:
        """Return what tuning.json holds."""
        kept = ("metric", "worth", "chosen", "new")
        return {name: getattr(self, name) for name in kept}


def tune(
    out: Path,
    evaluation: Path,
    *,
    metric: str = "macro_f1",
    stages: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Tuned:
    """Choose post-processing for an evaluation's folds, each without looking at it; write the evaluation that results.

    `evaluation`: of one network or a combined one; its own post-processing is replaced. `metric`: one of
    `counting.CRITERIA`. `stages`: of `options.STAGES`, all by default, always in their order. OUT holds, besides
    an evaluation, tuning.json and tuning.csv (each stage's worth) and recipe.toml, with the steps that all folds
    together chose, for new recordings. Raises InputError where there are fewer than two folds, for clips
    that have one label each, and where OUT holds something else.
    """
    out, evaluation = Path(out), Path(evaluation)
    if odd := [name for name in stages if name not in STAGES]:
        raise InputError(f"stages are {', '.join(STAGES)}; came '{odd[0]}'.{suggest(odd[0], STAGES)}")
    scores = load_scores(evaluation)
    project = load_project(project_of(evaluation))
    check_criterion(metric, project.ethogram)
    if project.unit == "recording":
        raise InputError(
            f"{evaluation}: its recordings have one label each, so there are no bouts to decode. Tune an evaluation "
            "of recordings labelled frame by frame."
        )
    splits = [s for s in read_splits(evaluation) if s.test]
    if len(splits) < 2:
        raise InputError(
            f"{evaluation}: one fold. Post-processing is chosen on other folds than it is judged on: evaluate with "
            "at least two (split.folds)."
        )
    _check_out(out, evaluation)
    recipe = load_recipe(str(evaluation / CONFIG_FILE))
    with results_folder(out):
        source = Source(evaluation, project, splits)
        wanted = {name: STAGES[name] for name in STAGES if not stages or name in stages}
        search = Search(source, wanted, metric)
        parts = dict.fromkeys(source.part_of.values())
        chosen: dict[str, Chosen] = {}
        with progress.task("choosing", len(parts) + 1, "parts") as task:
            for part in parts:
                found = search.choose(part, task)
                chosen |= dict.fromkeys(part, found)
                task.advance()
            final = search.choose(frozenset(), task)
            task.advance()
        return _write(out, source, search, chosen, final, recipe, scores)


def _check_out(out: Path, evaluation: Path) -> None:
    """Raise InputError where writing into a folder would destroy what was not tuned there."""
    if out.resolve() == evaluation.resolve():
        raise InputError(f"{out}: is the evaluation to tune. Name another folder for the result.")
    if (out / EVALUATION_FILE).exists() and TUNED not in read_json(out / EVALUATION_FILE, "evaluation"):
        raise InputError(f"{out}: holds an evaluation of its own. Name another folder for the result.")
    if not (out / EVALUATION_FILE).exists() and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: holds something else. Name another folder for the result.")


def _write(
    out: Path,
    source: Source,
    search: Search,
    chosen: Mapping[str, Chosen],
    final: Chosen,
    recipe: Recipe,
    before: Mapping[str, Any],
) -> Tuned:
    """Write the tuned evaluation and what is told of it."""
    chains = {s.name: _final_chain(source, search, chosen[s.name], s) for s in source.splits}
    judged: dict[str, Judged] = {}
    written = []
    (out / SCORES_FILE).unlink(missing_ok=True)
    names = {fold: {stage: o.label for stage, o in found.items()} for fold, found in chosen.items()}
    bare = replace(recipe, name=f"tuned/{recipe.name.split('/')[-1]}", postprocess=())
    told = {"metric": search.metric, "stages": list(search.stages), "chosen": names}
    leaks = leaks_of([source.folder])
    marks = {"leaks": leaks} if leaks else {}
    write_evaluation(out, source.project.root, bare, source.splits, {TUNED: told} | marks)
    for id_, prediction in source.predictions.items():
        steps = chains[source.fold_of[id_]]
        meta = {**prediction.meta, "postprocess": [dict(step) for step in steps]}
        path = out / WITHIN / f"{id_}.parquet"
        write_prediction(path, replace(prediction, meta=meta))
        judged[id_] = Judged(source.truth[id_], prediction, apply(prediction, make_steps(steps)))
        written.append(path)
    for path in (out / WITHIN).glob("*.parquet"):
        if path not in written:
            path.unlink()
    over = drawn_over(recipe.split)
    scores = score_all(judged, source.splits, source.project.unit, over=over) | {"reused": []}
    worth = _worth(source, search, chosen)
    scores |= {"worth": list(worth), "before": before["pooled"]}
    mark_leaks(scores, leaks)
    write_json(out / SCORES_FILE, scores)
    new = search.resolve(final, source.everyone, tuple(source.fold_of))
    tuned = Tuned(out, tuple(written), scores, search.metric, worth, names, new)
    write_json(out / TUNING_FILE, tuned.to_dict() | {"steps": {f: list(c) for f, c in chains.items()}})
    write_text(out / TABLE_FILE, _csv(worth))
    save_recipe(replace(recipe, postprocess=new), out / RECIPE_FILE)
    return tuned


def _final_chain(source: Source, search: Search, chosen: Chosen, split: Split) -> Chain:
    """Return a fold's steps, learned from the labels it trains on and the predictions of the other folds."""
    others = tuple(id_ for id_, fold in source.fold_of.items() if fold != split.name)
    return search.resolve(chosen, source.learned_from(split), others)


def _worth(source: Source, search: Search, chosen: Mapping[str, Chosen]) -> tuple[dict[str, Any], ...]:
    """Return the scores of all folds with the first stage, the first two, ...; groups are drawn for intervals."""
    groups = list(dict.fromkeys(source.group_of[id_] for id_ in source.fold_of))
    ethogram, rows, last = search.ethogram, [], None
    for number in range(len(search.stages) + 1):
        each = np.zeros((len(groups), 4 * len(ethogram) + 3))
        for split in source.splits:
            part = dict(list(chosen[split.name].items())[:number])
            steps = _final_chain(source, search, part, split)
            for id_ in split.test:
                each[groups.index(source.group_of[id_])] += search.counts(id_, steps)
        row: dict[str, Any] = {"stage": ["raw", *search.stages][number]}
        row |= all_scores(each.sum(axis=0), ethogram)
        if last is not None:
            after, earlier = (
                float(score_counts(c.sum(axis=0), search.metric, ethogram)) for c in (each, last)
            )
            interval = gain_interval(last, each, search.metric, ethogram)
            row |= {"gain": after - earlier, "interval": None if interval is None else list(interval)}
        rows.append(row)
        last = each
    return tuple(rows)


def _csv(worth: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    names = [name for name in worth[-1] if name not in ("stage", "interval")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", *names, "gain_low", "gain_high"])
    for row in worth:
        cells = [row.get(name) for name in names] + list(row.get("interval") or (None, None))
        writer.writerow([row["stage"], *("" if c is None else f"{c:.6f}" for c in cells)])
    return text.getvalue()
