"""Windows that overlap: every layer over what they share, against the same layer window by window."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from murine.models import Model, create_model, sharing
from murine.models.sharing import Shared, convolve, each_map, join, pool_time, share_frames

SIZE = 9
STARTS = {
    "step 1": range(12),
    "step 2": range(0, 13, 2),
    "step 5": [0, 5, 10],
    "apart": [0, 9],
    "one": [4],
    "any order": [7, 0, 0, 3, 12, 8],
}

each_plan = pytest.mark.parametrize("plan", list(STARTS))


def windows(plan: str, channels: int = 3) -> tuple[Shared, Tensor]:
    """The same windows shared and one by one, (N, C, T, H, W), in double precision."""
    random = torch.Generator().manual_seed(0)
    clip = torch.randn(channels, 21, 6, 8, generator=random, dtype=torch.float64)
    starts = torch.tensor(list(STARTS[plan]))
    return share_frames(clip, starts, SIZE), torch.stack(
        [clip[:, s : s + SIZE] for s in starts.tolist()]
    )


def same(shared: Shared, expected: Tensor) -> None:
    torch.testing.assert_close(shared.whole(), expected, rtol=1e-12, atol=1e-12)


@each_plan
def test_frames_are_those_of_the_windows(plan: str) -> None:
    shared, apart = windows(plan)
    same(shared, apart)
    assert shared.gain == pytest.approx(SIZE * len(apart) / 21)


@each_plan
@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [
        ((3, 3, 3), (1, 1, 1), ((1, 1), (1, 1), (1, 1))),
        ((3, 1, 1), (1, 1, 1), ((1, 1), (0, 0), (0, 0))),
        ((1, 1, 1), (1, 1, 1), ((0, 0), (0, 0), (0, 0))),
        ((1, 3, 3), (1, 2, 2), ((0, 0), (0, 1), (0, 1))),
        ((7, 5, 5), (2, 2, 2), ((2, 3), (1, 2), (1, 2))),
        ((2, 3, 3), (2, 1, 1), ((0, 1), (1, 1), (0, 2))),
        ((3, 3, 3), (1, 1, 1), ((0, 0), (0, 0), (0, 0))),
        ((5, 3, 3), (3, 1, 1), ((4, 4), (1, 1), (1, 1))),
    ],
)
@pytest.mark.parametrize("width", [None, 1, 2, 7])
def test_convolution(
    plan: str,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    pads: sharing.Pads,
    width: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However the taps are grouped; a few maps at once, so that what is kept is needed again."""
    if width is not None:
        monkeypatch.setattr(sharing, "_group", lambda seen, work: width)
    monkeypatch.setattr(sharing, "AT_ONCE", 500)
    random = torch.Generator().manual_seed(1)
    weight = torch.randn(4, 3, *kernel, generator=random, dtype=torch.float64)
    bias = torch.randn(4, generator=random, dtype=torch.float64)
    shared, apart = windows(plan)
    flat = [n for pair in reversed(pads) for n in pair]
    for b in (bias, None):
        expected = F.relu(F.conv3d(F.pad(apart, flat), weight, b, stride))
        same(convolve(shared, weight, b, stride, pads, after=F.relu), expected)


@each_plan
@pytest.mark.parametrize(
    ("taps", "stride", "pads"),
    [(2, 2, (0, 0)), (3, 1, (1, 1)), (3, 2, (1, 1)), (1, 1, (0, 0)), (2, 2, (0, 1)), (1, 3, (0, 0))],
)
def test_pool_in_time(plan: str, taps: int, stride: int, pads: tuple[int, int]) -> None:
    shared, apart = windows(plan)
    padded = F.pad(apart, (0, 0, 0, 0, *pads), value=-torch.inf)
    same(pool_time(shared, taps, stride, pads), padded.unfold(2, taps, stride).amax(-1))


