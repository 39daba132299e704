"""From folders to report pages: an evaluation, predictions, or a project's own labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from murine import __version__
from murine.config import load_recipe, recipe_to_dict
from murine.ensemble.calibrating import CALIBRATION_FILE, reliability
from murine.ensemble.sweep import FUSION_FILE
from murine.errors import InputError
from murine.files import read_json
from murine.groups import compare_observed
from murine.postprocess import apply_own
from murine.predictions import WITHIN, find_predictions, read_header, read_prediction
from murine.progress import SILENT, Progress
from murine.project import PROJECT_FILE, Project, load_bouts, load_project, timeline
from murine.report import ReportData, ReportRecording, save_files, write_report
from murine.report.activity import observed
from murine.train.checkpoint import METRICS_FILE
from murine.train.crossval import EVALUATION_FILE, load_scores, project_of
from murine.train.runs import CONFIG_FILE, ENVIRONMENT_FILE, SPLITS_FILE
from murine.types import UNLABELLED, Ethogram

PAGE = "report.html"

_DETAILS = ("bouts", "intervals", "drawn", "protocols", "tasks")
"""What scores.json tells besides; evaluations written before it did have none of these."""


def report(
    source: Path,
    predictions: Path | None = None,
    *,
    out: Path | None = None,
    by: str = "",
    animal: str = "",
    bin_min: float | None = None,
    files: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write the page of what `source` is, and return its path.

    `source`: an evaluation's folder, a folder of predictions, or a project: alone its labels are shown,
    with `predictions` these beside its labels. `out`: default report.html in the last folder named. `by`: a column of
    recordings.csv whose groups of animals are compared, as `murine.groups.compare_observed` does with `animal` and
    bins of `bin_min` minutes. `files`: also every figure as PNG, SVG and PDF and every table as CSV, in a folder
    beside the page.
    Raises InputError where there is nothing to show or two sides do not fit.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(
            f"{source}: not found. Give a project, an evaluation or a folder of predictions."
        )
    evaluation = Path(predictions or source)
    if (evaluation / EVALUATION_FILE).exists():
        data, page = evaluation_data(evaluation), evaluation / PAGE
        return _write(data, out or page, by, animal, bin_min, files, progress)
    if (source / PROJECT_FILE).exists():
        project = load_project(source)
        data = labels_data(project) if predictions is None else predictions_data(predictions, project)
    elif predictions is not None:
        raise InputError(
            f"{source}: not a project (no {PROJECT_FILE}), so there are no labels to set predictions against."
        )
    else:
        data = predictions_data(source)
    folder = Path(predictions or source)
    page = Path(out) if out is not None else (folder if folder.is_dir() else folder.parent) / PAGE
    return _write(data, page, by, animal, bin_min, files, progress)


def _write(
    data: ReportData,
    page: Path,
    by: str,
    animal: str,
    bin_min: float | None,
    files: bool,
    progress: Progress,
) -> Path:
    if by:
        sides = observed(data)
        every = sides.get("predicted") or sides["human"]
        bin_s = None if bin_min is None else 60 * bin_min
        compared = compare_observed(every, by, animal=animal, bin_s=bin_s)
        data = replace(data, groups=compared.to_dict())
    elif animal or bin_min is not None:
        odd = "--animal" if animal else "--bin"
        raise InputError(f"{odd} is of groups that are compared: name their column with --by.")
    written = write_report(Path(page), data, progress=progress)
    if files:
        save_files(data, Path(page).with_name(f"{Path(page).stem}_files"))
    return written


def write_evaluation_report(
    folder: Path, *, out: Path | None = None, progress: Progress = SILENT
) -> Path:
    """Write an evaluation's page, by default into its folder; return its path."""
    page = Path(folder) / PAGE if out is None else Path(out)
    return write_report(page, evaluation_data(folder), progress=progress)


def evaluation_data(folder: Path) -> ReportData:
    """Return what an evaluation's report shows: labels beside out-of-fold predictions, scores, splits.

    Raises InputError where the folder is no evaluation or its project has moved.
    """
    folder = Path(folder)
    scores = load_scores(folder)
    project = load_project(project_of(folder))
    recipe = load_recipe(str(folder / CONFIG_FILE))
    recordings = []
    hashes: dict[str, str] = {}
    settings = recipe_to_dict(recipe)
    combined = read_json(folder / EVALUATION_FILE, "evaluation").get("combined")
    networks = "the network"
    if combined is not None:  # the recipe is then the first network's, of which only the end applies
        settings = {"combined": combined, "postprocess": settings["postprocess"]}
        networks = "the networks"
    gone = sorted(set(scores["recordings"]) - {r.id for r in project.recordings})
    if gone:
        raise InputError(
            f"{folder}: evaluated recordings that its project no longer has ({', '.join(gone)}). Evaluate again."
        )
    for id_, own in scores["recordings"].items():
        prediction = read_prediction(folder / WITHIN / f"{id_}.parquet")
        recording = project.recording(id_)
        hashes[prediction.meta["fold"]] = prediction.meta["model_hash"]
        recordings.append(
            ReportRecording(
                id=id_,
                timeline=prediction.timeline,
                truth=load_bouts(project, recording),
                predicted=apply_own(prediction, folder / WITHIN / f"{id_}.parquet"),
                probabilities=prediction.probabilities,
                groups=recording.groups,
                scores={**own["frames"], "segments": own.get("segments")},
                note=f"predicted by {networks} of {prediction.meta['fold']}, which did not see it",
            )
        )
    notes = []
    if scores["reused"]:
        notes.append(f"finished before and used again: {', '.join(scores['reused'])}")
    data = ReportData(
        title=f"{project.name}: {recipe.name}",
        kind="evaluation",
        ethogram=project.ethogram,
        recordings=recordings,
        scores=scores["pooled"],
        baseline=scores["baseline"],
        segments=scores["segments"],
        details={key: scores[key] for key in _DETAILS} if "drawn" in scores else None,
        splits=_json(folder / SPLITS_FILE, []),
        settings=settings,
        provenance={**_json(folder / ENVIRONMENT_FILE, {}), "model_hashes": hashes},
        warnings=scores["notes"],
        notes=notes,
        unit=scores["unit"],
        fusion=_json(folder / FUSION_FILE, None),
        learning=_learning(folder),
    )
    return replace(data, calibration=_calibration(folder, data))


