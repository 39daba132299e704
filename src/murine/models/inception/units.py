"""I3D's convolution and pool: "same" padding as TensorFlow's, batch norm that shifts and does not scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.models.blocks import SameConv3d, max_pool, relu, same_padding, triple

EPSILON = 1e-3
"""Of I3D's batch norm."""


class UnbiasedConv3d(SameConv3d):
    """A 3D convolution with "same" padding and no bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, outputs, kernel, stride)
        self.bias = None


class ShiftNorm(nn.Module):
    """Batch norm without a scale (gamma): (x - mean) / sqrt(variance + 1e-3) + bias.

    `momentum`: share of a batch's statistics in the running ones.
    """

    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same; in training by the batch's own statistics."""
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            None,
            self.bias,
            self.training,
            self.momentum,
            EPSILON,
        )


class Unit3d(nn.Module):
    """Convolution, batch norm, ReLU: 57 of these are I3D."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, momentum: float) -> None:
        super().__init__()
        self.conv = UnbiasedConv3d(inputs, outputs, kernel, stride)
        self.norm = ShiftNorm(outputs, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) -> (B, outputs, ceil(T / s), ceil(H / s), ceil(W / s))."""
        return relu(self.norm(self.conv(x)))


class SamePool3d(nn.Module):
    """Max-pool with "same" padding, kernel and stride of T, H and W; the padding never is the maximum."""

    def __init__(self, kernel: int | Sequence[int], stride: int | Sequence[int]) -> None:
        super().__init__()
        self.kernel, self.stride = triple(kernel), triple(stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, ceil(T / s), ceil(H / s), ceil(W / s))."""
        if self.kernel == (3, 3, 3) and len(set(self.stride)) == 1:
            return max_pool(x, self.stride[0])
        if self.kernel == (1, 3, 3) and self.stride[0] == 1 and self.stride[1] == self.stride[2]:
            return _pool_frames(x, self.stride[1])
        before = [
            same_padding(*axis)[0] for axis in zip(x.shape[2:], self.kernel, self.stride, strict=True)
        ]
        return F.max_pool3d(x, self.kernel, self.stride, before, ceil_mode=True)


def _pool_frames(x: Tensor, stride: int) -> Tensor:
    """Pool 3x3 in each frame by itself: frames as a batch of clips of one, which the fast pool takes."""
    batch, _, frames = x.shape[:3]
    alone = x.transpose(1, 2).flatten(0, 1).unsqueeze(2)  # no copy where channels lie innermost
    pooled = max_pool(alone, stride).squeeze(2)
    return pooled.reshape(batch, frames, *pooled.shape[1:]).transpose(1, 2)
