"""Beginning with trained weights: what is taken, what begins anew, what does not fit, twice in a row."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from small_study import ETHOGRAM, FPS, make_pose, pose_recipe, pose_study
from torch import Tensor

from murine.config import InputSettings, Recipe
from murine.data.splits import Split
from murine.errors import InputError
from murine.formats import write_labels
from murine.models import MODELS, create_model
from murine.models.contract import Model
from murine.progress import Silent
from murine.project import Project, load_project, save_project
from murine.train import loop as loop_module
from murine.train import run as run_module
from murine.train import study as study_module
from murine.train.crossval import evaluate
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.transfer import begin, check_start, initial_identity, seen_before
from murine.types import Bouts, Ethogram, Timeline

OTHER = Ethogram(("walk", "rest", "turn"))
STILL = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30}
HEAD = ("generator.leave.", "refinements.0.enter.", "refinements.0.leave.")


class Told(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("pose"))


@pytest.fixture(scope="module")
def other_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same animals, and other behaviours."""
    folder = tmp_path_factory.mktemp("other")
    study = pose_study(folder)
    rows = []
    for i, recording in enumerate(load_project(study).recordings):
        classes = 1 - make_pose(120, i)[1].classes()
        classes[::7] = 2
        path = folder / f"n{i}.csv"
        write_labels(path, Bouts.from_classes(OTHER, classes), Timeline.uniform(120, FPS), "bouts")
        rows.append(replace(recording, id=f"n{i}", labels=path))
    save_project(Project(study, "other", OTHER, tuple(rows)))
    return study