def _learning(folder: Path) -> dict[str, dict[str, list[float | None]]]:
    """Return the columns of metrics.csv of each fold that has one."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for path in sorted((folder / "folds").glob(f"*/{METRICS_FILE}")):
        columns: dict[str, list[float | None]] = {}
        try:
            with path.open(encoding="utf-8", newline="") as handle:
                reader = csv.DictReader(handle)
                if "behaviour" in (reader.fieldnames or ()):
                    continue  # a network for each behaviour: there is no one curve of all
                for row in reader:
                    for name, text in row.items():
                        columns.setdefault(name, []).append(float(text) if text else None)
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: damaged ({error}). Run 'murine evaluate' again.") from error
        found[path.parent.name] = columns
    return found


def _calibration(folder: Path, data: ReportData) -> dict[str, dict[str, Any]]:
    """Return how sure against how right: before and after where it was calibrated, else as it is."""
    told = _json(folder / CALIBRATION_FILE, None)
    if told is not None:
        return {"as predicted": told["before"], "calibrated on the other folds": told["after"]}
    rows = data.judged_rows
    if rows is None or rows[2] is None or not (rows[0] != UNLABELLED).any():
        return {}
    return {"as predicted": asdict(reliability(np.asarray(rows[2], float), rows[0], data.ethogram))}


def predictions_data(folder: Path, project: Project | None = None) -> ReportData:
    """Return what a report on predictions shows, beside a project's labels where it has them.

    Raises InputError where predictions were made for different behaviours, or for others than the
    project's.
    """
    paths = find_predictions(folder)
    first = read_header(paths[0])
    ethogram = Ethogram(**first["ethogram"])
    if project is not None:
        _check_behaviours(project, ethogram, paths[0])
    known = {} if project is None else {r.id: r for r in project.recordings}
    recordings, provenance = [], {}
    for path in paths:
        prediction = read_prediction(path)
        if prediction.ethogram != ethogram:
            raise InputError(
                f"{path} and {paths[0]} predict different behaviours "
                f"({', '.join(prediction.ethogram.behaviours)}; {', '.join(ethogram.behaviours)}). Report "
                "them apart."
            )
        recording = known.get(prediction.recording)
        truth = None
        if project is not None and recording is not None and project.is_labelled(recording):
            truth = load_bouts(project, recording)
        recordings.append(
            ReportRecording(
                id=prediction.recording,
                timeline=prediction.timeline,
                truth=truth,
                predicted=apply_own(prediction, path),
                probabilities=prediction.probabilities,
                groups={} if recording is None else recording.groups,
            )
        )
        provenance[prediction.recording] = _history(prediction.meta)
    notes = []
    if project is not None and any(r.truth is not None for r in recordings):
        notes.append(
            "Labels stand beside predictions of a network that may have been trained on them: such scores "
            "are too good. 'murine evaluate' gives honest ones."
        )
    settings = first["meta"].get("settings", {})
    return ReportData(
        title=f"Predictions of {first['meta'].get('run') or first['meta'].get('model', 'a network')}",
        kind="prediction",
        ethogram=ethogram,
        recordings=recordings,
        settings={**settings, "postprocess": first["meta"].get("postprocess", [])},
        provenance={"murine": __version__, **provenance},
        warnings=notes,
        unit="frame" if project is None else project.unit,
    )


def labels_data(project: Project) -> ReportData:
    """Return what a report on a project's own labels shows; raises InputError where it has none."""
    recordings = [
        ReportRecording(r.id, timeline(r), truth=load_bouts(project, r), groups=r.groups)
        for r in project.labelled()
    ]
    if not recordings:
        raise InputError(f"{project.root}: none of its recordings has labels to report on.")
    missing = len(project.recordings) - len(recordings)
    return ReportData(
        title=f"{project.name}: labels",
        kind="labels",
        ethogram=project.ethogram,
        recordings=recordings,
        provenance={"murine": __version__},
        notes=[f"{missing} recordings without labels are not shown"] if missing else [],
        unit=project.unit,
    )


def _check_behaviours(project: Project, ethogram: Ethogram, path: Path) -> None:
    if project.ethogram != ethogram:
        raise InputError(
            f"{path} predicts {', '.join(ethogram.behaviours)}, and the project's behaviours are "
            f"{', '.join(project.ethogram.behaviours)}: they must be the same, in the same order, with the "
            "same background. Report the predictions alone, or train on this project."
        )


def _history(meta: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("run", "model", "model_hash", "files", "file_hashes", "murine_version", "key")
    return {name: meta[name] for name in kept if name in meta}


def _json(path: Path, otherwise: Any) -> Any:
    if not path.exists():
        return otherwise
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}). Run 'murine evaluate' again.") from error
