"""What a recipe names, looked up where it is owned; all faults at once, before any work starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from murine.config import Recipe, load_recipe
from murine.data.augment import AUGMENT, CROP, check_augment
from murine.data.splits import group_names
from murine.errors import ConfigError, InputError, suggest
from murine.models import MODELS, setting_faults
from murine.models.backbones import BACKBONES
from murine.models.backbones.registry import TIMM
from murine.models.committee import PER_BEHAVIOUR
from murine.pose import known_features
from murine.postprocess import make_steps
from murine.project import Project
from murine.train.device import choose_device
from murine.train.losses import LOSSES, make_loss
from murine.train.schedule import OPTIMIZERS, SCHEDULES
from murine.video.flow import ENCODINGS, FLOW_METHODS, require_flow
from murine.video.photometry import PHOTOMETRY


def recipe_faults(recipe: Recipe) -> list[str]:
    """Return a line for every name or setting of a recipe that does not exist; `load_recipe(check=...)`."""
    training, given = recipe.training, recipe.input
    faults = [f"model: {fault}" for fault in setting_faults(recipe.model, recipe.model_settings)]
    faults += _unknown("training.loss", [training.loss], LOSSES)
    faults += _unknown("training.optimizer", [training.optimizer], OPTIMIZERS)
    faults += _unknown("training.schedule", [training.schedule], SCHEDULES)
    faults += _unknown("training.augment", training.augment, AUGMENT)
    if CROP in training.augment and given.cut_size == (0, 0):
        faults.append(
            f"training.augment: '{CROP}' draws a part of the pictures; its size is input.cut_size"
        )
    turned = [name for name in training.augment if name in ("flip", "shift")]
    if len(given.views) > 1 and turned:
        faults.append(
            f"training.augment: {' and '.join(turned)} would move one view into another's place (input.views)"
        )
    if training.balance == "overlap" and recipe.window.frames == 0:
        faults.append(
            "training.balance: 'overlap' lets windows overlap, and window.frames = 0 makes each recording one "
            "window; choose 'draw' or 'duplicate'"
        )
    if training.schedule == "exponential" and training.final_rate == 0:
        faults.append("training.final_rate: 'exponential' falls to a rate above 0; name it")
    faults += _unknown("input.photometry", [given.photometry], PHOTOMETRY)
    faults += _unknown("input.flow", [given.flow], FLOW_METHODS)
    faults += _unknown("input.flow_encoding", [given.flow_encoding], ENCODINGS)
    faults += _unknown("input.pose_features", given.pose_features, known_features())
    if recipe.model == PER_BEHAVIOUR:
        faults.append(
            f"model.name: '{PER_BEHAVIOUR}' is what training.per_behaviour = true makes of any network; name that"
        )
    elif recipe.model in MODELS:
        pictures = {"rgb", "flow"} & set(MODELS[recipe.model].streams)
        if "flow" in pictures and given.flow in FLOW_METHODS:
            try:
                require_flow(given.flow)
            except InputError as error:
                faults.append(f"input.flow: {error}")
        if pictures and recipe.window.frames == 0:
            faults.append(
                f"window.frames: 0 means whole recordings, and the pictures of '{recipe.model}' would not "
                "fit into memory; choose a number of frames"
            )
        if given.pose_fps and set(MODELS[recipe.model].streams) != {"pose"}:
            faults.append(
                f"input.pose_fps: brings pose alone to another frame rate, and '{recipe.model}' sees "
                f"{' and '.join(MODELS[recipe.model].streams)}; leave it out"
            )
        if "embedding" in MODELS[recipe.model].streams:
            faults += _embedding_faults(recipe)
        if MODELS[recipe.model].fitted:
            faults += _fitted_faults(recipe)
    try:
        make_steps(recipe.postprocess)
    except ConfigError as error:
        faults += error.faults
    return faults


def _fitted_faults(recipe: Recipe) -> list[str]:
    """Return what a recipe asks of a model that does not learn by gradients and that it cannot do."""
    training, why = recipe.training, f"'{recipe.model}' does not learn by gradients"
    asked = {
        "initial": training.initial, "freeze": training.freeze, "augment": training.augment,
        "balance": training.balance != "none", "samples_per_epoch": training.samples_per_epoch,
    }  # fmt: skip
    faults = [f"training.{key}: {why}; leave it out" for key, given in asked.items() if given]
    if training.loss not in ("cross_entropy", "binary_cross_entropy") or training.boundary_weight:
        faults.append(
            f"training.loss: {why}; use cross_entropy or binary_cross_entropy, without boundaries"
        )
    if training.watch != "loss":
        faults.append("training.watch: trees are judged by their loss after each round; use 'loss'")
    return faults


def _embedding_faults(recipe: Recipe) -> list[str]:
    """Return what is wrong with where a model's embedding comes from."""
    chosen = recipe.embedding
    if not chosen.backbone and not chosen.recipe:
        return [f"embedding: '{recipe.model}' sees one; name a backbone or a recipe that makes it"]
    if chosen.backbone and not chosen.backbone.startswith(TIMM):
        return _unknown("embedding.backbone", [chosen.backbone], BACKBONES)
    if chosen.recipe == recipe.name:
        return ["embedding.recipe: a recipe cannot be its own stage before"]
    if chosen.recipe:
        try:
            load_recipe(chosen.recipe, check=recipe_faults)
        except InputError as error:
            return [f"embedding.recipe: {error}"]
    return []


def check_recipe(recipe: Recipe) -> None:
    """Raise ConfigError listing every fault that `recipe_faults` finds."""
    if faults := recipe_faults(recipe):
        raise ConfigError(f"recipe '{recipe.name}'", faults)


def check_suits(recipe: Recipe, project: Project) -> None:
    """Raise where a recipe does not suit a project, before a single frame is decoded for it.

    ConfigError: a loss for another kind of behaviours, a post-processing step for a behaviour there is
    not. InputError: a column to split by that is not filled, a device that is not there, an augmentation
    that the network's streams do not allow.
    """
    faults: list[str] = []
    if recipe.training.per_behaviour and not recipe.training.loss.startswith("binary"):
        faults.append(
            f"training.loss: '{recipe.training.loss}' tells behaviours from each other, and with per_behaviour "
            "each network tells one from all else; use 'binary_cross_entropy' or 'binary_cross_entropy_smoothing'"
        )
    elif not recipe.training.per_behaviour:
        try:
            make_loss(recipe.training, exclusive=project.ethogram.exclusive, ethogram=project.ethogram)
        except ConfigError as error:
            faults += [f"{error.source}: {fault}" for fault in error.faults]
    if recipe.training.balance == "tasks" and not project.ethogram.tasks:
        faults.append("training.balance: 'tasks' is for a project with tasks, and this one has none")
    for step in recipe.postprocess:
        names = _unknown(
            "behaviour", step.get("behaviours", ()), dict.fromkeys(project.ethogram.behaviours)
        )
        faults += [f"postprocess, step '{step['name']}': {fault}" for fault in names]
    if faults:
        raise ConfigError(f"recipe '{recipe.name}'", faults)
    check_augment(recipe.training.augment, MODELS[recipe.model].streams)
    group_names(project.labelled(), recipe.split)
    choose_device(recipe.training.device)


def _unknown(setting: str, names: Iterable[str], known: Mapping[str, Any]) -> list[str]:
    return [f"{setting}: unknown '{n}'.{suggest(n, known)}" for n in names if n not in known]
