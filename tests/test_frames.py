"""End-to-end networks of frames: backbone and head as they are alone, frozen and thawed, in bounded memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from backbone_formula import picture
from small_study import video_study
from torch import Tensor

from murine.config import InputSettings, Recipe, SplitSettings, TrainingSettings, WindowSettings
from murine.errors import ConfigError, InputError, MissingExtraError
from murine.models import MODELS, Model, create_model, load_model, save_model
from murine.models.backbones import create_backbone
from murine.models.frames import FramesModel, read_frames
from murine.predict import predict
from murine.train.freezing import plan_freezing
from murine.train.run import train
from murine.types import Ethogram

NAMES = ("frames_lstm", "frames_tcn", "frames_transformer")
each_name = pytest.mark.parametrize("name", NAMES)


def tiny(name: str = "frames_lstm", **settings: Any) -> FramesModel:
    given = {**MODELS[name].tiny, "dropout": 0.0, **settings}
    model = create_model(name, classes=3, settings=given)
    assert isinstance(model, FramesModel)
    return model


def clips(batch: int = 2, frames: int = 7, size: int = 24) -> Tensor:
    """(B, 3, T, H, W), every frame another picture."""
    each = [torch.from_numpy(picture(size, size, i)).permute(2, 0, 1) for i in range(batch * frames)]
    return torch.stack(each).reshape(batch, frames, 3, size, size).transpose(1, 2).contiguous()


def loss_of(model: Model, batch: dict[str, Tensor]) -> Tensor:
    logits = model(batch).logits
    targets = torch.arange(logits.shape[0] * logits.shape[1]) % logits.shape[2]
    return F.cross_entropy(logits.flatten(0, 1), targets)


@each_name
def test_backbone_and_head_one_after_the_other(name: str) -> None:
    model = tiny(name).eval()
    backbone = create_backbone("small_cnn", "random")
    backbone.load_state_dict(model.backbone.state_dict())
    rgb = clips()
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 5:] = False
    with torch.no_grad():
        rows = torch.stack([backbone(clip.transpose(0, 1)) for clip in rgb])
        expected = model.head(rows, mask)
        found = model({"rgb": rgb, "mask": mask}).logits
        whole = model({"rgb": rgb}).logits
        torch.testing.assert_close(whole, model.head(rows, torch.ones_like(mask)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not found[1, 5:].any()


@each_name
def test_pictures_at_once_bound_memory_and_change_nothing(name: str) -> None:
    model = tiny(name).eval()
    seen: list[int] = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    results = []
    with torch.no_grad():
        for at_once in (1, 3, 5, 100):
            model.at_once = at_once
            results.append(model({"rgb": clips()}).logits)
            assert max(seen) <= at_once
            assert sum(seen) == 14
            assert max(seen) - min(seen) <= 1, "as equal as can be: a norm needs more than one picture"
            seen.clear()
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-5)


def test_a_batch_of_nothing_but_padding() -> None:
    model = tiny().train()
    mask = torch.zeros(2, 7, dtype=torch.bool)
    assert not model({"rgb": clips(), "mask": mask}).logits.any()


def held_for_the_gradient(model: FramesModel, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
    """The loss, and the numbers kept for the gradient beside weights and pictures."""
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        if value.dim() == 4:
            kept[value.untyped_storage().data_ptr()] = value.numel()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        loss = loss_of(model, batch)
    return loss, sum(kept.values())


@each_name
def test_recomputing_holds_less_and_learns_the_same(name: str) -> None:
    batch = {"rgb": clips()}
    plain = tiny(name, at_once=5).train()
    thrifty = tiny(name, at_once=5, recompute=True).train()
    (loss, much), (again, little) = (held_for_the_gradient(m, batch) for m in (plain, thrifty))
    assert little < 0.2 * much
    loss.backward()
    again.backward()
    torch.testing.assert_close(again, loss)
    for (key, one), other in zip(plain.named_parameters(), thrifty.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=key)
    for (key, one), other in zip(plain.named_buffers(), thrifty.buffers(), strict=True):
        assert torch.equal(one, other), f"{key}: the pictures were counted twice"


@each_name
def test_head_first_then_everything(name: str) -> None:
    """The two stages of a recipe with freeze = ["backbone"] and freeze_epochs = 1."""
    model = tiny(name)
    batch = {"rgb": clips()}
    plan = plan_freezing(model, TrainingSettings(freeze=("backbone",), freeze_epochs=1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for epoch, frozen in ((0, True), (1, False)):
        plan.prepare(model, epoch)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        for _ in range(2):
            optimizer.zero_grad(set_to_none=True)
            loss_of(model, batch).backward()
            optimizer.step()
        changed = {
            key for key, value in model.state_dict().items() if not torch.equal(value, before[key])
        }
        backbone = {key for key in before if key.startswith("backbone.")}
        assert "head.classify.weight" in changed
        assert changed & backbone == (set() if frozen else backbone)


def test_a_frozen_backbone_keeps_nothing_for_the_gradient() -> None:
    model = tiny()
    plan_freezing(model, TrainingSettings(freeze=("backbone",))).prepare(model, 0)
    assert held_for_the_gradient(model, {"rgb": clips()})[1] == 0


@each_name
def test_a_saved_network_needs_no_file_of_the_backbone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MURINE_WEIGHTS", str(tmp_path / "nothing"))
    model = tiny(name).eval()
    save_model(name, model, tmp_path / "run", Ethogram(tuple("abc")), {})
    loaded = load_model(tmp_path / "run").model
    with torch.no_grad():
        assert torch.equal(loaded({"rgb": clips()}).logits, model({"rgb": clips()}).logits)


@each_name
def test_weights_of_a_backbone_are_where_it_begins(name: str, tmp_path: Path) -> None:
    source = create_backbone("small_cnn", "random", seed=7)
    path = tmp_path / "small_cnn.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in source.state_dict().items()}, path)
    model = tiny(name)
    read = MODELS[name].read_weights
    assert read is not None
    state, layout = read(path, model)
    assert "small_cnn" in layout
    assert set(state) == {key for key in model.state_dict() if key.startswith("backbone.")}
    model.load_state_dict(state, strict=False)
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in model.backbone.state_dict().items())
    safetensors.torch.save_file({"layers.0.weight": torch.zeros(1)}, path)
    with pytest.raises(InputError) as error:
        read(path, model)
    assert "layers.0.weight: (1,) came where (16, 3, 3, 3) was expected" in str(error.value)
    assert str(error.value).count("missing:") == 4 * 5 - 1


def test_weights_of_keras_say_which_layout_they_have(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = create_model("frames_lstm", classes=2, settings={"backbone": "resnet50v2"})
    path = tmp_path / "notop.h5"
    path.write_text("not HDF5")
    with pytest.raises(InputError, match="cannot be read as weights of Keras"):
        read_frames(path, model)
    other = create_model("ms_tcn_pp", classes=2, features=3, settings=MODELS["ms_tcn_pp"].tiny)
    with pytest.raises(InputError, match="for a network of frames"):
        read_frames(path, other)


def test_settings_that_do_not_fit_are_refused_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"unknown backbone 'small_cn'\. Did you mean 'small_cnn'"):
        tiny(backbone="small_cn")
    with pytest.raises(ConfigError, match="pictures of 15 x 24 came; this backbone needs at least 16"):
        tiny(size=[15, 24])
    too_small = pytest.raises(ConfigError, match="64 x 64 came; this backbone needs at least 75")
    with too_small, torch.device("meta"):
        tiny(backbone="inception_resnet_v2", size=[64, 64])
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"murine\[timm\]"):
        tiny(backbone="timm:resnet18")


def test_from_the_weights_of_a_backbone_to_a_prediction(tmp_path: Path) -> None:
    """A whole recipe: weights from a file, frozen throughout or thawed after an epoch, then predicted with."""
    study = video_study(tmp_path / "study")
    source = create_backbone("small_cnn", "random", seed=7).state_dict()
    path = tmp_path / "small_cnn.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in source.items()}, path)
    moved = {}
    for thawed in (0, 1):
        training = TrainingSettings(
            epochs=2, batch_size=4, optimizer="adam", learning_rate=0.01, device="cpu", augment=(),
            schedule="constant", initial=str(path), freeze=("backbone",), freeze_epochs=thawed,
        )  # fmt: skip
        recipe = Recipe(
            f"test/frames-{thawed}",
            model="frames_lstm",
            model_settings={"backbone": "small_cnn", "units": [8], "dropout": 0.0},
            input=InputSettings(size=(32, 32)),
            window=WindowSettings(frames=10),
            training=training,
            split=SplitSettings(validation=0.0),
        )
        run = train(study, recipe)
        path_of_source = path.rename(tmp_path / "moved")  # a trained network needs it no more
        model = load_model(run).model
        assert isinstance(model, FramesModel)
        state = model.backbone.state_dict()
        moved[thawed] = {key for key in source if not torch.equal(state[key], source[key])}
        written = predict(run, [study], tmp_path / f"out{thawed}", device="cpu")
        assert len(written) == 2
        path_of_source.rename(path)
    assert moved == {0: set(), 1: set(source)}
