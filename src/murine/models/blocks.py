"""Layers that more than one family uses, with the numerics of Keras where papers were written in it.

Axis order: (B, C, T, H, W) for clips. "Same" padding is TensorFlow's: out = ceil(in / stride), and where
the padding is odd the extra element comes after, so at stride 2 it is **not** symmetric.

On a CPU all of this is fastest when channels lie next to each other in memory
(`torch.channels_last_3d`); every layer here keeps the layout that comes in.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.models.convolution import KERAS_LEAK, SameConv3d, leaky_relu, relu
from murine.models.geometry import Triple, same_padding, same_size, triple, used_taps

__all__ = [
    "KERAS_LEAK",
    "POOL",
    "Dropout",
    "SameConv3d",
    "Triple",
    "channels_last",
    "keras_batch_norm",
    "keras_initialise",
    "leaky_relu",
    "max_pool",
    "max_pool_reference",
    "max_pool_relu",
    "relu",
    "same_padding",
    "same_size",
    "triple",
    "used_taps",
]

POOL = 3
"""The kernel of every pooling layer of the dual-stream networks, on all three axes."""


def max_pool(x: Tensor, stride: int = 1, *, positive: bool = False) -> Tensor:
    """Max-pool (B, C, T, H, W), kernel 3, one stride for all axes, "same" padding.

    Without a gradient on a CPU a cube's maximum is taken as three maxima along lines, two passes over
    shifted views each: equal in every bit to the library's kernel, and many times faster. With a gradient
    it is the library's kernel, which gives a tie to the first element of the window. `positive`: nothing in
    `x` is below zero, which makes bfloat16 three times as fast (see `max_pool_relu`).
    """
    if _learns(x):
        return max_pool_reference(x, stride)
    if positive and x.dtype == torch.bfloat16:
        return _pool_lines(x.view(torch.int16), stride).view(torch.bfloat16)
    return _pool_lines(x, stride)


def max_pool_relu(x: Tensor, stride: int = 1) -> Tensor:
    """Return ReLU of `max_pool`.

    In bfloat16 the bits are compared as whole numbers, which orders numbers from zero up as they are. Below
    zero the order is wrong, but all of those become zero. Of NaN with a sign, the last 127 of these whole
    numbers below zero, a window keeps one only if it holds nothing from zero up.
    """
    if _learns(x):
        return F.relu(max_pool(x, stride))
    if x.dtype == torch.bfloat16:
        found = F.threshold(_pool_lines(x.view(torch.int16), stride), -128, 0, inplace=True)
        return found.view(torch.bfloat16)
    return relu(_pool_lines(x, stride))


def _learns(x: Tensor) -> bool:
    """True where the library's kernel has to pool."""
    learns = torch.is_grad_enabled() and x.requires_grad
    return learns or x.device.type != "cpu" or torch.compiler.is_compiling()


def _pool_lines(x: Tensor, stride: int) -> Tensor:
    for axis in (2, 3, 4):
        x = _pool_line(x, axis, stride)
    return x


def max_pool_reference(x: Tensor, stride: int = 1) -> Tensor:
    """The same by the library's kernel, whose `ceil_mode` is "same" padding's longer side."""
    before = [same_padding(size, POOL, stride)[0] for size in x.shape[2:]]
    return F.max_pool3d(x, POOL, stride, before, ceil_mode=True)


def _pool_line(x: Tensor, axis: int, stride: int) -> Tensor:
    """Take the maximum of three neighbours along one axis."""
    size = x.shape[axis]
    windows = same_size(size, stride)
    if size == 1:
        return x
    before = same_padding(size, POOL, stride)[0]

    def elements(offset: int, low: int, high: int) -> Tensor:
        """Element `offset` of each window in [low, high), as a view of `x`."""
        first = low * stride - before + offset
        last = (high - 1) * stride - before + offset
        return x[(slice(None),) * axis + (slice(first, last + 1, stride),)]

    middle = elements(1, 0, windows)  # inside the axis in every window
    best = torch.empty_like(middle)
    for offset, so_far in ((0, middle), (2, best)):
        low = 1 if offset < before else 0
        high = windows if (windows - 1) * stride - before + offset < size else windows - 1
        if high > low:
            inside = so_far.narrow(axis, low, high - low)
            torch.maximum(inside, elements(offset, low, high), out=best.narrow(axis, low, high - low))
        if offset == 0:  # windows that reach over the start of the axis have no first element
            best.narrow(axis, 0, low).copy_(middle.narrow(axis, 0, low))
    return best


class Dropout(nn.Module):
    """Dropout whose random numbers cost a CPU a third of the library's (one Bernoulli draw each there)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Set a share `rate` of the values to zero and scale the others up, in training only."""
        if not self.training or self.rate == 0:
            return x
        if self.rate == 1 or x.device.type != "cpu":
            return F.dropout(x, self.rate)
        kept = torch.rand_like(x, dtype=torch.float32) >= self.rate
        return x * kept.to(x.dtype).div_(1 - self.rate)


def keras_batch_norm(channels: int, momentum: float) -> nn.BatchNorm3d:
    """Return a 3D batch norm with Keras' epsilon.

    `momentum` is the share of the *new* statistics (Keras' 0.99 is 0.01 here). Keras' running variance is
    that of the batch, PyTorch's is n / (n - 1) times that.
    """
    return nn.BatchNorm3d(channels, eps=1e-3, momentum=momentum)


def keras_initialise(module: nn.Module) -> None:
    """Set every convolution and dense layer as Keras does: Glorot uniform weights, zero bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def channels_last(module: nn.Module) -> None:
    """Store the weights of 3D convolutions with channels next to each other, as their inputs are."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last_3d)
