"""A network for each behaviour: trained and stopped by itself, saved and judged as one."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_study import FPS, make_pose, pose_recipe, pose_study, video_recipe, video_study

from murine.config import (
    EmbeddingSettings,
    InputSettings,
    Recipe,
    WindowSettings,
    load_recipe,
    save_recipe,
)
from murine.errors import ConfigError, InputError
from murine.formats import write_labels
from murine.models import create_model, load_model
from murine.models.committee import PER_BEHAVIOUR, PerBehaviour
from murine.models.saved import DESCRIPTION
from murine.postprocess import decide
from murine.predict import PreparedSource, predict
from murine.predict.stream import predict_recording
from murine.predictions import read_prediction
from murine.progress import Silent
from murine.project import Project, load_project, save_project
from murine.train import loop as loop_module
from murine.train import run as run_module
from murine.train.behaviours import folders_of
from murine.train.checking import recipe_faults
from murine.train.crossval import evaluate
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.study import open_study
from murine.types import Bouts, Ethogram, Timeline

THREE = Ethogram(("rest", "walk", "turn"))


class Told(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def relabelled(folder: Path, ethogram: Ethogram, *, only: str = "m") -> Path:
    """Write the pose study with three behaviours; `only`: recordings so called show the third."""
    study = pose_study(folder)
    rows = []
    for i, recording in enumerate(load_project(study).recordings):
        classes = make_pose(120, i)[1].classes().astype(np.int64)
        turns = slice(30 + i, 50 + i)
        if ethogram.exclusive:
            if recording.id.startswith(only):
                classes[turns] = 2
            bouts = Bouts.from_classes(ethogram, classes)
        else:
            frames = np.zeros((120, 3), np.int8)
            frames[np.arange(120), classes] = 1
            frames[turns, 2] = recording.id.startswith(only)
            bouts = Bouts.from_frames(ethogram, frames)
        path = folder / f"three{i}.csv"
        write_labels(path, bouts, Timeline.uniform(120, FPS), "bouts")
        rows.append(replace(recording, labels=path))
    save_project(Project(study, "three", ethogram, tuple(rows)))
    return study


def recipe(epochs: int = 3, **training: Any) -> Recipe:
    settings = {"per_behaviour": True, "loss": "binary_cross_entropy"} | training
    return pose_recipe(epochs, **settings)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return relabelled(tmp_path_factory.mktemp("three"), THREE)


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return relabelled(tmp_path_factory.mktemp("over"), Ethogram(THREE.behaviours, exclusive=False))


@pytest.fixture(scope="module")
def folder(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(study, recipe(), folder=tmp_path_factory.mktemp("run") / "run")


def states(place: Path) -> dict[str, torch.Tensor]:
    return load_run(place).model.state_dict()


def same(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def table(place: Path) -> list[dict[str, str]]:
    with (place / "metrics.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_the_run_holds_the_networks_side_by_side(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == [
        "behaviours", "config.toml", "environment.json", "metrics.csv", "model.json", "splits.json",
        "weights.safetensors",
    ]  # fmt: skip
    assert load_recipe(str(folder / "config.toml")) == recipe()
    run = load_run(folder)
    assert isinstance(run.model, PerBehaviour)
    assert (run.name, run.ethogram, run.recipe.model) == (PER_BEHAVIOUR, THREE, "ms_tcn_pp")
    for i, name in enumerate(THREE.behaviours):
        one = load_run(folder / "behaviours" / name)
        assert one.ethogram == Ethogram((name,), exclusive=False)
        assert one.name == "ms_tcn_pp"
        assert same(one.model.state_dict(), run.model.member(i).state_dict())
    assert not same(*(run.model.member(i).state_dict() for i in (0, 1)))
    assert [(row["behaviour"], row["epoch"]) for row in table(folder)] == [
        (name, str(epoch)) for name in THREE.behaviours for epoch in (1, 2, 3)
    ]


def test_probabilities_are_sigmoids_of_each_and_the_highest_is_decided(
    study: Path, folder: Path
) -> None:
    run = load_run(folder)
    assert not run.softmax
    source = PreparedSource(open_study(study, recipe()).prepared["m0"])
    together = predict_recording(run, source)
    for i, name in enumerate(THREE.behaviours):
        alone = predict_recording(load_run(folder / "behaviours" / name), source)
        np.testing.assert_allclose(alone.probabilities[:, 0], together.probabilities[:, i], atol=1e-6)
    assert np.abs(together.probabilities.sum(axis=1) - 1).max() > 0.01
    decided = decide(together.probabilities, THREE)
    assert (decided.sum(axis=1) == 1).all()
    assert (decided.argmax(axis=1) == together.probabilities.argmax(axis=1)).all()


@pytest.mark.parametrize("exclusive", [True, False])
def test_each_learns_one_behaviour_against_all_else_weighted_by_both(
    study: Path, overlapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclusive: bool
) -> None:
    seen: list[tuple[Ethogram, np.ndarray, np.ndarray]] = []
    real = run_module.fit

    def spy(model: Any, given: Any, train_set: Any, *rest: Any, **more: Any) -> Any:
        targets = np.concatenate([item["target"].numpy() for item in train_set])
        seen.append((more["ethogram"], more["class_weights"].numpy(), targets))
        return real(model, given, train_set, *rest, **more)

    monkeypatch.setattr(run_module, "fit", spy)
    place = study if exclusive else overlapping
    train(place, recipe(1), folder=tmp_path / "run")
    opened = open_study(place, recipe(1))
    (split,) = json.loads((tmp_path / "run" / "splits.json").read_text())
    truth = np.concatenate([p.resolved for p in opened.of(split["train"])])
    for i, (ethogram, weights, targets) in enumerate(seen):
        assert ethogram == Ethogram((THREE.behaviours[i],), exclusive=False)
        assert np.array_equal(np.sort(targets[:, 0]), np.sort(truth[:, i]))
        n, positive = len(truth), int((truth[:, i] == 1).sum())
        assert weights[0].tolist() == pytest.approx([n / (2 * (n - positive)), n / (2 * positive)])
    assert len(seen) == 3


def test_each_stops_by_its_own_area(study: Path, tmp_path: Path) -> None:
    given = recipe(12, watch="pr_auc", early_stopping=2)
    place = train(study, given, folder=tmp_path / "run")
    lengths = []
    for name in THREE.behaviours:
        areas = [float(row["validation_pr_auc"]) for row in table(place) if row["behaviour"] == name]
        best = int(np.argmax(areas))
        assert len(areas) in (12, best + 3)
        lengths.append(len(areas))
    assert len(set(lengths)) > 1, "all stopped in the same epoch: choose another seed"


def test_stopped_in_the_middle_it_goes_on_and_repeats_nothing(
    study: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, real, saved = tmp_path / "run", loop_module.save_state, []

    def stopping(*arguments: Any) -> None:
        real(*arguments)
        saved.append(1)
        if len(saved) == 5:  # the second behaviour, second epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(loop_module, "save_state", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(study, recipe(), folder=place)
    with pytest.raises(InputError, match="before every behaviour had its network"):
        load_run(place)
    first = (place / "behaviours" / "rest" / "weights.safetensors").stat().st_mtime_ns
    train(study, recipe(), folder=place)
    assert len(saved) == 9
    assert (place / "behaviours" / "rest" / "weights.safetensors").stat().st_mtime_ns == first
    assert same(states(place), states(folder))
    with pytest.raises(InputError, match="other settings"):
        train(study, recipe(seed=3), folder=place)
    train(study, recipe(1, seed=3), folder=place, resume=False)
    assert not same(states(place), states(folder))


@pytest.mark.parametrize("exclusive", [True, False])
def test_all_are_evaluated_and_predicted_together(
    study: Path, overlapping: Path, tmp_path: Path, exclusive: bool
) -> None:
    place = study if exclusive else overlapping
    result = evaluate(place, recipe(2, watch="pr_auc"), out=tmp_path / "evaluation")
    scores = result.scores["pooled"]
    assert list(scores["per_class"]) == list(THREE.behaviours)
    assert scores["n"] == 4 * 120
    assert (scores["confusion"] is not None) == exclusive
    again = evaluate(place, recipe(2, watch="pr_auc"), out=tmp_path / "evaluation")
    assert len(again.scores["reused"]) == 2
    assert again.scores["pooled"] == scores
    fold = next((tmp_path / "evaluation" / "folds").iterdir())
    (written,) = predict(fold, [place.parent / "m0_pose.csv"], tmp_path / "out", fps=FPS)
    assert written.exists()


def test_video_networks_too(tmp_path: Path) -> None:
    place = video_study(tmp_path / "study", n=20)
    given = video_recipe(1, per_behaviour=True, loss="binary_cross_entropy")
    run = load_run(train(place, given, folder=tmp_path / "run"))
    assert (run.model.streams, run.model.predicts, run.model.window) == (("rgb", "flow"), "centre", 4)
    assert run.sees == ("rgb", "flow")


def test_behind_a_stage_that_all_share(tmp_path: Path) -> None:
    """The network of clips is trained once; each behaviour has a head of its own over what it says."""
    place = video_study(tmp_path / "study", n=40)
    stage = tmp_path / "stage.toml"
    save_recipe(video_recipe(1), stage)
    given = replace(
        recipe(2), model="lstm", model_settings={"units": (8,), "dropout": 0.0},
        input=InputSettings(spacing_s=2 / FPS), window=WindowSettings(frames=10),
        embedding=EmbeddingSettings(recipe=str(stage), normalise=True), split=video_recipe().split,
    )  # fmt: skip
    result = evaluate(place, given, out=tmp_path / "evaluation")
    assert result.scores["pooled"]["n"] == 80
    for fold in (tmp_path / "evaluation" / "folds").iterdir():
        assert sorted(p.name for p in fold.iterdir() if p.is_dir()) == ["behaviours", "stage"]
        assert load_run(fold / "stage").name == "baseline_sharing"
        assert [p.name for p in (fold / "behaviours" / "walk").iterdir() if p.is_dir()] == []
    (tested,) = [p for p in result.predictions if read_prediction(p).meta["fold"] == fold.name]
    (again,) = predict(fold, [place.parent / f"{tested.stem}.mkv"], tmp_path / "out", device="cpu")
    np.testing.assert_allclose(
        read_prediction(again).probabilities, read_prediction(tested).probabilities, atol=1e-6
    )


def test_a_behaviour_without_validation_frames_is_watched_by_its_loss(tmp_path: Path) -> None:
    place, told = relabelled(tmp_path / "study", THREE, only="m0"), Told()
    run = train(place, recipe(2, watch="pr_auc"), folder=tmp_path / "run", progress=told)
    assert sum("no validation window shows turn" in m for m in told.messages) == 1
    assert [r["validation_pr_auc"] for r in table(run) if r["behaviour"] == "turn"] == ["", ""]
    assert all(r["validation_pr_auc"] for r in table(run) if r["behaviour"] != "turn")


# The saved form


def test_it_is_rebuilt_from_the_name_and_settings_of_its_network(folder: Path, tmp_path: Path) -> None:
    description = json.loads((folder / DESCRIPTION).read_text())
    assert description["model"] == PER_BEHAVIOUR
    assert description["classes"] == 3
    settings = description["settings"]
    assert settings["member"] == "ms_tcn_pp"
    assert settings["settings"]["maps"] == 8
    assert settings["settings"]["exclusive"] is False
    assert load_model(folder).ethogram == THREE
    settings["settings"]["mops"] = settings["settings"].pop("maps")
    (tmp_path / DESCRIPTION).write_text(json.dumps(description))
    (tmp_path / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes())
    with pytest.raises(ConfigError, match=r"unknown setting 'mops'.*Did you mean 'maps'"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"member": PER_BEHAVIOUR}, "cannot be 'per_behaviour' itself"),
        ({"member": "ms_tcnpp"}, "unknown model 'ms_tcnpp'. Did you mean 'ms_tcn_pp'"),
        ({"settings": [1]}, "'settings' must be a table; came"),
        ({"settings": {"maps": object()}}, "has at 'maps' what no table can hold"),
        ({"settings": {"dropout": float("nan")}}, "not finite at 'dropout'"),
        ({"settings": {1: 2}}, "a key that is no text: 1"),
        ({"settings": {"maps": "many"}}, "'maps' must be a whole number"),
    ],
)
def test_what_cannot_be_put_together_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_model(PER_BEHAVIOUR, classes=2, features=3, settings=settings)


def test_recipes_that_cannot_mean_it_are_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="each network tells one from all else; use 'binary_cross"):
        train(study, recipe(loss="cross_entropy"), folder=tmp_path / "run")
    with pytest.raises(ConfigError, match="exclude each other: use 'cross_entropy'"):
        train(study, recipe(per_behaviour=False), folder=tmp_path / "run")
    named = replace(recipe(), model=PER_BEHAVIOUR, model_settings={})
    assert any("training.per_behaviour = true makes of any network" in f for f in recipe_faults(named))


def test_folders_are_called_as_behaviours_where_that_is_possible() -> None:
    assert folders_of(["rest", "wall/rear"]) == {"rest": "rest", "wall/rear": "wall_rear"}
    assert folders_of(["Rest", "rest"]) == {"Rest": "1-Rest", "rest": "2-rest"}


# Transfer


def test_it_begins_with_one_network_or_with_one_for_each(
    study: Path, overlapping: Path, folder: Path, tmp_path: Path
) -> None:
    still = {"optimizer": "sgd", "learning_rate": 1e-30}
    again = train(overlapping, recipe(1, initial=str(folder), **still), folder=tmp_path / "again")
    assert same(states(again), states(folder)), "the same behaviours: each goes on with its own"
    one = train(study, pose_recipe(1), folder=tmp_path / "one")
    begun = train(study, recipe(1, initial=str(one), **still), folder=tmp_path / "begun")
    before, after = states(one), states(begun)
    body = [n for n in before if "leave" not in n and "refinements.0.enter" not in n]
    for i in range(3):
        assert all(torch.equal(after[f"members.{i}.{n}"], before[n]) for n in body)


def test_a_network_for_each_is_no_beginning_for_one_of_others(
    study: Path, folder: Path, tmp_path: Path
) -> None:
    two = pose_study(tmp_path / "two")
    with pytest.raises(
        InputError, match="a network for each of rest, walk, turn, and none for rest, walk"
    ):
        train(two, pose_recipe(1, initial=str(folder)), folder=tmp_path / "run")
    start = folder / "behaviours" / "turn"
    train(two, pose_recipe(1, initial=str(start)), folder=tmp_path / "run")
