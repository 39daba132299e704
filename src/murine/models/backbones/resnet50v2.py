"""ResNet50V2 of Keras Applications, without the top.

Sources: He et al., *Identity Mappings in Deep Residual Networks* (2016); sizes, names, padding and order of the
layers are those that Keras itself reports of its `ResNet50V2`. Unlike the paper, a stage makes its pictures
smaller in its last block, and that block's shortcut takes every second pixel.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from murine.models.backbones.keras_h5 import keras_layout, read_keras
from murine.models.backbones.keras_layers import (
    KerasBackbone,
    KerasLayer,
    initialise,
    norm_after,
    scale_pixels,
)
from murine.models.backbones.registry import BACKBONES, BackboneEntry
from murine.models.blocks import relu

STAGES = ((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1))
"""Width inside a block, blocks, stride of the last block."""

WIDENING = 4
EPSILON = 1.001e-5
MOMENTUM = 0.01


class PreactivationBlock(nn.Module):
    """Norm and ReLU, then 1x1, 3x3 and 1x1 convolutions, added to what came in."""

    def __init__(self, inputs: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        outputs = WIDENING * width
        self.stride = stride
        self.preact_bn = _norm(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = _norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = _norm(width)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if first else None
        self.conv3 = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 4 width, ceil(H / stride), ceil(W / stride))."""
        active = relu(self.preact_bn(x))
        every = self.stride
        same = x[:, :, ::every, ::every] if self.shortcut is None else self.shortcut(active)
        y = norm_after(self.conv1, self.bn1, active)
        y = norm_after(self.conv2, self.bn2, y)
        total: Tensor = same + self.conv3(y)
        return total


class ResNet50V2(KerasBackbone):
    """Residual network of 50 layers with norm and ReLU before each convolution; any size from 32."""

    size = (224, 224)
    smallest = 32
    features = 2048

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, 2, padding=3)
        stages = []
        channels = 64
        for width, blocks, stride in STAGES:
            stage = []
            for i in range(blocks):
                stage.append(
                    PreactivationBlock(channels, width, stride if i == blocks - 1 else 1, i == 0)
                )
                channels = WIDENING * width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)
        self.post_bn = _norm(channels)
        initialise(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) RGB 0..255 -> (N, 2048)."""
        self.check_size((pictures.shape[-2], pictures.shape[-1]))
        x = self.stem(scale_pixels(pictures))
        # Zeros are part of Keras' maximum here, while the library's padding never is.
        x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)
        for stage in self.stages:
            x = stage(x)
        return relu(self.post_bn(x)).mean((2, 3))

    def keras_layers(self) -> list[KerasLayer]:
        """Return the layers with weights in the order of Keras."""
        layers = [KerasLayer("conv2d", "stem", "conv1_conv")]
        for i, (_, blocks, _) in enumerate(STAGES):
            for j in range(blocks):
                ours, theirs = f"stages.{i}.{j}", f"conv{i + 2}_block{j + 1}"
                layers += [
                    KerasLayer("batch_normalization", f"{ours}.preact_bn", f"{theirs}_preact_bn"),
                    KerasLayer("conv2d", f"{ours}.conv1", f"{theirs}_1_conv"),
                    KerasLayer("batch_normalization", f"{ours}.bn1", f"{theirs}_1_bn"),
                    KerasLayer("conv2d", f"{ours}.conv2", f"{theirs}_2_conv"),
                    KerasLayer("batch_normalization", f"{ours}.bn2", f"{theirs}_2_bn"),
                ]
                if j == 0:
                    layers.append(KerasLayer("conv2d", f"{ours}.shortcut", f"{theirs}_0_conv"))
                layers.append(KerasLayer("conv2d", f"{ours}.conv3", f"{theirs}_3_conv"))
        return [*layers, KerasLayer("batch_normalization", "post_bn", "post_bn")]


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)


BACKBONES.add(
    "resnet50v2",
    BackboneEntry(
        build=ResNet50V2,
        file="resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        read=read_keras,
        layout=keras_layout,
        source="He et al. 2016, exact to Keras Applications; weights: BSD licence, by Keras' documentation",
        published=23_564_800,
    ),
)
