"""Weight files of Keras: both layouts, a whole model's, and what is wrong with a file, all at once."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from backbone_formula import picture, tensor
from numpy.typing import NDArray
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.backbones import BACKBONES, create_backbone
from murine.models.backbones.keras_h5 import keras_layout, read_keras
from murine.models.backbones.keras_layers import KerasBackbone, KerasLayer, ShiftNorm

REFERENCE = json.loads((Path(__file__).parent / "reference" / "keras_backbones.json").read_text())
Layers = dict[str, dict[str, NDArray[np.float32]]]
"""Layer to tensor to numbers, in the order of Keras."""


class Small(KerasBackbone):
    """Two layers that Keras names, four that it only numbers, two of which have the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.left = nn.Conv2d(4, 4, 1, bias=False)
        self.right = nn.Conv2d(4, 4, 1, bias=False)
        self.left_norm = ShiftNorm(4, 1e-3, 0.01)
        self.right_norm = ShiftNorm(4, 1e-3, 0.01)

    def keras_layers(self) -> list[KerasLayer]:
        return [
            KerasLayer("conv2d", "enter", "enter_conv"),
            KerasLayer("batch_normalization", "norm", "enter_bn"),
            KerasLayer("conv2d", "right"),
            KerasLayer("conv2d", "left"),
            KerasLayer("batch_normalization", "right_norm"),
            KerasLayer("batch_normalization", "left_norm"),
        ]


def small_layers(first: int = 0) -> Layers:
    """The layers of `Small`, numbered by Keras from `first` on; it built `left` before `right`."""
    norm = ("beta", "moving_mean", "moving_variance")
    shapes: list[tuple[str, dict[str, tuple[int, ...]]]] = [
        ("enter_conv", {"kernel": (3, 3, 3, 4), "bias": (4,)}),
        ("enter_bn", dict.fromkeys(("gamma", *norm), (4,))),
        (numbered("conv2d", first + 1), {"kernel": (1, 1, 4, 4)}),
        (numbered("conv2d", first), {"kernel": (1, 1, 4, 4)}),
        (numbered("batch_normalization", first + 1), dict.fromkeys(norm, (4,))),
        (numbered("batch_normalization", first), dict.fromkeys(norm, (4,))),
    ]
    return {
        name: {key: tensor(i, key, shape) for key, shape in stored.items()}
        for i, (name, stored) in enumerate(shapes)
    }


