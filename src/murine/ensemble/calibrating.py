"""How far probabilities can be trusted, and scaled by other folds so that they can: calibration and abstaining.

N decisions (of a frame or recording, in each set of behaviours that exclude each other), C behaviours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from murine.config import load_recipe, save_recipe
from murine.ensemble.searching import Source
from murine.ensemble.weighing import log_losses
from murine.errors import InputError
from murine.files import read_json, results_folder, write_json
from murine.postprocess import apply_own
from murine.postprocess.markov import lanes
from murine.postprocess.scaling import Scaling, logarithms, scaled
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
    unit_rows,
    write_evaluation,
)
from murine.train.runs import CONFIG_FILE
from murine.types import UNLABELLED, Ethogram, FloatArray

CALIBRATED = "calibrated"
CALIBRATION_FILE = "calibration.json"
RECIPE_FILE = "recipe.toml"

KINDS = ("temperature", "vector")

BINS = 15
"""Of the reliability diagram and the expected calibration error (Guo et al. 2017, section 2)."""

_SAMPLE = 50_000


@dataclass(frozen=True)
class Reliability:
    """How sure against how right. `bins`: `count`, mean `confidence` and `accuracy` of decisions by confidence;
    `error`: expected calibration error; `coverage`: the accuracy of the surest share of decisions, and from
    which confidence on they are decided, for shares 0.05, 0.1, ... 1.
    """

    bins: tuple[dict[str, float], ...]
    error: float
    log_loss: float
    coverage: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Calibrated:
    """What calibrating came to: reliability before and after, steps by fold, the step for new recordings.

    `abstain`: with a wanted accuracy, the confidence each fold decides from (by the other folds), and what share of
    its decisions was made and was right.
    """

    folder: Path
    before: Reliability
    after: Reliability
    steps: dict[str, dict[str, Any]]
    new: dict[str, Any]
    abstain: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Return what calibration.json holds."""
        return {k: v for k, v in asdict(self).items() if k != "folder"}


def calibrate(
    out: Path,
    evaluation: Path,
    *,
    kind: str = "temperature",
    accuracy: float | None = None,
    progress: Progress = SILENT,
) -> Calibrated:
    """Scale an evaluation's probabilities, each fold by what fits the other folds best (least log loss).

    `kind`: "temperature", one number, or "vector", a scale and a bias of each behaviour. `accuracy`: say from which
    confidence on decisions are right so often, found on the other folds. OUT is an evaluation with
    calibration.json and recipe.toml, whose step `scaling` is for new recordings. Raises InputError where there
    are fewer than two folds, or OUT holds something else.
    """
    out, evaluation = Path(out), Path(evaluation)
    if kind not in KINDS:
        raise InputError(f"calibration is by {' or '.join(KINDS)}; came '{kind}'")
    if accuracy is not None and not 0 < accuracy < 1:
        raise InputError(f"a wanted accuracy lies between 0 and 1; came {accuracy}")
    load_scores(evaluation)
    project = load_project(project_of(evaluation))
    splits = [s for s in read_splits(evaluation) if s.test]
    if len(splits) < 2:
        raise InputError(f"{evaluation}: one fold. It is scaled by other folds than it is judged on.")
    own = (out / EVALUATION_FILE).exists()
    if out.resolve() == evaluation.resolve() or (
        own and CALIBRATED not in read_json(out / EVALUATION_FILE, "evaluation")
    ):
        raise InputError(f"{out}: holds an evaluation of its own. Name another folder for the result.")
    if not own and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: holds something else. Name another folder for the result.")
    with results_folder(out), progress.task("calibrating", len(splits), "folds") as task:
        source = Source(evaluation, project, splits)
        rows = {s.name: _rows(source, s.test) for s in splits}
        steps: dict[str, Scaling] = {}
        for split in splits:
            others = [rows[name] for name in rows if name != split.name]
            steps[split.name] = fit_scaling(*_joined(others), project.ethogram, kind)
            task.advance()
        after = {n: (_step(v, steps[n], project.ethogram), t) for n, (v, t) in rows.items()}
        made = Calibrated(
            out,
            reliability(*_joined(list(rows.values())), project.ethogram),
            reliability(*_joined(list(after.values())), project.ethogram),
            {name: _table(step) for name, step in steps.items()},
            _table(fit_scaling(*_joined(list(rows.values())), project.ethogram, kind)),
            None if accuracy is None else _abstain(after, accuracy, project.ethogram),
        )
        _write(made, source, steps, kind)
    return made


