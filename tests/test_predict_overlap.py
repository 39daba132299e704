"""Overlapping windows of a network that shares their computation: the same rows as window by window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_study import FPS, video_recipe, video_study

from murine.config import EmbeddingSettings, Recipe, WindowSettings
from murine.data.source import open_source
from murine.models import MODELS
from murine.models.c3d import C3D
from murine.predict import describe, stream
from murine.predict.describe import StageEmbedder
from murine.predict.stream import predict_rows
from murine.project import load_project
from murine.train.run import train
from murine.train.runs import TrainedRun, load_run

DERIVED = ("frames", "size", "flow_channels")


def clip_recipe(cut: bool) -> Recipe:
    recipe = video_recipe(epochs=1)
    tiny = {k: v for k, v in MODELS["c3d"].tiny.items() if k not in DERIVED}
    given = replace(recipe.input, cut_size=(48, 56) if cut else (0, 0))
    window = WindowSettings(frames=8, predict_stride_s=2 / FPS)
    return replace(recipe, model="c3d", model_settings=tiny, input=given, window=window)


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "cut"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("c3d")
    study = video_study(folder, recordings=2, n=43)
    return load_run(train(study, clip_recipe(request.param), folder=study / "run"))


def rows(run: TrainedRun, first: int = 0) -> np.ndarray:
    assert run.folder is not None
    recording = load_project(run.folder.parent).recordings[0]
    source = open_source(recording, run.recipe.input, run.model.streams)
    return np.concatenate([r for _, r in predict_rows(run, source, first=first, device="cpu")])


def embedding(run: TrainedRun, start: int = 0) -> np.ndarray:
    assert run.folder is not None
    recording = load_project(run.folder.parent).recordings[0]
    maker = StageEmbedder(run, EmbeddingSettings(recipe="x", batch_size=5), run.model.fc6.weight.device)
    outer = replace(run.recipe.input, spacing_s=2 / FPS, cut_size=(0, 0))
    source = open_source(recording, outer, ("embedding",), embedder=maker)
    return np.concatenate([c["embedding"] for _, c in source.chunks(start)])


@pytest.mark.parametrize("made", [rows, embedding])
def test_shared_is_window_by_window(
    run: TrainedRun, made: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(made)
    calls: list[int] = []
    own = C3D.describe_overlapping

    def counted(self: C3D, *given: object) -> object:
        calls.append(1)
        return own(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(C3D, "describe_overlapping", counted)
    shared = made(run)
    assert calls, "nothing was shared"
    # From the middle on: cut into the same batches, so the same to the last bit.
    np.testing.assert_array_equal(made(run, 9), shared[9:])
    number = len(calls)
    monkeypatch.setattr(stream, "shares_overlap", lambda *_: False)
    monkeypatch.setattr(describe, "shares_overlap", lambda *_: False)
    np.testing.assert_allclose(made(run), shared, rtol=1e-4, atol=1e-5)
    assert len(calls) == number
    assert np.ptp(shared, axis=0).max() > 1e-4, "every row is the same"
