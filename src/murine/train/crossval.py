"""Honest scores: train on some recordings, judge on the others, fold by fold.

An evaluation's folder: config.toml, splits.json, folds/NAME (a run folder each), predictions/ID.parquet
(every recording as predicted by the network that did not see it), scores.json.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine import __version__
from murine.config import Recipe, SplitSettings, save_recipe
from murine.data.leaks import find_leaks, leak_note, refuse_leaks
from murine.data.splits import Split, make_splits
from murine.errors import InputError
from murine.files import file_hash, read_json, require_file, results_folder, value_hash, write_json
from murine.metrics import (
    Pair,
    bout_matches,
    fill_background,
    majority_baseline,
    score_details,
    score_frames,
    score_segments,
)
from murine.postprocess import apply, make_steps
from murine.predict.run import history
from murine.predict.sources import PreparedSource
from murine.predict.stream import predict_recording
from murine.predictions import WITHIN, read_header, read_prediction, write_prediction
from murine.progress import SILENT, Progress
from murine.project import PROJECT_FILE, load_bouts, suffix
from murine.train.run import check_folder, short_name, train_split
from murine.train.runs import (
    CONFIG_FILE,
    MODEL_FILE,
    SPLITS_FILE,
    STAGE_FOLDER,
    TrainedRun,
    load_run,
    write_environment,
)
from murine.train.study import Study, described, open_study
from murine.types import Bouts, FloatArray, Prediction

Frames = NDArray[np.int8]

SCORES_FILE = "scores.json"
EVALUATION_FILE = "evaluation.json"


AfterFold = Callable[[Study, Split, Mapping[str, Path]], None]
"""Told the study, the fold and the predictions of its recordings; what it raises ends the evaluation."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation came to: its folder, the out-of-fold predictions, scores.json as values."""

    folder: Path
    predictions: tuple[Path, ...]
    scores: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Judged:
    """One recording: what people said, what the network said, what was decided after post-processing."""

    truth: Bouts
    prediction: Prediction
    decided: Bouts


