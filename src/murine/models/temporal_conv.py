"""Temporal convolutional network (TCN) over embeddings.

Source: de Juan, *Automated Mouse Behavior Recognition using LSTM and TCN Networks* (2022), section 4.3 and
Table 4.1, built there from keras-tcn 3.4.4 (Remy), whose block this is. The thesis' networks see 253 frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from murine.errors import InputError
from murine.models.factory import MODELS, ModelEntry
from murine.models.sequence import (
    KERAS_NORM,
    EmbeddingModel,
    SequenceHead,
    keras_dense,
    keras_he_normal,
)
from murine.models.settings import Count, Share

Norm = Literal["batch", "layer", "weight", "none"]


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm of (B, C, T) by the statistics of real frames alone; numerics of Keras.

    Unlike the library's, the running variance is that of the batch itself, not n / (n - 1) times that.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C, T), mask (B, 1, T) of ones and zeros -> (B, C, T)."""
        if mask is None or not self.training:
            return super().forward(x)
        values = x.float()
        frames = mask.sum().clamp(min=1)
        mean = (values * mask).sum((0, 2)) / frames
        variance = ((values - mean[:, None]).square() * mask).sum((0, 2)) / frames
        with torch.no_grad():
            for running, new in ((self.running_mean, mean), (self.running_var, variance)):
                if running is not None:
                    running.lerp_(new.to(running.dtype), self.momentum or 0.0)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (values * scale[:, None] + (self.bias - mean * scale)[:, None]).to(x.dtype)


class Convolution(nn.Module):
    """Dilated convolution, normalisation, ReLU, dropout of whole channels; the length stays.

    Causal: frame t sees no later one. Otherwise it sees as many on both sides.
    """

    def __init__(
        self,
        inputs: int,
        filters: int,
        kernel: int,
        dilation: int,
        *,
        norm: Norm,
        momentum: float,
        dropout: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.conv = keras_he_normal(nn.Conv1d(inputs, filters, kernel, dilation=dilation))
        if norm == "weight":
            weight_norm(self.conv)
        reach = (kernel - 1) * dilation
        self.padding = (reach, 0) if causal else (reach // 2, reach - reach // 2)
        self.batch = MaskedBatchNorm(filters, KERAS_NORM, momentum) if norm == "batch" else None
        self.layer = nn.LayerNorm(filters, KERAS_NORM) if norm == "layer" else None
        self.dropout = dropout

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, inputs, T), zero outside the mask -> (B, filters, T), likewise."""
        x = self.conv(F.pad(x, self.padding))
        if self.batch is not None:
            x = self.batch(x, mask)
        elif self.layer is not None:
            x = self.layer(x.transpose(1, 2)).transpose(1, 2)
        return F.dropout1d(F.relu(x), self.dropout, self.training) * mask


class Block(nn.Module):
    """Two convolutions; their result is the skip output, and its sum with the input, after ReLU, goes on.

    `last`: nothing goes on, so there is no 1x1 convolution that would match the widths for the sum.
    """

    def __init__(self, first: Convolution, second: Convolution, last: bool) -> None:
        super().__init__()
        self.first, self.second, self.last = first, second, last
        inputs, filters = first.conv.in_channels, second.conv.out_channels
        matching = inputs != filters and not last
        self.match = keras_he_normal(nn.Conv1d(inputs, filters, 1)) if matching else None

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, T) -> what goes on and the skip output, both (B, filters, T), zero outside the mask."""
        change = self.second(self.first(x, mask), mask)
        if self.last:
            return change, change
        same = x if self.match is None else self.match(x)
        return F.relu(same + change) * mask, change


class TCNHead(SequenceHead):
    """`layers` temporal convolutional networks on one another, a dense layer for every step.

    A network: `stacks` times a block for each of `dilations`; its output is the sum of the blocks' skip
    outputs. It sees 1 + 2 x (kernel - 1) x stacks x sum(dilations) frames: 253 by the defaults. `norm`: of
    batch, of layer, of weight, or none. `norm_momentum`: share of a batch's statistics in the running ones.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        filters: int = 256,
        kernel: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32),
        stacks: int = 1,
        layers: int = 1,
        norm: Norm = "batch",
        dropout: float = 0.0,
        causal: bool = True,
        norm_momentum: float = 0.01,
    ) -> None:
        super().__init__()
        if not dilations:
            raise InputError("dilations: a TCN needs at least one, such as dilations = [1, 2, 4, 8]")
        every = tuple(dilations) * stacks

        def convolution(inputs: int, dilation: int) -> Convolution:
            return Convolution(
                inputs,
                filters,
                kernel,
                dilation,
                norm=norm,
                momentum=norm_momentum,
                dropout=dropout,
                causal=causal,
            )

        each = [(kernel - 1) * dilation for dilation in every * 2 * layers]
        before = sum(reach if causal else reach // 2 for reach in each)
        self.reach = (before, sum(each) - before)
        self.layers = nn.ModuleList()
        for _ in range(layers):
            blocks = nn.ModuleList()
            for i, dilation in enumerate(every):
                first, second = convolution(features, dilation), convolution(filters, dilation)
                blocks.append(Block(first, second, last=i == len(every) - 1))
                features = filters
            self.layers.append(blocks)
        self.classify = keras_dense(nn.Linear(filters, classes))

    def steps(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F), zero outside the mask -> (B, T, filters)."""
        x = x.transpose(1, 2)
        real = mask[:, None].to(x.dtype)
        for blocks in self.layers:
            skips = []
            for block in blocks:  # type: ignore[attr-defined]
                x, skip = block(x, real)
                skips.append(skip)
            x = torch.stack(skips).sum(0)
        return x.transpose(1, 2)


class TCN(EmbeddingModel):
    """A temporal convolutional network over embeddings; the defaults are the thesis' for both backbones.

    The settings are those of `TCNHead`. The thesis searched layers 1-3, filters 256, 512, 1024, kernel 3 and 5
    and the four norms.
    """

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        filters: Count = 256,
        kernel: Count = 3,
        dilations: tuple[Count, ...] = (1, 2, 4, 8, 16, 32),
        stacks: Count = 1,
        layers: Count = 1,
        norm: Norm = "batch",
        dropout: Share = 0.0,
        causal: bool = True,
        norm_momentum: Share = 0.01,
    ) -> None:
        head = TCNHead(
            features,
            classes,
            filters=filters,
            kernel=kernel,
            dilations=dilations,
            stacks=stacks,
            layers=layers,
            norm=norm,
            dropout=dropout,
            causal=causal,
            norm_momentum=norm_momentum,
        )
        super().__init__(features, head)


MODELS.add(
    "tcn",
    ModelEntry(
        build=TCN,
        streams=TCN.streams,
        family="embeddings",
        source="de Juan, LSTM and TCN networks, section 4.3 and Table 4.1; block of keras-tcn 3.4.4",
        counted={"classes": 1, "features": 2048},
        tiny={"filters": 8, "dilations": [1, 2, 4]},
    ),
)