def numbered(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def write_by_name(path: Path, layers: Layers, *, ending: str = ":0", inside: str = "") -> Path:
    """The older layout; a layer without weights stands among the others, as in real files."""
    with h5py.File(path, "w") as file:
        root = file.create_group(inside) if inside else file
        every: Layers = {"input_1": {}, **layers, "avg_pool": {}}
        root.attrs["layer_names"] = [name.encode() for name in every]
        for name, stored in every.items():
            group = root.create_group(name)
            names = [f"{name}_1/{key}{ending}" for key in stored]
            group.attrs["weight_names"] = [n.encode() for n in names]
            for key, values in zip(names, stored.values(), strict=True):
                group[key] = values
    return path


def write_by_number(path: Path, layers: Layers, *, names: bool) -> Path:
    """The newer layout: layers of a kind by number, their tensors by number."""
    counts = {"conv2d": 0, "batch_normalization": 0}
    with h5py.File(path, "w") as file:
        file.create_group("layers/input_layer/vars")
        for name, stored in layers.items():
            kind = "conv2d" if "kernel" in stored else "batch_normalization"
            group = file.create_group(f"layers/{numbered(kind, counts[kind])}/vars")
            counts[kind] += 1
            if names:
                group.attrs["name"] = name
            for i, values in enumerate(stored.values()):
                group[str(i)] = values
    return path


def check_small(state: dict[str, Tensor], layers: Layers) -> None:
    stored = list(layers.values())
    network = Small()
    assert set(state) == set(network.state_dict())
    network.load_state_dict(state)
    for i, module in enumerate(("enter", "norm", "right", "left", "right_norm", "left_norm")):
        ours = network.get_submodule(module)
        for key, values in stored[i].items():
            if key == "kernel":
                for h in range(values.shape[0]):
                    for w in range(values.shape[1]):
                        assert np.array_equal(ours.weight[:, :, h, w].detach().numpy(), values[h, w].T)  # type: ignore[index]
            else:
                own = {
                    "gamma": "weight",
                    "moving_mean": "running_mean",
                    "moving_variance": "running_var",
                }
                assert np.array_equal(getattr(ours, own.get(key, "bias")).detach().numpy(), values)


@pytest.mark.parametrize("first", [0, 9, 203])
@pytest.mark.parametrize("ending", [":0", ""])
def test_layout_by_names(tmp_path: Path, first: int, ending: str) -> None:
    layers = small_layers(first)
    path = write_by_name(tmp_path / "w.h5", layers, ending=ending)
    check_small(read_keras(path, Small()), layers)
    assert keras_layout(path) == "Keras' layout by the names of layers"


def test_whole_model(tmp_path: Path) -> None:
    path = write_by_name(tmp_path / "w.h5", small_layers(), inside="model_weights")
    check_small(read_keras(path, Small()), small_layers())
    assert keras_layout(path).startswith("a whole model")


def test_long_lists_of_names_are_cut_into_parts(tmp_path: Path) -> None:
    path = write_by_name(tmp_path / "w.h5", small_layers())
    with h5py.File(path, "r+") as file:
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        for i, part in enumerate((names[:3], names[3:4], names[4:])):
            file.attrs[f"layer_names{i}"] = part
    check_small(read_keras(path, Small()), small_layers())


@pytest.mark.parametrize("names", [True, False])
def test_layout_by_numbers(tmp_path: Path, names: bool) -> None:
    path = write_by_number(tmp_path / "w.weights.h5", small_layers(40), names=names)
    check_small(read_keras(path, Small()), small_layers())
    assert keras_layout(path) == "Keras' layout by numbered variables (.weights.h5)"


def test_more_than_ten_layers_of_a_kind_keep_their_order(tmp_path: Path) -> None:
    class Row(KerasBackbone):
        def __init__(self) -> None:
            super().__init__()
            self.row = nn.Sequential(*(nn.Conv2d(2, 2, 1) for _ in range(12)))

        def keras_layers(self) -> list[KerasLayer]:
            return [KerasLayer("conv2d", f"row.{i}") for i in range(12)]

    layers: Layers = {
        numbered("conv2d", i): {
            k: tensor(i, k, s) for k, s in (("kernel", (1, 1, 2, 2)), ("bias", (2,)))
        }
        for i in range(12)
    }
    state = read_keras(write_by_number(tmp_path / "w.h5", layers, names=False), Row())
    for i, stored in enumerate(layers.values()):
        assert np.array_equal(state[f"row.{i}.bias"].numpy(), stored["bias"])


def test_every_fault_is_listed(tmp_path: Path) -> None:
    layers = small_layers()
    del layers["enter_bn"]["moving_mean"], layers["batch_normalization"]
    layers["enter_conv"]["kernel"] = layers["enter_conv"]["kernel"][..., :3]
    layers["conv2d"]["bias"] = np.zeros(4, np.float32)
    layers["predictions"] = {"kernel": np.zeros((4, 10)), "bias": np.zeros(10)}
    path = write_by_name(tmp_path / "w.h5", layers)
    with pytest.raises(InputError) as error:
        read_keras(path, Small())
    first, *faults = str(error.value).splitlines()
    assert first == f"{path}: these weights do not fit the network (read as {keras_layout(path)})"
    assert faults == [
        "  - missing: one more batch_normalization (here left_norm)",
        "  - not of this network: predictions/kernel",
        "  - not of this network: predictions/bias",
        "  - enter_conv/kernel: (3, 3, 3, 3) came where (3, 3, 3, 4) was expected",
        "  - missing: enter_bn/moving_mean",
        "  - not of this network: conv2d/bias",
    ]


def test_a_named_layer_is_never_taken_for_another(tmp_path: Path) -> None:
    layers = small_layers()
    layers["stem_conv"] = layers.pop("enter_conv")
    with pytest.raises(InputError) as error:
        read_keras(write_by_name(tmp_path / "w.h5", layers), Small())
    assert str(error.value).splitlines()[1:] == [
        "  - missing: enter_conv (here enter)",
        "  - not of this network: stem_conv/kernel",
        "  - not of this network: stem_conv/bias",
    ]


def test_other_files_are_refused(tmp_path: Path) -> None:
    cases = {
        "text.h5": "cannot be read as weights of Keras",
        "empty.h5": "neither layout of Keras",
        "packed.keras": r'save_weights\("NAME.weights.h5"\)',
        "none.h5": "no such file",
        "w.npz": "weights of a network were expected here",
    }
    (tmp_path / "text.h5").write_text("not HDF5")
    h5py.File(tmp_path / "empty.h5", "w").close()
    (tmp_path / "packed.keras").write_bytes(b"PK")
    (tmp_path / "w.npz").touch()
    for name, message in cases.items():
        with pytest.raises(InputError, match=message) as error:
            read_keras(tmp_path / name, Small())
        assert str(tmp_path / name) in str(error.value)
    path = write_by_name(tmp_path / "cut.h5", small_layers())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="damaged or of another kind"):
        read_keras(path, Small())
    with h5py.File(tmp_path / "gone.h5", "w") as file:
        file.attrs["layer_names"] = [b"enter_conv"]
    with pytest.raises(InputError, match="enter_conv"):
        read_keras(tmp_path / "gone.h5", Small())


def test_weights_of_the_other_network_are_refused(tmp_path: Path) -> None:
    path = write_by_name(tmp_path / "w.h5", small_layers())
    with torch.device("meta"):
        network = BACKBONES["resnet50v2"].build()
    with pytest.raises(InputError) as error:
        BACKBONES["resnet50v2"].read(path, network)
    faults = str(error.value).splitlines()[1:]
    assert len([f for f in faults if "missing" in f]) == len(REFERENCE["resnet50v2"]["layers"])
    assert len([f for f in faults if "not of this network" in f]) == 14


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["names", "numbers"])
@pytest.mark.parametrize("name", ["resnet50v2", "inception_resnet_v2"])
def test_a_file_of_the_real_size(name: str, layout: str, tmp_path: Path) -> None:
    """The whole of a published file, written from the formula; the features are Keras' own."""
    layers: Layers = {
        stored["name"]: {key: tensor(i, key, tuple(s)) for key, s in stored["shapes"].items()}
        for i, stored in enumerate(REFERENCE[name]["layers"])
    }
    if layout == "names":
        path = write_by_name(tmp_path / "notop.h5", layers)
    else:
        path = write_by_number(tmp_path / "notop.weights.h5", layers, names=False)
    backbone = create_backbone(name, str(path))
    run = REFERENCE[name]["runs"][0]
    with torch.inference_mode():
        found = backbone(torch.from_numpy(picture(*run["picture"])).permute(2, 0, 1)[None])[0].numpy()
    expected = run["features"]
    assert found[expected["at"]] == pytest.approx(
        expected["values"], rel=1e-4, abs=1e-4 * expected["deviation"]
    )
