"""Inception-V1's ImageNet weights inflated to 3D: a network of clips that begins where pictures ended.

A kernel of the 2D network is repeated T times along time and divided by T (Carreira and Zisserman 2017, section 3;
Nguyen et al. 2019, section 2.1): T = 7 in the first convolution, 3 where the 2D kernel is 3x3 or 5x5 (which stays
5x5), 1 where it is 1x1. Time is padded by repeating the first and the last frame, so a clip of one picture gives the 2D
network's logits, whatever the temporal stride: every map is then the same at all times.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.blocks import Dropout, channels_last, same_padding
from murine.models.contract import Batch, Model, Output
from murine.models.convolution import convolve
from murine.models.factory import MODELS, ModelEntry
from murine.models.inception.clip_input import check_clip
from murine.models.inception.googlenet import read_googlenet
from murine.models.inception.inception_v1 import (
    RESPONSES,
    SMALLEST,
    CaffePool2d,
    ChannelMean,
    initialise,
)
from murine.models.inception.layout import Conv, Pool, scaled_filters
from murine.models.inception.response import LocalResponse
from murine.models.inception.trunk import Kit, Trunk
from murine.models.settings import Count, Positive, Share

TIMES = {1: 1, 3: 3, 5: 3, 7: 7}
"""Kernel in time by the kernel in the picture."""

FIRST = "body.conv_1a."
"""The first convolution's tensors."""

TemporalStride = Literal[1, 2, 4, 8]


class InflatedUnit(nn.Conv3d):
    """A convolution with bias and ReLU; zeros around the picture, repeated frames around the clip."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, time_stride: int) -> None:
        side = kernel // 2
        super().__init__(
            inputs,
            outputs,
            (TIMES[kernel], kernel, kernel),
            (time_stride, stride, stride),
            padding=(0, side, side),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) -> (B, outputs, ceil(T / time stride), H / s, W / s)."""
        before, after = same_padding(x.shape[2], self.kernel_size[0], self.stride[0])
        if before or after:
            first, last = x[:, :, :1], x[:, :, -1:]
            x = torch.cat([*[first] * before, x, *[last] * after], dim=2)
        side = self.kernel_size[1] // 2
        pads = [(0, 0), (side, side), (side, side)]
        return convolve(x, self.weight, self.bias, self.stride, pads, "relu")


