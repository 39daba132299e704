"""The transformer over embeddings: the library's encoder as a reference, positions, spans, padding."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from murine.errors import ConfigError
from murine.models import Model, create_model
from murine.models.transformer import Attention, sinusoids

SMALL = {"units": 16, "heads": 2, "layers": 2, "feed_forward": 24}


def build(features: int = 5, classes: int = 3, **settings: object) -> Model:
    given = {**SMALL, **settings}
    model = create_model("transformer", classes=classes, features=features, settings=given).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random) * 0.2)
    return model


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(model: Model, x: Tensor, mask: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model({"embedding": x} if mask is None else {"embedding": x, "mask": mask}).logits


def librarys(model: Model, x: Tensor, padding: Tensor | None = None, span: int = 0) -> Tensor:
    """The same network out of the library's encoder layers."""
    head = model.head
    places = torch.arange(x.shape[1])[:, None] / 10_000 ** (torch.arange(0, 16, 2) / 16)
    positions = torch.zeros(x.shape[1], 16)
    positions[:, 0::2], positions[:, 1::2] = places.sin(), places.cos()
    if not head.sinusoidal:
        positions.zero_()
    frames = torch.arange(x.shape[1])
    far = (frames[:, None] - frames).abs() > (span or len(frames))
    x = x @ head.enter.weight.T + head.enter.bias + positions
    for ours in head.layers:
        layer = nn.TransformerEncoderLayer(
            16, 2, 24, 0.0, "gelu", batch_first=True, norm_first=True
        ).eval()
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": ours.attention.enter.weight,
                "self_attn.in_proj_bias": ours.attention.enter.bias,
                "self_attn.out_proj.weight": ours.attention.leave.weight,
                "self_attn.out_proj.bias": ours.attention.leave.bias,
                "linear1.weight": ours.rise.weight,
                "linear1.bias": ours.rise.bias,
                "linear2.weight": ours.fall.weight,
                "linear2.bias": ours.fall.bias,
                "norm1.weight": ours.attention_norm.weight,
                "norm1.bias": ours.attention_norm.bias,
                "norm2.weight": ours.dense_norm.weight,
                "norm2.bias": ours.dense_norm.bias,
            }
        )
        x = layer(x, src_mask=far, src_key_padding_mask=padding)
    x = nn.functional.layer_norm(x, (16,), head.norm.weight, head.norm.bias)
    return x @ head.classify.weight.T + head.classify.bias


@pytest.mark.parametrize("span", [0, 3, 7, 11, 22, 40])
def test_numbers_are_those_of_the_librarys_encoder(span: int) -> None:
    model = build(span=span)
    x = rows(2, 23, 5)
    with torch.no_grad():
        expected = librarys(model, x, span=span)
    assert expected.std() > 0.1
    torch.testing.assert_close(run(model, x), expected, rtol=1e-4, atol=1e-4)


def test_count_by_hand() -> None:
    with torch.device("meta"):
        model = create_model("transformer", classes=1, features=1024)
    dense = 1024 * 128 + 128
    attention = 128 * 384 + 384 + 128 * 128 + 128
    feed_forward = 128 * 256 + 256 + 256 * 128 + 128
    expected = dense + 3 * (attention + feed_forward + 2 * 256) + 256 + (128 + 1)
    assert model.keras_parameters() == expected == 529_025


@pytest.mark.parametrize("span", [0, 4])
@pytest.mark.parametrize("positions", ["sinusoidal", "relative"])
def test_padded_batch_equals_each_alone(span: int, positions: str) -> None:
    model = build(span=span, positions=positions, reach=6)
    lengths = (40, 23, 5, 0)
    x = torch.full((4, 40, 5), float("nan"))
    mask = torch.zeros(4, 40, dtype=torch.bool)
    for i, n in enumerate(lengths):
        x[i, :n] = rows(n, 5, seed=i)
        mask[i, :n] = True
    together = run(model, x, mask)
    assert together.isfinite().all()
    for i, n in enumerate(lengths[:3]):
        alone = run(model, x[i : i + 1, :n])[0]
        torch.testing.assert_close(together[i, :n], alone, rtol=1e-4, atol=1e-5)
    assert not together[~mask].any()


