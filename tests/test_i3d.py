"""I3D against what TensorFlow makes of the same weights, the released counts, and arithmetic done by hand."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from murine.data.windows import plan
from murine.errors import InputError
from murine.models import MODELS, Model, create_model
from murine.models.inception.units import SamePool3d, ShiftNorm, UnbiasedConv3d

TINY = Path(__file__).parent / "reference" / "i3d_tiny"
REFERENCE = json.loads(TINY.with_suffix(".json").read_text())["clips"]


def size_of(name: str) -> list[int]:
    return [int(n) for n in name.split("x")]


def tiny_model(name: str) -> Model:
    """The RGB stream with the weights that TensorFlow wrote."""
    frames, *size = size_of(name)
    settings = {"width": 1 / 64, "frames": frames, "size": size}
    model = create_model("i3d_rgb", classes=3, settings=settings)
    read = MODELS["i3d_rgb"].read_weights
    assert read is not None
    model.load_state_dict(read(TINY.with_suffix(".index"), model)[0])
    return model.eval()


def tiny_batch(name: str) -> dict[str, Tensor]:
    frames, *size = size_of(name)
    clip = np.random.RandomState(frames).randint(0, 256, (frames, *size, 3)).astype(np.uint8)
    return {"rgb": torch.from_numpy(clip).permute(3, 0, 1, 2)[None]}


@pytest.mark.parametrize("name", list(REFERENCE))
def test_every_map_and_the_logits_are_tensorflows(name: str) -> None:
    """Sizes that are odd at every stride, and a clip that leaves two places in time at the head."""
    model, batch = tiny_model(name), tiny_batch(name)
    maps = dict(REFERENCE[name]["maps"])
    with torch.no_grad():
        for part, x in model.body.endpoints(model.scale(batch)):
            known = maps.pop(part)
            assert list(x.shape[1:]) == known["shape"], part
            assert float(x.mean()) == pytest.approx(known["mean"], rel=1e-5), part
            assert float(x.square().mean()) == pytest.approx(known["square"], rel=1e-5), part
            last = x[0, :, -1, -1, -1].tolist()
            assert last == pytest.approx(known["last"], rel=1e-4, abs=1e-4), part
        assert model(batch).logits[0, 0].tolist() == pytest.approx(
            REFERENCE[name]["logits"], rel=1e-5, abs=1e-4
        )
    assert maps == {}
    places = {1: "10x72x50", 2: "24x224x224"}
    assert places[REFERENCE[name]["places"]] == name


@pytest.mark.parametrize(
    ("name", "values", "channels"), [("i3d_rgb", 12_704_544, 3), ("i3d_flow", 12_682_592, 2)]
)
def test_tensors_and_values_are_those_of_the_released_checkpoints(
    name: str, values: int, channels: int
) -> None:
    with torch.device("meta"):
        model = create_model(name, classes=400)
    state = model.state_dict()
    assert len(state) == 230
    assert sum(t.numel() for t in state.values()) == model.keras_parameters() == values
    kinds = [key.rsplit(".", 1)[-1] for key in state]
    assert kinds.count("running_mean") == kinds.count("running_var") == 57
    assert kinds.count("weight") == 58  # kernels alone: batch norm has no scale
    assert [key for key in state if key.endswith(("conv.bias", "head.bias"))] == ["head.bias"]
    assert state["body.conv_1a.conv.weight"].shape == (64, channels, 7, 7, 7)
    # Channels into each block, from figure 3 of Carreira and Zisserman's paper by addition.
    entering = {"3b": 192, "3c": 256, "4b": 480, "4c": 512, "4d": 512, "4e": 512, "4f": 528}
    for block, inputs in (entering | {"5b": 832, "5c": 832}).items():
        assert state[f"body.mixed_{block}.branch_0.conv.weight"].shape[1] == inputs
        for branch in ("1b", "2b"):
            kernel = state[f"body.mixed_{block}.branch_{branch}.conv.weight"].shape[2:]
            assert kernel == (3, 3, 3)
    assert state["head.weight"].shape == (400, 1024, 1, 1, 1)
    assert model.described == 1024


def same_conv(x: NDArray[np.float64], w: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """A convolution with TensorFlow's "same" padding, written out: (C, T, H, W) by (out, C, k, k, k)."""
    k = w.shape[2]
    sizes = [-(-n // stride) for n in x.shape[1:]]
    totals = [max((o - 1) * stride + k - n, 0) for o, n in zip(sizes, x.shape[1:], strict=True)]
    padded = np.pad(x, [(0, 0), *[(total // 2, total - total // 2) for total in totals]])
    out = np.zeros((len(w), *sizes))
    for place in itertools.product(*map(range, sizes)):
        t, h, v = (stride * p for p in place)
        cube = padded[:, t : t + k, h : h + k, v : v + k]
        out[(slice(None), *place)] = (w * cube).sum(axis=(1, 2, 3, 4))
    return out


@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1), (1, 1)])
def test_convolution_pads_as_tensorflow(kernel: int, stride: int) -> None:
    layer = UnbiasedConv3d(2, 3, kernel, stride)
    assert layer.bias is None
    for size in ((4, 5, 6), (1, 8, 7)):
        x = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(kernel))
        expected = same_conv(x[0].double().numpy(), layer.weight.detach().double().numpy(), stride)
        with torch.no_grad():
            np.testing.assert_allclose(layer(x)[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [
        ((1, 3, 3), (1, 2, 2)),
        ((3, 3, 3), (2, 2, 2)),
        ((3, 3, 3), (1, 1, 1)),
        ((2, 2, 2), (2, 2, 2)),
    ],
)
@pytest.mark.parametrize("learning", [False, True])
def test_pools_of_odd_and_even_maps(
    kernel: tuple[int, ...], stride: tuple[int, ...], learning: bool
) -> None:
    pool = SamePool3d(kernel, stride)
    for size in ((4, 7, 8), (5, 6, 9), (1, 2, 1)):
        x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(sum(size)))
        got = pool(x.requires_grad_(learning))
        sizes = [-(-n // s) for n, s in zip(size, stride, strict=True)]
        assert list(got.shape[2:]) == sizes
        for place in itertools.product(*map(range, sizes)):
            window = []
            for p, n, k, s, o in zip(place, size, kernel, stride, sizes, strict=True):
                first = p * s - max((o - 1) * s + k - n, 0) // 2
                window.append(slice(max(first, 0), min(first + k, n)))
            best = x.detach()[(slice(None), slice(None), *window)].amax(dim=(2, 3, 4))
            assert torch.equal(got.detach()[(slice(None), slice(None), *place)], best)


def test_batch_norm_shifts_and_does_not_scale() -> None:
    norm = ShiftNorm(2, momentum=0.25)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([0.5, -1.0]))
    x = torch.randn(3, 2, 2, 4, 5, generator=torch.Generator().manual_seed(2)) * 3 + 1
    mean = x.mean(dim=(0, 2, 3, 4))
    variance = x.var(dim=(0, 2, 3, 4), correction=0)
    shift = norm.bias.detach()[:, None, None, None]
    expected = (x - mean[:, None, None, None]) / (variance[:, None, None, None] + 1e-3).sqrt() + shift
    torch.testing.assert_close(norm.train()(x).detach(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm.running_mean, 0.25 * mean)
    # PyTorch's running variance is n / (n - 1) times that of the batch.
    torch.testing.assert_close(norm.running_var, 0.75 + 0.25 * variance * 120 / 119)
    still = (x - norm.running_mean[:, None, None, None]) / (
        norm.running_var[:, None, None, None] + 1e-3
    ).sqrt()
    torch.testing.assert_close(norm.eval()(x).detach(), still + shift, rtol=1e-5, atol=1e-5)
    assert [key for key, _ in norm.named_parameters()] == ["bias"]


def test_pixels_are_scaled_and_padding_becomes_zero() -> None:
    settings = {"width": 1 / 64, "frames": 4, "size": [8, 8]}
    model = create_model("i3d_flow", classes=2, settings=settings)
    clip = torch.full((1, 2, 4, 8, 8), 127.5)
    clip[:, :, 1], clip[:, :, 2] = 0.0, 255.0
    mask = torch.tensor([[True, True, True, False]])
    clip[:, :, 3] = 255.0
    scaled = model.scale({"flow": clip, "mask": mask})
    assert scaled[0, 1, :, 0, 0].tolist() == [0.0, -1.0, 1.0, 0.0]
    pixels = create_model("i3d_rgb", classes=2, settings=settings)
    whole = {"rgb": torch.arange(256, dtype=torch.uint8).expand(1, 3, 4, 8, 256)[..., ::32]}
    values = pixels.scale(whole)[0, 0, 0, 0]
    torch.testing.assert_close(values, torch.arange(0, 256, 32) / 255 * 2 - 1)


@pytest.mark.parametrize("frames", [16, 8])
@pytest.mark.parametrize("size", [(64, 64), (112, 112), (256, 320)])
def test_head_takes_the_mean_of_logits_over_all_places(frames: int, size: tuple[int, int]) -> None:
    settings = {"width": 1 / 32, "frames": frames, "size": list(size), "dropout": 0.0}
    model = create_model("i3d_rgb", classes=4, settings=settings).eval()
    random = torch.Generator().manual_seed(0)
    batch = {"rgb": torch.randint(0, 256, (2, 3, frames, *size), generator=random).byte()}
    with torch.no_grad():
        features = model.body(model.scale(batch))
        window = [min(a, b) for a, b in zip((2, 7, 7), features.shape[2:], strict=True)]
        places = [n - w + 1 for n, w in zip(features.shape[2:], window, strict=True)]
        assert places == [1, *(max(-(-n // 32) - 6, 1) for n in size)]
        logits = []
        for t, h, w in itertools.product(*map(range, places)):
            cube = features[:, :, t : t + window[0], h : h + window[1], w : w + window[2]]
            pooled = cube.mean(dim=(2, 3, 4))
            logits.append(pooled @ model.head.weight.flatten(1).T + model.head.bias)
        expected = torch.stack(logits).mean(0)
        torch.testing.assert_close(model(batch).logits[:, 0], expected, rtol=1e-4, atol=1e-5)
        described = model.describe(batch)
        assert described.shape == (2, model.described)
        judged = described @ model.head.weight.flatten(1).T + model.head.bias
        torch.testing.assert_close(judged, expected, rtol=1e-4, atol=1e-5)


def test_dropout_keeps_the_published_share() -> None:
    model = create_model("i3d_flow", classes=2, settings={"width": 1 / 64}).train()
    assert 1 - model.dropout.rate == pytest.approx(0.36)
    kept = model.dropout(torch.ones(100_000))
    assert float((kept > 0).float().mean()) == pytest.approx(0.36, abs=0.01)
    assert float(kept.max()) == pytest.approx(1 / 0.36)


def test_a_clip_is_the_frame_its_eight_before_and_seven_after() -> None:
    """Nguyen et al., section 3; the label of a window of 16 is that of the frame with eight before it."""
    model = create_model("i3d_rgb", classes=2, settings={"width": 1 / 64})
    assert (model.window, model.predicts) == (16, "centre")
    windows = plan(40, 16, 1, model.predicts)
    assert len(windows) == 25
    for at in range(1, 24):  # the first and the last answer for the ends of the recording too
        current = int(windows.target_start[at])
        assert windows.target_stop[at] == current + 1
        assert current - windows.start[at] == 8
        assert windows.stop[at] - 1 - current == 7


def test_wrong_clips_are_refused_with_both_shapes() -> None:
    model = create_model("i3d_flow", classes=2, settings={"width": 1 / 64, "size": [32, 32]})
    with pytest.raises(InputError, match=r"flow clips are 16 frames of 32 x 32 with 3 channels.*with 2"):
        model({"flow": torch.zeros(1, 3, 16, 32, 32)})
    hsv = create_model(
        "i3d_flow", classes=2, settings={"width": 1 / 64, "size": [32, 32], "flow_channels": 3}
    )
    assert hsv({"flow": torch.zeros(1, 3, 16, 32, 32)}).logits.shape == (1, 1, 2)
