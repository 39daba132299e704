"""Dual-stream networks whose streams are added: the skeleton of three, and the Baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn

from murine.models.blocks import Triple, same_size
from murine.models.contract import Batch
from murine.models.dual_stream.base import DualStream
from murine.models.dual_stream.entries import add_published
from murine.models.dual_stream.layers import ClipInput, DenseJoint, InceptionJoint, Primary, scaled
from murine.models.dual_stream.sequence import SelfAttention
from murine.models.settings import Count, Natural, Positive, Share

Kernels = tuple[tuple[int, int], ...]
MakeJoint = Callable[[int, int, int], DenseJoint | InceptionJoint]
"""From the channels that come in, n and 1.5 n of a module to its joint block."""


class AddedStreams(DualStream):
    """Four modules: a primary block 3(a) per stream, then a joint block.

    Sharing: the streams are added, pass one joint block, and its result feeds **both** streams of the next
    module. Standalone: each stream has its own joint blocks, and the streams are added once, at the end.
    """

    filters: ClassVar[tuple[int, ...]] = (16, 32, 64, 128)
    kernels: ClassVar[Mapping[str, Kernels]]
    sharing: ClassVar[bool]
    strides: ClassVar[tuple[tuple[Triple, Triple], ...]] = (
        ((2, 2, 2), (1, 2, 2)),
        ((2, 2, 2), (1, 1, 1)),
        ((2, 2, 2), (1, 1, 1)),
        ((1, 2, 2), (1, 1, 1)),
    )

    def __init__(
        self,
        clips: ClipInput,
        make_joint: MakeJoint,
        *,
        width: float,
        dropout: float,
        norm_momentum: float,
        make_attention: Callable[[int], SelfAttention] | None = None,
    ) -> None:
        super().__init__(clips)
        self.rgb, self.flow = nn.ModuleList(), nn.ModuleList()
        # One joint block after each module, or one for each stream.
        self.joint, self.rgb_joint, self.flow_joint = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.rgb_attention: nn.Module = nn.Identity()
        self.flow_attention: nn.Module = nn.Identity()
        channels, shape = dict(clips.channels), clips.shape
        for i, filters in enumerate(self.filters):
            narrow, wide = scaled(filters, width), scaled(1.5 * filters, width)
            for name, stream in (("rgb", self.rgb), ("flow", self.flow)):
                kernels = self.kernels[name][i]
                stream.append(
                    Primary(
                        channels[name], narrow, wide, kernels, self.strides[i], dropout, norm_momentum
                    )
                )
            inputs = wide
            if make_attention is not None and i + 1 == len(self.filters):
                rgb_attention, flow_attention = make_attention(wide), make_attention(wide)
                self.rgb_attention, self.flow_attention = rgb_attention, flow_attention
                inputs = rgb_attention.outputs
            for joints in [self.joint] if self.sharing else [self.rgb_joint, self.flow_joint]:
                block = make_joint(inputs, narrow, wide)
                joints.append(block)
                channels = dict.fromkeys(channels, block.outputs)
            for stride in self.strides[i]:
                t, h, w = (same_size(*axis) for axis in zip(shape, stride, strict=True))
                shape = (t, h, w)
        self.last_channels, self.last_shape = channels["rgb"], shape

    def _features(self, batch: Batch) -> Tensor:
        rgb, flow = self.input(batch)
        for i in range(len(self.filters)):
            rgb, flow = self.rgb[i](rgb), self.flow[i](flow)
            if i + 1 == len(self.filters):
                rgb, flow = self.rgb_attention(rgb), self.flow_attention(flow)
            if self.sharing:
                rgb = flow = self.joint[i](rgb + flow)
            else:
                rgb, flow = self.rgb_joint[i](rgb), self.flow_joint[i](flow)
        joint: Tensor = rgb if self.sharing else rgb + flow
        return joint


class BaselineSharing(AddedStreams):
    """The paper's Baseline with feature sharing (Table 1, column Baseline): dense joint blocks 3(d)."""

    kernels = MappingProxyType(dict.fromkeys(("rgb", "flow"), ((5, 5), (3, 3), (5, 5), (5, 5))))
    sharing = True

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
        norm_momentum: Share = 0.01,
    ) -> None:
        super().__init__(
            ClipInput(frames, size, crop_rows, flow_channels, rgb_mean, rgb_std),
            lambda inputs, narrow, wide: DenseJoint(inputs, narrow, dropout),
            width=width,
            dropout=dropout,
            norm_momentum=norm_momentum,
        )
        self._finish(self.last_channels * prod(self.last_shape), head_units, classes, dropout)


class BaselineStandalone(BaselineSharing):
    """The Baseline without feature sharing: 32,880 more parameters, a second set of joint blocks."""

    sharing = False


TINY = {"width": 0.25, "frames": 4, "size": [64, 64], "head_units": [16]}

add_published("baseline_sharing", BaselineSharing, "Baseline", 11_315_848, TINY)
add_published("baseline_standalone", BaselineStandalone, "Baseline", 11_348_728, TINY)