def evaluate(
    project_folder: Path,
    recipe: Recipe,
    *,
    out: Path | None = None,
    only: Sequence[str] = (),
    resume: bool = True,
    allow_leak: bool = False,
    after_fold: AfterFold | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Cross-validate a recipe on a project's labelled recordings.

    `only`: recordings with these values in these columns, such as "camera=left". `out`: default
    PROJECT/evaluations/NAME, NAME being the recipe's and the values of `only`. Every fold trains and stops
    early without its test recordings. A finished fold of the same settings, labels and files is not run
    again, an interrupted one goes on; `resume` False begins anew. Where the unit of a project is a recording
    (clips), its probabilities are averaged and the recording counts once; otherwise every labelled frame
    counts. `after_fold` is told of each fold. Raises what `open_study`, `make_splits` and `train_split` raise,
    and LeakError where tested recordings are related to others (`data.leaks`), unless `allow_leak`; every result is
    then marked.
    """
    project_folder = Path(project_folder)
    name = short_name(recipe) + suffix(only)
    out = Path(out) if out is not None else project_folder / "evaluations" / name
    with results_folder(out):
        study = open_study(project_folder, recipe, only=only, progress=progress)
        splits = make_splits(
            study.recordings, recipe.split, study.label_counts, behaviours=study.ethogram.behaviours
        )
        clips = study.project.unit == "recording"
        leaks = find_leaks(splits, study.recordings, clips=clips, progress=progress)
        if not allow_leak:
            refuse_leaks(leaks)
        marks = {"leaks": [str(leak) for leak in leaks]} if leaks else {}
        for split in splits if resume else ():
            check_folder(out / "folds" / split.name, study.identity(split), within=out)
        if not resume and (out / EVALUATION_FILE).exists():
            shutil.rmtree(out / "folds", ignore_errors=True)
            shutil.rmtree(out / WITHIN, ignore_errors=True)
        # scores stand only beside the settings and predictions they were made of
        (out / SCORES_FILE).unlink(missing_ok=True)
        more = ({"only": list(only)} if only else {}) | marks
        write_evaluation(out, project_folder, recipe, splits, more)
    paths: dict[str, Path] = {}
    reused: list[str] = []
    with progress.task("evaluating", len(splits), "folds") as task:
        for split in splits:
            task.note(split.name)
            folder = out / "folds" / split.name
            trained = not (resume and (folder / MODEL_FILE).exists())
            run = train_split(study, split, folder, resume=resume, progress=progress)
            seen = study if study.stage is None else _staged(study, folder, progress)
            for id_ in split.test:
                paths[id_] = out / WITHIN / f"{id_}.parquet"
                _predict(seen, run, split, id_, paths[id_], anew=trained)
            if not trained:
                reused.append(split.name)
            task.advance()
            if after_fold is not None:
                after_fold(study, split, {id_: paths[id_] for id_ in split.test})
    for path in (out / WITHIN).glob("*.parquet"):
        if path not in paths.values() and "fold" in _meta_of(path):
            path.unlink()  # of a recording that no fold tests any more
    judged = {id_: judge_recording(study, path, recipe) for id_, path in paths.items()}
    over = drawn_over(recipe.split)
    scores = score_all(judged, splits, study.project.unit, over=over) | {"reused": reused}
    mark_leaks(scores, marks.get("leaks", ()))
    write_json(out / SCORES_FILE, scores)
    return Evaluation(out, tuple(paths.values()), scores)


def mark_leaks(scores: dict[str, Any], leaks: Sequence[str]) -> None:
    """Mark the scores of an evaluation that was made in spite of leaks, told in words."""
    if leaks:
        scores["leaks"] = list(leaks)
        scores["notes"] = [leak_note(leaks), *scores["notes"]]


def leaks_of(folders: Sequence[Path]) -> list[str]:
    """Return the leaks, in words, that some evaluations were made in spite of."""
    told = (
        read_json(Path(folder) / EVALUATION_FILE, "evaluation").get("leaks", ()) for folder in folders
    )
    return list(dict.fromkeys(leak for leaks in told for leak in leaks))


def write_evaluation(
    out: Path, project_folder: Path, recipe: Recipe, splits: Sequence[Split], more: Mapping[str, Any]
) -> None:
    """Write what an evaluation is of: evaluation.json (with `more` in it), settings, splits, machine."""
    write_json(
        out / EVALUATION_FILE,
        {
            "murine_version": __version__,
            "project": _relative(project_folder, out),
            "recipe": recipe.name,
            **more,
        },
    )
    save_recipe(recipe, out / CONFIG_FILE)
    write_json(out / SPLITS_FILE, [split.to_dict() for split in splits])
    write_environment(out)


def _staged(study: Study, folder: Path, progress: Progress) -> Study:
    """Return the study as a fold's own stage describes it."""
    return described(study, load_run(folder / STAGE_FOLDER), progress=progress)


def _predict(study: Study, run: TrainedRun, split: Split, id_: str, path: Path, *, anew: bool) -> None:
    """Write the prediction of a test recording, unless it is there: of this network, files and settings."""
    prepared, recording = study.prepared[id_], study.project.recording(id_)
    key = value_hash([__version__, run.hash, dict(prepared.keys)])
    if not anew and _meta_of(path).get("key") == key:
        return
    files = {**recording.videos, "pose": recording.pose}
    hashes = {what: file_hash(file) for what, file in files.items() if file is not None}
    meta = {"key": key, "fold": split.name, **history(run, recording, hashes)}
    device = study.recipe.training.device
    write_prediction(path, predict_recording(run, PreparedSource(prepared), device=device, meta=meta))


def _meta_of(path: Path) -> dict[str, Any]:
    """Return a prediction's history, empty for a file that is none."""
    try:
        meta: dict[str, Any] = read_header(path)["meta"]
    except InputError:
        return {}
    return meta


def judge_recording(study: Study, path: Path, recipe: Recipe) -> Judged:
    """Return a prediction beside its labels, decided by the recipe's post-processing."""
    prediction = read_prediction(path)
    truth = load_bouts(study.project, study.project.recording(prediction.recording))
    return Judged(truth, prediction, apply(prediction, make_steps(recipe.postprocess)))


def drawn_over(settings: SplitSettings) -> str:
    """Return what an evaluation's intervals are drawn over: what the recordings were split by."""
    return "group" if settings.pattern else settings.by


def score_all(
    judged: dict[str, Judged], splits: Sequence[Split], unit: str, *, over: str = "recording"
) -> dict[str, Any]:
    """Return the scores of an evaluation, as scores.json holds them.

    `pooled`: frames (or recordings) of all folds together, decided after post-processing; `raw`: before
    it; `baseline`: always the commonest behaviour; `segments`: bouts, where behaviours exclude each
    other and are labelled frame by frame; `recordings`, `folds`: frames, segments and bouts of each alone.
    Besides, of all: what `metrics.score_details` tells (`bouts`, `intervals`, `drawn`, `protocols`, `tasks`); for
    intervals the groups of the splits are drawn, called `over`. Older evaluations have none of these.
    """
    everyone = list(judged.values())
    ethogram = everyone[0].prediction.ethogram
    truth, values, decided = unit_rows(everyone, unit)
    pooled = score_frames(truth, values, ethogram, decided=decided).to_dict()
    groups = {id_: s.groups.get(id_, id_) for s in splits for id_ in s.test}
    details = score_details(
        [pair_of(one, unit) for one in everyone],
        ethogram,
        groups=[groups.get(id_, id_) for id_ in judged],
        over=over,
    )
    return {
        "unit": unit,
        "pooled": pooled,
        "raw": score_frames(truth, values, ethogram).to_dict(),
        "baseline": majority_baseline(truth, ethogram).to_dict(),
        "segments": _segments(everyone, unit),
        "recordings": {id_: _brief([one], unit) for id_, one in judged.items()},
        "folds": {s.name: _brief([judged[id_] for id_ in s.test], unit) for s in splits},
        "notes": [f"{s.name}: {note}" for s in splits for note in s.notes],
        **details,
    }


def pair_of(judged: Judged, unit: str) -> Pair:
    """Return a recording as metrics take it: frame by frame, or as one row where it counts once."""
    truth, values, decided = unit_rows([judged], unit)
    if decided is None:
        plain = judged.prediction.ethogram.plain_decision(values).astype(np.int8)
        return Pair(truth, plain, values)
    return Pair(truth, decided, values, judged.prediction.timeline)


def unit_rows(judged: list[Judged], unit: str) -> tuple[Frames, FloatArray, Frames | None]:
    """Return truth, probabilities and decisions (N, C), a row per unit; None: decide plainly."""
    if unit == "recording":
        truth = np.stack([(j.truth.frames() == 1).any(axis=0).astype(np.int8) for j in judged])
        return truth, np.stack([j.prediction.probabilities.mean(axis=0) for j in judged]), None
    truth = np.concatenate([fill_background(j.truth.frames(), j.truth.ethogram) for j in judged])
    values = np.concatenate([j.prediction.probabilities for j in judged])
    return truth, values, np.concatenate([j.decided.frames() for j in judged])


def _brief(judged: list[Judged], unit: str) -> dict[str, Any]:
    truth, values, decided = unit_rows(judged, unit)
    if not (truth != -1).any():
        return {"frames": None, "segments": None, "bouts": []}
    ethogram = judged[0].prediction.ethogram
    scores = score_frames(truth, values, ethogram, decided=decided)
    bouts = bout_matches([pair_of(one, unit) for one in judged], ethogram)
    return {
        "frames": scores.to_dict(),
        "segments": _segments(judged, unit),
        "bouts": [row.to_dict() for row in bouts],
    }


def _segments(judged: list[Judged], unit: str) -> dict[str, Any] | None:
    if unit == "recording" or not judged[0].prediction.ethogram.exclusive:
        return None
    truth, said = [j.truth.classes() for j in judged], [j.decided.classes() for j in judged]
    return score_segments(truth, said).to_dict()


def _relative(project_folder: Path, out: Path) -> str:
    """Return the way from an evaluation to its project, so that both can be moved together."""
    try:
        return Path(os.path.relpath(project_folder.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return project_folder.resolve().as_posix()


def project_of(folder: Path) -> Path:
    """Return the folder of the project that an evaluation is of; raises InputError where it is unknown."""
    path = Path(folder) / EVALUATION_FILE
    if not path.exists():
        raise InputError(
            f"{folder}: holds no evaluation ({EVALUATION_FILE}). Run 'murine evaluate' first."
        )
    project = read_json(path, "evaluation").get("project")
    place = Path(os.path.normpath(Path(folder) / str(project)))
    if project is None or not (place / PROJECT_FILE).exists():
        raise InputError(
            f"{folder}: its project is not at {place} any more. Move it back, or name its new place in "
            f"{EVALUATION_FILE}."
        )
    return place


def read_splits(folder: Path) -> tuple[Split, ...]:
    """Return the folds of an evaluation; raises InputError where they are missing or damaged."""
    path = Path(folder) / SPLITS_FILE
    try:
        return tuple(
            Split.from_dict(form) for form in json.loads(require_file(path, "folds").read_text())
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}). Run 'murine evaluate' again.") from error


def load_scores(folder: Path) -> dict[str, Any]:
    """Return scores.json of an evaluation; raises InputError where there is none."""
    path = Path(folder) / SCORES_FILE
    if not path.exists():
        if (Path(folder) / EVALUATION_FILE).exists():
            raise InputError(
                f"{folder}: this evaluation is not finished. Run the same 'murine evaluate' again; it goes on."
            )
        raise InputError(f"{folder}: holds no evaluation ({SCORES_FILE}). Run 'murine evaluate' first.")
    return read_json(path, "scores of an evaluation")
