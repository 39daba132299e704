"""From a project and a recipe to a run folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from murine.config import Recipe, save_recipe
from murine.data.dataset import WindowDataset
from murine.data.embedding import FrameEmbedder
from murine.data.prepared import Prepared
from murine.data.sampling import binary_weights, class_counts, class_weights
from murine.data.splits import Split, training_split
from murine.errors import InputError
from murine.files import results_folder, write_json
from murine.models import complete_settings, create_model, model_settings
from murine.models.contract import Model
from murine.models.trees import Trees
from murine.pose.scaler import FIT
from murine.predict.describe import StageEmbedder, keep_backbone, keep_stage
from murine.progress import SILENT, Progress
from murine.project import suffix
from murine.train.behaviours import train_each
from murine.train.building import derived_settings
from murine.train.checkpoint import METRICS_FILE, STATE_FILE, drop_leftovers, load_state
from murine.train.loop import fit
from murine.train.runs import (
    BACKBONE_FILE,
    BEHAVIOURS_FOLDER,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    MODEL_FILE,
    SPLITS_FILE,
    STAGE_FOLDER,
    WEIGHTS_FILE,
    EmbeddingLayout,
    PoseLayout,
    TrainedRun,
    load_run,
    save_run,
    write_environment,
)
from murine.train.study import Study, described, frame_rate, open_study, rgb_statistics
from murine.train.tensorboard import tensorboard_log
from murine.train.transfer import begin, seen_before
from murine.train.trees import fit_trees

OWN_FILES = (
    MODEL_FILE, WEIGHTS_FILE, STATE_FILE, METRICS_FILE, CONFIG_FILE, SPLITS_FILE, ENVIRONMENT_FILE, BACKBONE_FILE,
)  # fmt: skip
"""What training writes into a run folder, and all that starting anew removes from it."""


def train(
    project_folder: Path,
    recipe: Recipe,
    *,
    name: str | None = None,
    folder: Path | None = None,
    only: Sequence[str] = (),
    resume: bool = True,
    progress: Progress = SILENT,
) -> Path:
    """Train one network on every labelled recording (less the validation share); return its run folder.

    `only`: recordings with these values in these columns, such as "camera=left". `folder`: default
    PROJECT/models/NAME, `name` by default the recipe's and the values of `only`. A run that was stopped goes on
    from its last whole epoch, a finished one is left as it is; `resume` False begins anew. Raises
    InputError where the folder holds another run, and what `open_study` raises.
    """
    project_folder = Path(project_folder)
    if name and (set(name) & set('/\\:*?"<>|\n') or name.strip(". ") != name):
        raise InputError(
            f"'{name}' cannot name a model: it becomes a folder. Use letters, digits, - and _, such as "
            f"'{short_name(recipe)}-2'."
        )
    if folder is None:
        folder = project_folder / "models" / (name or short_name(recipe) + suffix(only))
    study = open_study(project_folder, recipe, only=only, progress=progress)
    split = training_split(
        study.recordings, recipe.split, study.label_counts, behaviours=study.ethogram.behaviours
    )
    train_split(study, split, Path(folder), resume=resume, progress=progress)
    if isinstance(study.embedder, FrameEmbedder):
        keep_backbone(folder, study.embedder)
    elif isinstance(study.embedder, StageEmbedder):
        keep_stage(folder, study.embedder)
    return Path(folder)


def short_name(recipe: Recipe) -> str:
    """Return the last part of a recipe's name: what its folders are called."""
    return recipe.name.rsplit("/", 1)[-1]


def train_split(
    study: Study, split: Split, folder: Path, *, resume: bool = True, progress: Progress = SILENT
) -> TrainedRun:
    """Train on one split's training recordings, stop by its validation recordings; return the network.

    The stage before, if the recipe names one, is trained first, on the same recordings. With a network per
    behaviour (`training.per_behaviour`) all are trained, and returned as one.

    What is learned from data besides weights (feature scaling, brightness, class weights) comes from the
    training recordings alone. A finished run of the same identity is only loaded, and takes the
    recipe's post-processing, which does not touch its weights.
    """
    with results_folder(folder):
        if not resume:
            _clear(folder)
        drop_leftovers(folder)
        identity = study.identity(split)
        check_folder(folder, identity)
        if (folder / MODEL_FILE).exists():
            return _decided_by(study.recipe, load_run(folder), folder)
        try:
            if study.stage is not None:
                stage = train_split(study.stage, split, folder / STAGE_FOLDER, progress=progress)
                study = described(study, stage, progress=progress)
            if not study.recipe.training.per_behaviour:
                return _train_split(study, split, folder, identity, progress)
            _write_beside(study, split, folder, progress)

            def train_one(one: Study, place: Path) -> TrainedRun:
                return train_split(one, split, place, progress=progress)

            return _finish(folder, train_each(study, folder, identity, train_one, progress))
        except InputError:
            if not (folder / STATE_FILE).exists() and not (folder / BEHAVIOURS_FOLDER).exists():
                _clear(folder)  # nothing to go on from, and the same again would end the same
            raise


