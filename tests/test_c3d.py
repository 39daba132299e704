"""C3D: its layers, its count, its numbers in plain numpy, and windows that overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from keras_reference import Array, conv
from torch import Tensor

from murine.errors import ConfigError, InputError
from murine.models import Model, create_model

SMALL = {"filters": [4, 5, 6, 7, 8], "units": 9, "size": [32, 64]}


def build(classes: int = 3, **settings: object) -> Model:
    model = create_model("c3d", classes=classes, settings={**SMALL, **settings}).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
    return model


def video(frames: int, height: int = 32, width: int = 64, seed: int = 0) -> Tensor:
    """(3, T, H, W) pixels of patches that move."""
    random = torch.Generator().manual_seed(seed)
    shape = (1, 3, frames, height // 4, width // 4)
    small = torch.randint(0, 256, shape, generator=random).float()
    return torch.nn.functional.interpolate(small, (frames, height, width))[0].to(torch.uint8)


def test_count_by_hand() -> None:
    with torch.device("meta"):
        model = create_model("c3d", classes=8)
    convs = sum(27 * a * b + b for a, b in ((3, 64), (64, 128), (128, 256), (256, 512), (512, 512)))
    # 8 x 128 x 128 leaves the pools as 1 x 4 x 4.
    dense = (512 * 4 * 4 * 2048 + 2048) + (2048 * 2048 + 2048) + (2048 * 8 + 8)
    assert model.keras_parameters() == convs + dense == 32_721_416
    assert (model.window, model.described) == (8, 2048)


def test_sizes_after_each_layer() -> None:
    with torch.device("meta"):
        model = create_model("c3d", classes=8)
        seen: list[tuple[int, ...]] = []
        for layer in (*model.convs, model.fc6):
            layer.register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape[1:])))
        logits = model({"rgb": torch.empty(2, 3, 8, 128, 128)}).logits
    assert seen == [
        (3, 8, 128, 128),
        (64, 8, 64, 64),
        (128, 4, 32, 32),
        (256, 2, 16, 16),
        (512, 1, 8, 8),
        (512 * 4 * 4,),
    ]
    assert logits.shape == (2, 1, 8)


def pool(x: Array, kernel: tuple[int, int, int]) -> Array:
    for axis, size in enumerate(kernel):
        cut = x.shape[axis] // size * size
        x = np.stack([np.take(x, range(i, cut, size), axis) for i in range(size)]).max(axis=0)
    return x


def reference(model: Model, clip: Tensor) -> tuple[Array, Array]:
    """fc6 and logits of one clip (3, T, H, W)."""
    state = {k: v.double().numpy() for k, v in model.state_dict().items()}
    x = (clip.double().numpy().transpose(1, 2, 3, 0) - 100) / 50
    for i, kernel in enumerate([(1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)]):
        x = pool(np.maximum(conv(x, state[f"convs.{i}.weight"], state[f"convs.{i}.bias"]), 0), kernel)
    x = x.transpose(3, 0, 1, 2).reshape(-1)
    fc6 = np.maximum(state["fc6.weight"] @ x + state["fc6.bias"], 0)
    fc7 = np.maximum(state["fc7.weight"] @ fc6 + state["fc7.bias"], 0)
    return fc6, state["head.weight"] @ fc7 + state["head.bias"]


def test_numbers_are_those_of_plain_numpy() -> None:
    model = build(rgb_mean=100.0, rgb_std=50.0)
    clips = torch.stack([video(8, seed=seed) for seed in range(2)])
    with torch.no_grad():
        described, logits = model.describe({"rgb": clips}), model({"rgb": clips}).logits[:, 0]
    for i, clip in enumerate(clips):
        fc6, expected = reference(model, clip)
        assert fc6.max() > 0.5
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(described[i], fc6, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(logits[i], expected, rtol=1e-4, atol=1e-4)


def test_width_multiplies_everything() -> None:
    half, whole = build(width=0.5), build()
    assert [c.out_channels for c in half.convs] == [2, 2, 3, 4, 4]  # 2.5 and 3.5 go to the even number
    assert [c.out_channels for c in whole.convs] == [4, 5, 6, 7, 8]
    assert (half.described, whole.described) == (4, 9)


def test_dropout_is_after_fc6_and_fc7() -> None:
    model = build(dropout=1.0).train()
    clips = video(8)[None]
    assert model.describe({"rgb": clips}).any()
    torch.testing.assert_close(model({"rgb": clips}).logits[0, 0], model.head.bias)


def plain(model: Model, clip: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Window by window."""
    size = model.window or 0
    cut = torch.stack([clip[:, start : start + size] for start in starts.tolist()])
    with torch.no_grad():
        return model.describe({"rgb": cut}), model({"rgb": cut}).logits


