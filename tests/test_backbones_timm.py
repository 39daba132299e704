"""Backbones of timm: with a library made up for the test, and with the real one where it is installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
from backbone_formula import picture
from torch import Tensor, nn

from murine.errors import InputError, MissingExtraError
from murine.models import create_model
from murine.models.backbones import create_backbone, find_weights, read_backbone, timm_models
from murine.models.backbones.timm_models import TimmBackbone, import_timm


class Patches(nn.Module):
    """As small as a vision transformer can be: patches of 4 pixels, their mean, a dense layer."""

    def __init__(self, any_size: bool) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 5, 4, 4)
        self.patch_embed.patch_size = (4, 4)  # type: ignore[assignment]
        self.norm = nn.LayerNorm(5)
        self.num_features = 5
        self.any_size = any_size
        self.pretrained_cfg = {
            "input_size": (3, 8, 8),
            "mean": (0.5, 0.4, 0.3),
            "std": (0.25, 0.5, 0.2),
            "fixed_input_size": True,
            "classifier": "head",
        }

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.patch_embed(x).mean((2, 3)))  # type: ignore[no-any-return]


class Stiff(Patches):
    """The same, of one size only."""


class Maps(Patches):
    """Gives a map of features, which no table can hold."""

    def forward(self, x: Tensor) -> Tensor:
        return self.patch_embed(x)  # type: ignore[no-any-return]


NETWORKS = {"tiny_patch4": Patches, "tiny_stiff": Stiff, "tiny_maps": Maps}


def checkpoint_filter_fn(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """What timm's families call their conversion of other libraries' names."""
    return {key.replace("proj.", "patch_embed."): value for key, value in state.items()}


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """A made-up timm of three networks; returns what it was asked to build."""
    asked: list[dict[str, Any]] = []

    def create(name: str, **settings: Any) -> nn.Module:
        asked.append({"name": name, **settings})
        architecture, _, tag = name.partition(".")
        if tag not in ("", "own"):
            raise RuntimeError(f"Invalid pretrained tag ({tag})")
        if architecture == "tiny_stiff" and "dynamic_img_size" in settings:
            raise TypeError("unexpected keyword argument 'dynamic_img_size'")
        return NETWORKS[architecture](settings.get("dynamic_img_size", False))

    library = ModuleType("timm")
    facts = {
        "__version__": "9.9",
        "is_model": NETWORKS.__contains__,
        "list_models": lambda: list(NETWORKS),
        "create_model": create,
    }
    for key, value in facts.items():
        setattr(library, key, value)
    monkeypatch.setitem(sys.modules, "timm", library)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setenv("MURINE_WEIGHTS", str(tmp_path / "weights"))
    return asked


def test_pixels_are_scaled_as_the_weights_want(timm: list[dict[str, Any]]) -> None:
    backbone = create_backbone("timm:tiny_patch4.own", "random")
    assert timm == [
        {"name": "tiny_patch4.own", "pretrained": False, "num_classes": 0, "dynamic_img_size": True}
    ]
    assert isinstance(backbone, TimmBackbone)
    assert (backbone.size, backbone.features, backbone.training) == ((8, 8), 5, False)
    rgb = torch.from_numpy(picture(12, 16)).permute(2, 0, 1)[None]
    cfg = backbone.network.pretrained_cfg
    scaled = torch.stack([(rgb[0, c] / 255 - cfg["mean"][c]) / cfg["std"][c] for c in range(3)])  # type: ignore[index]
    with torch.no_grad():
        torch.testing.assert_close(backbone(rgb), backbone.network(scaled[None]))
        assert torch.equal(backbone(rgb), backbone(rgb.float()))


def test_seed_decides_fresh_weights(timm: list[dict[str, Any]]) -> None:
    before = torch.random.get_rng_state()
    first, same, other = (
        create_backbone("timm:tiny_patch4", "random", seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    key = "network.patch_embed.weight"
    assert torch.equal(first[key], same[key])
    assert not torch.equal(first[key], other[key])
    assert not any(name in first for name in ("mean", "std")), "no weight: no file holds them"


def test_sizes_it_cannot_take_are_refused(timm: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match=r"patches of \(4, 4\).*multiples of these; came \(10, 8\)"):
        create_backbone("timm:tiny_patch4", "random")(torch.zeros(1, 3, 10, 8))
    stiff = create_backbone("timm:tiny_stiff", "random")
    assert "dynamic_img_size" not in timm[-1]
    assert stiff(torch.zeros(1, 3, 8, 8)).shape == (1, 5)
    with pytest.raises(InputError, match=r"takes pictures of \(8, 8\) only; came \(12, 8\)"):
        stiff(torch.zeros(1, 3, 12, 8))
    with pytest.raises(InputError, match=r"gives \(5, 2, 2\) for a picture"):
        create_backbone("timm:tiny_maps", "random")(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_local_file(timm: list[dict[str, Any]], tmp_path: Path, suffix: str) -> None:
    source = create_backbone("timm:tiny_patch4", "random", seed=3)
    assert isinstance(source, TimmBackbone)
    state = {**source.network.state_dict(), "head.weight": torch.zeros(7, 5)}
    path = tmp_path / "weights" / "timm" / f"tiny_patch4{suffix}"
    with pytest.raises(InputError) as error:
        create_backbone("timm:tiny_patch4")
    for part in ("timm/tiny_patch4.safetensors", "timm/tiny_patch4.pth", str(tmp_path / "weights")):
        assert part in str(error.value)
    path.parent.mkdir(parents=True)
    if suffix == ".pth":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        safetensors.torch.save_file(state, path)
    assert find_weights("timm:tiny_patch4") == path
    for read in (
        create_backbone("timm:tiny_patch4"),
        create_backbone("timm:tiny_patch4", str(path), seed=9),
    ):
        assert all(torch.equal(v, source.state_dict()[k]) for k, v in read.state_dict().items())


def test_names_of_other_libraries_are_converted_by_timm(
    timm: list[dict[str, Any]], tmp_path: Path
) -> None:
    source = create_backbone("timm:tiny_patch4", "random", seed=3)
    assert isinstance(source, TimmBackbone)
    state = source.network.state_dict()
    renamed = {key.replace("patch_embed.", "proj."): value for key, value in state.items()}
    safetensors.torch.save_file(renamed, tmp_path / "w.safetensors")
    read = create_backbone("timm:tiny_patch4", str(tmp_path / "w.safetensors")).state_dict()
    assert all(torch.equal(read[f"network.{key}"], value) for key, value in state.items())


def test_every_tensor_that_does_not_fit_is_listed(timm: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {
        "patch_embed.weight": torch.zeros(5, 3, 2, 2),
        "norm.weight": torch.zeros(5),
        "other": torch.zeros(1),
    }
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(InputError) as error:
        create_backbone("timm:tiny_patch4", str(path))
    assert str(error.value).splitlines() == [
        f"{path}: these weights do not fit the network",
        "  - missing: patch_embed.bias",
        "  - missing: norm.bias",
        "  - not of this network: other",
        "  - patch_embed.weight: (5, 3, 2, 2) came where (5, 3, 4, 4) was expected",
    ]


def test_a_pickled_object_is_never_loaded(timm: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(Patches(True), path)
    with pytest.raises(InputError, match="would run its code"):
        create_backbone("timm:tiny_patch4", str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as the tensors of a network"):
        create_backbone("timm:tiny_patch4", str(path))
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="a table of named tensors was expected; came list"):
        create_backbone("timm:tiny_patch4", str(path))


def test_unknown_names_are_refused(timm: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match=r"timm 9\.9 has no model 'tiny_patch5'.*'tiny_patch4'"):
        create_backbone("timm:tiny_patch5", "random")
    with pytest.raises(InputError, match=r"no model 'zz'\. timm\.list_models\(\) lists all"):
        create_backbone("timm:zz")
    with pytest.raises(InputError, match=r"cannot build 'tiny_patch4\.of': Invalid pretrained tag"):
        create_backbone("timm:tiny_patch4.of", "random")


def test_a_network_of_frames_takes_one(timm: list[dict[str, Any]], tmp_path: Path) -> None:
    settings = {"backbone": "timm:tiny_patch4", "size": [12, 8], "units": [6]}
    model = create_model("frames_lstm", classes=2, settings=settings).eval()
    clips = torch.from_numpy(picture(12, 8)).permute(2, 0, 1)[None, :, None].repeat(1, 1, 3, 1, 1)
    with torch.no_grad():
        assert model({"rgb": clips}).logits.shape == (1, 3, 2)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(dict(model.state_dict()), path)
    backbone = create_backbone("timm:tiny_patch4", "random", seed=8)
    state, layout = read_backbone("timm:tiny_patch4", path, backbone)
    assert layout == "tensors of timm"
    assert all(torch.equal(v, model.state_dict()[f"backbone.{k}"]) for k, v in state.items())


def test_it_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    with pytest.raises(MissingExtraError, match=r"backbone 'timm:resnet18' .*murine\[timm\]"):
        create_backbone("timm:resnet18", "random")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"murine\[timm\]"):
        create_backbone("timm:resnet18", "random")


def test_a_torchvision_for_another_torch_is_mended(
    monkeypatch: pytest.MonkeyPatch, timm: list[dict[str, Any]]
) -> None:
    declared: list[str] = []
    tries: list[str] = []
    real = importlib.import_module

    class Library:
        def __init__(self, namespace: str, kind: str) -> None:
            self.name = namespace
            assert kind == "DEF"

        def define(self, schema: str) -> None:
            declared.append(f"{self.name}::{schema}")

    def broken(name: str) -> ModuleType:
        if name != "torchvision":
            return real(name)
        tries.append(name)
        if not declared:
            monkeypatch.setitem(sys.modules, "torchvision.half", ModuleType("torchvision.half"))
            raise RuntimeError("operator torchvision::nms does not exist")
        assert "torchvision.half" not in sys.modules, (
            "what a failed import left is taken for the library"
        )
        return ModuleType(name)

    monkeypatch.setattr(torch.library, "Library", Library)
    monkeypatch.setattr(timm_models, "_declared", [])
    monkeypatch.setattr(timm_models.importlib, "import_module", broken)
    assert import_timm("tiny_patch4").__version__ == "9.9"
    assert len(tries) == 2
    arguments = [(s.name, len(s.arguments)) for s in map(torch._C.parse_schema, declared)]
    assert arguments == [("torchvision::nms", 3), ("torchvision::qnms", 3)]

    def other(name: str) -> ModuleType:
        raise RuntimeError("something else")

    monkeypatch.setattr(timm_models.importlib, "import_module", other)
    with pytest.raises(RuntimeError, match="something else"):
        import_timm("tiny_patch4")


@pytest.fixture
def real_timm() -> ModuleType:
    """The library itself, where it is installed."""
    try:
        return import_timm("resnetv2_50")
    except MissingExtraError as error:
        pytest.skip(f"an extra that is not installed: {error}")


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [
        ("resnetv2_50", (64, 96), 2048),
        ("vit_small_patch14_dinov2.lvd142m", (56, 70), 384),
        ("vit_small_patch16_dinov3", (64, 48), 384),
    ],
)
def test_real_networks(
    real_timm: ModuleType, name: str, size: tuple[int, int], features: int, tmp_path: Path
) -> None:
    backbone = create_backbone(f"timm:{name}", "random", seed=1)
    assert isinstance(backbone, TimmBackbone)
    assert backbone.features == features
    rgb = torch.from_numpy(picture(*size)).permute(2, 0, 1)[None]
    cfg = backbone.network.pretrained_cfg
    mean, std = (torch.tensor(cfg[key])[:, None, None] for key in ("mean", "std"))  # type: ignore[index]
    with torch.inference_mode():
        expected = backbone.network((rgb / 255 - mean) / std)
        torch.testing.assert_close(backbone(rgb), expected, rtol=1e-4, atol=1e-4)
    path = tmp_path / "w.safetensors"
    whole = real_timm.create_model(name, num_classes=10, pretrained=False).state_dict()
    safetensors.torch.save_file({k: v.contiguous() for k, v in whole.items()}, path)
    read = create_backbone(f"timm:{name}", str(path)).state_dict()
    assert all(torch.equal(value, whole[key.removeprefix("network.")]) for key, value in read.items())


def test_real_conversion_of_dinov2(real_timm: ModuleType, tmp_path: Path) -> None:
    """The file of DINOv2's authors has a token for masks that timm's network has not."""
    name = "vit_small_patch14_dinov2"
    source = create_backbone(f"timm:{name}", "random", seed=2)
    assert isinstance(source, TimmBackbone)
    state = source.network.state_dict()
    path = tmp_path / "w.pth"
    torch.save({**state, "mask_token": torch.zeros(1, 384)}, path)
    read = create_backbone(f"timm:{name}", str(path)).state_dict()
    assert all(torch.equal(read[f"network.{key}"], value) for key, value in state.items())
