"""Inception-V1 of single pictures as BVLC released it (GoogLeNet): biases, local response norm, no batch norm.

Source: Szegedy et al. 2015, table 1; Caffe's bvlc_googlenet, without its two auxiliary heads. 6,998,552 values.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.models.blocks import relu
from murine.models.inception.googlenet import MEAN
from murine.models.inception.layout import Pool
from murine.models.inception.response import LocalResponse
from murine.models.inception.trunk import Kit, Trunk

SMALLEST = 32
"""Shortest side of a picture: five times it is halved."""

RESPONSES = {"pool_2a": 64, "conv_2c": 192}
"""Where local response normalisation follows, and over how many channels."""


class Unit2d(nn.Conv2d):
    """A convolution with symmetric padding, a bias and a ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / s, W / s)."""
        return relu(super().forward(x))


class ChannelMean(nn.Module):
    """From RGB, 0..255, to what the released weights were trained on: BGR minus the mean of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, ...) -> the same, float32."""
        return x.flip(1).float() - self.mean.reshape(3, *[1] * (x.dim() - 2))


class InceptionV1(nn.Module):
    """The 2D network. It takes (B, 3, H, W) RGB, uint8 or float in 0..255, of any size from 32 pixels on.

    `classes`: of its head, 0 for none.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.scale = ChannelMean()
        after = {name: LocalResponse(channels) for name, channels in RESPONSES.items()}
        self.body = Trunk(3, Kit(lambda inputs, part: Unit2d(inputs, *part), _pool, 5, after))
        self.head = nn.Linear(self.body.features, classes) if classes else None
        initialise(self.body, self.head)

    def describe(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1024), the mean over the last feature map."""
        x = self.scale(pictures)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.body(x)
        return features.mean(dim=(2, 3))

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, classes); without a head the features."""
        features = self.describe(pictures)
        if self.head is None:
            return features
        logits: Tensor = self.head(features)
        return logits


def initialise(body: Trunk, head: nn.Linear | None) -> None:
    """Draw fresh weights that keep the variance through ReLUs (He et al. 2015); biases are 0.

    The first convolution also brings pixels, which reach to 128 either way, down to about 1.
    """
    first = body.get_submodule("conv_1a")
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            bound = math.sqrt(6.0 / layer.weight[0].numel()) / (128.0 if layer is first else 1.0)
            nn.init.uniform_(layer.weight, -bound, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if head is not None:
        nn.init.xavier_uniform_(head.weight)
        nn.init.zeros_(head.bias)


class CaffePool2d(nn.Module):
    """Max-pool whose last window may hang over the edge, as Caffe rounds; at stride 1 it keeps the size."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / s, W / s)."""
        padding = self.kernel // 2 if self.stride == 1 else 0
        return F.max_pool2d(x, self.kernel, self.stride, padding, ceil_mode=True)


def _pool(part: Pool) -> CaffePool2d:
    return CaffePool2d(3, part.space[1])