@pytest.mark.parametrize(
    ("frames", "starts"),
    [
        (8, range(0, 33, 2)),  # as published: 6 of 8 frames in common
        (8, range(40)),
        (8, range(0, 36, 3)),
        (8, range(0, 40, 8)),  # nothing in common
        (8, [0]),
        (8, [0, 0, 5, 9, 2, 39]),
        (16, range(0, 31, 2)),
        (11, range(25)),
    ],
)
@pytest.mark.parametrize("at_once", [16, 5])
def test_overlapping_windows_give_the_same_as_one_by_one(
    frames: int, starts: list[int], at_once: int
) -> None:
    model = build(frames=frames, rgb_mean=90.0, rgb_std=60.0)
    clip, places = video(48), torch.tensor(list(starts))
    described, logits = plain(model, clip, places)
    with torch.no_grad():
        torch.testing.assert_close(
            model.describe_windows(clip, places, at_once), described, rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(
            model.judge_windows(clip, places, at_once), logits, rtol=1e-5, atol=1e-5
        )


def test_the_published_size_too() -> None:
    model = create_model("c3d", classes=8, settings={"rgb_mean": 110.0, "width": 0.25}).eval()
    clip, places = video(14, 128, 128), torch.arange(0, 7, 2)
    described, logits = plain(model, clip, places)
    with torch.no_grad():
        scale = float(described.max())
        torch.testing.assert_close(
            model.describe_windows(clip, places) / scale, described / scale, rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(model.judge_windows(clip, places), logits, rtol=1e-4, atol=1e-4)


def test_mixed_precision_of_overlapping_windows() -> None:
    model, clip, places = build(rgb_mean=90.0, rgb_std=60.0), video(30), torch.arange(0, 22, 2)
    described, _ = plain(model, clip, places)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        mixed = model.describe_windows(clip, places).float()
    assert float((mixed - described).abs().max() / described.abs().max()) < 0.03


def test_a_model_that_shares_nothing_does_the_same() -> None:
    """The default of every model: windows cut out and described."""
    model, clip, places = build(), video(30), torch.arange(0, 22, 2)
    with torch.no_grad():
        got = torch.cat([Model.describe_overlapping(model, *p) for p in model._parts(clip, places, 4)])
        assert torch.equal(got, torch.cat([plain(model, clip, p)[0] for p in places.split(4)]))
        logits = torch.cat([Model.judge_overlapping(model, *p) for p in model._parts(clip, places, 4)])
        assert torch.equal(logits, torch.cat([plain(model, clip, p)[1] for p in places.split(4)]))


def test_bad_input_in_words() -> None:
    with pytest.raises(ConfigError, match="clips of 4 frames of 32 x 64 are too small"):
        build(frames=4)
    with pytest.raises(ConfigError, match="clips of 8 frames of 16 x 64 are too small"):
        build(size=[16, 64])
    model = build()
    with pytest.raises(InputError, match=r"rgb clips are 9 frames of 32 x 64 .* built for 8 frames"):
        model({"rgb": video(9)[None]})
    with pytest.raises(InputError, match="rgb clips are 8 frames of 32 x 32"):
        model.describe_windows(video(20, 32, 32), torch.arange(3))
    with pytest.raises(InputError, match="begin at 3 to 13, but the recording has 20 frames"):
        model.describe_windows(video(20), torch.tensor([3, 13]))
    srs = create_model("srs_sharing", classes=2, settings={"width": 0.125, "size": [32, 32]})
    with pytest.raises(InputError, match="a network of one stream of pictures; this one sees rgb, flow"):
        srs.describe_windows(video(20, 32, 32), torch.arange(3))
