"""Every recipe that comes with murine: its names exist, its network builds, and it trains.

The network is built whole (without memory: on the meta device); the two steps of training are done by a
narrow one on a small made-up study, with everything else as the recipe says.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_study import ETHOGRAM, FPS, draw, make_pose, walk
from torch.optim.optimizer import register_optimizer_step_post_hook

from murine.config import Recipe, list_recipes, load_recipe
from murine.formats import write_labels, write_pose
from murine.models import MODELS, complete_settings, create_model
from murine.project import Project, save_project
from murine.train import study as study_module
from murine.train.checking import recipe_faults
from murine.train.checkpoint import METRICS_FILE
from murine.train.run import derived_settings, train
from murine.train.runs import load_run
from murine.types import Bouts, Ethogram, Recording, Timeline
from murine.video import write_video

NAMES = [info.name for info in list_recipes()]
DERIVED = ("frames", "size", "flow_channels", "exclusive", "tasks", "rounds")
FRAMES = 48

each_recipe = pytest.mark.parametrize("name", NAMES)


def small(recipe: Recipe, steps: int = 2) -> Recipe:
    """Return a recipe whose network is narrow, whose pictures are few, and which takes two steps."""
    tiny = {k: v for k, v in MODELS[recipe.model].tiny.items() if k not in DERIVED}
    # Small pictures of the same shape; networks with fixed dense layers follow from them.
    side = 64 / max(recipe.input.size)
    given = replace(
        recipe.input,
        size=(round(recipe.input.size[0] * side), round(recipe.input.size[1] * side)),
        cut_size=(round(recipe.input.cut_size[0] * side), round(recipe.input.cut_size[1] * side)),
        crop_size=min(recipe.input.crop_size, 48),
        crop_keypoint="centre" if recipe.input.crop_keypoint else "",
    )
    drawn = 0 if MODELS[recipe.model].fitted else 2 * steps * recipe.training.accumulate
    training = replace(
        recipe.training,
        epochs=1, batch_size=2, samples_per_epoch=drawn, device="cpu", workers=0, initial="",
        # the small study has one task
        balance="none" if recipe.training.balance == "tasks" else recipe.training.balance,
    )  # fmt: skip
    split = replace(recipe.split, by="recording", pattern="", folds=0, fixed=(), validation=0.34)
    embedding = recipe.embedding
    if embedding.backbone:
        embedding = replace(embedding, backbone="small_cnn", weights="random", size=(32, 32))
    window = replace(recipe.window, frames=min(recipe.window.frames, 16))
    settings = {k: v for k, v in recipe.model_settings.items() if k not in DERIVED}
    return replace(
        recipe, model_settings={**settings, **tiny}, input=given, training=training, split=split,
        embedding=embedding, window=window,
    )  # fmt: skip


def study(folder: Path, ethogram: Ethogram) -> Path:
    """Write three recordings of a dot with video, pose and labels."""
    rows = []
    for i in range(3):
        position, classes = walk(FRAMES, i)
        frames = draw(position)
        write_video(folder / f"v{i}.mkv", frames, FPS, lossless=True)
        write_video(folder / f"v{i}_side.mkv", frames[:, :, ::-1].copy(), FPS, lossless=True)
        pose, _ = make_pose(FRAMES, i)

        write_pose(folder / f"v{i}_pose.csv", pose)
        bouts = Bouts.from_classes(ETHOGRAM, classes)
        write_labels(folder / f"v{i}.csv", bouts, Timeline.uniform(FRAMES, FPS), "bouts")
        files = {"video": folder / f"v{i}.mkv", "pose": folder / f"v{i}_pose.csv"}
        views = {"video2": folder / f"v{i}_side.mkv"}
        rows.append(Recording(f"v{i}", labels=folder / f"v{i}.csv", views=views, **files))
    save_project(Project(folder / "study", "small", ethogram, tuple(rows)))
    return folder / "study"


@pytest.fixture(scope="module")
def exclusive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("exclusive"), ETHOGRAM)


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlapping")
    return study(folder, Ethogram(ETHOGRAM.behaviours, exclusive=False))


@each_recipe
def test_says_where_it_comes_from_and_what_it_needs(name: str) -> None:
    recipe = load_recipe(name, check=recipe_faults)
    assert recipe.source
    assert recipe.description.endswith(".")
    assert "needs" in recipe.description.lower(), "the description ends with what the recipe needs"


@each_recipe
def test_its_network_builds_whole(name: str) -> None:
    recipe = load_recipe(name, check=recipe_faults)
    settings = complete_settings(
        recipe.model, recipe.model_settings, derived_settings(recipe, exclusive=True)
    )
    features = 64 if MODELS[recipe.model].takes_features else None
    with torch.device("meta"):
        model = create_model(recipe.model, classes=8, features=features, settings=settings)
    values = [*model.parameters(), *model.buffers()]
    assert sum(v.numel() for v in values) > 1000


@each_recipe
def test_it_takes_two_steps(
    name: str,
    exclusive: Path,
    overlapping: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = load_recipe(name, check=recipe_faults)
    stage = study_module._stage_recipe
    monkeypatch.setattr(study_module, "_stage_recipe", lambda outer: small(stage(outer)))
    binary = recipe.training.loss.startswith("binary") and not recipe.training.per_behaviour
    steps: list[None] = []
    counting = register_optimizer_step_post_hook(lambda *_: steps.append(None))
    try:
        folder = train(overlapping if binary else exclusive, small(recipe), folder=tmp_path / "run")
    finally:
        counting.remove()
    networks = len(ETHOGRAM) if recipe.training.per_behaviour else 1
    networks += bool(recipe.embedding.recipe)
    assert len(steps) == (0 if MODELS[recipe.model].fitted else 2 * networks)
    run = load_run(folder)
    assert run.recipe.training.optimizer == recipe.training.optimizer
    if not recipe.training.per_behaviour:
        header, row = (folder / METRICS_FILE).read_text().splitlines()
        loss = dict(zip(header.split(","), row.split(","), strict=True))["train_loss"]
        assert math.isfinite(float(loss))
