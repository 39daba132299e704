"""Layers that more than one family uses, with the numerics of Keras where papers were written in it.

Axis order: (B, C, T, H, W) for clips. "Same" padding is TensorFlow's: out = ceil(in / stride), and where
the padding is odd the extra element comes after, so at stride 2 it is **not** symmetric.

On a CPU all of this is fastest when channels lie next to each other in memory
(`torch.channels_last_3d`); every layer here keeps the layout that comes in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERAS_LEAK = 0.2
"""Slope of TensorFlow's leaky ReLU; PyTorch's default is 0.01."""

POOL = 3
"""The kernel of every pooling layer of the dual-stream networks, on all three axes."""

Triple = tuple[int, int, int]


def triple(value: int | Sequence[int]) -> Triple:
    """Return a size for T, H and W: one number stands for all three."""
    t, h, w = (value, value, value) if isinstance(value, int) else value
    return t, h, w


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many elements "same" padding puts before and after an axis of `size`."""
    total = max((same_size(size, stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def used_taps(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the first tap of a kernel that ever meets an element of an axis, and the one after the last.

    The others see nothing but "same" padding: of a kernel of 5 on an axis of 1, four.
    """
    before = same_padding(size, kernel, stride)[0]
    return max(0, before - (same_size(size, stride) - 1) * stride), min(kernel, size + before)


def same_size(size: int, stride: int) -> int:
    """Return ceil(size / stride)."""
    return -(-size // stride)


class SameConv3d(nn.Conv3d):
    """A 3D convolution with bias and "same" padding: out = ceil(in / stride) on every axis.

    Taps of the kernel that would only meet padding are left out, which changes nothing but the time: the last
    modules have one frame and kernels of 5, and train three to four times as fast. (In bfloat16 oneDNN also
    fails there: with few channels it reads past the picture and gives NaN.)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
    ) -> None:
        super().__init__(inputs, outputs, triple(kernel), triple(stride))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, C_out, ceil(T / s), ceil(H / s), ceil(W / s))."""
        if _channels_last_point(self, x):
            # A product over the innermost axis; the convolution would change the layout and back.
            points = F.linear(x.permute(0, 2, 3, 4, 1), self.weight.flatten(1), self.bias)
            return points.permute(0, 4, 1, 2, 3)
        weight, pads = self.weight, []
        for axis, (size, kernel, stride) in enumerate(
            zip(x.shape[2:], self.kernel_size, self.stride, strict=True), start=2
        ):
            first, stop = used_taps(size, kernel, stride)
            if stop - first < kernel:
                weight = weight.narrow(axis, first, stop - first)
            before, after = same_padding(size, kernel, stride)
            pads.append((before - first, after - (kernel - stop)))
        if all(before == after for before, after in pads):
            padding = triple([before for before, _ in pads])
        else:  # the library pads both sides alike
            x, padding = F.pad(x, [n for pair in reversed(pads) for n in pair]), (0, 0, 0)
        return F.conv3d(x, weight, self.bias, self.stride, padding)


def _channels_last_point(layer: nn.Conv3d, x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and layer.kernel_size == layer.stride == (1, 1, 1)
        and x.is_contiguous(memory_format=torch.channels_last_3d)
    )


def max_pool(x: Tensor, stride: int = 1) -> Tensor:
    """Max-pool (B, C, T, H, W), kernel 3, one stride for all axes, "same" padding.

    Without a gradient on a CPU a cube's maximum is taken as three maxima along lines, two passes over
    shifted views each: equal in every bit to the library's kernel, and many times faster. With a gradient
    it is the library's kernel, which gives a tie to the first element of the window.
    """
    learning = torch.is_grad_enabled() and x.requires_grad
    if learning or x.device.type != "cpu" or torch.compiler.is_compiling():
        return max_pool_reference(x, stride)
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


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with TensorFlow's slope, of a value used nowhere else (in place without gradients)."""
    return F.leaky_relu(x, KERAS_LEAK, inplace=not torch.is_grad_enabled())


def relu(x: Tensor) -> Tensor:
    """ReLU of a value used nowhere else (in place without gradients, which saves a pass over memory)."""
    return F.relu(x, inplace=not torch.is_grad_enabled())


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
