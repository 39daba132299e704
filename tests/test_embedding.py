"""The stream "embedding": rows of a backbone or of the stage before, the same however they are asked for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_study import FPS, draw, video_recipe, video_study, walk
from torch import Tensor

from murine.cache import Cache
from murine.config import (
    EmbeddingSettings,
    InputSettings,
    Recipe,
    TrainingSettings,
    WindowSettings,
    load_recipe,
)
from murine.data.embedding import FrameEmbedder
from murine.data.prepare import prepare
from murine.data.source import open_source
from murine.data.splits import Split
from murine.errors import ConfigError, InputError
from murine.models.backbones import Backbone
from murine.predict import describe as describe_module
from murine.predict import predict
from murine.predict.describe import StageEmbedder, run_embedder
from murine.predictions import read_prediction
from murine.project import load_project
from murine.train.checking import recipe_faults
from murine.train.crossval import evaluate
from murine.train.run import train
from murine.train.runs import BACKBONE_FILE, STAGE_FOLDER, load_run
from murine.train.transfer import seen_before
from murine.types import Recording
from murine.video import write_video


class Grid(Backbone):
    """Means over a grid of 4 x 4 cells of each colour, times a weight."""

    size = (32, 32)
    features = 48

    def __init__(self, scale: float = 1 / 255) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))

    def forward(self, pictures: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(pictures.float() * self.scale, 4).flatten(1)


@pytest.fixture(autouse=True)
def grid(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, weights: str = "", seed: int = 0) -> Backbone:
        assert name == "timm:grid"
        return Grid(0.0 if weights == "random" else 1 / 255).eval()

    monkeypatch.setattr(describe_module, "create_backbone", create)


def embedder(**settings: object) -> FrameEmbedder:
    chosen = EmbeddingSettings(backbone="timm:grid", **settings)  # type: ignore[arg-type]
    return describe_module.frame_embedder(chosen, seed=0, device="cpu")


def backbone_recipe(epochs: int = 6, **embedding: object) -> Recipe:
    return Recipe(
        "test/tiny-embedding",
        model="lstm",
        model_settings={"units": (16,), "dropout": 0.0},
        input=InputSettings(size=(64, 64)),
        window=WindowSettings(frames=20),
        embedding=EmbeddingSettings(backbone="timm:grid", **embedding),  # type: ignore[arg-type]
        training=TrainingSettings(
            epochs=epochs, batch_size=2, optimizer="adam", learning_rate=0.02, device="cpu"
        ),
        split=replace(video_recipe().split, validation=0.0),
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_study(tmp_path_factory.mktemp("video"), recordings=2, n=60)


@pytest.fixture
def stage_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-stage.toml"
    path.write_text(
        'description = "stage"\n[model]\nname = "baseline_sharing"\nwidth = 0.25\nhead_units = [16]\n'
        "[input]\nsize = [64, 64]\n[window]\nframes = 4\ntrain_stride_s = 0.2\n"
        '[training]\nepochs = 1\nbatch_size = 4\noptimizer = "adam"\nlearning_rate = 0.003\n'
        "[split]\nvalidation = 0.0\n"
    )
    return path


def stage_recipe(stage_file: Path) -> Recipe:
    """Every second frame described by a network of four frames."""
    recipe = backbone_recipe(epochs=3)
    return replace(
        recipe,
        name="test/tiny-stages",
        input=InputSettings(spacing_s=2 / FPS),
        window=WindowSettings(frames=10),
        embedding=EmbeddingSettings(recipe=str(stage_file), batch_size=3, normalise=True),
    )


def test_rows_are_the_backbones_of_each_sample(study: Path) -> None:
    recording = load_project(study).recordings[0]
    maker = embedder()
    source = open_source(recording, InputSettings(spacing_s=0.3), ("embedding",), embedder=maker)
    rows = np.concatenate([chunk["embedding"] for _, chunk in source.chunks()])
    position, _ = walk(60, 0)
    pictures = draw(position)[::3]
    expected = pictures.reshape(20, 4, 16, 4, 16, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2) / 255
    # The writer and the resizing to 32 pixels round to whole grey levels.
    np.testing.assert_allclose(rows, expected.reshape(20, 48), atol=1.5 / 255)


@pytest.mark.parametrize(("start", "chunk"), [(0, 7), (3, 5), (19, 256), (20, 4)])
def test_rows_do_not_depend_on_start_or_chunk(study: Path, start: int, chunk: int) -> None:
    recording = load_project(study).recordings[0]
    source = open_source(recording, InputSettings(spacing_s=0.3), ("embedding",), embedder=embedder())
    whole = np.concatenate([c["embedding"] for _, c in source.chunks()])
    parts = list(source.chunks(start, chunk))
    got = np.concatenate([c["embedding"] for _, c in parts]) if parts else np.empty((0, 48))
    np.testing.assert_array_equal(got, whole[start:])


def test_normalised_rows_have_length_one(study: Path) -> None:
    recording = load_project(study).recordings[0]
    source = open_source(recording, InputSettings(), ("embedding",), embedder=embedder(normalise=True))
    rows = np.concatenate([c["embedding"] for _, c in source.chunks()])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_prepared_once_and_named_by_its_maker(study: Path, tmp_path: Path) -> None:
    project, cache = load_project(study), Cache(tmp_path / "cache")
    settings = InputSettings(spacing_s=0.2)

    def made(maker: FrameEmbedder) -> tuple[str, np.ndarray]:
        prepared = prepare(
            project, project.recordings[0], settings, ("embedding",), cache, embedder=maker
        )
        return prepared.keys["embedding"], prepared.table("embedding")

    first, rows = made(embedder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrameEmbedder, "describe", lambda *_: pytest.fail("described again"))
        again, same = made(embedder())
    assert again == first
    np.testing.assert_array_equal(same, rows)
    assert made(embedder(normalise=True))[0] != first
    assert made(embedder(weights="random"))[0] != first
    assert made(embedder(size=(16, 16)))[0] != first


def test_a_stage_describes_the_window_around_each_sample(study: Path, stage_file: Path) -> None:
    folder = train(study, stage_recipe(stage_file))
    run = load_run(folder)
    assert run.sees == ("rgb", "flow")
    maker = run_embedder(run, "cpu")
    assert isinstance(maker, StageEmbedder)
    recording = load_project(study).recordings[1]
    source = open_source(recording, run.recipe.input, ("embedding",), embedder=maker)
    rows = np.concatenate([c["embedding"] for _, c in source.chunks(0, 16)])
    assert rows.shape == (30, maker.features)
    np.testing.assert_array_equal(
        np.concatenate([c["embedding"] for _, c in source.chunks(11)]), rows[11:]
    )
    stage = load_run(folder / STAGE_FOLDER)
    seen = open_source(recording, stage.recipe.input, stage.model.streams)
    pictures = {n: np.concatenate([c[n] for _, c in seen.chunks()]) for n in stage.model.streams}
    for sample in (0, 1, 7, 29):
        start = min(max(2 * sample - 2, 0), 56)
        batch = {
            n: torch.from_numpy(v[start : start + 4]).permute(3, 0, 1, 2)[None]
            for n, v in pictures.items()
        }
        with torch.no_grad():
            row = stage.model(batch), stage.model.describe(batch)[0]
        expected = row[1] / row[1].norm()
        np.testing.assert_allclose(rows[sample], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_predicting_files_gives_what_the_cache_gave(study: Path, tmp_path: Path) -> None:
    recipe = backbone_recipe()
    folder = train(study, recipe, folder=tmp_path / "run")
    assert (folder / BACKBONE_FILE).exists()
    videos = [r.video for r in load_project(study).recordings]
    written = predict(folder, [v for v in videos if v is not None], tmp_path / "out", device="cpu")
    evaluation = evaluate(study, recipe)
    assert len(written) == len(evaluation.predictions) == 2
    fold = evaluation.folder / "folds" / "fold-1"
    assert not (fold / BACKBONE_FILE).exists()
    tested = [p for p in evaluation.predictions if read_prediction(p).meta["fold"] == "fold-1"]
    (again,) = predict(
        fold,
        [v for v in videos if v is not None and v.stem == tested[0].stem],
        tmp_path / "fold",
        device="cpu",
    )
    np.testing.assert_allclose(
        read_prediction(again).probabilities, read_prediction(tested[0]).probabilities, atol=1e-6
    )


def test_two_stages_are_evaluated_fold_by_fold(
    study: Path, stage_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = stage_recipe(stage_file)
    evaluation = evaluate(study, recipe)
    for fold in (evaluation.folder / "folds").iterdir():
        run, stage = load_run(fold), load_run(fold / STAGE_FOLDER)
        assert run.embedding is not None
        assert stage.recipe.model == "baseline_sharing"
        trained = (fold / "splits.json").read_text()
        assert (fold / STAGE_FOLDER / "splits.json").read_text() == trained
    again = evaluate(study, recipe)
    assert again.scores["reused"] == ["fold-1", "fold-2"]
    assert again.scores["pooled"] == evaluation.scores["pooled"]


def test_a_stage_that_was_trained_elsewhere_is_taken_as_it_is(
    study: Path, stage_file: Path, tmp_path: Path
) -> None:
    """Le and Murari: the ConvNet learns from clips, the LSTM from long recordings it describes."""
    clips = video_study(tmp_path / "clips", recordings=2, n=40)
    stage = train(clips, load_recipe(stage_file), folder=tmp_path / "stage")
    whole = stage_recipe(stage_file)
    recipe = replace(whole, embedding=replace(whole.embedding, weights=str(stage)))
    folder = train(study, recipe, folder=tmp_path / "run")
    weights = load_run(stage).model.state_dict()
    for name, value in load_run(folder / STAGE_FOLDER).model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    evaluation = evaluate(study, recipe, out=tmp_path / "evaluation")
    fold = evaluation.folder / "folds" / "fold-1"
    assert not (fold / STAGE_FOLDER).exists()
    (tested,) = [p for p in evaluation.predictions if read_prediction(p).meta["fold"] == "fold-1"]
    recording = load_project(study).recording(tested.stem)
    (again,) = predict(fold, [recording.video], tmp_path / "fold", device="cpu")  # type: ignore[list-item]
    np.testing.assert_allclose(
        read_prediction(again).probabilities, read_prediction(tested).probabilities, atol=1e-6
    )
    # a run folder is whole; a fold of an evaluation looks where the recipe says, and knows another network
    other = train(clips, load_recipe(stage_file, ["training.seed=5"]), folder=tmp_path / "other")
    shutil.rmtree(stage)
    (alone,) = predict(folder, [recording.video], tmp_path / "alone", device="cpu")  # type: ignore[list-item]
    assert len(read_prediction(alone)) == 60
    with pytest.raises(InputError, match="stage: not found"):
        run_embedder(load_run(fold))
    shutil.copytree(other, stage)
    with pytest.raises(InputError, match="with other weights than those found now"):
        run_embedder(load_run(fold))


def test_a_stage_that_knows_the_test_recordings_is_told(
    study: Path, stage_file: Path, tmp_path: Path
) -> None:
    stage = train(study, load_recipe(stage_file), folder=tmp_path / "stage")
    whole = stage_recipe(stage_file)
    recipe = replace(whole, embedding=replace(whole.embedding, weights=str(stage)))
    split = Split("fold-1", ("v0",), (), ("v1",), {"v0": "v0", "v1": "v1"})
    assert "trained on recordings that are called v1" in seen_before(recipe, split)
    assert seen_before(whole, split) == ""


def test_another_network_than_the_stages_is_refused(
    study: Path, stage_file: Path, tmp_path: Path
) -> None:
    folder = train(study, backbone_recipe(epochs=1), folder=tmp_path / "run")
    given = EmbeddingSettings(recipe=str(stage_file), weights=str(folder))
    with pytest.raises(InputError, match=r"holds a network 'lstm' .* makes a 'baseline_sharing'"):
        train(study, replace(stage_recipe(stage_file), embedding=given), folder=tmp_path / "two")
    with pytest.raises(InputError, match="nowhere: not found"):
        train(study, replace(stage_recipe(stage_file), embedding=replace(given, weights="nowhere")))
    with pytest.raises(ConfigError, match="'random' is for a backbone"):
        EmbeddingSettings(recipe="c3d-lstm/c3d", weights="random")


def test_other_weights_are_refused(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = train(study, backbone_recipe(epochs=1), folder=tmp_path / "run")
    (folder / BACKBONE_FILE).unlink()
    monkeypatch.setattr(describe_module, "create_backbone", lambda *_: Grid(0.5).eval())
    with pytest.raises(InputError, match="other weights than those found now"):
        run_embedder(load_run(folder))


def test_a_new_video_needs_no_weights_file(study: Path, tmp_path: Path) -> None:
    folder = train(study, backbone_recipe(epochs=1), folder=tmp_path / "run")
    position, _ = walk(30, 9)
    write_video(tmp_path / "new.mkv", draw(position), FPS, lossless=True)
    (path,) = predict(folder, [tmp_path / "new.mkv"], tmp_path / "out", device="cpu")
    assert len(read_prediction(path)) == 30


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (EmbeddingSettings(), "name a backbone or a recipe"),
        (EmbeddingSettings(backbone="inception_v9"), "unknown 'inception_v9'"),
        (EmbeddingSettings(recipe="c3d-lstm/nothing"), "no recipe 'c3d-lstm/nothing'"),
        (EmbeddingSettings(recipe="test/tiny-embedding"), "cannot be its own stage"),
    ],
)
def test_where_an_embedding_comes_from_is_checked(embedding: EmbeddingSettings, message: str) -> None:
    faults = recipe_faults(replace(backbone_recipe(), embedding=embedding))
    assert len(faults) == 1
    assert message in faults[0]


def test_a_backbone_and_a_recipe_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="name one of them"):
        EmbeddingSettings(backbone="inception_v1", recipe="c3d-lstm/c3d")


def test_an_embedding_of_nothing_is_refused(study: Path) -> None:
    recording: Recording = load_project(study).recordings[0]
    with pytest.raises(InputError, match=r"embedding\.backbone"):
        open_source(recording, InputSettings(), ("embedding",))