def test_gradients_stay_finite_beside_padding() -> None:
    for span in (0, 4):
        model = build(span=span, positions="relative", dropout=0.3).train()
        mask = torch.zeros(2, 12, dtype=torch.bool)
        mask[0, :5] = True
        model({"embedding": rows(2, 12, 5), "mask": mask}).logits.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_relative_weights_by_hand() -> None:
    """One head of two units, one query: a soft choice by match and by distance, capped at the reach."""
    attention = Attention(2, 1, 0.0, span=0, relative=2)
    with torch.no_grad():
        attention.enter.weight.copy_(torch.cat([torch.eye(2), torch.eye(2), 3 * torch.eye(2)]))
        attention.enter.bias.zero_()
        attention.leave.weight.copy_(torch.eye(2))
        attention.bias.copy_(torch.tensor([[5.0, 0.1, -0.4, 0.7, 2.0]]))
        x = rows(1, 7, 2)
        got = attention(x, torch.ones(1, 7, dtype=torch.bool))
    for t in range(7):
        weights = []
        for s in range(7):
            distance = max(-2, min(2, s - t))
            match = float(x[0, t] @ x[0, s]) / math.sqrt(2)
            weights.append(math.exp(match + [5.0, 0.1, -0.4, 0.7, 2.0][distance + 2]))
        expected = sum(w * 3 * x[0, s] for s, w in enumerate(weights)) / sum(weights)
        torch.testing.assert_close(got[0, t], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reach", [2, 64])
def test_blocks_of_a_span_equal_a_band(reach: int) -> None:
    """Relative weights and a span: the blocks against the whole matrix with a band."""
    model = build(span=5, positions="relative", reach=reach)
    x = rows(2, 33, 5)
    mask = torch.ones(2, 33, dtype=torch.bool)
    mask[1, 20:] = False
    got = run(model, x, mask)
    frames = torch.arange(33)
    near = (frames[:, None] - frames).abs() <= 5

    def whole(self: Attention, query: Tensor, key: Tensor, value: Tensor, real: Tensor) -> Tensor:
        match = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
        distance = (frames - frames[:, None]).clamp(-reach, reach) + reach
        match = match + self.bias[:, distance]
        match = match.masked_fill(~(near & real[:, None, None]), -1e30)
        return match.softmax(-1) @ value

    for layer in model.head.layers:
        layer.attention._near = whole.__get__(layer.attention)
    torch.testing.assert_close(run(model, x, mask), got, rtol=1e-4, atol=1e-5)


def test_relative_positions_know_no_beginning() -> None:
    """What a frame gets depends on its neighbourhood alone, wherever that lies."""
    model = build(span=4, positions="relative", layers=2)
    x = rows(1, 60, 5)
    later = run(model, x[:, 7:])
    torch.testing.assert_close(run(model, x)[:, 7 + 8 :], later[:, 8:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(
        run(build(span=4), x)[:, 15:], run(build(span=4), x[:, 7:])[:, 8:], atol=1e-2
    )


def test_a_span_bounds_what_is_seen() -> None:
    model = build(span=4, layers=3)
    x = rows(1, 61, 5).requires_grad_()
    model({"embedding": x}).logits[0, 30].sum().backward()
    seen = x.grad[0].abs().sum(-1).nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (30 - 12, 30 + 12)


def test_an_hour_at_ten_frames_per_second_fits_with_a_span() -> None:
    """36,000 frames: the whole matrix of one head alone would take 5 GB."""
    model = build(span=50, positions="relative", units=4, layers=1)
    x = rows(1, 36_000, 5)
    got = run(model, x)[0]
    part = run(model, x[:, 20_000:20_300])[0]
    torch.testing.assert_close(got[20_060:20_240], part[60:240], rtol=1e-3, atol=1e-4)


def test_sinusoids_by_hand() -> None:
    table = sinusoids(30, 6, torch.device("cpu"))
    for t in (0, 1, 29):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert float(table[t, 2 * i]) == pytest.approx(math.sin(angle), abs=1e-5)
            assert float(table[t, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=1e-5)


@pytest.mark.parametrize(("units", "heads"), [(10, 4), (9, 3)])
def test_bad_sizes_in_words(units: int, heads: int) -> None:
    with pytest.raises(ConfigError, match=f"even and a multiple of heads = {heads}; came {units}"):
        build(units=units, heads=heads)
