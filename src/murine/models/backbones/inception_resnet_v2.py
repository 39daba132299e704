"""Inception-ResNet-v2 of Keras Applications, without the top.

Sources: Szegedy et al., *Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning*
(2017); widths, padding, residual scales and order of the layers are those that Keras itself reports of its
`InceptionResNetV2`. Its batch norms shift and do not scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.models.backbones.keras_h5 import keras_layout, read_keras
from murine.models.backbones.keras_layers import (
    KerasBackbone,
    KerasLayer,
    ShiftNorm,
    initialise,
    norm_after,
    scale_pixels,
)
from murine.models.backbones.registry import BACKBONES, BackboneEntry
from murine.models.blocks import relu

EPSILON = 1e-3
MOMENTUM = 0.01


class Conv(NamedTuple):
    """Channels out, kernel (height, width or both), stride; `same`: the size stays, else no padding."""

    outputs: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    same: bool = True


Branch = Sequence[Conv]

STEM: tuple[tuple[Conv, ...], ...] = (
    (Conv(32, 3, 2, same=False), Conv(32, 3, same=False), Conv(64, 3)),
    (Conv(80, 1), Conv(192, 3, same=False)),
)
"""Two rows of convolutions, each with a max-pool 3 of stride 2 behind it."""

MIXED_5B: tuple[Branch, ...] = (
    (Conv(96),),
    (Conv(48), Conv(64, 5)),
    (Conv(64), Conv(96, 3), Conv(96, 3)),
    (Conv(64),),  # behind an average pool
)
MIXED_6A: tuple[Branch, ...] = (
    (Conv(384, 3, 2, same=False),),
    (Conv(256), Conv(256, 3), Conv(384, 3, 2, same=False)),
)
MIXED_7A: tuple[Branch, ...] = (
    (Conv(256), Conv(384, 3, 2, same=False)),
    (Conv(256), Conv(288, 3, 2, same=False)),
    (Conv(256), Conv(288, 3), Conv(320, 3, 2, same=False)),
)
BLOCK35: tuple[Branch, ...] = (
    (Conv(32),),
    (Conv(32), Conv(32, 3)),
    (Conv(32), Conv(48, 3), Conv(64, 3)),
)
BLOCK17: tuple[Branch, ...] = ((Conv(192),), (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))))
BLOCK8: tuple[Branch, ...] = ((Conv(192),), (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))))

BLOCKS = {"block35": (BLOCK35, 10, 0.17), "block17": (BLOCK17, 20, 0.1), "block8": (BLOCK8, 10, 0.2)}
"""Branches, how many blocks, and the scale of what each adds; the very last block8 adds it whole."""


class ConvNorm(nn.Module):
    """A convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, sizes: Conv) -> None:
        super().__init__()
        kernel = sizes.kernel if isinstance(sizes.kernel, tuple) else (sizes.kernel, sizes.kernel)
        padding = (kernel[0] // 2, kernel[1] // 2) if sizes.same else 0
        self.conv = nn.Conv2d(inputs, sizes.outputs, kernel, sizes.stride, padding, bias=False)
        self.norm = ShiftNorm(sizes.outputs, EPSILON, MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        return norm_after(self.conv, self.norm, x)


class Branches(nn.Module):
    """Rows of convolutions side by side, their results one after the other by channels.

    `pool`: "average": the last row sees means of 3x3 real pixels; "max": one row more, a max-pool 3 of
    stride 2.
    """

    def __init__(self, inputs: int, branches: Sequence[Branch], pool: str = "") -> None:
        super().__init__()
        self.rows = nn.ModuleList(_row(inputs, branch) for branch in branches)
        self.pool = pool
        self.outputs = sum(branch[-1].outputs for branch in branches)
        self.outputs += inputs if pool == "max" else 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        seen = [x] * len(self.rows)
        if self.pool == "average":
            seen[-1] = F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)
        found = [row(part) for row, part in zip(self.rows, seen, strict=True)]
        return torch.cat([*found, F.max_pool2d(x, 3, 2)] if self.pool == "max" else found, dim=1)


class ResidualBlock(nn.Module):
    """x + scale x (branches, then a 1x1 convolution back to the width of x), and ReLU unless `last`."""

    def __init__(
        self, channels: int, branches: Sequence[Branch], scale: float, last: bool = False
    ) -> None:
        super().__init__()
        self.branches = Branches(channels, branches)
        self.up = nn.Conv2d(self.branches.outputs, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        total = torch.add(x, self.up(self.branches(x)), alpha=self.scale)
        return total if self.last else relu(total)


class InceptionResNetV2(KerasBackbone):
    """Residual network of Inception blocks; pictures of any size from 75."""

    size = (299, 299)
    smallest = 75
    features = 1536

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleList([_row(3, STEM[0]), _row(STEM[0][-1].outputs, STEM[1])])
        self.mixed_5b = Branches(STEM[1][-1].outputs, MIXED_5B, "average")
        self.block35 = _residuals("block35", self.mixed_5b.outputs)
        self.mixed_6a = Branches(self.mixed_5b.outputs, MIXED_6A, "max")
        self.block17 = _residuals("block17", self.mixed_6a.outputs)
        self.mixed_7a = Branches(self.mixed_6a.outputs, MIXED_7A, "max")
        self.block8 = _residuals("block8", self.mixed_7a.outputs)
        self.conv_7b = ConvNorm(self.mixed_7a.outputs, Conv(self.features))
        initialise(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) RGB 0..255 -> (N, 1536)."""
        self.check_size((pictures.shape[-2], pictures.shape[-1]))
        x = scale_pixels(pictures)
        for row in self.stem:
            x = F.max_pool2d(row(x), 3, 2)
        x = self.block35(self.mixed_5b(x))
        x = self.block17(self.mixed_6a(x))
        x = self.block8(self.mixed_7a(x))
        rows: Tensor = self.conv_7b(x).mean((2, 3))
        return rows

    def keras_layers(self) -> list[KerasLayer]:
        """Return the layers with weights in the order of Keras."""
        layers = [layer for i, row in enumerate(STEM) for layer in _numbered([f"stem.{i}"], [row])]
        mixed = {"mixed_5b": MIXED_5B, "mixed_6a": MIXED_6A, "mixed_7a": MIXED_7A}
        for (place, rows), (name, (branches, count, _)) in zip(
            mixed.items(), BLOCKS.items(), strict=True
        ):
            layers += _numbered([f"{place}.rows.{b}" for b in range(len(rows))], rows)
            for i in range(count):
                inside = [f"{name}.{i}.branches.rows.{b}" for b in range(len(branches))]
                layers += _numbered(inside, branches)
                layers.append(KerasLayer("conv2d", f"{name}.{i}.up", f"{name}_{i + 1}_conv"))
        layers.append(KerasLayer("conv2d", "conv_7b.conv", "conv_7b"))
        return [*layers, KerasLayer("batch_normalization", "conv_7b.norm", "conv_7b_bn")]


def _row(inputs: int, branch: Branch) -> nn.Sequential:
    units = []
    for sizes in branch:
        units.append(ConvNorm(inputs, sizes))
        inputs = sizes.outputs
    return nn.Sequential(*units)


def _residuals(name: str, channels: int) -> nn.Sequential:
    branches, count, scale = BLOCKS[name]
    blocks = [ResidualBlock(channels, branches, scale) for _ in range(count)]
    if name == "block8":
        blocks[-1] = ResidualBlock(channels, branches, 1.0, last=True)
    return nn.Sequential(*blocks)


def _numbered(places: Sequence[str], rows: Sequence[Branch]) -> list[KerasLayer]:
    """Return the layers of rows side by side: those farthest from the end first, then row by row."""
    layers: list[KerasLayer] = []
    for distance in range(max(len(row) for row in rows), 0, -1):
        level = [
            f"{place}.{len(row) - distance}"
            for place, row in zip(places, rows, strict=True)
            if len(row) >= distance
        ]
        layers += [KerasLayer("conv2d", f"{unit}.conv") for unit in level]
        layers += [KerasLayer("batch_normalization", f"{unit}.norm") for unit in level]
    return layers


BACKBONES.add(
    "inception_resnet_v2",
    BackboneEntry(
        build=InceptionResNetV2,
        file="inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        read=read_keras,
        layout=keras_layout,
        source="Szegedy et al. 2017, exact to Keras Applications; weights: Apache-2.0, by Keras' documentation",
        published=54_336_736,
    ),
)
