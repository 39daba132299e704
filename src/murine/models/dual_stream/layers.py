"""The parts of the dual-stream networks, named as in the paper's figure 3 where it names them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.blocks import (
    Dropout,
    SameConv3d,
    Triple,
    keras_batch_norm,
    leaky_relu,
    max_pool,
    max_pool_relu,
    relu,
)
from murine.models.contract import Batch


def scaled(filters: float, width: float) -> int:
    """Return a number of filters times a width, at least one."""
    return max(1, round(filters * width))


class ClipInput(nn.Module):
    """What the network does to its two inputs before the first module: scale, mask, cut rows.

    Flow is divided by 255; RGB becomes (x - rgb_mean) / rgb_std with constants, as the published totals
    hold no normalisation layer. `crop_rows` rows fall away at the top and at the bottom (16 of 128 in
    the paper; None: an eighth of the height). Frames outside the mask become zero, as if padded.
    """

    def __init__(
        self,
        frames: int,
        size: tuple[int, int],
        crop_rows: int | None,
        flow_channels: int,
        rgb_mean: float,
        rgb_std: float,
    ) -> None:
        super().__init__()
        self.crop = size[0] // 8 if crop_rows is None else crop_rows
        if size[0] <= 2 * self.crop:
            raise InputError(
                f"crop_rows = {self.crop} at both ends leaves nothing of {size[0]} rows; make it smaller"
            )
        self.channels = {"rgb": 3, "flow": flow_channels}
        self.given: Triple = (frames, *size)
        self.shape: Triple = (frames, size[0] - 2 * self.crop, size[1])
        self.constants = {"rgb": (rgb_mean, rgb_std), "flow": (0.0, 255.0)}

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return rgb (B, 3, T, rows, W) and flow (B, flow_channels, T, rows, W), float32."""
        return self._stream(batch, "rgb"), self._stream(batch, "flow")

    def _stream(self, batch: Batch, name: str) -> Tensor:
        clip = batch[name]
        expected = (self.channels[name], *self.given)
        if tuple(clip.shape[1:]) != expected:
            raise InputError(
                f"{name} clips are {_words(clip.shape[1:])}; this network is built for {_words(expected)}. "
                "Its settings frames, size and flow_channels must be those of the recipe's input"
            )
        mean, deviation = self.constants[name]
        # Neighbouring channels make every layer that follows faster on a CPU (see blocks.py).
        layout = torch.channels_last_3d if clip.device.type == "cpu" else torch.preserve_format
        rows = clip[:, :, :, self.crop : self.given[1] - self.crop]
        values = rows.to(torch.float32, memory_format=layout, copy=True)
        values = values.sub_(mean).div_(deviation) if mean else values.div_(deviation)
        mask = batch.get("mask")
        return values if mask is None else values.mul_(mask[:, None, :, None, None])


def _words(shape: Sequence[int]) -> str:
    channels, frames, height, width = shape
    return f"{frames} frames of {height} x {width} with {channels} channels"


class Primary(nn.Module):
    """3(a): convolution to n, leaky ReLU, dropout, convolution to 1.5 n, leaky ReLU, batch norm."""

    def __init__(
        self,
        inputs: int,
        filters: int,
        outputs: int,
        kernels: tuple[int, int],
        strides: tuple[Triple, Triple],
        dropout: float,
        momentum: float,
    ) -> None:
        super().__init__()
        self.conv1 = SameConv3d(inputs, filters, kernels[0], strides[0], "leaky_relu")
        self.dropout = Dropout(dropout)
        self.conv2 = SameConv3d(filters, outputs, kernels[1], strides[1], "leaky_relu")
        self.norm = keras_batch_norm(outputs, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) -> (B, outputs, T', H', W')."""
        normalised: Tensor = self.norm(self.conv2(self.dropout(self.conv1(x))))
        return normalised


class DenseJoint(nn.Module):
    """3(d): a dense layer over the channels, leaky ReLU, dropout; of added streams or of one stream.

    That the activation is a leaky ReLU is our choice: the counts do not show it.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.outputs = outputs
        self.dense = SameConv3d(inputs, outputs, 1, activation="leaky_relu")
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) -> (B, outputs, T, H, W)."""
        out: Tensor = self.dropout(self.dense(x))
        return out


class InceptionJoint(nn.Module):
    """3(b), "Inception v3_D" without its strides: two branches of convolutions, each to `filters`, from a
    common 1x1x1 stem, beside the max-pooled input. Of added streams or of one stream.

    1x1x7 runs along a row, 7x1x1 along time, as in the first author's published code.
    """

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.outputs = 2 * filters + inputs
        self.stem = SameConv3d(inputs, filters, 1, activation="relu")
        self.a1 = SameConv3d(filters, filters, (1, 1, 7), activation="relu")
        self.a2 = SameConv3d(filters, filters, (7, 1, 1), activation="relu")
        self.a3 = SameConv3d(filters, filters, 3, activation="relu")
        self.b1 = SameConv3d(filters, filters, 3, activation="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) -> (B, 2 filters + inputs, T, H, W)."""
        stem = self.stem(x)
        return torch.cat([self.a3(self.a2(self.a1(stem))), self.b1(stem), max_pool(x)], dim=1)


class Inception(nn.Module):
    """3(c): an Inception v1 block without its 1x1x1 branch. Each branch gives `outputs` channels."""

    def __init__(self, inputs: int, reduced: int, outputs: int) -> None:
        super().__init__()
        self.a1 = SameConv3d(inputs, reduced, 1, activation="relu")
        self.a2 = SameConv3d(reduced, outputs, 3)
        self.b1 = SameConv3d(inputs, reduced, 1, activation="relu")
        self.b2 = SameConv3d(reduced, outputs, 5)
        self.c2 = SameConv3d(inputs, outputs, 1)

    def forward(self, x: Tensor, pooled: Tensor) -> list[Tensor]:
        """Return the three branches, each (B, outputs, T, H, W), **before** their last ReLU; see `join`.

        `pooled`: `max_pool` of `x`, which the block of the other stream may need as well.
        """
        return [self.a2(self.a1(x)), self.b2(self.b1(x)), self.c2(pooled)]


def join(branches: Sequence[Tensor], stride: int) -> Tensor:
    """ReLU, concatenation and max-pooling (kernel 3; not at stride 1) of Inception branches.

    Done in the opposite order: all three treat channels alike and ReLU is monotone, so the numbers are the
    same, and two of the three steps meet an eighth of the values.
    """
    if stride > 1 and not torch.is_grad_enabled():
        return torch.cat([max_pool_relu(branch, stride) for branch in branches], dim=1)
    if stride > 1:
        branches = [max_pool(branch, stride) for branch in branches]
    return relu(torch.cat(list(branches), dim=1))


class Head(nn.Module):
    """Flatten, dropout, dense layers with leaky ReLU, and a last dense layer that gives the logits."""

    def __init__(self, inputs: int, units: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        widths = [inputs, *units, classes]
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) or (B, inputs) -> logits (B, 1, classes)."""
        x = self.dropout(x.flatten(1))
        for layer in self.dense[:-1]:
            x = leaky_relu(layer(x))
        logits: Tensor = self.dense[-1](x)
        return logits[:, None]
