"""Backbones: ResNet50V2 and InceptionResNetV2 against numbers made by Keras itself, and how they are had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from backbone_formula import picture, tensor
from numpy.typing import NDArray
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.backbones import BACKBONES, create_backbone, find_weights, weights_folder
from murine.models.backbones.keras_layers import TENSORS, KerasBackbone

REFERENCE = json.loads((Path(__file__).parent / "reference" / "keras_backbones.json").read_text())
KERAS = {"resnet50v2": 2048, "inception_resnet_v2": 1536}
INSIDE = {
    "conv1_conv": "stem",
    "conv2_block3_out": "stages.0",
    "conv3_block4_out": "stages.1",
    "conv4_block6_out": "stages.2",
    "mixed_5b": "mixed_5b",
    "block35_10_ac": "block35",
    "mixed_6a": "mixed_6a",
    "block17_20_ac": "block17",
    "mixed_7a": "mixed_7a",
    "conv_7b_ac": "conv_7b",
}
"""Keras' name of a place in a network and the part of ours whose result is the same."""

each_keras = pytest.mark.parametrize("name", list(KERAS))


@pytest.fixture(scope="module")
def filled() -> dict[str, KerasBackbone]:
    """Both networks with the weights that Keras' were given, layer by layer in Keras' order."""
    networks = {}
    for name in KERAS:
        with torch.device("meta"):
            network = BACKBONES[name].build().eval()
        assert isinstance(network, KerasBackbone)
        state = network.state_dict()
        layers = REFERENCE[name]["layers"]
        for i, (ours, theirs) in enumerate(zip(network.keras_layers(), layers, strict=True)):
            for stored, shape in theirs["shapes"].items():
                values = tensor(i, stored, tuple(shape))
                values = values.transpose(3, 2, 0, 1) if stored == "kernel" else values
                key = f"{ours.module}.{TENSORS[ours.kind][stored]}"
                assert state[key].shape == values.shape, key
                state[key] = torch.from_numpy(np.ascontiguousarray(values))
        counts = {k: torch.tensor(0) for k in state if k.endswith("num_batches_tracked")}
        network.load_state_dict(state | counts, assign=True)
        networks[name] = network
    return networks


def rgb(*size: int) -> Tensor:
    return torch.from_numpy(picture(*size)).permute(2, 0, 1)[None]


def check(found: NDArray[np.float64], expected: dict[str, Any]) -> None:
    """Compare some numbers, the mean and the deviation, to a ten-thousandth of the deviation."""
    assert list(found.shape) == expected["shape"]
    near = 1e-4 * expected["deviation"]
    assert found.reshape(-1)[expected["at"]] == pytest.approx(expected["values"], rel=1e-4, abs=near)
    assert found.mean() == pytest.approx(expected["mean"], rel=1e-4, abs=near)
    assert found.std() == pytest.approx(expected["deviation"], rel=1e-4)


def check_run(network: nn.Module, run: dict[str, Any]) -> None:
    held: dict[str, NDArray[np.float64]] = {}

    def keep(place: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            held[place] = output[0].permute(1, 2, 0).double().numpy()

        return hook

    places = {place: INSIDE[place] for place in run["places"] if place in INSIDE}
    hooks = [
        network.get_submodule(ours).register_forward_hook(keep(place)) for place, ours in places.items()
    ]
    with torch.inference_mode():
        features = network(rgb(*run["picture"]))[0].double().numpy()
    for hook in hooks:
        hook.remove()
    assert len(held) >= 4
    for place, values in held.items():
        check(values, run["places"][place])
    check(features, run["features"])


@each_keras
def test_layers_are_those_that_keras_reports(name: str) -> None:
    with torch.device("meta"):
        network = BACKBONES[name].build()
    assert isinstance(network, KerasBackbone)
    state = network.state_dict()
    seen = set()
    for ours, theirs in zip(network.keras_layers(), REFERENCE[name]["layers"], strict=True):
        assert ours.kind == theirs["kind"]
        assert ours.name in ("", theirs["name"])
        keys = {f"{ours.module}.{own}" for own in TENSORS[ours.kind].values()} & set(state)
        assert len(keys) == len(theirs["shapes"]), ours
        seen |= keys
    assert seen == {key for key in state if not key.endswith("num_batches_tracked")}
    assert network.keras_parameters() == REFERENCE[name]["parameters"] == BACKBONES[name].published
    assert network.features == KERAS[name]


@each_keras
@pytest.mark.parametrize("run", [0, 1])
def test_features_are_those_of_keras(filled: dict[str, KerasBackbone], name: str, run: int) -> None:
    check_run(filled[name], REFERENCE[name]["runs"][run])


@pytest.mark.slow
@each_keras
def test_features_at_full_size(filled: dict[str, KerasBackbone], name: str) -> None:
    run = REFERENCE[name]["runs"][2]
    assert tuple(run["picture"]) == filled[name].size
    check_run(filled[name], run)


@each_keras
def test_a_picture_alone_and_among_others(filled: dict[str, KerasBackbone], name: str) -> None:
    pictures = torch.cat([rgb(80, 80), rgb(80, 80).flip(3), 255 - rgb(80, 80)])
    before = pictures.float()
    given = before.clone()
    with torch.inference_mode():
        together = filled[name](pictures)
        alone = torch.cat([filled[name](p[None]) for p in pictures])
        as_floats = filled[name](given)
        swapped = filled[name](pictures.flip(1))
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)
    assert torch.equal(as_floats, together)
    assert torch.equal(given, before), "the pictures were changed"
    assert (swapped - together).abs().mean() > 0.05 * together.std(), "the order of colours does nothing"


