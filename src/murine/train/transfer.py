"""Where a network's weights begin: those of another run, or of a file that others published."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from murine.config import Recipe
from murine.data.splits import Split
from murine.errors import InputError
from murine.files import file_hash, read_json
from murine.models import MODELS
from murine.models.backbones import weights_folder
from murine.models.committee import PerBehaviour
from murine.models.contract import Model
from murine.progress import SILENT, Progress
from murine.train.building import outline
from murine.train.freezing import in_head, parts_of, plan_freezing
from murine.train.runs import (
    BEHAVIOURS_FOLDER,
    MODEL_FILE,
    SPLITS_FILE,
    WEIGHTS_FILE,
    TrainedRun,
    load_run,
)
from murine.types import Ethogram

_OF_CHECKPOINT = re.compile(r"\.(index|data-\d+-of-\d+)$")
"""What the files of a TensorFlow checkpoint end with."""

_COUNTER = ".num_batches_tracked"
"""What batch norms count; published weights have none, and nothing is learned by it."""


_MEASURED = ("rgb_mean", "rgb_std")
"""Settings of every run's own recordings."""


@dataclass(frozen=True)
class Origin:
    """Weights to begin with, by the model's own names, and what they are, in words."""

    tensors: Mapping[str, Tensor]
    words: str


def begin(model: Model, recipe: Recipe, ethogram: Ethogram, progress: Progress = SILENT) -> None:
    """Give a fresh model the weights that its recipe begins with (`training.initial`), if it names any.

    Of a run everything is taken, but the head only where the behaviours are the same in the same order; of
    a file what it holds. `progress` is told what was met and what begins anew. Raises InputError for
    weights that are missing, of another network, or do not fit, all of them listed.
    """
    if not recipe.training.initial:
        return
    origin = find_origin(model, recipe, ethogram)
    model.load_state_dict(origin.tensors, strict=False)
    anew = [n for n in model.state_dict() if n not in origin.tensors and not n.endswith(_COUNTER)]
    rest = f"anew: {', '.join(parts_of(anew))}" if anew else "nothing begins anew"
    progress.message(f"begins with {origin.words}; {rest}")


def check_start(recipe: Recipe, ethogram: Ethogram) -> None:
    """Raise InputError where the recipe's network cannot begin or freeze as it says, before any other work."""
    training = recipe.training
    if training.per_behaviour:
        one = replace(recipe, training=replace(training, per_behaviour=False))
        for behaviour in ethogram.behaviours:
            check_start(one, ethogram.alone(behaviour))
        return
    features = None
    if training.initial and (path := initial_path(training.initial)).is_dir():
        features = load_run(path).model.configuration.get("features")
    if training.initial or training.freeze:
        model = outline(recipe, ethogram, features)
        plan_freezing(model, training)
        if training.initial:
            find_origin(model, recipe, ethogram)


def initial_path(given: str) -> Path:
    """Return what `training.initial` names: relative to the current folder, or in the weights folder."""
    path = Path(given).expanduser()
    if path.exists() or path.is_absolute() or _files_of(path):
        return path
    other = weights_folder() / path
    if other.exists() or _files_of(other):
        return other
    raise InputError(
        f"training.initial: nothing at {path.absolute()}, nor at {other}. Name the folder of a trained model, "
        "or a file of published weights"
    )


def initial_identity(given: str) -> list[Any]:
    """Return what decides the weights that a run begins with: of files their content, wherever they lie."""
    path = initial_path(given)
    if not path.is_dir():
        return [file_hash(file) for file in _files_of(path)]
    if not (path / MODEL_FILE).exists() or not (path / WEIGHTS_FILE).exists():
        load_run(path)  # says what is missing
    behaviours = read_json(path / MODEL_FILE, "a trained model").get("ethogram", {}).get("behaviours")
    return [file_hash(path / WEIGHTS_FILE), behaviours]


def seen_before(recipe: Recipe, split: Split) -> str:
    """Return what there is to say where a recipe begins with a run, or learns from what one describes, that
    knows recordings of these names that are now to test, or an empty text.
    """
    chosen = recipe.embedding
    stage = str(Path(chosen.weights).expanduser().absolute()) if chosen.recipe and chosen.weights else ""
    return _seen(recipe.training.initial, split) or _seen(stage, split)


def _seen(given: str, split: Split) -> str:
    """Return `seen_before` of a run and of those that it began with."""
    while given and split.test and (path := initial_path(given)).is_dir():
        known = read_splits(path)
        if both := [id_ for id_ in split.test if id_ in known]:
            return (
                f"{path} was trained on recordings that are called {', '.join(both)}, as some of those to be "
                "tested: if they are the same, the scores are too good"
            )
        before = Path(load_run(path).recipe.training.initial)
        given = str(before) if before.name and before.exists() else ""
    return ""


def read_splits(folder: Path) -> set[str]:
    """Return the recordings that a run was trained on or chosen by."""
    path = folder / SPLITS_FILE
    splits = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {id_ for split in splits for part in ("train", "validation") for id_ in split.get(part, ())}


