"""The 3D ConvNet of Le and Murari, *Recurrent 3D Convolutional Network for Rodent Behavior Recognition* (2019).

Source: section 4.1 (clips of 8 frames of 128 x 128, kernels, pools, two dense layers of 2,048). The numbers of
filters are not printed; they are those of C3D (Tran et al. 2015, figure 3), which the paper says it resembles.
"""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.blocks import Dropout, SameConv3d, Triple, channels_last, relu
from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry
from murine.models.inception.clip_input import check_clip
from murine.models.settings import Count, Positive, Share
from murine.models.sharing import Pads, convolve, pool_time, share_frames

POOLS: tuple[Triple, ...] = ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
"""Kernel and stride of the pool after each convolution."""

WORTH = 1.2
"""How many times fewer maps there must be for the next layer to go on sharing."""

PADS: Pads = ((1, 1), (1, 1), (1, 1))
"""Of every convolution."""


class C3D(Model):
    """Five 3x3x3 convolutions of stride 1, each with ReLU and max-pool; two dense layers with ReLU; the logits.

    What the first dense layer gives (fc6, after ReLU) describes a clip. The convolutions keep the size
    (padding with zeros): without it eight frames would not outlast the pools. Weights begin as He et al. have
    them; the paper does not say.

    `frames`, `size` (height, width), `rgb_mean`, `rgb_std`: the input, (x - mean) / std. `filters`: of each
    convolution. `units`: of each dense layer. `width` multiplies all of these. `dropout`: after each dense
    layer, as in C3D; the paper does not mention it.
    """

    streams = ("rgb",)
    predicts = "centre"

    def __init__(
        self,
        classes: int,
        *,
        frames: Count = 8,
        size: tuple[Count, Count] = (128, 128),
        rgb_mean: float = 0.0,
        rgb_std: Positive = 255.0,
        filters: tuple[Count, Count, Count, Count, Count] = (64, 128, 256, 512, 512),
        units: Count = 2048,
        width: Positive = 1.0,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__()
        shape = [axis // prod(pool[i] for pool in POOLS) for i, axis in enumerate((frames, *size))]
        if not all(shape):
            raise InputError(
                f"clips of {frames} frames of {size[0]} x {size[1]} are too small: the pools leave nothing of "
                "less than 8 frames or 32 x 32. Make window.frames or input.size larger"
            )
        self.window = frames
        self.given = (3, frames, *size)
        self.constants = (rgb_mean, rgb_std)
        self.convs = nn.ModuleList()
        channels = 3
        for count in filters:
            outputs = max(1, round(count * width))
            self.convs.append(SameConv3d(channels, outputs, 3))
            channels = outputs
        self.described = max(1, round(units * width))
        self.fc6 = nn.Linear(channels * prod(shape), self.described)
        self.fc7 = nn.Linear(self.described, self.described)
        self.head = nn.Linear(self.described, classes)
        self.dropout = Dropout(dropout)
        for layer in (*self.convs, self.fc6, self.fc7, self.head):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        channels_last(self)

    def forward(self, batch: Batch) -> Output:
        """Return one row of logits per clip, (B, 1, classes)."""
        return Output(self._judge(self.describe(batch))[:, None])

    def describe(self, batch: Batch) -> Tensor:
        """Return fc6 after ReLU, (B, described)."""
        clip = batch["rgb"]
        check_clip(clip, "rgb", self.given)
        x, mask = self._scaled(clip), batch.get("mask")
        if mask is not None:  # zero outside the mask, as the padding of the convolutions
            x = x.mul_(mask[:, None, :, None, None])
        return self._describe(x, self._layers())

    def _describe(self, x: Tensor, layers: list[tuple[nn.Conv3d, Triple]]) -> Tensor:
        """What comes after a layer (B, C, T, H, W) -> (B, described), by the layers that are left."""
        for conv, pool in layers:
            # ReLU after the pool: the numbers are the same, and there are fewer of them.
            x = relu(F.max_pool3d(conv(x), pool))
        return relu(self.fc6(x.flatten(1)))

    def describe_overlapping(self, clip: Tensor, starts: Tensor) -> Tensor:
        """Return the same of windows of a short clip (3, T, H, W), computed once where they share it.

        Of eight frames three layers share; after the third pool each map has seen an end of its window.
        """
        check_clip(clip[None, :, : self.given[1]], "rgb", self.given)
        shared = share_frames(self._scaled(clip[None])[0], starts, self.given[1])
        layers = self._layers()
        while layers and shared.gain > WORTH:
            conv, (frames, _, _) = layers.pop(0)
            shared = convolve(shared, conv.weight, conv.bias, (1, 1, 1), PADS, after=_pool_picture)
            shared = pool_time(shared, frames, frames)
        return self._describe(shared.whole(), layers)

    def judge_overlapping(self, clip: Tensor, starts: Tensor) -> Tensor:
        """Return the logits (N, 1, classes) of windows of a short clip, likewise."""
        return self._judge(self.describe_overlapping(clip, starts))[:, None]

    def _judge(self, described: Tensor) -> Tensor:
        """(B, described) -> logits (B, classes)."""
        x = relu(self.fc7(self.dropout(described)))
        logits: Tensor = self.head(self.dropout(x))
        return logits

    def _layers(self) -> list[tuple[nn.Conv3d, Triple]]:
        """Return the convolutions, each with the pool after it."""
        convs = (conv for conv in self.convs if isinstance(conv, nn.Conv3d))
        return list(zip(convs, POOLS, strict=True))

    def _scaled(self, clip: Tensor) -> Tensor:
        """Return clips (B, 3, T, H, W) as the first convolution sees them, a copy."""
        # Neighbouring channels make every layer that follows faster on a CPU (see blocks.py).
        layout = torch.channels_last_3d if clip.device.type == "cpu" else torch.preserve_format
        mean, deviation = self.constants
        return clip.to(torch.float32, memory_format=layout, copy=True).sub_(mean).div_(deviation)


def _pool_picture(x: Tensor) -> Tensor:
    """(U, C, H, W): the part of every pool that looks at one frame, and ReLU."""
    return relu(F.max_pool2d(x, POOLS[0][1:]))


MODELS.add(
    "c3d",
    ModelEntry(
        build=C3D,
        streams=C3D.streams,
        family="c3d",
        source="Le and Murari, recurrent 3D convolutional network, section 4.1; filters of Tran et al., C3D",
        tiny={"width": 0.125, "size": [32, 32]},
    ),
)