@each_keras
def test_norms_within_kernels_change_nothing(filled: dict[str, KerasBackbone], name: str) -> None:
    network, pictures = filled[name], torch.cat([rgb(80, 80), rgb(80, 80).flip(3)])
    with torch.no_grad():
        quick = network(pictures)
    slow = network(pictures).detach()  # with a gradient every norm is a step of its own
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=2e-5 * float(slow.std()))


@each_keras
def test_norms_learn_as_in_keras(name: str) -> None:
    with torch.device("meta"):
        network = BACKBONES[name].build()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.momentum for m in norms} == {0.01}
    assert {m.eps for m in norms} == {1.001e-5 if name == "resnet50v2" else 1e-3}
    assert {m.weight is None for m in norms} == {name == "inception_resnet_v2"}
    # Glorot uniform: variance 2 / (inputs + outputs)
    stem = (
        BACKBONES[name]
        .build()
        .get_parameter("stem.weight" if name == "resnet50v2" else "stem.0.0.conv.weight")
    )
    outputs, inputs, *kernel = stem.shape
    expected = 2 / ((inputs + outputs) * np.prod(kernel))
    assert stem.var().item() == pytest.approx(expected, rel=0.2)


def test_every_parameter_learns() -> None:
    network = create_backbone("inception_resnet_v2", "random").train()
    pictures = torch.cat([rgb(75, 75), rgb(75, 75).flip(2), rgb(75, 75).flip(3)])
    before = {k: v.clone() for k, v in network.named_buffers() if k.endswith("running_mean")}
    network(pictures).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key
    assert all(not torch.equal(v, network.get_buffer(k)) for k, v in before.items())


def test_pictures_too_small_are_refused(filled: dict[str, KerasBackbone]) -> None:
    with pytest.raises(InputError, match=r"pictures of 74 x 80 came; .* at least 75 .* 299 x 299"):
        filled["inception_resnet_v2"](torch.zeros(1, 3, 74, 80))
    with pytest.raises(InputError, match="at least 32"):
        filled["resnet50v2"](torch.zeros(1, 3, 64, 31))


def test_seed_decides_fresh_weights_and_nothing_else_is_drawn() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (
        create_backbone("resnet50v2", "random", seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["stem.weight"], other["stem.weight"])


@each_keras
def test_without_weights_the_message_says_which_file_and_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MURINE_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path
    with pytest.raises(InputError) as error:
        create_backbone(name)
    file = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    for part in (str(tmp_path / file), "does not download", "MURINE_WEIGHTS", "embedding.weights"):
        assert part in str(error.value)
    (tmp_path / file).touch()
    assert find_weights(name) == tmp_path / file
    with pytest.raises(InputError, match=r"nowhere\.h5.*no such file"):
        create_backbone(name, "nowhere.h5")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown backbone 'resnet50'\..*Did you mean 'resnet50v2'"):
        create_backbone("resnet50", "random")


def test_weights_of_a_trained_model_are_a_backbones_weights(tmp_path: Path) -> None:
    trained = create_backbone("resnet50v2", "random", seed=5)
    state = trained.state_dict()
    whole = {f"backbone.{key}": value.contiguous() for key, value in state.items()}
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(whole | {"head.classify.weight": torch.zeros(2, 3)}, path)
    read = create_backbone("resnet50v2", str(path)).state_dict()
    assert all(torch.equal(read[key], state[key]) for key in state)
    assert BACKBONES["resnet50v2"].layout is not None
    assert "own tensors" in BACKBONES["resnet50v2"].layout(path)
    del whole["backbone.stem.bias"]
    whole["backbone.stem.weight"] = torch.zeros(64, 3, 3, 3)
    whole["backbone.other"] = torch.zeros(1)
    safetensors.torch.save_file(whole, path)
    with pytest.raises(InputError) as error:
        create_backbone("resnet50v2", str(path))
    lines = str(error.value).splitlines()
    assert lines[1:] == [
        "  - missing: stem.bias",
        "  - not of this network: other",
        "  - stem.weight: (64, 3, 3, 3) came where (64, 3, 7, 7) was expected",
    ]
