"""Dual-stream networks whose streams are added: the Baseline."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import ClassVar

from torch import nn

from murine.models.blocks import Triple, channels_last, keras_initialise, same_size
from murine.models.contract import Batch, Model, Output
from murine.models.dual_stream.entries import add_published
from murine.models.dual_stream.layers import ClipInput, DenseJoint, Head, Primary, scaled
from murine.models.settings import Count, Natural, Positive, Share

Kernels = tuple[tuple[int, int], ...]


class AddedStreams(Model):
    """Four modules: a primary block 3(a) per stream, then a joint block.

    Sharing: the streams are added, pass one joint block, and its result feeds **both** streams of the next
    module. Standalone: each stream has its own joint blocks, and the streams are added once, at the end.

    `classes`: number of behaviours. `frames`, `size` (height, width), `crop_rows`, `flow_channels`,
    `rgb_mean`, `rgb_std`: the input, see `ClipInput`. `width` multiplies all filters (1: as published).
    `head_units`: hidden dense layers. `norm_momentum`: share of a batch's statistics in the running ones;
    raise it where training lasts only some hundred steps.
    """

    streams = ("rgb", "flow")
    predicts = "centre"

    filters: ClassVar[tuple[int, ...]]
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
        super().__init__()
        self.window = frames
        self.input = ClipInput(frames, size, crop_rows, flow_channels, rgb_mean, rgb_std)
        self.rgb, self.flow = nn.ModuleList(), nn.ModuleList()
        # One joint block after each module, or one for each stream.
        self.joint, self.rgb_joint, self.flow_joint = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels, shape = dict(self.input.channels), self.input.shape
        for i, filters in enumerate(self.filters):
            narrow, wide = scaled(filters, width), scaled(1.5 * filters, width)
            for name, stream in (("rgb", self.rgb), ("flow", self.flow)):
                kernels = self.kernels[name][i]
                stream.append(
                    Primary(
                        channels[name], narrow, wide, kernels, self.strides[i], dropout, norm_momentum
                    )
                )
                channels[name] = narrow
            for joint in [self.joint] if self.sharing else [self.rgb_joint, self.flow_joint]:
                joint.append(DenseJoint(wide, narrow, dropout))
            for stride in self.strides[i]:
                t, h, w = (same_size(*axis) for axis in zip(shape, stride, strict=True))
                shape = (t, h, w)
        self.head = Head(channels["rgb"] * prod(shape), head_units, classes, dropout)
        keras_initialise(self)
        channels_last(self)

    def forward(self, batch: Batch) -> Output:
        """Return one row of logits per clip, (B, 1, classes)."""
        rgb, flow = self.input(batch)
        for i in range(len(self.filters)):
            rgb, flow = self.rgb[i](rgb), self.flow[i](flow)
            if self.sharing:
                rgb = flow = self.joint[i](rgb + flow)
            else:
                rgb, flow = self.rgb_joint[i](rgb), self.flow_joint[i](flow)
        return Output(self.head(rgb if self.sharing else rgb + flow))


class BaselineSharing(AddedStreams):
    """The paper's Baseline with feature sharing (Table 1, column Baseline)."""

    filters = (16, 32, 64, 128)
    kernels = MappingProxyType(dict.fromkeys(("rgb", "flow"), ((5, 5), (3, 3), (5, 5), (5, 5))))
    sharing = True


class BaselineStandalone(BaselineSharing):
    """The Baseline without feature sharing: 32,880 more parameters, a second set of joint blocks."""

    sharing = False


TINY = {"width": 0.25, "frames": 4, "size": [64, 64], "head_units": [16]}

add_published("baseline_sharing", BaselineSharing, "Baseline", 11_315_848, TINY)
add_published("baseline_standalone", BaselineStandalone, "Baseline", 11_348_728, TINY)
