"""From a project to a run folder: what is written, what is learned from training recordings alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_study import ETHOGRAM, FPS, pose_recipe, pose_study, video_recipe, video_study

from murine.config import load_recipe
from murine.data.splits import training_split
from murine.errors import ConfigError, InputError, MissingExtraError, ProjectError
from murine.project import load_project, save_project
from murine.train import loop as loop_module
from murine.train import run as run_module
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.study import open_study, rgb_statistics
from murine.types import Ethogram


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("pose"))


def test_a_run_folder_holds_all_of_it(study: Path, tmp_path: Path) -> None:
    folder = train(study, pose_recipe(), folder=tmp_path / "run")
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.toml",
        "environment.json",
        "metrics.csv",
        "model.json",
        "splits.json",
        "weights.safetensors",
    ]
    assert load_recipe(str(folder / "config.toml")) == pose_recipe()
    (split,) = json.loads((folder / "splits.json").read_text())
    assert sorted([*split["train"], *split["validation"]]) == ["m0", "m1", "m2", "m3"]
    assert split["test"] == []
    run = load_run(folder)
    assert run.ethogram == ETHOGRAM
    assert run.fps == pytest.approx(FPS)
    assert run.pose is not None
    assert (run.pose.animals, run.pose.keypoints) == (("mouse",), ("centre", "nose", "tail"))
    assert len((folder / "metrics.csv").read_text().splitlines()) == 13


def test_the_default_folder_is_named_after_the_recipe(study: Path) -> None:
    folder = train(study, pose_recipe(epochs=1))
    assert folder == study / "models" / "tiny-pose"
    assert train(study, pose_recipe(epochs=1), name="other") == study / "models" / "other"


def test_what_is_learned_besides_weights_comes_from_training_recordings_alone(
    study: Path, tmp_path: Path
) -> None:
    recipe = pose_recipe(epochs=1)
    opened = open_study(study, recipe)
    split = training_split(opened.recordings, recipe.split, opened.label_counts)
    assert len(split.validation) == 1
    run = load_run(train(study, recipe, folder=tmp_path / "run"))
    assert run.pose is not None
    values = np.concatenate([opened.prepared[i].table("pose") for i in split.train])
    np.testing.assert_allclose(run.pose.scaler.mean, np.nanmean(values, axis=0), rtol=1e-5)
    everyone = np.concatenate([p.table("pose") for p in opened.prepared.values()])
    assert not np.allclose(run.pose.scaler.mean, np.nanmean(everyone, axis=0), rtol=1e-5)


def test_brightness_is_measured_and_given_to_the_network(tmp_path: Path) -> None:
    study = video_study(tmp_path / "v", recordings=2, n=24)
    recipe = video_recipe(epochs=1)
    opened = open_study(study, recipe)
    mean, deviation = rgb_statistics(list(opened.prepared.values()))
    values = np.concatenate([np.asarray(p.streams["rgb"]).ravel() for p in opened.prepared.values()])
    assert mean == pytest.approx(values.mean())
    assert deviation == pytest.approx(values.std())
    run = load_run(train(study, recipe, folder=tmp_path / "run"))
    settings: Mapping[str, Any] = run.model.configuration["settings"]
    assert settings["rgb_mean"] == pytest.approx(mean)
    assert settings["rgb_std"] == pytest.approx(deviation)
    assert settings["frames"] == 4
    assert tuple(settings["size"]) == (64, 64)
    given = replace(recipe, model_settings={**recipe.model_settings, "rgb_mean": 100.0, "rgb_std": 50.0})
    run = load_run(train(study, given, folder=tmp_path / "given"))
    assert run.model.configuration["settings"]["rgb_mean"] == 100.0


def test_same_recipe_same_weights_also_after_an_interruption(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = pose_recipe(epochs=4)
    whole = load_run(train(study, recipe, folder=tmp_path / "whole"))
    saves = []
    real = loop_module.save_state

    def stopping(*args: Any) -> None:
        real(*args)
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop_module, "save_state", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(study, recipe, folder=tmp_path / "parts")
    with pytest.raises(InputError, match="stopped after 2 epochs"):
        load_run(tmp_path / "parts")
    parts = load_run(train(study, recipe, folder=tmp_path / "parts"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, parts.model.state_dict()[name])
    assert whole.identity == parts.identity
    assert len(saves) == 4


def test_a_finished_run_is_only_loaded_and_another_is_refused(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = pose_recipe(epochs=1)
    folder = train(study, recipe, folder=tmp_path / "run")
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    called = []
    monkeypatch.setattr(run_module, "fit", lambda *a, **k: called.append(1))
    train(study, recipe, folder=folder)
    # settings that change nothing a network learns are no other run
    train(study, replace(recipe, training=replace(recipe.training, workers=1)), folder=folder)
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    with pytest.raises(InputError, match="other settings, labels or files"):
        train(study, pose_recipe(epochs=2), folder=folder)
    assert not called


def test_restart_begins_anew(study: Path, tmp_path: Path) -> None:
    folder = train(study, pose_recipe(epochs=1), folder=tmp_path / "run")
    (folder / "notes.txt").write_text("mine")
    train(study, pose_recipe(epochs=2), folder=folder, resume=False)
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3
    assert (folder / "notes.txt").read_text() == "mine"


def test_changed_labels_are_another_run(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=3)
    recipe = pose_recipe(epochs=1)
    train(study, recipe, folder=tmp_path / "run")
    labels = tmp_path / "p" / "m0_labels.csv"
    text = labels.read_text()
    labels.write_text(text.replace("rest", "x").replace("walk", "rest").replace("x", "walk"))
    with pytest.raises(InputError, match="labels or files"):
        train(study, recipe, folder=tmp_path / "run")


def test_workers_read_the_same_samples(study: Path, tmp_path: Path) -> None:
    recipe = pose_recipe(epochs=2, frames=40)
    alone = load_run(train(study, recipe, folder=tmp_path / "alone"))
    helped = replace(recipe, training=replace(recipe.training, workers=2))
    together = load_run(train(study, helped, folder=tmp_path / "together"))
    for name, value in alone.model.state_dict().items():
        assert torch.equal(value, together.model.state_dict()[name])


def test_tensorboard_is_an_extra(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    recipe = pose_recipe(epochs=2, tensorboard=True)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        with pytest.raises(MissingExtraError, match=r"murine\[tensorboard\]"):
            train(study, recipe, folder=tmp_path / "without")
    pytest.importorskip("tensorboard")
    folder = train(study, recipe, folder=tmp_path / "with")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("validation_loss")] == [1, 2]


def test_all_faults_of_a_recipe_at_once(study: Path, tmp_path: Path) -> None:
    recipe = pose_recipe(loss="cross_entropi", optimizer="adamm")
    recipe = replace(recipe, model_settings={"mapps": 3}, postprocess=({"name": "medium"},))
    with pytest.raises(ConfigError) as caught:
        train(study, recipe, folder=tmp_path / "run")
    text = str(caught.value)
    assert "5 faults" in text or "4 faults" in text
    for word in ("cross_entropy", "adam", "maps", "median"):
        assert word in text
    assert not (tmp_path / "run").exists()


def test_all_faults_of_recordings_at_once(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=3)
    (tmp_path / "p" / "m0_pose.csv").write_text("")
    (tmp_path / "p" / "m2_pose.csv").unlink()
    with pytest.raises(ProjectError) as caught:
        train(study, pose_recipe(), folder=tmp_path / "run")
    assert "m0" in str(caught.value)
    assert "m2" in str(caught.value)


def test_nothing_to_learn_is_told(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=2)
    project = load_project(study)
    three = Ethogram(("rest", "walk", "rear"))
    save_project(replace(project, ethogram=three))
    with pytest.raises(InputError, match="no labelled frame shows rear"):
        train(study, pose_recipe(), folder=tmp_path / "run")
    save_project(replace(project, recordings=tuple(replace(r, labels=None) for r in project.recordings)))
    with pytest.raises(InputError, match="no recording has labels"):
        train(study, pose_recipe(), folder=tmp_path / "run")


def test_one_recording_trains_without_validation(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "p", recordings=1)
    folder = train(study, pose_recipe(epochs=2), folder=tmp_path / "run")
    (split,) = json.loads((folder / "splits.json").read_text())
    assert split["validation"] == []
    assert "no validation" in split["notes"][0]


def test_folders_that_are_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        load_run(tmp_path / "none")
    with pytest.raises(InputError, match="no trained model"):
        load_run(tmp_path)