def _decided_by(recipe: Recipe, run: TrainedRun, folder: Path) -> TrainedRun:
    """Return a finished run with a recipe's post-processing, written so where it had another."""
    if run.recipe.postprocess == recipe.postprocess:
        return run
    changed = replace(run.recipe, postprocess=recipe.postprocess)
    save_run(folder, replace(run, recipe=changed))
    save_recipe(changed, folder / CONFIG_FILE)
    return load_run(folder)


def _train_split(
    study: Study, split: Split, folder: Path, identity: str, progress: Progress
) -> TrainedRun:
    recipe, settings = study.recipe, study.recipe.training
    training, validation = study.of(split.train), study.of(split.validation)
    layout = _pose_layout(study, split)
    model = _build(study, training, layout, progress)
    scaler = None if layout is None else layout.scaler
    train_set = WindowDataset(
        training,
        recipe.window,
        model.predicts,
        train=True,
        augment=settings.augment,
        seed=settings.seed,
        samples_per_epoch=settings.samples_per_epoch,
        balance=settings.balance,
        scaler=scaler,
        cut_size=recipe.input.cut_size,
    )
    validation_set = None
    if validation:
        validation_set = WindowDataset(
            validation, recipe.window, model.predicts,
            train=False, scaler=scaler, cut_size=recipe.input.cut_size,
        )  # fmt: skip
    _tell_never_shown(train_set, training, recipe, progress)
    weights = _weights(train_set, settings.class_weights_beta) if settings.class_weights else None
    _write_beside(study, split, folder, progress)
    with ExitStack() as stack:
        log = stack.enter_context(tensorboard_log(folder)) if settings.tensorboard else None
        if isinstance(model, Trees):
            assert scaler is not None
            fit_trees(
                model, recipe, training, validation, scaler, folder,
                ethogram=study.ethogram, class_weights=weights, progress=progress, log=log,
            )  # fmt: skip
        else:
            fit(
                model,
                _watchable(study, validation_set, progress),
                train_set,
                validation_set,
                folder,
                ethogram=study.ethogram,
                class_weights=weights,
                identity=identity,
                progress=progress,
                log=log,
            )
    run = TrainedRun(
        model=model,
        name=recipe.model,
        ethogram=study.ethogram,
        recipe=recipe,
        hash="",
        identity=identity,
        pose=layout,
        embedding=_embedding_layout(study),
        fps=frame_rate(training),
        night=study.night,
    )
    return _finish(folder, run)


def _finish(folder: Path, run: TrainedRun) -> TrainedRun:
    """Save a trained network, which makes its folder a finished run; return it as it is read back."""
    save_run(folder, run)
    finished = load_run(folder)
    # the memory of training is several times the network's size and of no more use
    (folder / STATE_FILE).unlink(missing_ok=True)
    return finished


def _write_beside(study: Study, split: Split, folder: Path, progress: Progress) -> None:
    """Write what a run's folder says beside the network, and tell what there is to know of its split."""
    save_recipe(study.recipe, folder / CONFIG_FILE)
    write_json(folder / SPLITS_FILE, [split.to_dict()])
    write_environment(folder)
    if not study.behaviour:  # else told once for all behaviours
        seen = seen_before(study.recipe, split)
        for note in (*split.notes, *([seen] if seen else [])):
            progress.message(f"{split.name}: {note}")


