"""Dual-stream networks of Inception blocks whose streams are concatenated: SRS."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from murine.models.blocks import channels_last, keras_initialise, max_pool, same_size
from murine.models.contract import Batch, Model, Output
from murine.models.dual_stream.entries import add_published
from murine.models.dual_stream.layers import ClipInput, Head, Inception, join, scaled
from murine.models.settings import Count, Natural, Positive, Share


class ConcatenatedStreams(Model):
    """Five modules: an Inception block 3(c) per stream, then concatenation and max-pooling by 2; at the end
    one more block, 3(e), for both.

    Sharing: the RGB stream goes on with the joint features, and the flow stream starts again from the raw
    flow at every module (`_raw_flow`). Standalone: each stream is a chain of its own, and the two are
    concatenated after the fifth block.

    `classes`: number of behaviours. `frames`, `size` (height, width), `crop_rows`, `flow_channels`,
    `rgb_mean`, `rgb_std`: the input, see `ClipInput`. `width` multiplies all filters (1: as published).
    `head_units`: hidden dense layers ([1024] for UCF101, Table 8).
    """

    streams = ("rgb", "flow")
    predicts = "centre"

    filters: ClassVar[tuple[int, ...]]
    ratio: ClassVar[float]
    final: ClassVar[int]
    sharing: ClassVar[bool]

    def __init__(
        self,
        classes: int,
        *,
        frames: Count = 8,
        size: tuple[Count, Count] = (128, 128),
        crop_rows: Natural | None = None,
        flow_channels: Count = 3,
        rgb_mean: float = 0.0,
        rgb_std: Positive = 255.0,
        width: Positive = 1.0,
        dropout: Share = 0.2,
        head_units: tuple[Count, ...] = (512, 64),
    ) -> None:
        super().__init__()
        self.window = frames
        self.input = ClipInput(frames, size, crop_rows, flow_channels, rgb_mean, rgb_std)
        self.rgb, self.flow = nn.ModuleList(), nn.ModuleList()
        channels, shape = dict(self.input.channels), self.input.shape
        for filters in self.filters:
            reduced, outputs = scaled(filters, width), scaled(self.ratio * filters, width)
            for name, stream in (("rgb", self.rgb), ("flow", self.flow)):
                stream.append(Inception(channels[name], reduced, outputs))
                channels[name] = 3 * outputs
            if self.sharing:
                channels = {"rgb": 6 * outputs, "flow": flow_channels}
            t, h, w = (same_size(axis, 2) for axis in shape)
            shape = (t, h, w)
        final = scaled(self.final, width)
        self.final_block = Inception(6 * outputs, final, final)
        self.head = Head(3 * final * prod(shape), head_units, classes, dropout)
        keras_initialise(self)
        channels_last(self)

    def forward(self, batch: Batch) -> Output:
        """Return one row of logits per clip, (B, 1, classes)."""
        rgb, raw = self.input(batch)
        joint = self._shared(rgb, raw) if self.sharing else self._standalone(rgb, raw)
        return Output(self.head(join(self.final_block(joint), stride=1)))

    def _shared(self, joint: Tensor, raw: Tensor) -> Tensor:
        for i, (rgb_block, flow_block) in enumerate(zip(self.rgb, self.flow, strict=True)):
            joint = join(rgb_block(joint) + flow_block(_raw_flow(raw, i)), stride=2)
        return joint

    def _standalone(self, rgb: Tensor, flow: Tensor) -> Tensor:
        for rgb_block, flow_block in zip(self.rgb[:-1], self.flow[:-1], strict=True):
            rgb, flow = join(rgb_block(rgb), stride=2), join(flow_block(flow), stride=2)
        return join(self.rgb[-1](rgb) + self.flow[-1](flow), stride=2)


def _raw_flow(raw: Tensor, module: int) -> Tensor:
    """Return what the sharing network's flow stream sees at a module, counted from 0.

    Module 0: the raw flow. Module 1: its centre, half as long on each axis. Then the flow max-pooled with
    stride 4, 8, 16 and kernel 3: it sees 3 of every 4, 8, 16 frames, rows and columns, as published.
    """
    if module == 0:
        return raw
    if module > 1:
        return max_pool(raw, 2**module)
    for axis in (2, 3, 4):
        size = raw.shape[axis]
        kept = same_size(size, 2)
        raw = raw.narrow(axis, (size - kept) // 2, kept)
    return raw.contiguous(memory_format=torch.channels_last_3d) if raw.device.type == "cpu" else raw


class SRSSharing(ConcatenatedStreams):
    """SRS with feature sharing (Table 1, column SRS)."""

    filters = (8, 16, 32, 64, 64)
    ratio = 1.5
    final = 128
    sharing = True


class SRSStandalone(SRSSharing):
    """SRS without feature sharing: 1,848 parameters fewer, those of the raw flow at modules 2 to 5."""

    sharing = False


TINY = {"width": 0.5, "frames": 4, "size": [32, 32], "head_units": [16]}

add_published("srs_sharing", SRSSharing, "SRS", 9_671_872, TINY)
add_published("srs_standalone", SRSStandalone, "SRS", 9_670_024, TINY)
