"""The ways of a "same" convolution, each against the library's own on a padded input."""

from __future__ import annotations

import random
from math import prod

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from murine.models import convolution
from murine.models.blocks import SameConv3d, channels_last, leaky_relu, relu, same_padding
from murine.models.convolution import Activation, convolve
from murine.models.geometry import triple

LAST = torch.channels_last_3d
ACTIVATIONS = {"none": lambda x: x, "relu": relu, "leaky_relu": leaky_relu}


def made(
    inputs: int, outputs: int, kernel: object, stride: object, activation: Activation = "none"
) -> SameConv3d:
    """A layer whose numbers bfloat16 holds exactly."""
    torch.manual_seed(0)
    layer = SameConv3d(inputs, outputs, kernel, stride, activation)
    for parameter in layer.parameters():
        parameter.data = parameter.data.bfloat16().float()
    channels_last(layer)
    return layer


def plainly(layer: SameConv3d, x: Tensor) -> Tensor:
    """Zeros around the input, then the library's convolution, in the precision of `x`."""
    sizes = zip(x.shape[2:], layer.kernel_size, layer.stride, strict=True)
    padded = F.pad(x, [n for axis in reversed([*sizes]) for n in same_padding(*axis)])
    return F.conv3d(padded, layer.weight.to(x.dtype), layer.bias.to(x.dtype), layer.stride)


def surrounded(values: Tensor, layout: torch.memory_format) -> Tensor:
    """A copy in the midst of memory that holds NaN: what reads beyond it is found out."""
    around, count = 4096, values.numel()
    room = torch.full((2 * around + count,), torch.nan, dtype=values.dtype)
    strides = torch.empty(values.shape, memory_format=layout).stride()
    return room.as_strided(values.shape, strides, around).copy_(values)


def compare(
    layer: SameConv3d,
    shape: tuple[int, ...],
    layout: torch.memory_format,
    kind: torch.dtype,
    clips: int = 2,
) -> None:
    """Hold output and all gradients of a layer to those of the plain way in the next better precision."""
    x = torch.randn(clips, layer.in_channels, *shape).bfloat16()
    given = surrounded(x.to(kind), layout).requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
        out = layer(given)
    assert out.dtype == kind
    arriving = surrounded(torch.randn(out.shape).bfloat16().to(kind), layout)
    out.backward(arriving)

    better, tolerance = (torch.float32, 0.012) if kind == torch.bfloat16 else (torch.float64, 1e-5)
    exact = x.to(better).requires_grad_()
    expected = plainly(layer, exact)
    # through the same signs: rounding may turn those near zero
    slope = {"none": 1.0, "relu": 0.0, "leaky_relu": 0.2}[layer.activation]
    through = (arriving * torch.where(out > 0, 1.0, slope)).to(better)
    parameters = [exact, layer.weight, layer.bias]
    pairs = [(out, ACTIVATIONS[layer.activation](expected.detach()), 0.0)]
    for given_to, theirs in zip(
        parameters, torch.autograd.grad(expected, parameters, through), strict=True
    ):
        # what rounding leaves in a sum that cancels out goes by its terms
        terms = 0.0 if given_to is exact else float(through.square().sum((0, 2, 3, 4)).sqrt().max())
        ours = given.grad if given_to is exact else given_to.grad
        pairs.append((ours, theirs, terms))
    for ours, theirs, terms in pairs:
        scale = max(float(theirs.abs().max()), terms, 1e-3)
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("fuses", [True, False])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize(
    ("kernel", "stride", "shape"),
    [
        (1, 1, (3, 5, 6)),
        (1, (1, 2, 2), (1, 7, 8)),  # most places left out
        (3, 1, (4, 5, 6)),
        (5, 2, (8, 6, 9)),  # padded on one side more
        (5, 1, (1, 4, 5)),  # taps left out
        (7, (1, 2, 2), (4, 9, 8)),  # frames as channels
        (5, (1, 2, 2), (3, 4, 4)),
        ((7, 1, 1), 1, (4, 3, 3)),
        ((1, 1, 7), 1, (2, 3, 5)),
    ],
)
def test_every_way_is_the_plain_one(
    monkeypatch: pytest.MonkeyPatch,
    fuses: bool,
    activation: Activation,
    kernel: object,
    stride: object,
    shape: tuple[int, int, int],
) -> None:
    if not fuses:  # as with a library built without oneDNN
        monkeypatch.setattr(convolution, "_fuses", lambda kind: False)
    for layout in (LAST, torch.contiguous_format):
        compare(made(3, 4, kernel, stride, activation), shape, layout, torch.float32)


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "stride", "shape"),
    [
        # Each of these was wrong, NaN or the end of the process with oneDNN 3.12 on a processor with AMX.
        (8, 12, 5, 1, (1, 6, 8)),  # a kernel longer than the clip
        (3, 8, 3, 2, (8, 5, 2)),  # one column, reached by a stride
        (3, 4, 7, (1, 2, 2), (7, 10, 2)),
        (16, 24, 3, 1, (8, 96, 64)),  # weights: a picture larger than the second-level cache
        (75, 32, 3, 1, (1, 48, 64)),
        (4, 96, (1, 7, 7), 1, (2, 48, 64)),
        (75, 4, (1, 1, 7), 1, (2, 48, 64)),
        (3, 8, 1, 1, (8, 96, 128)),
        (2, 32, 1, 2, (2, 96, 64)),  # a strided 1x1x1, in float32 too
    ],
)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_where_the_library_fails(
    inputs: int,
    outputs: int,
    kernel: object,
    stride: object,
    shape: tuple[int, int, int],
    kind: torch.dtype,
) -> None:
    compare(made(inputs, outputs, kernel, stride), shape, LAST, kind, clips=1)


