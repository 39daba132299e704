"""ASFormer: an encoder and decoders of dilated convolutions with attention in windows that grow with depth.

Source: Yi, Wen and Jiang, "ASFormer: transformer for action segmentation" (BMVC 2021); sizes are those of the
EPFL study on CalMS21. Unlike the reference release, which takes one recording at a time and gives all frames
of a block the same window, batches are masked and every frame has a window of its own around it. Attention is
computed in blocks, at the cost of the windows.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.blocks import Dropout
from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry
from murine.models.local_attention import Neighbourhood, neighbourhoods, window_sides
from murine.models.ms_tcn import DilatedConv, pose_and_mask
from murine.models.settings import Count, Natural, Positive, Share

FrameNorm = Literal["instance", "layer"]

_EPSILON = 1e-5


class _InstanceNorm(torch.autograd.Function):
    """Each channel less its mean and over its deviation, both of the real frames of a recording.

    A function of its own, so that nothing is kept for the gradient but what came in: the library's has no mask.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, C), mask (B, T, 1) of ones and zeros -> (B, T, C)."""
        values, real = x.float(), mask.float()
        frames = real.sum(1, keepdim=True).clamp(min=1)
        mean = (values * real).sum(1, keepdim=True) / frames
        centred = values - mean
        scale = torch.rsqrt((centred.square() * real).sum(1, keepdim=True) / frames + _EPSILON)
        ctx.save_for_backward(x, mask, mean, scale, frames)
        return centred.mul_(scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of x."""
        x, mask, mean, scale, frames = ctx.saved_tensors
        slope = slopes[0].float()
        normed = (x.float() - mean) * scale
        share = mask.float() / frames
        along = slope.sum(1, keepdim=True) + normed * (slope * normed).sum(1, keepdim=True)
        return ((slope - share * along) * scale).to(x.dtype), None


class Norm(nn.Module):
    """Normalisation without weights: "instance", each channel over the real frames of a recording; "layer", the
    channels of each frame, which no other frame decides.
    """

    def __init__(self, kind: FrameNorm) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, C), mask (B, T, 1) of ones and zeros -> (B, T, C)."""
        if self.kind == "layer":
            return F.layer_norm(x, x.shape[2:], eps=_EPSILON)
        normed: Tensor = _InstanceNorm.apply(x, mask)  # type: ignore[no-untyped-call]
        return normed


class Block(nn.Module):
    """Dilated convolution and ReLU, normalisation, attention in a window, 1x1 convolution, dropout, residual.

    `alpha` scales what attention adds. Queries and keys have maps / `reduce_keys` columns, values maps /
    `reduce_values`. Weights are those of convolutions, as published; frames are kept as rows, the layout that
    attention reads, and the convolutions done as products of matrices.
    """

    def __init__(
        self,
        maps: int,
        dilation: int,
        *,
        reduce_keys: int,
        reduce_values: int,
        alpha: float,
        dropout: float,
        norm: FrameNorm,
        causal: bool,
    ) -> None:
        super().__init__()
        self.dilated = DilatedConv(maps, 3, dilation, causal)
        self.norm = Norm(norm)
        self.query = nn.Conv1d(maps, maps // reduce_keys, 1)
        self.key = nn.Conv1d(maps, maps // reduce_keys, 1)
        self.value = nn.Conv1d(maps, maps // reduce_values, 1)
        self.join = nn.Conv1d(maps // reduce_values, maps, 1)
        self.mix = nn.Conv1d(maps, maps, 1)
        self.dropout = Dropout(dropout)
        self.alpha = alpha

    def forward(self, x: Tensor, other: Tensor | None, mask: Tensor, near: Neighbourhood) -> Tensor:
        """(B, T, maps), zero outside the mask -> the same; `other`: where values come from, if not from x."""
        change = F.relu(self._dilated(x))
        seen = self.norm(change, mask)
        query, key = pointwise(seen, self.query, self.key).chunk(2, dim=-1)
        value = pointwise(seen if other is None else other, self.value)
        attended = pointwise(F.relu(near.attend(query, key, value)), self.join)
        whole: Tensor = (x + self.dropout(pointwise(change + self.alpha * attended, self.mix))) * mask
        return whole

    def _dilated(self, x: Tensor) -> Tensor:
        """Return the dilated convolution of rows: three shifted views, each times the matrix of its tap."""
        conv, frames = self.dilated, x.shape[1]
        step = conv.dilation[0]
        padded = F.pad(x, (0, 0, 2 * step, 0) if conv.past else (0, 0, step, step))
        first, second, third = (padded[:, at : at + frames] for at in (0, step, 2 * step))
        weights = conv.weight.unbind(2)
        middle = F.linear(second, weights[1], conv.bias)
        return middle + F.linear(first, weights[0]) + F.linear(third, weights[2])


def pointwise(x: Tensor, *convolutions: nn.Conv1d) -> Tensor:
    """Return 1x1 convolutions of rows (B, T, C), side by side (B, T, all their maps)."""
    weight = torch.cat([conv.weight[..., 0] for conv in convolutions])
    bias = torch.cat([conv.bias for conv in convolutions if conv.bias is not None])
    return F.linear(x, weight, bias)


class Stage(nn.Module):
    """A 1x1 convolution in, blocks of growing dilation and window, a 1x1 convolution out."""

    def __init__(self, inputs: int, maps: int, classes: int, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.enter = nn.Conv1d(inputs, maps, 1)
        self.blocks = nn.ModuleList(blocks)
        self.leave = nn.Conv1d(maps, classes, 1)

    def forward(
        self, x: Tensor, other: Tensor | None, mask: Tensor, near: list[Neighbourhood]
    ) -> tuple[Tensor, Tensor]:
        """(B, T, inputs) -> logits (B, T, classes) and features (B, T, maps), zero outside the mask."""
        x = pointwise(x, self.enter) * mask
        for block, neighbourhood in zip(self.blocks, near, strict=True):
            x = block(x, other, mask, neighbourhood)
        return pointwise(x, self.leave) * mask, x


class ASFormer(Model):
    """ASFormer on pose features; the logits are the last decoder's, `stages` those before it.

    `classes`, `features`: columns out and in. `maps`: channels inside. `layers`: blocks of the encoder and of
    each of the `decoders`; block i has the dilation 2^i and attends to the 2^i frames around each frame.
    `reduce_keys`, `reduce_values`: by what queries and keys, and values, are narrower than `maps`. A decoder's
    queries and keys are its own, its values those of the stage before; what attention adds there is scaled by
    exp(-`decay` s) in decoder s = 0, 1, ... `channel_masking`: share of input columns dropped in training.
    `norm`: "instance", over a recording as published, or "layer", of each frame alone. `causal`: no frame
    sees a later one; it needs norm = "layer". `exclusive`: a decoder reads the softmax of the stage before it;
    False: the sigmoid, where behaviours may overlap.
    """

    streams = ("pose",)
    predicts = "all"

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        maps: Count = 64,
        layers: Count = 10,
        decoders: Natural = 3,
        reduce_keys: Count = 2,
        reduce_values: Count = 2,
        decay: Positive = 3.0,
        channel_masking: Share = 0.3,
        dropout: Share = 0.5,
        norm: FrameNorm = "instance",
        causal: bool = False,
        exclusive: bool = True,
    ) -> None:
        super().__init__()
        if causal and norm == "instance":
            raise InputError(
                'causal = true needs norm = "layer": "instance" normalises by the whole recording, later '
                "frames included"
            )
        for name, reduce in (("reduce_keys", reduce_keys), ("reduce_values", reduce_values)):
            if reduce > maps:
                raise InputError(f"{name} must be at most maps = {maps}; came {reduce}")
        self.features, self.exclusive, self.causal = features, exclusive, causal
        self.channel_masking = channel_masking
        self.windows = tuple(2**i for i in range(layers))

        def stage(inputs: int, alpha: float) -> Stage:
            blocks: list[nn.Module] = [
                Block(
                    maps, window, reduce_keys=reduce_keys, reduce_values=reduce_values, alpha=alpha,
                    dropout=dropout, norm=norm, causal=causal,
                )
                for window in self.windows
            ]  # fmt: skip
            return Stage(inputs, maps, classes, blocks)

        self.encoder = stage(features, 1.0)
        self.decoders = nn.ModuleList(stage(classes, math.exp(-decay * s)) for s in range(decoders))
        ends = ("enter", "leave")
        self.head_names = (
            "encoder.leave.",
            *(f"decoders.{i}.{end}." for i in range(decoders) for end in ends),
        )
        if norm == "layer":
            sides = [window_sides(window, causal) for window in self.windows]
            before = sum(
                (2 if causal else 1) * w + s[0] for w, s in zip(self.windows, sides, strict=True)
            )
            after = sum((0 if causal else w) + s[1] for w, s in zip(self.windows, sides, strict=True))
            self.reach = (before * (decoders + 1), after * (decoders + 1))

    def forward(self, batch: Batch) -> Output:
        """Return logits (B, T, classes) of every frame, zero outside the mask."""
        x, real = pose_and_mask(batch, self.features)
        # Whole columns of a recording, as channels are masked in the reference.
        x = F.dropout1d(x, self.channel_masking, self.training).transpose(1, 2)
        mask = real.transpose(1, 2)
        kind = x.dtype
        if torch.is_autocast_enabled(x.device.type):
            kind = torch.get_autocast_dtype(x.device.type)
        near = neighbourhoods(mask[..., 0] > 0, self.windows, self.causal, kind)
        logits, values = self.encoder(x, None, mask, near)
        stages = [logits]
        for decoder in self.decoders:
            last = stages[-1].float()
            belief = last.softmax(dim=-1) if self.exclusive else last.sigmoid()
            logits, values = decoder(belief * mask, values, mask, near)
            stages.append(logits)
        return Output(stages[-1], tuple(stages[:-1]))


MODELS.add(
    "asformer",
    ModelEntry(
        build=ASFormer,
        streams=ASFormer.streams,
        family="asformer",
        source="Yi et al., ASFormer; sizes of the EPFL study on CalMS21",
        counted={"classes": 4, "features": 28},
        tiny={"maps": 16, "layers": 3, "decoders": 2, "channel_masking": 0.0},
    ),
)
