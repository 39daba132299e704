"""Dual-stream networks that are added and pass Inception blocks: CIv3D with attention, CIv3D with an LSTM.

The kernels of the first and the second convolution of a module differ, and the flow stream has each pair in
the opposite order. Which of the two streams has which order is not to be seen in the counts: here RGB begins
with 7, as in the first author's published code.
"""

from __future__ import annotations

from math import prod
from types import MappingProxyType

from torch import Tensor

from murine.models.contract import Batch
from murine.models.dual_stream.added import TINY, AddedStreams
from murine.models.dual_stream.entries import add_published
from murine.models.dual_stream.layers import ClipInput, InceptionJoint, scaled
from murine.models.dual_stream.sequence import BidirectionalLSTM, SelfAttention
from murine.models.settings import Count, Natural, Positive, Share

KERNELS = MappingProxyType(
    {"rgb": ((7, 5), (5, 3), (3, 5), (3, 1)), "flow": ((5, 7), (3, 5), (5, 3), (1, 3))}
)
KEY_WIDTH = 64
LSTM_UNITS = 512


class CIv3DMHASharing(AddedStreams):
    """CIv3D_MHA with feature sharing (Table 1): joint blocks 3(b), and after the fourth module's primary
    blocks one head of self-attention over all positions of a stream.

    `attention_dropout`: share of the attention weights that fall out.
    """

    kernels = KERNELS
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
        attention_dropout: Share = 0.3,
        head_units: tuple[Count, ...] = (512, 64),
        norm_momentum: Share = 0.01,
    ) -> None:
        keys = scaled(KEY_WIDTH, width)
        super().__init__(
            ClipInput(frames, size, crop_rows, flow_channels, rgb_mean, rgb_std),
            lambda inputs, narrow, wide: InceptionJoint(inputs, wide),
            width=width,
            dropout=dropout,
            norm_momentum=norm_momentum,
            make_attention=lambda wide: SelfAttention(wide, keys, attention_dropout, norm_momentum),
        )
        self._finish(self.last_channels * prod(self.last_shape), head_units, classes, dropout)


class CIv3DMHAStandalone(CIv3DMHASharing):
    """CIv3D_MHA without feature sharing: 3,490,632 more parameters, a second set of joint blocks."""

    sharing = False


class CIv3DBiLSTMSharing(AddedStreams):
    """CIv3D_BiLSTM with feature sharing (Table 1): joint blocks 3(b), and a bidirectional LSTM that reads the
    positions of the last module row by row, frame by frame, in the place of flattening.

    `block_dropout`: that of the primary blocks. The paper takes it out of this network; the first author's
    published code has 0.2 in the sharing version.
    """

    kernels = KERNELS
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
        block_dropout: Share = 0.0,
        head_units: tuple[Count, ...] = (512, 64),
        norm_momentum: Share = 0.01,
    ) -> None:
        super().__init__(
            ClipInput(frames, size, crop_rows, flow_channels, rgb_mean, rgb_std),
            lambda inputs, narrow, wide: InceptionJoint(inputs, wide),
            width=width,
            dropout=block_dropout,
            norm_momentum=norm_momentum,
        )
        units = scaled(LSTM_UNITS, width)
        self.lstm = BidirectionalLSTM(self.last_channels, units)
        self._finish(2 * units, head_units, classes, dropout)

    def _features(self, batch: Batch) -> Tensor:
        steps = super()._features(batch).flatten(2).transpose(1, 2)
        last: Tensor = self.lstm(steps)
        return last


class CIv3DBiLSTMStandalone(CIv3DBiLSTMSharing):
    """CIv3D_BiLSTM without feature sharing: 3,380,040 more parameters, a second set of joint blocks."""

    sharing = False


add_published("civ3d_bilstm_sharing", CIv3DBiLSTMSharing, "CIv3D_BiLSTM", 13_243_712, TINY)
add_published("civ3d_bilstm_standalone", CIv3DBiLSTMStandalone, "CIv3D_BiLSTM", 16_623_752, TINY)
add_published("civ3d_mha_sharing", CIv3DMHASharing, "CIv3D_MHA", 15_554_112, TINY)
add_published("civ3d_mha_standalone", CIv3DMHAStandalone, "CIv3D_MHA", 19_044_744, TINY)
