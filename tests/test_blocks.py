"""Layers shared by families: against hand-worked Keras results and plain numpy."""

from __future__ import annotations

import keras_reference as keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from murine.models.blocks import (
    Dropout,
    SameConv3d,
    channels_last,
    keras_batch_norm,
    keras_initialise,
    leaky_relu,
    max_pool,
    max_pool_reference,
    max_pool_relu,
    relu,
    same_padding,
    same_size,
    used_taps,
)

LAYOUTS = (torch.contiguous_format, torch.channels_last_3d)


def line(*values: float) -> Tensor:
    """One clip with one channel, one frame, one row."""
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, 1, -1)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        # Even lengths at stride 2, as stated for Keras: k3 0/1, k5 1/2, k7 2/3, k1 0/0.
        (128, 3, 2, (0, 1)),
        (96, 5, 2, (1, 2)),
        (8, 7, 2, (2, 3)),
        (8, 1, 2, (0, 0)),
        (7, 3, 2, (1, 1)),
        (9, 5, 1, (2, 2)),
        (8, 3, 4, (0, 0)),
        (1, 3, 2, (1, 1)),
        (1, 5, 1, (2, 2)),
    ],
)
def test_same_padding(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == expected


def test_strided_convolution_begins_at_the_first_element_as_in_keras() -> None:
    conv = SameConv3d(1, 1, (1, 1, 3), (1, 1, 2))
    with torch.no_grad():
        conv.weight.copy_(line(1, 10, 100)[0][None])
        conv.bias.zero_()
    # Keras: windows (1 2 3) and (3 4 0). Padding both sides alike would give (0 1 2) and (2 3 4).
    assert conv(line(1, 2, 3, 4)).flatten().tolist() == [321, 43]
    # An odd length is padded on both sides: (0 1 2), (2 3 4), (4 5 0).
    assert conv(line(1, 2, 3, 4, 5)).flatten().tolist() == [210, 432, 54]


def test_max_pool_by_hand() -> None:
    for pool in (max_pool, max_pool_reference):
        assert pool(line(5, 1, 2, 3, -4, -1), 2).flatten().tolist() == [5, 3, -1]
        assert pool(line(-5, -6, -7), 2).flatten().tolist() == [-5, -6]  # never the padding's zero
        assert pool(line(5, 1, 2, 3, 9, 0, 0, 8), 4).flatten().tolist() == [5, 9]  # 3 of every 4
        assert pool(line(-2), 2).flatten().tolist() == [-2]


@pytest.mark.parametrize("kernel", [1, 3, 5, (1, 1, 7), (7, 1, 1)])
@pytest.mark.parametrize("stride", [1, 2, (1, 2, 2)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_convolution_against_numpy(kernel: object, stride: object, layout: torch.memory_format) -> None:
    conv = SameConv3d(2, 3, kernel, stride)
    channels_last(conv)
    x = torch.randn(2, 2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    strides = (stride,) * 3 if isinstance(stride, int) else stride
    got = conv(x.contiguous(memory_format=layout)).detach().numpy()
    assert got.shape[2:] == tuple(same_size(n, s) for n, s in zip(x.shape[2:], strides, strict=True))
    weight, bias = conv.weight.detach().double().numpy(), conv.bias.detach().double().numpy()
    for clip, out in zip(x.double().numpy(), got, strict=True):
        expected = keras.conv(clip.transpose(1, 2, 3, 0), weight, bias, strides)
        np.testing.assert_allclose(out.transpose(1, 2, 3, 0), expected, rtol=1e-4, atol=1e-5)


@given(st.integers(1, 20), st.integers(1, 8), st.integers(1, 4))
def test_used_taps_are_those_that_meet_an_element(size: int, kernel: int, stride: int) -> None:
    before = same_padding(size, kernel, stride)[0]
    meets = {
        tap
        for tap in range(kernel)
        for at in range(same_size(size, stride))
        if 0 <= at * stride - before + tap < size
    }
    assert used_taps(size, kernel, stride) == (min(meets), max(meets) + 1)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 6, 8), (2, 3, 1), (4, 2, 2)])
@pytest.mark.parametrize(("kernel", "stride"), [(5, 1), (7, 2), ((7, 1, 1), 1), ((1, 1, 7), (1, 2, 2))])
def test_taps_left_out_change_neither_output_nor_gradient(
    shape: tuple[int, int, int], kernel: object, stride: object
) -> None:
    conv = SameConv3d(2, 3, kernel, stride).double()
    channels_last(conv)
    x = torch.randn(2, 2, *shape, dtype=torch.float64, requires_grad=True)
    pads = [same_padding(*a) for a in zip(shape, conv.kernel_size, conv.stride, strict=True)]
    padded = F.pad(x, [n for pair in reversed(pads) for n in pair])
    whole = F.conv3d(padded, conv.weight, conv.bias, conv.stride)
    parameters = [x, conv.weight, conv.bias]
    expected = torch.autograd.grad(whole.square().sum(), parameters)
    out = conv(x)
    torch.testing.assert_close(out, whole)
    for got, wanted in zip(torch.autograd.grad(out.square().sum(), parameters), expected, strict=True):
        torch.testing.assert_close(got, wanted)


def test_pointwise_convolution_has_the_same_gradient_in_both_layouts() -> None:
    conv = SameConv3d(4, 3, 1)
    x = torch.randn(2, 4, 2, 3, 5)
    gradients = []
    for layout in LAYOUTS:
        conv.zero_grad()
        given = x.clone(memory_format=layout).requires_grad_()
        out = conv(given)
        assert out.is_contiguous(memory_format=layout)
        out.square().sum().backward()
        gradients.append((given.grad, conv.weight.grad.clone(), conv.bias.grad.clone()))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@given(
    shape=st.tuples(*[st.integers(1, 11)] * 3),
    stride=st.sampled_from([1, 2, 3, 4, 8]),
    last=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_fast_pool_equals_the_library_and_numpy(
    shape: tuple[int, int, int], stride: int, last: bool, seed: int
) -> None:
    values = torch.randint(-4, 4, (2, 3, *shape), generator=torch.Generator().manual_seed(seed)).float()
    x = values.contiguous(memory_format=LAYOUTS[last])
    fast = max_pool(x, stride)
    assert torch.equal(fast, max_pool_reference(x, stride))
    expected = [keras.pool(clip.transpose(1, 2, 3, 0), stride) for clip in x.numpy()]
    np.testing.assert_array_equal(fast.numpy().transpose(0, 2, 3, 4, 1), np.stack(expected))
    assert torch.equal(x, values), "the input was changed"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_fast_pool_keeps_unusual_values(value: float) -> None:
    x = torch.randn(1, 2, 4, 6, 6)
    x[0, 0, 1, 2, 3] = value
    torch.testing.assert_close(max_pool(x), max_pool_reference(x), equal_nan=True, rtol=0, atol=0)


def test_fast_pool_in_half_precision() -> None:
    x = torch.randn(1, 8, 4, 6, 6).to(torch.bfloat16)
    assert torch.equal(max_pool(x, 2), max_pool_reference(x, 2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_pool_gradient_goes_to_the_first_maximum(layout: torch.memory_format, stride: int) -> None:
    random = torch.Generator().manual_seed(stride)
    x = torch.randint(0, 3, (1, 1, 4, 5, 6), generator=random).float()  # many ties
    x = x.contiguous(memory_format=layout).requires_grad_()
    pooled = max_pool(x, stride)
    gradient = torch.randn(pooled.shape, generator=random)
    pooled.backward(gradient)
    clip = x.detach().numpy()[0, 0]
    expected = np.zeros_like(clip)
    for at in np.ndindex(*pooled.shape[2:]):
        corner = [
            a * stride - same_padding(n, 3, stride)[0] for a, n in zip(at, clip.shape, strict=True)
        ]
        window = [
            (clip[i, j, k], (i, j, k))
            for i in range(max(corner[0], 0), min(corner[0] + 3, clip.shape[0]))
            for j in range(max(corner[1], 0), min(corner[1] + 3, clip.shape[1]))
            for k in range(max(corner[2], 0), min(corner[2] + 3, clip.shape[2]))
        ]
        best = max(value for value, _ in window)
        first = next(place for value, place in window if value == best)
        expected[first] += gradient[0, 0][at].item()
    np.testing.assert_allclose(x.grad.numpy()[0, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stride", [1, 2])
def test_pool_with_relu(kind: torch.dtype, stride: int) -> None:
    """In bfloat16 bits are compared: numbers of all sizes, both zeros and infinities come out right."""
    random = torch.Generator().manual_seed(0)
    sizes = torch.randint(-30, 30, (2, 3, 4, 6, 8), generator=random)
    x = torch.randn(2, 3, 4, 6, 8, generator=random) * 10.0**sizes
    x = torch.where(torch.rand(x.shape, generator=random) < 0.9, -x.abs(), x).to(kind)  # most below zero
    x[0, 0, 1, 2, 3], x[0, 1, 1, 2, 3], x[0, 2], x[1, 0] = torch.inf, -torch.inf, -0.0, -1.0
    x = x.contiguous(memory_format=torch.channels_last_3d)
    expected = relu(max_pool_reference(x, stride))
    assert torch.equal(max_pool_relu(x, stride), expected)
    assert expected.max() == torch.inf
    assert (expected == 0).any()
    positive = x.relu()
    found = max_pool(positive, stride, positive=True)
    assert torch.equal(found, max_pool_reference(positive, stride))
    for sign in (1, -1):  # NaN of either sign stays
        lost = torch.full_like(x, torch.nan).copysign(torch.tensor(sign, dtype=kind))
        assert torch.isnan(max_pool_relu(lost, stride)).all()


def test_pool_with_relu_learns() -> None:
    x = torch.randn(1, 2, 4, 6, 8).requires_grad_()
    max_pool_relu(x, 2).sum().backward()
    assert x.grad.sum() == (max_pool_reference(x, 2) > 0).sum()


def test_pool_and_relu_change_places() -> None:
    x = torch.randn(1, 4, 4, 6, 8)
    assert torch.equal(relu(max_pool(x.clone(), 2)), max_pool(relu(x.clone()), 2))


def test_activations_in_place_only_without_gradients() -> None:
    x = torch.tensor([-1.0, 2.0])
    assert leaky_relu(x).tolist() == pytest.approx([-0.2, 2.0])
    assert x.tolist() == [-1.0, 2.0]
    with torch.no_grad():
        assert relu(x) is x
        assert x.tolist() == [0.0, 2.0]


def test_batch_norm_is_keras() -> None:
    norm = keras_batch_norm(1, 0.01)
    norm(torch.full((1, 1, 1, 1, 2), 10.0))
    assert norm.running_mean.item() == pytest.approx(0.1)
    assert norm.running_var.item() == pytest.approx(0.99)
    out = norm.eval()(line(1.0)).item()
    assert out == pytest.approx((1.0 - 0.1) / (0.99 + 1e-3) ** 0.5)


def test_initialisation_is_glorot_uniform_with_zero_bias() -> None:
    layer = nn.Sequential(SameConv3d(8, 16, 3), nn.Linear(300, 100))
    keras_initialise(layer)
    for weight, bias, fans in (
        (layer[0].weight, layer[0].bias, 27 * (8 + 16)),
        (layer[1].weight, layer[1].bias, 400),
    ):
        limit = (6 / fans) ** 0.5
        assert 0.98 * limit < weight.abs().max() <= limit
        assert weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.03)
        assert not bias.any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dropout(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = torch.ones(4, 8, 4, 16, 16).contiguous(memory_format=layout).requires_grad_()
    dropout = Dropout(0.2)
    y = dropout(x)
    assert y.is_contiguous(memory_format=layout)
    assert sorted(y.detach().unique().tolist()) == pytest.approx([0, 1.25])
    assert (y == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert not torch.equal(dropout(x), y), "the same values fell out twice"
    assert dropout.eval()(x) is x
    assert not Dropout(1.0)(x).any()
    assert Dropout(0.0)(x) is x