def _rows(source: Source, ids: Sequence[str]) -> tuple[FloatArray, Any]:
    judged = [Judged(source.truth[i], source.predictions[i], source.truth[i]) for i in ids]
    truth, values, _ = unit_rows(judged, source.project.unit)
    return values, truth


def _joined(rows: Sequence[tuple[FloatArray, Any]]) -> tuple[FloatArray, Any]:
    return np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])


def _step(values: FloatArray, step: Scaling, ethogram: Ethogram) -> FloatArray:
    scales, biases = np.array(step.scales or [1.0] * len(ethogram)), np.array(step.biases or [0.0])
    return scaled(values, scales / step.temperature, biases, ethogram)


def fit_scaling(values: FloatArray, truth: Any, ethogram: Ethogram, kind: str) -> Scaling:
    """Return the scaling of probabilities (N, C) with the least log loss; `truth`: (N, C) of 1, 0 and -1."""
    step = max(1, len(values) // _SAMPLE)
    values, truth = values[::step], truth[::step]
    logs = logarithms(values, ethogram)
    known = _known(truth, ethogram)
    count, total = len(ethogram), max(int(known.sum()), 1)
    vector = kind == "vector"

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        scales = parameters[:count] if vector else np.full(count, parameters[0])
        biases = parameters[count:] if vector else np.zeros(count)
        fitted = scaled(values, scales, biases, ethogram)
        wrong = np.where(known, fitted - (truth == 1), 0.0) / total
        slope = (wrong * logs).sum(axis=0)
        value = float(log_losses(fitted, truth, ethogram).sum()) / total
        # a little towards the plain one, so that a behaviour that hardly occurs keeps its scale
        pull = 1e-3 * (parameters - start)
        value += float(pull @ (parameters - start)) / 2.0
        slopes = np.concatenate([slope, wrong.sum(axis=0)]) if vector else np.array([slope.sum()])
        return value, slopes + pull

    start = np.concatenate([np.ones(count), np.zeros(count)]) if vector else np.ones(1)
    limits = [(0.02, 50.0)] * (count if vector else 1) + [(-20.0, 20.0)] * (count if vector else 0)
    problem: dict[str, Any] = {"jac": True, "method": "L-BFGS-B", "bounds": limits}
    found = [float(f"{v:.6g}") for v in minimize(loss, start, **problem).x]
    if vector:
        return Scaling(1.0, ethogram.behaviours, tuple(found[:count]), tuple(found[count:]))
    return Scaling(float(f"{1.0 / found[0]:.6g}"))


def _known(truth: Any, ethogram: Ethogram) -> Any:
    known = truth != UNLABELLED
    for columns in lanes(ethogram):
        if len(columns) > 1:
            known[:, columns] = (truth[:, columns] == 1).any(axis=1)[:, None]
    return known


def decisions(values: FloatArray, truth: Any, ethogram: Ethogram) -> tuple[FloatArray, Any]:
    """Return confidence (N,) of each plain decision, and whether it was right (N,); unlabelled ones left out."""
    sure, right = [], []
    for columns in lanes(ethogram):
        if len(columns) == 1 and not ethogram.exclusive:
            known = truth[:, columns[0]] != UNLABELLED
            part = values[known, columns[0]]
            sure.append(np.maximum(part, 1.0 - part))
            right.append((part >= 0.5) == (truth[known, columns[0]] == 1))
        else:
            known = (truth[:, columns] == 1).any(axis=1)
            part = values[known][:, columns]
            sure.append(part.max(axis=1))
            right.append(part.argmax(axis=1) == truth[known][:, columns].argmax(axis=1))
    return np.concatenate(sure), np.concatenate(right)


def reliability(values: FloatArray, truth: Any, ethogram: Ethogram) -> Reliability:
    """Return how sure probabilities (N, C) are against how right; raises InputError where nothing is labelled."""
    sure, right = decisions(values, truth, ethogram)
    if not len(sure):
        raise InputError("nothing is labelled, so nothing can be calibrated")
    place = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    bins, error = [], 0.0
    for b in np.unique(place).tolist():
        inside = place == b
        confidence, accuracy = float(sure[inside].mean()), float(right[inside].mean())
        error += float(inside.mean()) * abs(confidence - accuracy)
        bins.append({"count": int(inside.sum()), "confidence": confidence, "accuracy": accuracy})
    order = np.argsort(-sure, kind="stable")
    hit = np.cumsum(right[order])
    coverage = []
    for share in np.arange(1, 21) / 20:
        last = max(round(share * len(sure)), 1)
        coverage.append(
            {
                "coverage": float(share),
                "accuracy": float(hit[last - 1] / last),
                "confidence": float(sure[order[last - 1]]),
            }
        )
    return Reliability(
        tuple(bins), error, float(log_losses(values, truth, ethogram).mean()), tuple(coverage)
    )


def confidence_for(sure: FloatArray, right: Any, accuracy: float) -> float:
    """Return the least confidence from which on decisions are right with this accuracy; 1 where none is."""
    order = np.argsort(-sure, kind="stable")
    ranked = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    ends = np.append(sure[order][1:] < sure[order][:-1], True)  # equal ones are decided alike
    enough = np.flatnonzero((ranked >= accuracy) & ends)
    return float(sure[order[enough[-1]]]) if len(enough) else 1.0


def _abstain(
    rows: dict[str, tuple[FloatArray, Any]], accuracy: float, ethogram: Ethogram
) -> dict[str, Any]:
    """Return what deciding only where it is sure enough came to, each fold by the limit of the others."""
    told = {name: decisions(values, truth, ethogram) for name, (values, truth) in rows.items()}
    limits, made, hit, every = {}, 0, 0, 0
    for name, (sure, right) in told.items():
        others = [told[other] for other in told if other != name]
        limits[name] = confidence_for(*_joined(others), accuracy)
        decided = sure >= limits[name]
        made, hit, every = made + int(decided.sum()), hit + int(right[decided].sum()), every + len(sure)
    return {
        "wanted_accuracy": accuracy,
        "confidence": limits,
        "confidence_for_new": confidence_for(*_joined(list(told.values())), accuracy),
        "coverage": made / every if every else None,
        "accuracy": hit / made if made else None,
    }


def _table(step: Scaling) -> dict[str, Any]:
    table: dict[str, Any] = {"name": "scaling", "temperature": step.temperature}
    if step.behaviours:
        table |= {"behaviours": step.behaviours, "scales": step.scales, "biases": step.biases}
    return table


def _write(made: Calibrated, source: Source, steps: dict[str, Scaling], kind: str) -> None:
    out, project = made.folder, source.project
    recipe = load_recipe(str(source.folder / CONFIG_FILE))
    leaks = leaks_of([source.folder])
    marks = {"leaks": leaks} if leaks else {}
    (out / SCORES_FILE).unlink(missing_ok=True)
    told = {CALIBRATED: {"kind": kind, "steps": made.steps}}
    write_evaluation(out, project.root, recipe, source.splits, told | marks)
    judged = {}
    for id_, prediction in source.predictions.items():
        values = _step(prediction.probabilities, steps[source.fold_of[id_]], project.ethogram)
        changed = replace(prediction, probabilities=values.astype(np.float32))
        path = out / WITHIN / f"{id_}.parquet"
        write_prediction(path, changed)
        judged[id_] = Judged(source.truth[id_], changed, apply_own(changed, path))
    scores = score_all(judged, source.splits, project.unit, over=drawn_over(recipe.split)) | {
        "reused": []
    }
    mark_leaks(scores, leaks)
    write_json(out / SCORES_FILE, scores)
    write_json(out / CALIBRATION_FILE, made.to_dict())
    steps_new = (made.new, *recipe.postprocess)
    save_recipe(replace(recipe, postprocess=steps_new), out / RECIPE_FILE)
