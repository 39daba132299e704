"""The recipes of the three other papers of video hold their numbers; those of the first have a file of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import FPS, video_study, walk

from murine.config import Recipe, load_recipe
from murine.data.windows import plan, sample_frames, stride_in_samples
from murine.formats import write_labels
from murine.models import MODELS, Model, complete_settings, create_model
from murine.progress import Silent
from murine.project import Project, load_project, save_project
from murine.train.building import derived_settings
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.schedule import SCHEDULES
from murine.types import Bouts, Ethogram, Timeline

TINY = Path(__file__).parent / "reference" / "i3d_tiny.index"
THIRTY = Timeline.uniform(60, 30.0)


def on_paper(recipe: Recipe, classes: int, features: int | None = None) -> Model:
    settings = complete_settings(
        recipe.model, recipe.model_settings, derived_settings(recipe, exclusive=True)
    )
    with torch.device("meta"):
        return create_model(recipe.model, classes=classes, features=features, settings=settings)


def rates(recipe: Recipe) -> list[float]:
    schedule = SCHEDULES[recipe.training.schedule](recipe.training)
    return [schedule.rate(epoch) for epoch in range(recipe.training.epochs)]


# de Juan, Table 4.1


@pytest.mark.parametrize(
    ("name", "features", "total", "length", "batch"),
    [
        ("resnet50v2-lstm", 2048, 556_497, 300, 8),
        ("inception-resnet-v2-lstm", 1536, 422_305, 600, 16),
        ("resnet50v2-tcn", 2048, None, 300, 32),
        ("inception-resnet-v2-tcn", 1536, None, 300, 8),
    ],
)
def test_table_4_1(name: str, features: int, total: int | None, length: int, batch: int) -> None:
    recipe = load_recipe(f"embeddings/{name}")
    training = recipe.training
    assert (recipe.window.frames, training.batch_size, training.epochs) == (length, batch, 50)
    assert (training.optimizer, training.learning_rate) == ("adam", 0.001)
    assert set(rates(recipe)) == {0.001}
    assert (training.loss, training.class_weights) == ("binary_cross_entropy", True)
    assert (training.watch, training.early_stopping, training.per_behaviour) == ("pr_auc", 5, True)
    assert (recipe.input.crop_keypoint, recipe.input.crop_size) == ("midbody", 160)
    assert stride_in_samples(
        recipe.window.train_stride_s, length, THIRTY, sample_frames(THIRTY, 0.1)
    ) == (length)
    model = on_paper(recipe, classes=1, features=features)
    if total is None:
        assert (model.reach[0], model.reach[1]) == (252, 0)
        assert recipe.model_settings["norm"] == "batch"
    else:
        assert model.keras_parameters() == total
        assert recipe.model_settings["dropout"] == 0.5
    backbone = "resnet50v2" if features == 2048 else "inception_resnet_v2"
    assert recipe.embedding.backbone == backbone


# Le and Murari


def test_le_and_murari_s_first_stage() -> None:
    recipe = load_recipe("c3d-lstm/c3d")
    training = recipe.training
    assert (recipe.input.size, recipe.window.frames) == ((128, 128), 8)
    assert (training.epochs, training.batch_size) == (15, 32)
    expected = [0.002 / 10 ** (epoch // 3) for epoch in range(15)]
    assert rates(recipe) == pytest.approx(expected)
    assert (training.balance, set(training.augment)) == ("overlap", {"brightness", "contrast"})
    samples = sample_frames(THIRTY, recipe.input.spacing_s)
    assert stride_in_samples(recipe.window.predict_stride_s, 8, THIRTY, samples) == 8 - 6
    assert on_paper(recipe, classes=8).described == 2048


def test_le_and_murari_s_second_stage() -> None:
    recipe = load_recipe("c3d-lstm/c3d-lstm")
    assert (recipe.embedding.recipe, recipe.embedding.normalise) == ("c3d-lstm/c3d", True)
    assert recipe.embedding.weights == "", "named on the command line"
    assert recipe.model_settings["units"] == (512, 512, 512)
    assert recipe.training.balance == "duplicate"
    # a descriptor for every second frame: clips of eight share six
    assert np.diff(sample_frames(THIRTY, recipe.input.spacing_s).samples).tolist() == [2] * 29
    # one video of twelve is left out
    for name in ("c3d-lstm/c3d", "c3d-lstm/c3d-lstm"):
        split = load_recipe(name).split
        assert (split.by, split.folds) == ("recording", 0)


# Nguyen et al.


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_nguyen_et_al(stream: str, stage: int) -> None:
    recipe = load_recipe(f"two-stream-i3d/{stream}-stage{stage}")
    training = recipe.training
    assert recipe.model == f"i3d_{stream}"
    assert recipe.model_settings["dropout"] == pytest.approx(1 - 0.36)
    assert (training.optimizer, training.momentum, training.batch_size) == ("sgd", 0.9, 6)
    assert training.weight_decay == 7e-7
    assert (recipe.input.size, recipe.input.cut_size) == ((256, 256), (224, 224))
    assert training.augment == ("random_crop", "mirror")
    first, last = (1e-4, 5e-6) if (stream, stage) == ("rgb", 1) else (1e-3, 5e-5)
    assert rates(recipe)[0] == pytest.approx(first)
    assert rates(recipe)[-1] == pytest.approx(last)
    assert recipe.split.folds == 10
    if stage == 1:
        assert training.epochs * training.samples_per_epoch == 50_000 * training.batch_size
    if stream == "flow":
        given = recipe.input
        assert (given.flow, given.flow_encoding, given.flow_limit) == ("tvl1", "uv", 20.0)
    # a clip for every frame: it, its 8 predecessors and its 7 successors
    window, samples = recipe.window, sample_frames(THIRTY, recipe.input.spacing_s)
    assert (window.frames, window.label) == (16, "centre")
    windows = plan(60, 16, stride_in_samples(window.predict_stride_s, 16, THIRTY, samples), "centre")
    inner = np.flatnonzero((windows.target_start >= 9) & (windows.target_stop <= 50))
    assert len(inner) == 41
    assert set(windows.target_start[inner] - windows.start[inner]) == {8}
    assert set(windows.stop[inner] - windows.target_stop[inner]) == {7}
    assert training.initial == "", "named on the command line"


class Told(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def test_published_weights_then_a_large_set_then_a_small_one(tmp_path: Path) -> None:
    """The whole chain of the paper, with a narrow I3D whose weights TensorFlow wrote."""
    large = video_study(tmp_path / "large", recordings=3, n=32)
    small = video_study(tmp_path / "small", recordings=2, n=32)
    swim, rows = Ethogram(("float", "swim", "struggle")), []
    for i, recording in enumerate(load_project(small).recordings):
        classes = walk(32, i)[1].copy()
        classes[::5] = 2
        path = tmp_path / f"swim{i}.csv"
        write_labels(path, Bouts.from_classes(swim, classes), Timeline.uniform(32, FPS), "bouts")
        rows.append(replace(recording, labels=path))
    save_project(Project(small, "swim", swim, tuple(rows)))
    told, stage1, stage2 = Told(), tmp_path / "stage1", tmp_path / "stage2"
    train(large, still("rgb-stage1", TINY), folder=stage1, progress=told)
    train(small, still("rgb-stage2", stage1), folder=stage2, progress=told)
    begun = [message for message in told.messages if message.startswith("begins with")]
    assert len(begun) == 2
    assert begun[0].startswith("begins with i3d_tiny.index (")
    assert "TensorFlow" in begun[0]
    assert f"{stage1} ('two-stream-i3d/rgb-stage1': rest, walk)" in begun[1]
    assert all(message.endswith("; anew: head") for message in begun)
    run = load_run(stage2)
    assert run.ethogram == swim
    read = MODELS["i3d_rgb"].read_weights
    assert read is not None
    published = read(TINY, run.model)[0]
    state = run.model.state_dict()
    kernels = [name for name in published if name.endswith("conv.weight")]
    assert len(kernels) == 57
    assert all(torch.equal(state[name], published[name]) for name in kernels)
    assert state["head.weight"].shape[0] == 3


def still(name: str, initial: Path) -> Recipe:
    """Return a recipe of I3D, narrow and small, that takes two steps too short to move anything."""
    recipe = load_recipe(f"two-stream-i3d/{name}")
    training = replace(
        recipe.training, initial=str(initial), epochs=1, batch_size=3, samples_per_epoch=6, device="cpu",
        learning_rate=1e-30, final_rate=1e-31,
    )  # fmt: skip
    return replace(
        recipe,
        model_settings={**recipe.model_settings, "width": 1 / 64},
        input=replace(recipe.input, size=(40, 40), cut_size=(32, 32)),
        training=training,
        split=replace(recipe.split, by="recording"),
    )