@each_plan
def test_layers_upon_layers(plan: str) -> None:
    """Convolution, pool, two branches side by side, convolution: each window as if it were alone."""
    random = torch.Generator().manual_seed(2)
    first, second = (torch.randn(5, 3, 3, 3, 3, generator=random, dtype=torch.float64) for _ in range(2))
    last = torch.randn(2, 10, 3, 1, 1, generator=random, dtype=torch.float64)
    one, pads = (1, 1, 1), ((1, 1), (1, 1), (1, 1))
    shared, apart = windows(plan)
    a = pool_time(convolve(shared, first, None, one, pads), 3, 1, (1, 1))
    b = each_map(convolve(shared, second, None, one, pads), torch.tanh)
    got = convolve(join([a, b]), last, None, one, ((1, 1), (0, 0), (0, 0)))
    x = F.max_pool3d(F.conv3d(apart, first, padding=1), (3, 1, 1), 1, (1, 0, 0))
    y = torch.tanh(F.conv3d(apart, second, padding=1))
    same(got, F.conv3d(torch.cat([x, y], dim=1), last, padding=(1, 0, 0)))


def test_work_is_really_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve windows of nine frames at a step of one: each tap once per frame, not once per window."""
    done = []
    plain = F.conv2d

    def counted(x: Tensor, *arguments: object) -> Tensor:
        done.append(len(x))
        return plain(x, *arguments)

    monkeypatch.setattr(F, "conv2d", counted)
    monkeypatch.setattr(sharing, "_group", lambda seen, work: 1)
    shared, _ = windows("step 1")
    weight = torch.randn(64, 3, 3, 3, 3, dtype=torch.float64)
    out = convolve(shared, weight, None, (1, 1, 1), ((1, 1), (1, 1), (1, 1)))
    # 20 frames; the first tap is not needed of the last, nor the third of the first.
    assert sum(done) == 19 + 20 + 19
    # Inside 18 frames; of each window its first and its last, which lie beside the padding.
    assert len(out.maps) == 18 + 2 * 12
    assert (np.diff(out.times[:, 0]) == 1).all()


def test_grouping_weighs_sharing_against_adding() -> None:
    shared, _ = windows("step 1")
    rows = sharing._seen(shared, 3, 1, (1, 1))[0]
    assert sharing._group(rows, work=1) == 3  # adding up costs more than the taps themselves
    assert sharing._group(rows, work=5000) == 1


def i3d(name: str) -> Model:
    model = create_model(name, classes=3, settings={"width": 0.125, "frames": 16, "size": [32, 48]})
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            noise = torch.rand(value.shape, generator=random)
            if key.endswith("running_var"):
                value.copy_(noise + 0.5)
            elif key.endswith(("running_mean", "bias")):
                value.copy_(noise * 0.4 - 0.2)
    return model.eval()


@pytest.mark.parametrize("name", ["i3d_rgb", "i3d_flow"])
@pytest.mark.parametrize("step", [1, 2, 3, 16])
def test_i3d_over_windows_that_overlap(name: str, step: int) -> None:
    model = i3d(name)
    channels = 3 if name == "i3d_rgb" else 2
    random = torch.Generator().manual_seed(step)
    small = torch.randint(0, 256, (1, channels, 40, 8, 12), generator=random).float()
    clip = F.interpolate(small, (40, 32, 48))[0].to(torch.uint8)
    starts = torch.arange(0, 25, step)
    batch = {model.streams[0]: torch.stack([clip[:, s : s + 16] for s in starts.tolist()])}
    with torch.no_grad():
        described, logits = model.describe(batch), model(batch).logits
        assert described.std() > 1e-3
        for at_once in (16, 7):
            got = model.describe_windows(clip, starts, at_once)
            torch.testing.assert_close(got, described, rtol=1e-4, atol=1e-5)
            got = model.judge_windows(clip, starts, at_once)
            torch.testing.assert_close(got, logits, rtol=1e-4, atol=1e-5)


def test_i3d_that_learns_takes_window_by_window() -> None:
    model = i3d("i3d_rgb").train()
    clip = torch.randint(0, 256, (3, 20, 32, 48), dtype=torch.uint8)
    starts = torch.arange(4)
    batch = {"rgb": torch.stack([clip[:, s : s + 16] for s in starts.tolist()])}
    with torch.no_grad():
        assert torch.equal(model.describe_windows(clip, starts), model.describe(batch))
