"""The layers of MS-TCN as products of matrices against the library's convolutions, and their gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from murine.models import create_model, dilated, ms_tcn, multitask
from murine.models.dilated import add_input_gradient, computes_here, convolve, offsets, weight_gradients


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(
    length=st.integers(1, 20),
    kernel=st.sampled_from([1, 3, 5]),
    dilation=st.sampled_from([1, 2, 7, 32]),
    causal=st.booleans(),
    count=st.integers(1, 3),
)
def test_convolution_and_gradients(
    length: int, kernel: int, dilation: int, causal: bool, count: int
) -> None:
    """Also where a tap sees nothing of so short a recording."""
    x = draw(count, 3, length).requires_grad_()
    weight, bias = draw(4, 3, kernel, seed=1).requires_grad_(), draw(4, seed=2).requires_grad_()
    reach = (kernel - 1) * dilation
    padded = F.pad(x, (reach, 0) if causal else (reach // 2, reach // 2))
    wanted = F.conv1d(padded, weight, bias, dilation=dilation)
    grad = draw(*wanted.shape, seed=3)
    wanted.backward(grad)
    seen = offsets(kernel, dilation, causal)
    with torch.no_grad():
        torch.testing.assert_close(convolve(x, weight, bias, seen), wanted)
        found = weight_gradients(x, grad, weight, seen, 0.5)
        for own, parameter in zip(found, (weight, bias), strict=True):
            torch.testing.assert_close(2 * own, parameter.grad)
        before = draw(*x.shape, seed=4)
        into = before.clone()
        add_input_gradient(into, grad, weight, seen, 0.5)
        torch.testing.assert_close(2 * (into - before), x.grad)


NETWORKS = {
    "ms_tcn": {"maps": 6, "stages": 2, "layers": 4},
    "ms_tcn_pp": {
        "maps": 6,
        "generator_layers": 4,
        "refinement_stages": 1,
        "refinement_layers": 3,
        "kernel": 5,
    },
    "multi_task": {
        "maps": 6,
        "generator_layers": 3,
        "refinement_stages": 1,
        "refinement_layers": 2,
    },
}


def draw_as_the_plain_way(x: Tensor, rate: float) -> tuple[Tensor | None, float]:
    return (torch.rand_like(x) >= rate).to(x.dtype) if rate else None, 1 / (1 - rate)


def test_dropout_keeps_its_share_and_follows_the_seed() -> None:
    x = torch.zeros(3, 7, 4001)  # not a multiple of the numbers drawn at once
    for rate in (0.5, 0.3, 1e-3, 0.99):
        torch.manual_seed(5)
        kept, scale = dilated.draw_kept(x, rate)
        assert kept is not None
        assert kept.shape == x.shape
        assert set(kept.unique().tolist()) == {0.0, 1.0}
        share = float(kept.mean())
        assert share == pytest.approx(1 - rate, abs=5 * (rate * (1 - rate) / x.numel()) ** 0.5 + 1e-5)
        assert scale == pytest.approx(1 / (1 - rate), rel=1e-3)
        following, _ = dilated.draw_kept(x, rate)
        torch.manual_seed(5)
        again, _ = dilated.draw_kept(x, rate)
        assert torch.equal(kept, again)
        assert following is not None
        # independent of what was drawn before, and of the neighbours
        both = (kept - share) * (following - share)
        near = (kept[..., 1:] - share) * (kept[..., :-1] - share)
        for product in (both, near):
            assert abs(float(product.mean())) < 5 * rate * (1 - rate) / x.numel() ** 0.5
    assert dilated.draw_kept(x, 0.0) == (None, 1.0)


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_the_plain_way(
    name: str, dropout: float, causal: bool, padding: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs, gradients of weights and of the pose, dropout of the same values."""
    given = {**NETWORKS[name], "dropout": dropout, "causal": causal}
    model = create_model(name, classes=3, features=5, settings=given).train()
    mask = torch.ones(2, 30, dtype=torch.bool)
    if padding:
        mask[1, 11:] = False
    monkeypatch.setattr(dilated, "draw_kept", draw_as_the_plain_way)
    results = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr(ms_tcn, "computes_here", lambda x: False)
        pose = draw(2, 30, 5).float().requires_grad_()
        model.zero_grad()
        torch.manual_seed(0)
        output = model({"pose": pose, "mask": mask})
        stages = [*output.stages, output.logits]
        sum((s * s).sum() for s in stages).backward()
        results.append([*(s.detach() for s in stages), pose.grad, *(p.grad for p in model.parameters())])
    assert len(results[0]) == len(results[1])
    for own, wanted in zip(*results, strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max() + 1))


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_prediction_equals_the_plain_way(
    padding: bool, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the published size, in pieces shorter than the recording and than its dilations."""
    model = create_model("ms_tcn_pp", classes=4, features=28, settings={"causal": causal}).eval()
    batch = {"pose": draw(2, 300, 28).float()}
    if padding:
        batch["mask"] = torch.arange(300) < torch.tensor([[300], [170]])
    monkeypatch.setattr(dilated, "_PIECE", 128)
    with torch.inference_mode():
        own = model(batch)
        monkeypatch.setattr(ms_tcn, "computes_here", lambda x: False)
        wanted = model(batch)
    for ours, theirs in zip((*own.stages, own.logits), (*wanted.stages, wanted.logits), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_frozen_parts_get_no_gradient() -> None:
    model = create_model("multi_task", classes=3, features=5, settings=NETWORKS["multi_task"]).train()
    assert isinstance(model, multitask.MultiTask)
    for parameter in model.generator.parameters():
        parameter.requires_grad_(False)
    model({"pose": draw(1, 20, 5).float()}).logits.square().sum().backward()
    assert all(p.grad is None for p in model.generator.parameters())
    heads: Any = model.heads
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in heads.parameters() if p.dim() > 1)


def test_other_precisions_take_the_plain_way() -> None:
    x = torch.zeros(1, 2, 3)
    assert computes_here(x)
    assert not computes_here(x.half())
    assert not computes_here(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not computes_here(x)
        model = create_model("ms_tcn_pp", classes=3, features=5, settings=NETWORKS["ms_tcn_pp"])
        assert torch.isfinite(model({"pose": draw(1, 20, 5).float()}).logits.float()).all()
