"""A project made ready for training: its labelled recordings as arrays, and what the recipe asks of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from murine.cache import Cache
from murine.config import Recipe, load_recipe, recipe_to_dict
from murine.data.augment import pose_changes
from murine.data.embedding import Embedder
from murine.data.night import night_reference
from murine.data.prepare import pose_names, prepare
from murine.data.prepared import PICTURES, Prepared
from murine.data.splits import Split
from murine.errors import InputError, ProjectError
from murine.files import value_hash
from murine.models import MODELS
from murine.predict.describe import StageEmbedder, frame_embedder, trained_stage
from murine.progress import SILENT, Progress
from murine.project import Project, load_project, select, why_unlabelled
from murine.train.checking import check_recipe, check_suits, recipe_faults
from murine.train.device import choose_device
from murine.train.runs import TrainedRun
from murine.train.transfer import check_start, initial_identity
from murine.types import Ethogram, Recording
from murine.video.photometry import Night

_WITHOUT_EFFECT = {"device", "workers", "tensorboard"}
"""Training settings that do not change what a network learns."""

_LATER = {
    "focal_gamma": 2.0,
    "boundary_weight": 0.0,
    "class_weights_beta": 1.0,
    "task_weights": (),
}
"""Training settings that came later, with what training did before them: at these they decide nothing new."""

_RGB_SAMPLES = 256
"""Pictures of a recording, evenly spread, from which brightness is measured: more changes no digit shown."""


@dataclass(frozen=True, eq=False)
class Study:
    """A project, a recipe, and all labelled recordings prepared as the recipe wants them.

    `animals`, `keypoints`: of the pose, in the order of its features; empty for a network without pose.
    `embedder`: who makes the embedding, None where no network sees one. `stage`: the study of the recipe
    whose network must be trained first, to describe the recordings for this one (`described`).
    `behaviour`: the one that is to be told from all else, where each has a network of its own. `night`: what
    day is made to look like, None where it stays as it is.
    """

    folder: Path
    project: Project
    recipe: Recipe
    recordings: tuple[Recording, ...]
    prepared: dict[str, Prepared]
    animals: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()
    embedder: Embedder | None = None
    stage: Study | None = None
    behaviour: str = ""
    night: Night | None = None

    @property
    def ethogram(self) -> Ethogram:
        """The project's behaviours, or the one to be told from all else."""
        whole = self.project.ethogram
        return whole.alone(self.behaviour) if self.behaviour else whole

    @property
    def label_counts(self) -> NDArray[np.int64]:
        """(R, C): samples of each recording that show each behaviour."""
        return np.stack([(self.prepared[r.id].resolved == 1).sum(axis=0) for r in self.recordings])

    def of(self, ids: Sequence[str]) -> list[Prepared]:
        """Return the prepared recordings of some ids."""
        return [self.prepared[id_] for id_ in ids]

    def identity(self, split: Split) -> str:
        """Return the hash of all that decides the weights: settings, labels, files and their times, who trains
        and who validates.
        """
        settings = recipe_to_dict(self.recipe)
        training = {
            k: v
            for k, v in settings["training"].items()
            if k not in _WITHOUT_EFFECT and not (k in _LATER and v == _LATER[k])
        }
        if self.recipe.training.initial:
            training["initial"] = initial_identity(self.recipe.training.initial)
        data = {}
        for recording in self.recordings:
            if recording.id in (*split.train, *split.validation):
                prepared = self.prepared[recording.id]
                target = np.ascontiguousarray(prepared.target)
                digest = hashlib.blake2b(target.tobytes(), digest_size=16).hexdigest()
                data[recording.id] = [digest, dict(prepared.keys)]
        decisive = [settings["model"], settings["input"], settings["window"], training]
        if self.stage is not None:
            decisive += [settings["embedding"], self.stage.identity(split)]
        return value_hash(
            {
                "settings": decisive,
                "ethogram": self.ethogram.to_dict(),
                "split": [split.train, split.validation],
                "data": data,
            }
        )