def _watchable(study: Study, validation: WindowDataset | None, progress: Progress) -> Recipe:
    """Return the recipe, watching the loss where no validation window shows what an area could be of."""
    recipe, training = study.recipe, study.recipe.training
    if training.watch == "loss" or validation is None or validation.label_counts().any():
        return recipe
    progress.message(
        f"no validation window shows {' or '.join(study.ethogram.behaviours)}, so the loss tells the best "
        "epoch, not the area under precision and recall (training.watch)"
    )
    return replace(recipe, training=replace(training, watch="loss"))


def check_folder(folder: Path, identity: str, *, within: Path | None = None) -> None:
    """Raise InputError if a folder holds a run, finished or not, that differs in what decides its result.

    `within`: the evaluation whose fold it is, named instead.
    """
    known = identity
    if (folder / MODEL_FILE).exists():
        known = load_run(folder).identity
    elif (state := load_state(folder)) is not None:
        known = state.numbers.identity
    if known != identity:
        raise InputError(
            f"{within or folder}: holds a network trained with other settings, labels or files, or the "
            "beginning of one. Choose another name or folder for this one, or begin that anew (--restart)."
        )


def _build(
    study: Study, training: list[Prepared], layout: PoseLayout | None, progress: Progress
) -> Model:
    """Return the recipe's network with the weights it begins with, fitted to the project's behaviours and input."""
    recipe = study.recipe
    derived = derived_settings(recipe, exclusive=study.ethogram.exclusive, ethogram=study.ethogram)
    settings = complete_settings(recipe.model, recipe.model_settings, derived)
    wanted = {"rgb_mean", "rgb_std"} & set(model_settings(recipe.model))
    if wanted and not wanted & set(recipe.model_settings):
        mean, deviation = rgb_statistics(training)
        settings |= {"rgb_mean": mean, "rgb_std": deviation}
    model = create_model(
        recipe.model,
        classes=len(study.ethogram),
        features=_features(training, layout),
        settings=settings,
        seed=recipe.training.seed,
    )
    begin(model, recipe, study.ethogram, progress)
    return model


def _features(training: list[Prepared], layout: PoseLayout | None) -> int | None:
    """Return the columns of the table that the network sees, None for one that sees pictures."""
    if layout is not None:
        return len(layout.scaler)
    table = training[0].streams.get("embedding")
    return None if table is None else int(table.shape[1])


def _embedding_layout(study: Study) -> EmbeddingLayout | None:
    maker = study.embedder
    if maker is None:
        return None
    return EmbeddingLayout(maker.key, maker.sees, maker.tracks(study.recipe.input))


def _pose_layout(study: Study, split: Split) -> PoseLayout | None:
    training = study.of(split.train)
    if "pose" not in training[0].streams:
        return None
    fit_scale = FIT[study.recipe.input.pose_scaling]
    return PoseLayout(study.animals, study.keypoints, fit_scale(p.table("pose") for p in training))


def _weights(train_set: WindowDataset, beta: float) -> torch.Tensor:
    """Return the weights of behaviours, of exclusive tasks in the second of two columns; one that no training
    window shows weighs nothing.
    """
    ethogram, shown = train_set.ethogram, train_set.label_counts()
    names = ethogram.behaviours
    if ethogram.exclusive:
        return torch.from_numpy(class_weights(shown, names, absent="zero", beta=beta))
    values = binary_weights(shown, train_set.known_counts(), names, absent="zero", beta=beta)
    for task in ethogram.tasks:
        if task.exclusive:
            columns = ethogram.columns(task)
            own = class_weights(shown[columns], task.behaviours, absent="zero", beta=beta)
            values[columns, 1] = own
    return torch.from_numpy(values)


def _tell_never_shown(
    train_set: WindowDataset, training: list[Prepared], recipe: Recipe, progress: Progress
) -> None:
    """Say which behaviours happen in the training recordings and are the label of no window."""
    counts = zip(
        train_set.ethogram.behaviours, class_counts(training), train_set.label_counts(), strict=True
    )
    names = [name for name, samples, labels in counts if samples and not labels]
    if names:
        progress.message(
            f"no training window is labelled {', '.join(names)}, so it cannot be learned: its bouts are shorter "
            f"than windows. Choose shorter windows (window.frames), more of them (window.train_stride_s), or "
            f"another rule than window.label = {recipe.window.label}"
        )


def _clear(folder: Path) -> None:
    for name in OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    for name in ("tensorboard", STAGE_FOLDER, BEHAVIOURS_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
