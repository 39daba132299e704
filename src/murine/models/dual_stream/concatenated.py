"""Dual-stream networks of Inception blocks whose streams are concatenated: SRS and CRS."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from murine.models.blocks import max_pool, same_size
from murine.models.contract import Batch
from murine.models.dual_stream.base import DualStream
from murine.models.dual_stream.entries import add_published
from murine.models.dual_stream.layers import ClipInput, Inception, join, scaled
from murine.models.settings import Count, Natural, Positive, Share


class ConcatenatedStreams(DualStream):
    """Five modules: an Inception block 3(c) per stream, then concatenation and max-pooling by 2; with SRS one
    more block, 3(e), for both at the end.

    Sharing: the RGB stream goes on with the joint features, and the flow stream meets the raw flow again at
    every module. Standalone: each stream is a chain of its own, and the two are concatenated after the fifth
    block.
    """

    filters: ClassVar[tuple[int, ...]]
    ratio: ClassVar[float]
    final: ClassVar[int] = 0
    sharing: ClassVar[bool]
    reads_joint: ClassVar[bool] = False

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
        super().__init__(ClipInput(frames, size, crop_rows, flow_channels, rgb_mean, rgb_std))
        self.rgb, self.flow = nn.ModuleList(), nn.ModuleList()
        channels, shape = dict(self.input.channels), self.input.shape
        for filters in self.filters:
            reduced, outputs = scaled(filters, width), scaled(self.ratio * filters, width)
            for name, stream in (("rgb", self.rgb), ("flow", self.flow)):
                stream.append(Inception(channels[name], reduced, outputs))
                channels[name] = 3 * outputs
            if self.sharing:
                joint = 6 * outputs
                channels = {"rgb": joint, "flow": flow_channels + joint * self.reads_joint}
            t, h, w = (same_size(axis, 2) for axis in shape)
            shape = (t, h, w)
        features = 6 * outputs
        self.final_block: Inception | None = None
        if self.final:
            final = scaled(self.final, width)
            self.final_block, features = Inception(features, final, final), 3 * final
        self._finish(features * prod(shape), head_units, classes, dropout)

    def _features(self, batch: Batch) -> Tensor:
        rgb, raw = self.input(batch)
        joint = self._shared(rgb, raw) if self.sharing else self._standalone(rgb, raw)
        if self.final_block is None:
            return joint
        return join(self.final_block(joint, max_pool(joint, positive=True)), stride=1)

    def _shared(self, joint: Tensor, raw: Tensor) -> Tensor:
        for i, (rgb_block, flow_block) in enumerate(zip(self.rgb, self.flow, strict=True)):
            flow = self._flow_input(i, raw) if i else raw
            pooled, flow_pooled = max_pool(joint, positive=i > 0), max_pool(flow)
            if i and self.reads_joint:
                flow = torch.cat([joint, flow.to(joint.dtype)], dim=1)
                flow_pooled = torch.cat([pooled, flow_pooled.to(joint.dtype)], dim=1)
            joint = join(rgb_block(joint, pooled) + flow_block(flow, flow_pooled), stride=2)
        return joint

    def _flow_input(self, module: int, raw: Tensor) -> Tensor:
        """Return what the sharing network sees of the raw flow at a module after the first, counted from 0."""
        return max_pool(raw, 2**module)

    def _standalone(self, rgb: Tensor, flow: Tensor) -> Tensor:
        for i, (rgb_block, flow_block) in enumerate(zip(self.rgb, self.flow, strict=True)):
            of_rgb = rgb_block(rgb, max_pool(rgb, positive=i > 0))
            of_flow = flow_block(flow, max_pool(flow, positive=i > 0))
            if i + 1 < len(self.rgb):
                rgb, flow = join(of_rgb, stride=2), join(of_flow, stride=2)
        return join(of_rgb + of_flow, stride=2)


class SRSSharing(ConcatenatedStreams):
    """SRS with feature sharing (Table 1, column SRS): only the RGB stream is reinforced.

    At module 2 the flow stream sees the centre of the raw flow, half as long on each axis; at 3, 4 and 5 the
    raw flow max-pooled with stride 4, 8, 16 and kernel 3, which is 3 of every 4, 8, 16 frames, rows and
    columns, as published.
    """

    filters = (8, 16, 32, 64, 64)
    ratio = 1.5
    final = 128
    sharing = True

    def _flow_input(self, module: int, raw: Tensor) -> Tensor:
        return _centre(raw) if module == 1 else super()._flow_input(module, raw)


class SRSStandalone(SRSSharing):
    """SRS without feature sharing: 1,848 parameters fewer, those of the raw flow at modules 2 to 5."""

    sharing = False


class CRSSharing(ConcatenatedStreams):
    """CRS with feature sharing (Table 1, column CRS): each stream reinforces the other.

    At modules 2 to 5 the flow stream sees the joint features beside the raw flow, max-pooled with stride 2, 4,
    8, 16. The paper's text can be read as more inputs than that; its counts cannot.
    """

    filters = (12, 24, 48, 96, 192)
    ratio = 1.0
    sharing = True
    reads_joint = True


class CRSStandalone(CRSSharing):
    """CRS without feature sharing: 443,880 parameters fewer, as each stream's modules see only its own."""

    sharing = False


def _centre(raw: Tensor) -> Tensor:
    """Return the middle of the frames, rows and columns, half as many of each."""
    for axis in (2, 3, 4):
        size = raw.shape[axis]
        kept = same_size(size, 2)
        raw = raw.narrow(axis, (size - kept) // 2, kept)
    return raw.contiguous(memory_format=torch.channels_last_3d) if raw.device.type == "cpu" else raw


TINY = {"width": 0.5, "frames": 4, "size": [32, 32], "head_units": [16]}

add_published("srs_sharing", SRSSharing, "SRS", 9_671_872, TINY)
add_published("srs_standalone", SRSStandalone, "SRS", 9_670_024, TINY)
add_published("crs_sharing", CRSSharing, "CRS", 22_927_824, TINY)
add_published("crs_standalone", CRSStandalone, "CRS", 22_483_944, TINY)
