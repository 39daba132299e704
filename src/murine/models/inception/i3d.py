"""I3D, the two-stream inflated 3D network, one stream each: 230 tensors as in the released checkpoints.

Source: Carreira and Zisserman, "Quo Vadis, Action Recognition?" (2017); used on swimming mice by Nguyen et al.
(2019), section 2.1. Values at 400 classes, moving statistics counted: RGB 12,704,544, flow 12,682,592.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from murine.models.blocks import Dropout, SameConv3d, channels_last, keras_initialise
from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry
from murine.models.inception.checkpoints import read_i3d
from murine.models.inception.clip_input import check_clip
from murine.models.inception.layout import Pool
from murine.models.inception.sliding import slide
from murine.models.inception.trunk import Kit, Trunk
from murine.models.inception.units import SamePool3d, Unit3d
from murine.models.settings import Count, Positive, Share
from murine.models.sharing import share_frames

WINDOW = (2, 7, 7)
"""Frames, rows and columns of the head's average pool."""


class I3D(Model):
    """One stream of I3D. The label is that of the frame with half the clip before it: of 16 frames, the current
    one has 8 predecessors and 7 successors (Nguyen et al., section 3).

    Pixels 0..255 become -1..1, so 127.5 of a "uv" flow picture, which is no motion, becomes 0. Frames outside the
    mask become 0, as the padding of the convolutions is.

    The head pools 2x7x7, drops, judges each place that is left (1x1x1 convolution) and takes the mean of the
    **logits**. A map smaller than 2x7x7, as clips below 9 frames or 193 pixels give, is pooled whole; pictures
    above 224 pixels leave several places, over which the mean is taken too.

    `frames`, `size` (height, width), `flow_channels`: the input. `width` multiplies all filters (1: as
    published). `dropout`: the share dropped; Nguyen et al. **keep** 0.36. `norm_momentum`: share of a batch's
    statistics in the running ones; raise it where training lasts only some hundred steps.
    """

    predicts = "centre"

    def __init__(
        self,
        classes: int,
        *,
        frames: Count,
        size: tuple[Count, Count],
        width: Positive,
        dropout: Share,
        norm_momentum: Share,
        channels: int,
    ) -> None:
        super().__init__()
        self.window = frames
        self.given = (channels, frames, *size)
        kit = Kit(conv=lambda inputs, part: Unit3d(inputs, *part, norm_momentum), pool=_pool, wide=3)
        self.body = Trunk(channels, kit, width)
        self.described = self.body.features
        self.dropout = Dropout(dropout)
        self.head = SameConv3d(self.described, classes, 1)
        keras_initialise(self)
        channels_last(self)

    def forward(self, batch: Batch) -> Output:
        """Return one row of logits per clip, (B, 1, classes)."""
        return self._judge(self.body(self.scale(batch)))

    def describe(self, batch: Batch) -> Tensor:
        """Return the mean (B, described) of the pooled features; the head makes the logits of exactly these."""
        return _pooled(self.body(self.scale(batch))).mean(dim=(2, 3, 4))

    def describe_overlapping(self, clip: Tensor, starts: Tensor) -> Tensor:
        """Return the same of windows of a short clip (C, T, H, W), computed once where they share it."""
        if self.training:  # a batch norm that learns sees its own batch
            return super().describe_overlapping(clip, starts)
        return _pooled(self._slide(clip, starts)).mean(dim=(2, 3, 4))

    def judge_overlapping(self, clip: Tensor, starts: Tensor) -> Tensor:
        """Return the logits (N, 1, classes) of windows of a short clip, likewise."""
        if self.training:
            return super().judge_overlapping(clip, starts)
        return self._judge(self._slide(clip, starts)).logits

    def _slide(self, clip: Tensor, starts: Tensor) -> Tensor:
        check_clip(clip[None, :, : self.given[1]], self.streams[0], self.given)
        return slide(self.body, share_frames(_scaled(clip[None])[0], starts, self.given[1]))

    def _judge(self, features: Tensor) -> Output:
        """The last feature maps -> one row of logits per clip."""
        places = self.head(self.dropout(_pooled(features)))
        return Output(places.mean(dim=(2, 3, 4))[:, None])

    def scale(self, batch: Batch) -> Tensor:
        """Return the stream (B, C, T, H, W) as the first convolution sees it: -1..1, 0 outside the mask."""
        name = self.streams[0]
        check_clip(batch[name], name, self.given)
        values = _scaled(batch[name])
        mask = batch.get("mask")
        return values if mask is None else values.mul_(mask[:, None, :, None, None])


def _pooled(features: Tensor) -> Tensor:
    window = [min(most, there) for most, there in zip(WINDOW, features.shape[2:], strict=True)]
    return F.avg_pool3d(features, window, stride=1)


def _scaled(clip: Tensor) -> Tensor:
    """0..255 -> -1..1, a copy."""
    # Neighbouring channels make every layer that follows faster on a CPU (see blocks.py).
    layout = torch.channels_last_3d if clip.device.type == "cpu" else torch.preserve_format
    return clip.to(torch.float32, memory_format=layout, copy=True).div_(127.5).sub_(1.0)


def _pool(part: Pool) -> SamePool3d:
    (time, time_stride), (space, space_stride) = part
    return SamePool3d((time, space, space), (time_stride, space_stride, space_stride))


class RgbI3D(I3D):
    """The stream that sees pictures."""

    streams = ("rgb",)

    def __init__(
        self,
        classes: int,
        *,
        frames: Count = 16,
        size: tuple[Count, Count] = (224, 224),
        width: Positive = 1.0,
        dropout: Share = 0.64,
        norm_momentum: Share = 0.01,
    ) -> None:
        super().__init__(
            classes,
            frames=frames,
            size=size,
            width=width,
            dropout=dropout,
            norm_momentum=norm_momentum,
            channels=3,
        )


class FlowI3D(I3D):
    """The stream that sees optical flow: two channels, u and v (three for flow stored as "hsv")."""

    streams = ("flow",)

    def __init__(
        self,
        classes: int,
        *,
        frames: Count = 16,
        size: tuple[Count, Count] = (224, 224),
        flow_channels: Count = 2,
        width: Positive = 1.0,
        dropout: Share = 0.64,
        norm_momentum: Share = 0.01,
    ) -> None:
        super().__init__(
            classes,
            frames=frames,
            size=size,
            width=width,
            dropout=dropout,
            norm_momentum=norm_momentum,
            channels=flow_channels,
        )


for entry_name, build, values in (
    ("i3d_rgb", RgbI3D, 12_704_544),
    ("i3d_flow", FlowI3D, 12_682_592),
):
    MODELS.add(
        entry_name,
        ModelEntry(
            build=build,
            streams=build.streams,
            family="inception",
            source="Carreira and Zisserman 2017, figure 3; Nguyen et al. 2019, section 2.1",
            published=values,
            counted={"classes": 400},
            tiny={"width": 0.125, "frames": 8, "size": [32, 32]},
            read_weights=read_i3d,
        ),
    )
