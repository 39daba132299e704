"""The 2D network with its real ImageNet weights, and what stays of it when it is inflated to 3D."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from murine.errors import ConfigError, InputError
from murine.models import MODELS, Model, create_model
from murine.models.backbones import BACKBONES, create_backbone
from murine.models.inception.googlenet import read_googlenet
from murine.models.inception.inception_v1 import InceptionV1
from murine.models.inception.inflation import FramePool, InflatedUnit, inflate
from murine.models.inception.response import LocalResponse

CATS = range(281, 286)  # of the 1000 classes: tabby, tiger, Persian, Siamese, Egyptian
DOGS = range(151, 269)
FILE = "googlenet_imagenet.safetensors"


@pytest.fixture(scope="module")
def weights(data: Path) -> Path:
    folder = data / "weights"
    if not (folder / FILE).is_file():
        pytest.skip(f"the real ImageNet weights were not found at {folder / FILE} (set MURINE_DATA)")
    return folder


@pytest.fixture(scope="module")
def network(weights: Path) -> InceptionV1:
    network = InceptionV1()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    state, words = read_googlenet(weights / FILE, shapes)
    assert words == "the 2D network's weights (BVLC GoogLeNet)"
    network.load_state_dict(state)
    return network.eval()


def photo(path: Path, size: tuple[int, int] = (224, 224)) -> Tensor:
    """(1, 3, H, W) RGB bytes: the middle of the picture, its shorter side resized to 8/7 of `size`."""
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    scale = max(size) * 8 / 7 / min(picture.shape[:2])
    height, width = (round(scale * n) for n in picture.shape[:2])
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    middle = picture[top : top + size[0], left : left + size[1]]
    return torch.from_numpy(np.ascontiguousarray(middle)).permute(2, 0, 1)[None]


def plain_forward(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network written out with the library's functions and the names of the released file."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = w[f"{name}.weight"]
        return F.conv2d(x, kernel, w[f"{name}.bias"], stride, padding=kernel.shape[-1] // 2).relu()

    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    x = x[:, [2, 1, 0]].double() - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    x = F.local_response_norm(pool(conv(x, "conv1/7x7_s2", 2)), 5, 1e-4, 0.75, 1.0)
    x = conv(conv(x, "conv2/3x3_reduce"), "conv2/3x3")
    x = pool(F.local_response_norm(x, 5, 1e-4, 0.75, 1.0))
    for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        if block in ("4a", "5a"):
            x = pool(x)
        name = f"inception_{block}"
        branches = [
            conv(x, f"{name}/1x1"),
            conv(conv(x, f"{name}/3x3_reduce"), f"{name}/3x3"),
            conv(conv(x, f"{name}/5x5_reduce"), f"{name}/5x5"),
            conv(F.max_pool2d(x, 3, 1, 1), f"{name}/pool_proj"),
        ]
        x = torch.cat(branches, dim=1)
    return F.linear(x.mean((2, 3)), w["loss3/classifier.weight"], w["loss3/classifier.bias"])


def test_the_six_photos_are_cats_and_dogs(network: InceptionV1, weights: Path) -> None:
    names = (weights / "synset_words.txt").read_text().splitlines()
    with torch.no_grad():
        for kind, classes in (("cat", CATS), ("dog", DOGS)):
            for number in (1, 2, 3):
                chances = network(photo(weights / f"{kind}{number}.jpeg")).softmax(-1)[0]
                best = int(chances.argmax())
                assert best in classes, f"{kind}{number} came out as {names[best]}"
        pug = network(photo(weights / "dog2.jpeg")).softmax(-1)[0]
    assert "pug" in names[int(pug.argmax())]
    assert float(pug.max()) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("size", [(224, 224), (97, 130), (32, 32)])
def test_logits_are_those_of_the_network_written_out(
    network: InceptionV1, weights: Path, size: tuple[int, int]
) -> None:
    stored = {k: v.double() for k, v in safetensors.torch.load_file(weights / FILE).items()}
    assert len(stored) == len(network.state_dict()) == 116
    assert sum(p.numel() for p in network.parameters()) == 6_998_552
    picture = photo(weights / "cat3.jpeg", size)
    with torch.no_grad():
        expected = plain_forward(stored, picture)
        for given in (picture, picture.float()):
            got = network(given)
            assert float((got - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("shape", [(2, 64, 9, 7), (2, 192, 3, 5, 4), (1, 3, 4, 4)])
def test_response_norm_is_the_librarys(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 400 - 100
    expected = F.local_response_norm(x.double(), 5, 1e-4, 0.75, 1.0)
    got = LocalResponse(shape[1])(x)
    assert float(((got - expected) / expected).abs().max()) < 1e-6
    with torch.autocast("cpu", torch.bfloat16):  # squares of large numbers do not survive eight bits
        assert torch.equal(LocalResponse(shape[1])(x), got)


def test_backbone_gives_the_features_before_the_head(
    network: InceptionV1, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MURINE_WEIGHTS", str(weights))
    backbone = create_backbone("inception_v1")
    assert (backbone.size, backbone.features) == ((224, 224), 1024)
    assert backbone.keras_parameters() == BACKBONES["inception_v1"].published == 6_998_552 - 1_025_000
    picture = photo(weights / "dog3.jpeg")
    with torch.no_grad():
        rows = backbone(picture)
        assert network.head is not None
        torch.testing.assert_close(network.head(rows), network(picture), rtol=1e-5, atol=1e-4)
        assert backbone(picture[..., :96, :130]).shape == (1, 1024)
    with pytest.raises(InputError, match="20 x 224 came; this backbone needs at least 32"):
        backbone(picture[:, :, :20])


def inflated(name: str, weights: Path, classes: int = 1000, **settings: object) -> Model:
    model = create_model(name, classes=classes, settings=settings)
    read = MODELS[name].read_weights
    assert read is not None
    state, words = read(weights / FILE, model)
    assert words.startswith("inflated to 3D from the 2D network's weights (BVLC GoogLeNet)")
    left_out = model.load_state_dict(state, strict=False).missing_keys
    assert left_out == ([] if classes == 1000 else ["head.weight", "head.bias"])
    return model.eval()


@pytest.mark.parametrize(
    ("frames", "stride", "size"),
    [(4, 1, (224, 224)), (8, 8, (224, 224)), (5, 2, (96, 130)), (3, 4, (96, 130)), (1, 1, (96, 130))],
)
def test_a_static_clip_gives_the_logits_of_its_picture(
    network: InceptionV1, weights: Path, frames: int, stride: int, size: tuple[int, int]
) -> None:
    model = inflated("inflated_rgb", weights, frames=frames, size=list(size), temporal_stride=stride)
    picture = photo(weights / "dog1.jpeg", size)
    clip = picture[:, :, None].expand(-1, -1, frames, -1, -1)
    with torch.no_grad():
        expected = network(picture)
        got = model({"rgb": clip}).logits[:, 0]
    assert float((got - expected).abs().max() / expected.abs().max()) < 1e-5


def test_zeros_beside_the_clip_would_not_do(network: InceptionV1, weights: Path) -> None:
    """The same weights with zero padding in time: why frames are repeated instead."""
    model = inflated("inflated_rgb", weights, frames=8, size=[96, 96], temporal_stride=1)
    picture = photo(weights / "dog1.jpeg", (96, 96))
    batch = {"rgb": picture[:, :, None].expand(-1, -1, 8, -1, -1)}
    with torch.no_grad():
        expected = network(picture)
        for unit in model.modules():
            if isinstance(unit, InflatedUnit):
                unit.padding = (unit.kernel_size[0] // 2, *unit.padding[1:])
                unit.forward = lambda x, unit=unit: torch.conv3d(
                    x, unit.weight, unit.bias, unit.stride, unit.padding
                ).relu()
        difference = (model(batch).logits[:, 0] - expected).abs().max() / expected.abs().max()
    assert float(difference) > 0.05


def test_flow_kernels_are_the_mean_over_colours(weights: Path) -> None:
    stored = safetensors.torch.load_file(weights / FILE)
    for channels in (2, 3):
        model = inflated("inflated_flow", weights, classes=4, flow_channels=channels, size=[32, 32])
        kernel = model.body.get_parameter("conv_1a.weight")
        grey = stored["conv1/7x7_s2.weight"].mean(dim=1)
        assert kernel.shape == (64, channels, 7, 7, 7)
        for channel in range(channels):
            for time in range(7):
                torch.testing.assert_close(kernel[:, channel, time], grey / 7)
        still = {"flow": torch.full((1, channels, 16, 32, 32), 127.5)}
        with torch.no_grad():
            x = model.body.get_submodule("conv_1a")(still["flow"] - 127.5)
        torch.testing.assert_close(
            x[0, :, 0, 5, 5], stored["conv1/7x7_s2.bias"].relu()
        )  # no motion leaves the biases alone


def test_kernels_in_time_sum_to_the_picture_s(weights: Path) -> None:
    stored = safetensors.torch.load_file(weights / FILE)
    model = inflated("inflated_rgb", weights, classes=4)
    for theirs, ours, times in (
        ("conv1/7x7_s2", "conv_1a", 7),
        ("conv2/3x3_reduce", "conv_2b", 1),
        ("inception_3a/5x5", "mixed_3b.branch_2b", 3),
        ("inception_4e/3x3", "mixed_4f.branch_1b", 3),
        ("inception_5b/pool_proj", "mixed_5c.branch_3b", 1),
    ):
        kernel = model.body.get_parameter(f"{ours}.weight")
        assert kernel.shape[2] == times
        torch.testing.assert_close(kernel.sum(dim=2), stored[f"{theirs}.weight"])
        assert torch.equal(kernel[:, :, 0], kernel[:, :, -1])


def test_a_pool_that_strides_takes_the_maximum_of_its_frames() -> None:
    x = torch.randn(2, 3, 5, 7, 8, generator=torch.Generator().manual_seed(0))
    got = FramePool(2, 2)(x)
    frames = [F.max_pool2d(x[:, :, t], 3, 2, ceil_mode=True) for t in range(5)]
    expected = [frames[0].maximum(frames[1]), frames[2].maximum(frames[3]), frames[4]]
    assert torch.equal(got, torch.stack(expected, dim=2))


def test_convolution_repeats_the_frames_at_the_ends() -> None:
    unit = InflatedUnit(2, 3, 7, 2, 2)
    x = torch.randn(1, 2, 6, 9, 8, generator=torch.Generator().manual_seed(0))
    longer = torch.cat([x[:, :, :1]] * 2 + [x] + [x[:, :, -1:]] * 3, dim=2)
    expected = F.conv3d(longer, unit.weight, unit.bias, 2, (0, 3, 3)).relu()
    torch.testing.assert_close(unit(x), expected)


def test_inflation_of_made_up_tensors() -> None:
    state = {"body.conv_1a.weight": torch.arange(6.0).reshape(1, 3, 1, 2), "head.bias": torch.ones(2)}
    wanted = {"body.conv_1a.weight": torch.zeros(1, 2, 2, 1, 2), "head.bias": torch.zeros(2)}
    got = inflate(state, wanted, "flow")
    assert got["body.conv_1a.weight"].tolist() == [[[[[1.0, 1.5]]] * 2] * 2]
    assert torch.equal(got["head.bias"], state["head.bias"])


def test_files_that_do_not_fit_are_refused_whole(weights: Path, tmp_path: Path) -> None:
    stored = safetensors.torch.load_file(weights / FILE)
    del stored["inception_4a/1x1.bias"]
    stored["conv2/3x3.weight"] = torch.zeros(192, 64, 5, 5)
    stored["loss1/fc.bias"] = torch.zeros(3)
    safetensors.torch.save_file(stored, tmp_path / FILE)
    for name, model in (
        ("backbone", create_backbone("inception_v1", "random")),
        ("inflated", create_model("inflated_rgb", classes=1000)),
    ):
        read = (
            BACKBONES["inception_v1"].read if name == "backbone" else MODELS["inflated_rgb"].read_weights
        )
        assert read is not None
        with pytest.raises(InputError) as found:
            read(tmp_path / FILE, model)  # type: ignore[arg-type]
        assert str(found.value).splitlines()[1:] == [
            "  - not of this network: loss1/fc.bias",
            "  - missing: inception_4a/1x1.bias",
            "  - conv2/3x3.weight: (192, 64, 5, 5) came where (192, 64, 3, 3) was expected",
        ]
    safetensors.torch.save_file({"fc.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"not the weights of BVLC GoogLeNet.*fc\.weight"):
        BACKBONES["inception_v1"].read(
            tmp_path / "other.safetensors", create_backbone("inception_v1", "random")
        )


def test_i3d_refuses_the_2d_weights_and_says_which_model_takes_them(weights: Path) -> None:
    for name in ("i3d_rgb", "i3d_flow"):
        read = MODELS[name].read_weights
        assert read is not None
        with pytest.raises(InputError, match="choose model 'inflated_rgb' or 'inflated_flow'"):
            read(weights / FILE, create_model(name, classes=4, settings={"width": 1 / 64}))


def test_pictures_too_small_are_refused_before_work() -> None:
    with pytest.raises(ConfigError, match=r"'size' is \[16, 64\].*at least 32"):
        create_model("inflated_rgb", classes=2, settings={"size": [16, 64]})
