"""Folders of predictions, or evaluations, combined into one more of the same kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from murine.config import Recipe, load_recipe
from murine.data.splits import Split
from murine.ensemble.members import Members, Unit, open_members
from murine.ensemble.values import COMBINED, check_scale, check_weights, combine_predictions
from murine.errors import InputError
from murine.files import read_json, results_folder, write_json
from murine.postprocess import Step, apply, make_steps
from murine.predict import write_bouts
from murine.predictions import (
    WITHIN,
    find_predictions,
    open_prediction,
    predictions_folder,
    read_header,
    write_prediction,
)
from murine.progress import SILENT, Progress
from murine.train.crossval import (
    EVALUATION_FILE,
    SCORES_FILE,
    Judged,
    drawn_over,
    leaks_of,
    load_scores,
    mark_leaks,
    score_all,
    write_evaluation,
)
from murine.train.runs import CONFIG_FILE
from murine.types import Prediction


@dataclass(frozen=True)
class Combined:
    """What came of combining: where it lies, the predictions, and of evaluations the scores.

    `before`: pooled scores of each member by itself, by name.
    """

    folder: Path
    predictions: tuple[Path, ...]
    scores: dict[str, Any] | None = None
    before: Mapping[str, dict[str, Any]] | None = None
    notes: tuple[str, ...] = ()


def combine(
    out: Path,
    inputs: Sequence[Path],
    *,
    on: str = "probabilities",
    weights: Sequence[float] = (),
    by: str = "",
    study: Path | None = None,
    tolerance_s: float | None = None,
    progress: Progress = SILENT,
) -> Combined:
    """Average what several networks predict of the same recordings, or of the cameras of one scene.

    `inputs`: folders of predictions, or evaluations with the same folds; OUT then is a folder of
    predictions with their bouts, or an evaluation, judged anew. `on`, `weights`: as `combine_predictions`.
    `by`: a column of recordings.csv whose value the recordings of one scene share; each scene counts once,
    under the name and labels of the first input's recording. `study`, `tolerance_s`: as `open_members`.
    Raises InputError where the inputs do not go together, or OUT holds something else.
    """
    out = Path(out)
    check_scale(on)
    members = open_members(inputs, by=by, study=study, tolerance_s=tolerance_s)
    shares = check_weights(weights, len(members.folders))
    check_out(out, members)

    def combined(unit: Unit) -> Prediction:
        return combine_predictions(members.read(unit), weights=shares, on=on, names=members.names)

    with results_folder(out), progress.task("combining", len(members.units), "recordings") as task:
        if members.splits:
            predictions = {}
            for unit in members.units:
                predictions[unit.id] = combined(unit)
                task.advance()
            what = {"on": on, "weights": dict(zip(members.names, shares, strict=True))}
            return write_combined(out, members, predictions, what)
        written = []
        for unit in members.units:
            prediction = combined(unit)
            path = out / f"{unit.id}.parquet"
            write_prediction(path, prediction)
            steps = make_steps(prediction.meta["postprocess"])
            write_bouts(out / f"{unit.id}.bouts.csv", open_prediction(path), steps)
            written.append(path)
            task.advance()
        _drop_others(out, written)
    return Combined(out, tuple(written))


def check_out(out: Path, members: Members) -> None:
    """Raise InputError where writing into a folder would destroy what was not combined there."""
    sources = {f.resolve() for f in members.folders}
    sources |= {predictions_folder(f).resolve() for f in members.folders}
    if out.resolve() in sources:
        raise InputError(f"{out}: is one of the folders to combine. Name another folder for the result.")
    is_evaluation = (out / EVALUATION_FILE).exists()
    if is_evaluation and COMBINED not in read_json(out / EVALUATION_FILE, "evaluation"):
        raise InputError(f"{out}: holds an evaluation of its own. Name another folder for the result.")
    there = _there(out)
    if is_evaluation != bool(members.splits) and (is_evaluation or there):
        kind = "an evaluation" if is_evaluation else "predictions"
        raise InputError(f"{out}: holds {kind} already. Name another folder for the result.")
    for path in there:
        if COMBINED not in read_header(path)["meta"]:
            raise InputError(
                f"{out}: holds predictions of a single network ({path.name}). Name another folder for the result."
            )


def write_combined(
    out: Path, members: Members, predictions: Mapping[str, Prediction], what: Mapping[str, Any]
) -> Combined:
    """Write an evaluation of combined predictions and judge it; `what` says how they came about.

    `predictions`: by recording, in the order of the members' units. The folds are those of the first
    member, post-processing too.
    """
    assert members.project is not None
    recipe, steps = _recipe(members), steps_of(members)
    units = {unit.id: unit for unit in members.units}
    splits = kept_splits(members.splits, units)
    fold_of = {id_: split.name for split in splits for id_ in split.test}
    (out / SCORES_FILE).unlink(missing_ok=True)
    told = {**what, "of": [str(folder) for folder in members.folders], "by": members.by}
    leaks = leaks_of(members.folders)
    marks = {"leaks": leaks} if leaks else {}
    write_evaluation(out, members.project.root, recipe, splits, {COMBINED: told} | marks)
    judged: dict[str, Judged] = {}
    written: list[Path] = []
    notes = _postprocess_notes(members)
    for id_, prediction in predictions.items():
        meta = {
            **prediction.meta, "fold": fold_of[id_], "recipe": recipe.name,
            "postprocess": [dict(step) for step in recipe.postprocess],
        }  # fmt: skip
        final = replace(prediction, meta=meta)
        truth, remarks = members.truth(units[id_])
        if truth.n_frames != len(final):
            raise InputError(
                f"recording '{id_}': {len(final)} frames were predicted and {truth.n_frames} are labelled. "
                "Evaluate again."
            )
        judged[id_] = Judged(truth, final, apply(final, steps))
        notes += remarks
        written.append(out / WITHIN / f"{id_}.parquet")
        write_prediction(written[-1], final)
    _drop_others(out / WITHIN, written)
    over = drawn_over(recipe.split)
    scores = score_all(judged, splits, members.project.unit, over=over) | {"reused": []}
    scores["notes"] = [*notes, *scores["notes"]]
    mark_leaks(scores, leaks)
    write_json(out / SCORES_FILE, scores)
    before = {
        name: load_scores(folder)["pooled"]
        for name, folder in zip(members.names, members.folders, strict=True)
    }
    return Combined(out, tuple(written), scores, before, tuple(notes))


def kept_splits(splits: Sequence[Split], units: Mapping[str, Unit]) -> list[Split]:
    """Return the folds with those test recordings that were predicted, folds without any left out."""
    kept = [replace(s, test=tuple(id_ for id_ in s.test if id_ in units)) for s in splits]
    return [s for s in kept if s.test]


def steps_of(members: Members) -> tuple[Step, ...]:
    """Return the post-processing by which combined evaluations are decided: the first member's."""
    return make_steps(_recipes(members)[0].postprocess)


def _recipes(members: Members) -> list[Recipe]:
    return [load_recipe(str(folder / CONFIG_FILE)) for folder in members.folders]


def _recipe(members: Members) -> Recipe:
    """Return the first member's recipe under the name of all."""
    name = " + ".join(members.names)
    return replace(_recipes(members)[0], name=f"combined/{name}", description=f"{name}, combined")


def _postprocess_notes(members: Members) -> list[str]:
    first, *others = _recipes(members)
    if all(other.postprocess == first.postprocess for other in others):
        return []
    return [f"their post-processing differs; decided by that of {members.names[0]}"]


def _there(folder: Path) -> list[Path]:
    with suppress(InputError):
        return find_predictions(folder)
    return []


def _drop_others(folder: Path, written: Sequence[Path]) -> None:
    """Take away what an earlier combination of other recordings left."""
    for path in _there(folder):
        if path not in written and COMBINED in read_header(path)["meta"]:
            path.unlink()
            path.with_name(f"{path.stem}.bouts.csv").unlink(missing_ok=True)