def open_study(
    project_folder: Path,
    recipe: Recipe,
    *,
    only: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Study:
    """Load a project and prepare every labelled recording (decoded once, then from the cache).

    `only`: those that have these values in these columns, such as "camera=left" (`project.select`).
    Raises ConfigError for a recipe that names what does not exist or does not suit the project,
    ProjectError listing every recording that cannot be used, InputError where nothing can be learned: no
    labels, one behaviour, a behaviour that never happens.
    """
    check_recipe(recipe)
    project = select(load_project(project_folder), only)
    recordings = project.labelled()
    if not recordings:
        raise InputError(
            f"{project_folder}: no recording has labels. Fill the column 'labels' of recordings.csv."
        )
    if len(project.ethogram) < 2 and project.ethogram.exclusive:
        raise InputError(
            f"{project_folder}: its only behaviour is '{project.ethogram.behaviours[0]}', so there is nothing "
            "to tell apart. Name a background behaviour in project.toml, or label a second behaviour."
        )
    check_suits(recipe, project)
    check_start(recipe, project.ethogram)
    streams, night = MODELS[recipe.model].streams, None
    embedder: Embedder | None = None
    stage: Study | None = None
    if {*PICTURES, *(() if recipe.embedding.recipe else ("embedding",))} & set(streams):
        night = night_reference(project, recipe.input, progress=progress)
    if "embedding" in streams and recipe.embedding.recipe and recipe.embedding.weights:
        embedder = trained_stage(recipe.embedding, recipe.training.device)
    elif "embedding" in streams and recipe.embedding.recipe:
        stage = open_study(project_folder, _stage_recipe(recipe), only=only, progress=progress)
        streams = tuple(name for name in streams if name != "embedding")
    elif "embedding" in streams:
        chosen = recipe.training
        embedder = frame_embedder(recipe.embedding, chosen.seed, chosen.device, night)
    study = Study(
        Path(project_folder),
        project,
        recipe,
        recordings,
        {},
        embedder=embedder,
        stage=stage,
        night=night,
    )
    study = _prepared(study, streams, progress)
    absent = np.flatnonzero(study.label_counts.sum(axis=0) == 0)
    if len(absent):
        names = ", ".join(project.ethogram.behaviours[i] for i in absent)
        for source in project.sources:  # a task whose labels are looked for in the wrong place
            if why := why_unlabelled(project, source):
                raise InputError(
                    f"{project_folder}: task '{source.task.name}': no recording has labels of it: {why}"
                )
        raise InputError(
            f"{project_folder}: no labelled frame shows {names}. Label some, or take it out of the ethogram "
            "in project.toml (and its name into 'ignore', if label files have it)."
        )
    _tell_short(study, progress)
    _tell_rates(study, streams, progress)
    return study


def _tell_rates(study: Study, streams: Sequence[str], progress: Progress) -> None:
    """Say that a network which sees every frame learns from recordings of several frame rates."""
    chosen, rates = study.recipe.input, [one.timeline.fps for one in study.prepared.values()]
    if "pose" not in streams or chosen.spacing_s or chosen.pose_fps or max(rates) <= 1.02 * min(rates):
        return
    progress.message(
        f"recordings have {min(rates):.4g} to {max(rates):.4g} frames/s, and a network that sees every frame takes "
        "them for the same. Bring them to one rate (input.pose_fps), or see samples at fixed times (input.spacing_s)"
    )


def _tell_short(study: Study, progress: Progress) -> None:
    """Say which recordings are shorter than a window, and what becomes of them."""
    window = study.recipe.window
    lengths = {r.id: len(study.prepared[r.id]) for r in study.recordings}
    short = [id_ for id_, length in lengths.items() if length < window.frames]
    if not short:
        return
    least, most = min(lengths[id_] for id_ in short), max(lengths[id_] for id_ in short)
    range_ = f"{least} samples" if least == most else f"{least} to {most} samples"
    names = ", ".join(short[:3]) + (f" and {len(short) - 3} more" if len(short) > 3 else "")
    done = "their last picture is repeated" if window.tail == "keep" else "they are left out of training"
    progress.message(
        f"{len(short)} of {len(lengths)} recordings are shorter than a window of {window.frames} samples ({range_}: "
        f"{names}); {done} (window.tail). Fewer samples (window.frames), or closer together (input.spacing_s), would "
        "show them whole"
    )


def described(study: Study, stage: TrainedRun, *, progress: Progress = SILENT) -> Study:
    """Return a study whose recordings carry what its stage's trained network makes of them."""
    training = study.recipe.training
    embedder = StageEmbedder(stage, study.recipe.embedding, choose_device(training.device))
    return _prepared(replace(study, embedder=embedder), MODELS[study.recipe.model].streams, progress)


def _stage_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of the stage before, with this one's seed and device."""
    stage = load_recipe(recipe.embedding.recipe, check=recipe_faults)
    training = replace(stage.training, seed=recipe.training.seed, device=recipe.training.device)
    return replace(stage, training=training)


def _prepared(study: Study, streams: Sequence[str], progress: Progress) -> Study:
    """Return a study with all its recordings prepared; raises ProjectError listing those that cannot be."""
    project, recipe, recordings, cache = study.project, study.recipe, study.recordings, Cache()
    animals, keypoints = study.animals, study.keypoints
    prepared: dict[str, Prepared] = {}
    faults: list[str] = []
    with progress.task("preparing", len(recordings), "recordings") as task:
        for recording in recordings:
            task.note(recording.id)
            try:
                if "pose" in streams and not keypoints:
                    animals, keypoints = pose_names(recording)
                prepared[recording.id] = prepare(
                    project, recording, recipe.input, streams, cache,
                    animals=animals, keypoints=keypoints, night=study.night, embedder=study.embedder,
                    movable=bool(pose_changes(recipe.training.augment, streams)), progress=progress,
                )  # fmt: skip
            except InputError as error:
                named = str(error).startswith(f"recording '{recording.id}'")
                faults.append(str(error) if named else f"recording '{recording.id}': {error}")
            task.advance()
    if faults:
        raise ProjectError(study.folder, faults)
    return replace(study, prepared=prepared, animals=animals, keypoints=keypoints)


def rgb_statistics(prepared: Sequence[Prepared]) -> tuple[float, float]:
    """Return mean and standard deviation of all rgb values, 0..255, channels together.

    A scalar normalisation, as the dual-stream networks use. Constant pictures get a deviation of 1.
    """
    levels = np.arange(256, dtype=np.float64)
    count, total, squares = 0, 0.0, 0.0
    for recording in prepared:
        pictures = recording.streams["rgb"]
        chosen = np.unique(np.linspace(0, len(pictures) - 1, _RGB_SAMPLES).astype(np.int64))
        for index in chosen.tolist():
            histogram = np.bincount(pictures[index : index + 1].ravel(), minlength=256)
            count += int(histogram.sum())
            total += float(histogram @ levels)
            squares += float(histogram @ levels**2)
    mean = total / count
    variance = max(squares / count - mean**2, 0.0)
    return mean, variance**0.5 if variance > 1e-12 else 1.0


def frame_rate(prepared: Sequence[Prepared]) -> float | None:
    """Return the frame rate that recordings share within 1 %, None where they differ."""
    rates = [recording.timeline.fps for recording in prepared]
    return float(np.median(rates)) if max(rates) <= 1.01 * min(rates) else None