class FramePool(nn.Module):
    """The 2D network's max-pool in each frame; with a stride in time also the maximum of so many frames."""

    def __init__(self, stride: int, time_stride: int) -> None:
        super().__init__()
        self.pool = CaffePool2d(3, stride)
        self.time_stride = time_stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, ceil(T / time stride), H / s, W / s)."""
        batch, _, frames = x.shape[:3]
        pooled = self.pool(x.transpose(1, 2).flatten(0, 1))
        x = pooled.reshape(batch, frames, *pooled.shape[1:]).transpose(1, 2)
        if self.time_stride == 1:
            return x
        step = (self.time_stride, 1, 1)
        return F.max_pool3d(x, step, step, ceil_mode=True)


class InflatedInceptionV1(Model):
    """The inflated network as a model of one stream; the label is that of the middle frame, as I3D's.

    Frames outside the mask become 0, which is the mean colour or no motion. Flow is scaled as
    pictures are (0..255 minus 127.5), and its first kernels, on reading 2D weights, are the mean over the three
    colours, once for each channel of flow.

    `frames`, `size` (height, width), `flow_channels`: the input. `temporal_stride`: 1, every map has all frames;
    2, 4, 8: the first convolution, then the pools before 4b and 5b halve them, as in I3D. `width` multiplies all
    filters; weights fit at 1. `dropout`: share of the features dropped before the head.
    """

    predicts = "centre"

    def __init__(
        self,
        classes: int,
        *,
        frames: Count,
        size: tuple[Count, Count],
        temporal_stride: TemporalStride,
        width: Positive,
        dropout: Share,
        channels: int,
    ) -> None:
        super().__init__()
        self.window = frames
        self.given = (channels, frames, *size)
        if min(size) < SMALLEST:
            raise InputError(
                f"'size' is {list(size)}; this network halves pictures five times, so at least {SMALLEST} each way"
            )
        stem, fourth, fifth = (2 if temporal_stride >= least else 1 for least in (2, 4, 8))

        def conv(inputs: int, part: Conv) -> InflatedUnit:
            return InflatedUnit(inputs, *part, stem if part.kernel == 7 else 1)

        def pool(part: Pool) -> FramePool:
            # The pools before 4b and 5b are those that stride in time; their kernels tell them apart.
            time_stride = {(3, 2): fourth, (2, 2): fifth}.get(part.time, 1)
            return FramePool(part.space[1], time_stride)

        after = {name: LocalResponse(scaled_filters(n, width)) for name, n in RESPONSES.items()}
        self.scale = ChannelMean()
        self.body = Trunk(channels, Kit(conv, pool, 5, after), width)
        self.described = self.body.features
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(self.described, classes)
        initialise(self.body, self.head)
        channels_last(self)

    def forward(self, batch: Batch) -> Output:
        """Return one row of logits per clip, (B, 1, classes)."""
        return Output(self.head(self.dropout(self.describe(batch)))[:, None])

    def describe(self, batch: Batch) -> Tensor:
        """Return the mean (B, described) over the last feature map."""
        name = self.streams[0]
        clip = batch[name]
        check_clip(clip, name, self.given)
        x = self.scale(clip) if name == "rgb" else clip.float() - 127.5
        if "mask" in batch:
            x = x.mul_(batch["mask"][:, None, :, None, None])
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last_3d)
        features: Tensor = self.body(x)
        return features.mean(dim=(2, 3, 4))


def inflate(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], stream: str) -> dict[str, Tensor]:
    """Return the 2D network's tensors as those of the inflated one of a stream, whose own tensors are `wanted`.

    Kernels (out, in, H, W) become (out, in, T, H, W), each a T-th of the 2D kernel. The first kernels of flow are, in
    each of its channels, the mean over the three colours.
    """
    inflated = {}
    for name, value in state.items():
        target = wanted[name]
        if value.dim() == 4:
            if stream == "flow" and name.startswith(FIRST):
                value = value.mean(dim=1, keepdim=True).expand(-1, target.shape[1], -1, -1)
            times = target.shape[2]
            value = (value / times)[:, :, None].expand(-1, -1, times, -1, -1)
        inflated[name] = value.contiguous()
    return inflated


def read_inflated(path: Path, model: Model) -> tuple[dict[str, Tensor], str]:
    """Read the 2D network's file as the state of an inflated model, and say what was read.

    A head for another number of classes is left out. Raises InputError that lists every tensor missing, extra or of
    another shape.
    """
    wanted = model.state_dict()
    flat = {name: _shape_in_2d(name, value) for name, value in wanted.items()}
    state, words = read_googlenet(path, flat)
    return inflate(state, wanted, model.streams[0]), f"inflated to 3D from {words}"


def _shape_in_2d(name: str, value: Tensor) -> tuple[int, ...]:
    shape = tuple(value.shape)
    if len(shape) != 5:
        return shape
    return (shape[0], 3 if name.startswith(FIRST) else shape[1], *shape[3:])


class InflatedRgb(InflatedInceptionV1):
    """The stream that sees pictures."""

    streams = ("rgb",)

    def __init__(
        self,
        classes: int,
        *,
        frames: Count = 16,
        size: tuple[Count, Count] = (224, 224),
        temporal_stride: TemporalStride = 8,
        width: Positive = 1.0,
        dropout: Share = 0.4,
    ) -> None:
        super().__init__(
            classes,
            frames=frames,
            size=size,
            temporal_stride=temporal_stride,
            width=width,
            dropout=dropout,
            channels=3,
        )


class InflatedFlow(InflatedInceptionV1):
    """The stream that sees optical flow: two channels, u and v (three for flow stored as "hsv")."""

    streams = ("flow",)

    def __init__(
        self,
        classes: int,
        *,
        frames: Count = 16,
        size: tuple[Count, Count] = (224, 224),
        flow_channels: Count = 2,
        temporal_stride: TemporalStride = 8,
        width: Positive = 1.0,
        dropout: Share = 0.4,
    ) -> None:
        super().__init__(
            classes,
            frames=frames,
            size=size,
            temporal_stride=temporal_stride,
            width=width,
            dropout=dropout,
            channels=flow_channels,
        )


for entry_name, build in (("inflated_rgb", InflatedRgb), ("inflated_flow", InflatedFlow)):
    MODELS.add(
        entry_name,
        ModelEntry(
            build=build,
            streams=build.streams,
            family="inception",
            source="BVLC GoogLeNet inflated as in Carreira and Zisserman 2017, section 3",
            tiny={"width": 0.125, "frames": 8, "size": [32, 32]},
            read_weights=read_inflated,
        ),
    )