def test_a_compiled_layer_sums_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for kernel, stride, shape in ((3, 2, (8, 5, 2)), ((1, 1, 7), 1, (2, 48, 64))):
        layer = made(75, 4, kernel, stride, "relu")
        compare(layer, shape, LAST, torch.bfloat16, clips=1)


def test_bfloat16_of_two_hundred_shapes() -> None:
    chance = random.Random(0)
    for _ in range(200):
        shape = (chance.randint(1, 8), chance.randint(1, 12), chance.randint(1, 24))
        kernel = chance.choice([1, 3, 5, 7, (7, 1, 1), (1, 1, 7)])
        stride = chance.choice([1, 1, 2, (1, 2, 2)]) if isinstance(kernel, int) else 1
        inputs, outputs = chance.choice([1, 2, 3, 3, 6, 8, 15, 24]), chance.choice([1, 4, 8, 12, 33])
        while inputs * outputs * prod(triple(kernel)) * prod(shape) > 5e7:
            shape = (shape[0], shape[1] // 2 + 1, shape[2] // 2 + 1)
            inputs = inputs // 2 + 1
        layer = made(inputs, outputs, kernel, stride, chance.choice(list(ACTIVATIONS)))
        compare(layer, shape, chance.choice([LAST, LAST, torch.contiguous_format]), torch.bfloat16)


def test_frames_become_channels_only_where_it_pays() -> None:
    def taken(kernel: object, stride: object, frames: int) -> bool:
        return SameConv3d(1, 1, kernel, stride)._takes_frames_for_channels(frames)

    assert taken(7, (1, 2, 2), 4)
    assert taken(7, 1, 3)
    assert not taken(5, (1, 2, 2), 4)
    assert not taken(5, 1, 1)
    assert not taken(7, 2, 4)


def test_a_kernel_beyond_the_picture_is_summed_in_float32() -> None:
    """Where taps are not left out, as nobody asked for "same" padding."""
    x = surrounded(torch.randn(1, 8, 1, 3, 3).bfloat16(), LAST)
    weight = torch.randn(4, 8, 1, 5, 5).bfloat16()
    with torch.no_grad():
        found = convolve(x, weight, None, (1, 1, 1), [(0, 0), (3, 3), (3, 3)])
        expected = F.conv3d(x.double(), weight.double(), padding=(0, 3, 3))
    torch.testing.assert_close(found.double(), expected, rtol=0.01, atol=0.1)


def test_prediction_and_training_give_the_same_numbers() -> None:
    layer = made(3, 4, 5, 2, "leaky_relu")
    x = torch.randn(2, 3, 8, 10, 12).contiguous(memory_format=LAST)
    learning = layer(x).detach()
    with torch.inference_mode():
        assert torch.equal(layer(x), learning)


def test_double_precision_takes_the_librarys_way() -> None:
    layer = made(3, 4, 5, 2, "relu").double()
    x = torch.randn(2, 3, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(layer(x), relu(plainly(layer, x)))


def test_frozen_weights_have_no_gradient() -> None:
    for kernel in (1, 3):
        layer = made(3, 4, kernel, 1, "relu").requires_grad_(False)
        x = torch.randn(1, 3, 2, 4, 4).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            layer(x).float().sum().backward()
        assert layer.weight.grad is None
        assert x.grad.abs().sum() > 0