@pytest.fixture(scope="module")
def first(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(study, pose_recipe(epochs=3), folder=tmp_path_factory.mktemp("first") / "run")


def states(folder: Path) -> dict[str, Tensor]:
    return load_run(folder).model.state_dict()


def fresh(classes: int, **settings: Any) -> Model:
    given = {**pose_recipe().model_settings, **settings}
    return create_model("ms_tcn_pp", classes=classes, features=features(), settings=given)


def features() -> int:
    return 3  # speeds of three keypoints


def test_the_same_behaviours_take_everything(study: Path, first: Path, tmp_path: Path) -> None:
    told = Told()
    given = pose_recipe(initial=str(first), **STILL)
    folder = train(study, given, folder=tmp_path / "run", progress=told)
    before, after = states(first), states(folder)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(
        m.startswith(f"begins with {first} ('test/tiny-pose': rest, walk); nothing")
        for m in told.messages
    )


def test_other_behaviours_take_all_but_the_head(other_study: Path, first: Path, tmp_path: Path) -> None:
    told = Told()
    given = pose_recipe(initial=str(first), **STILL)
    after = states(train(other_study, given, folder=tmp_path / "run", progress=told))
    before, anew = states(first), fresh(3).state_dict()
    for name, value in after.items():
        head = name.startswith(HEAD)
        assert torch.equal(value, anew[name] if head else before[name]), name
        assert head or not torch.equal(value, anew[name])
    assert any("anew: generator, refinements.0" in m for m in told.messages)


def test_the_same_names_in_another_order_are_other_behaviours(first: Path) -> None:
    model, told = fresh(2), Told()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    given = pose_recipe(initial=str(first))
    begin(model, given, Ethogram(tuple(reversed(ETHOGRAM.behaviours))), told)
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {n for n in before if not n.startswith(HEAD)}


def test_two_transfers_in_a_row(study: Path, other_study: Path, first: Path, tmp_path: Path) -> None:
    """First set -> second set with other behaviours -> first set again, body frozen, then thawed."""
    second = train(other_study, pose_recipe(2, initial=str(first)), folder=tmp_path / "second")
    given = pose_recipe(
        4, initial=str(second), freeze=("all but head",), freeze_epochs=2, thaw_factor=0.5,
        schedule="constant",
    )  # fmt: skip
    frozen = replace(given, training=replace(given.training, epochs=2))
    third = train(study, given, folder=tmp_path / "third")
    half = train(study, frozen, folder=tmp_path / "half")
    before = states(second)
    body = [name for name in before if not name.startswith(HEAD)]
    assert all(torch.equal(states(half)[name], before[name]) for name in body)
    rates = [row.split(",")[1] for row in (third / "metrics.csv").read_text().splitlines()[1:]]
    assert [float(r) for r in rates] == [0.01, 0.01, 0.005, 0.005]
    assert load_run(third).ethogram == ETHOGRAM


def test_stopped_and_gone_on_with_it_ends_the_same(
    other_study: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pose_recipe(4, initial=str(first), freeze=("all but head",), freeze_epochs=2)
    whole = train(other_study, given, folder=tmp_path / "whole")
    real = loop_module.save_state

    def stopping(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop_module, "save_state", stopping)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            train(other_study, given, folder=tmp_path / "parts")
    monkeypatch.undo()
    ended = states(train(other_study, given, folder=tmp_path / "parts"))
    assert all(torch.equal(ended[name], value) for name, value in states(whole).items())


def test_what_a_run_begins_with_is_part_of_it_wherever_it_lies(
    study: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Path(shutil.copytree(first, tmp_path / "moved"))
    folder = train(study, pose_recipe(initial=str(first), **STILL), folder=tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_module, "fit", None)  # finished: nothing is trained again
    train(study, pose_recipe(initial="moved", **STILL), folder=folder)
    assert initial_identity(str(moved)) == initial_identity("moved") == initial_identity(str(first))
    monkeypatch.undo()
    another = train(study, pose_recipe(epochs=1, seed=4), folder=tmp_path / "another")
    with pytest.raises(InputError, match="other settings, labels or files"):
        train(study, pose_recipe(initial=str(another), **STILL), folder=folder)


@pytest.fixture
def no_preparing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object, **more: object) -> None:
        raise AssertionError("recordings were prepared before the fault was found")

    monkeypatch.setattr(study_module, "prepare", never)


@pytest.mark.usefixtures("no_preparing")
def test_what_does_not_fit_is_listed_before_any_work(study: Path, first: Path, tmp_path: Path) -> None:
    given = pose_recipe(initial=str(first))
    wide = replace(given, model_settings={**given.model_settings, "maps": 12, "refinement_layers": 1})
    other = replace(wide, input=InputSettings(pose_features=("distances",)))
    with pytest.raises(InputError) as caught:
        train(study, other, folder=tmp_path / "run")
    text = str(caught.value)
    assert "model.maps is 8 there and 12 here" in text
    assert "model.refinement_layers is 2 there and 1 here" in text
    assert "input.pose_features is ('speeds',) there and ('distances',) here" in text
    assert "generator.enter.weight: (8, 3, 1) came where (12, 3, 1) was expected" in text
    assert "not of this network: refinements.0.layers.1.dilated.weight" in text
    assert "dropout" not in text.split("generator.enter")[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_preparing")
@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ("nowhere", "nothing at .*nowhere, nor at .*Name the folder of a trained model"),
        ("first/weights.safetensors", "part of a trained model; name its folder"),
        ("empty", "holds no trained model"),
        ("file.pt", "'ms_tcn_pp' reads no weights that others published"),
    ],
)
def test_what_cannot_be_begun_with_is_told(
    study: Path, first: Path, tmp_path: Path, initial: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(first, tmp_path / "first")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.pt").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        train(study, pose_recipe(initial=initial), folder=tmp_path / "run")


@pytest.mark.usefixtures("no_preparing")
def test_another_network_and_an_unknown_part_are_told(study: Path, first: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a network 'ms_tcn_pp', and the recipe's is 'srs_stand"):
        check_start(clip_recipe(initial=str(first)), ETHOGRAM)
    with pytest.raises(InputError, match=r"no part 'backbone'.*generator, refinements\.0"):
        train(study, pose_recipe(freeze=("backbone",)), folder=tmp_path / "run")


# Files of published weights


def reading(name: str, monkeypatch: pytest.MonkeyPatch, leave: str = "head.") -> None:
    """Let a model read safetensors files of its own names."""

    def read(path: Path, model: Model) -> tuple[dict[str, Tensor], str]:
        tensors = safetensors.torch.load_file(path)
        return {k: v for k, v in tensors.items() if not k.startswith(leave)}, "the layout of the test"

    monkeypatch.setitem(MODELS._items, name, replace(MODELS[name], read_weights=read))


def clip_recipe(**training: Any) -> Recipe:
    given = pose_recipe(**training)
    settings = {"width": 0.125, "head_units": (8,)}
    return replace(given, model="srs_standalone", model_settings=settings,
                   window=replace(given.window, frames=4), input=InputSettings(size=(32, 32)))  # fmt: skip


def clip_model(classes: int = 2, seed: int = 0) -> Model:
    given = clip_recipe()
    settings = {**given.model_settings, "frames": 4, "size": [32, 32]}
    return create_model(given.model, classes=classes, settings=settings, seed=seed)


def tensors(model: Model) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def test_a_file_gives_what_it_holds_and_its_layout_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading("srs_standalone", monkeypatch)
    path = tmp_path / "weights" / "published.safetensors"
    path.parent.mkdir()
    safetensors.torch.save_file(tensors(clip_model(5, seed=9)), path)
    monkeypatch.setenv("MURINE_WEIGHTS", str(path.parent))
    model, before, source = clip_model(), clip_model().state_dict(), clip_model(5, seed=9).state_dict()
    told = Told()
    begin(model, clip_recipe(initial="published.safetensors"), ETHOGRAM, told)
    for name, value in model.state_dict().items():
        expected = before[name] if name.startswith("head.") else source[name]
        assert torch.equal(value, expected), name
    assert told.messages == [
        "begins with published.safetensors (the layout of the test); anew: head.dense.0, head.dense.1"
    ]


def test_a_file_that_does_not_fit_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading("srs_standalone", monkeypatch, leave="nothing")
    path = tmp_path / "published.safetensors"
    safetensors.torch.save_file({**tensors(clip_model(5)), "extra": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="do not fit 'srs_standalone'") as caught:
        check_start(clip_recipe(initial=str(path)), ETHOGRAM)
    text = str(caught.value)
    assert "not of this network: extra" in text
    assert "came where (2,) was expected" in text


def test_a_tensorflow_checkpoint_is_all_of_its_files(tmp_path: Path) -> None:
    for name, content in (("model.ckpt.index", "a"), ("model.ckpt.data-00000-of-00001", "b")):
        (tmp_path / name).write_text(content)
    names = ("model.ckpt", "model.ckpt.index", "model.ckpt.data-00000-of-00001")
    known = [initial_identity(str(tmp_path / name)) for name in names]
    assert len(known[0]) == 2
    assert known[0] == known[1] == known[2]
    (tmp_path / names[2]).write_text("other")
    assert initial_identity(str(tmp_path / names[0])) != known[0]


# Scores


def test_a_test_recording_that_the_first_run_knew_is_told(
    study: Path, first: Path, tmp_path: Path
) -> None:
    told = Told()
    given = pose_recipe(initial=str(first), **STILL)
    evaluate(study, given, out=tmp_path / "evaluation", progress=told)
    assert sum("scores are too good" in message for message in told.messages) == 2
    split = Split("x", ("a",), (), ("m0", "z"), {"a": "a", "m0": "m0", "z": "z"})
    assert "called m0, as some" in seen_before(given, split)
    clean = Split("x", ("a",), (), ("z",), {"a": "a", "z": "z"})
    assert seen_before(given, clean) == ""
    between = train(study, pose_recipe(initial=str(first), **STILL), folder=tmp_path / "between")
    (between / "splits.json").write_text("[]")
    assert "called m0" in seen_before(pose_recipe(initial=str(between)), split)