def find_origin(model: Model, recipe: Recipe, ethogram: Ethogram) -> Origin:
    """Return the weights that a recipe's network begins with; raises InputError as `begin` does."""
    path = initial_path(recipe.training.initial)
    if path.is_dir():
        return _of_run(load_run(path), path, model, recipe, ethogram)
    if path.name in (MODEL_FILE, WEIGHTS_FILE) and (path.parent / MODEL_FILE).exists():
        raise InputError(f"training.initial: {path} is part of a trained model; name its folder")
    name = model.configuration["name"]
    read = MODELS[name].read_weights
    if read is None:
        raise InputError(
            f"training.initial: {path} is a file, and model '{name}' reads no weights that others published. "
            "Name the folder of a trained model"
        )
    tensors, layout = read(path, model)
    if faults := _misfits(tensors, model.state_dict()):
        raise InputError(_listed(f"{path}: the weights do not fit '{name}'", faults))
    return Origin(tensors, f"{path.name} ({layout})")


def _of_run(run: TrainedRun, folder: Path, model: Model, recipe: Recipe, ethogram: Ethogram) -> Origin:
    name = model.configuration["name"]
    if isinstance(run.model, PerBehaviour):
        run = _member(run, folder, ethogram)
    if run.name != name:
        raise InputError(
            f"training.initial: {folder} holds a network '{run.name}', and the recipe's is '{name}'. Name a "
            "run of the same network"
        )
    alike = run.ethogram.behaviours == ethogram.behaviours
    state, wanted = run.model.state_dict(), model.state_dict()
    taken = {n: v for n, v in state.items() if alike or not in_head(n, run.model)}
    needed = {n: v for n, v in wanted.items() if alike or not in_head(n, model)}
    faults = [f"missing: {n}" for n in needed if n not in taken]
    faults += [f"not of this network: {n}" for n in taken if n not in needed]
    faults += _misfits({n: v for n, v in taken.items() if n in needed}, needed)
    before, now = run.model.configuration["settings"], model.configuration["settings"]
    if faults:
        faults = [
            *(
                f"model.{key} is {value} there and {now[key]} here"
                for key, value in before.items()
                if key not in _MEASURED and value != now.get(key)
            ),
            *faults,
        ]
    faults = [*_other_columns(run, recipe), *faults]
    if faults:
        raise InputError(
            _listed(f"training.initial: {folder} does not fit this recipe and its input", faults)
        )
    words = f"{folder} ('{run.recipe.name}': {', '.join(run.ethogram.behaviours)})"
    return Origin(taken, words)


def _member(run: TrainedRun, folder: Path, ethogram: Ethogram) -> TrainedRun:
    """Return a run's network of one behaviour as a run of its own."""
    assert isinstance(run.model, PerBehaviour)
    known = run.ethogram.behaviours
    (wanted, *others) = ethogram.behaviours
    if others or wanted not in known:
        raise InputError(
            f"training.initial: {folder} holds a network for each of {', '.join(known)}, and none for "
            f"{', '.join(ethogram.behaviours)}. Name one of them, a folder in {folder / BEHAVIOURS_FOLDER}"
        )
    model = run.model.member(known.index(wanted))
    name = model.configuration["name"]
    return replace(run, model=model, name=name, ethogram=run.ethogram.alone(wanted))


def _other_columns(run: TrainedRun, recipe: Recipe) -> list[str]:
    """Return where the columns of a table mean other things than they did to the run's network."""
    faults = []
    if "pose" in run.model.streams:
        then, now = run.recipe.input, recipe.input
        for key in ("pose_features", "symmetric", "pose_units", "pose_scaling", "interest"):
            there, here = getattr(then, key), getattr(now, key)
            if there != here:
                faults.append(f"input.{key} is {there} there and {here} here")
    if "embedding" in run.model.streams and run.recipe.embedding.backbone != recipe.embedding.backbone:
        faults.append(
            f"embedding.backbone is '{run.recipe.embedding.backbone}' there and "
            f"'{recipe.embedding.backbone}' here"
        )
    return faults


def _misfits(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    faults = [f"not of this network: {n}" for n in tensors if n not in wanted]
    faults += [
        f"{n}: {tuple(v.shape)} came where {tuple(wanted[n].shape)} was expected"
        for n, v in tensors.items()
        if n in wanted and v.shape != wanted[n].shape
    ]
    return faults


def _listed(what: str, faults: list[str]) -> str:
    return what + "\n" + "\n".join(f"  - {fault}" for fault in faults)


def _files_of(path: Path) -> list[Path]:
    """Return the files that a name stands for: one, or those of a TensorFlow checkpoint."""
    stem = path.with_name(_OF_CHECKPOINT.sub("", path.name))
    index = stem.with_name(f"{stem.name}.index")
    if index.is_file():
        return [index, *sorted(stem.parent.glob(f"{stem.name}.data-*"))]
    return [path] if path.is_file() else []
