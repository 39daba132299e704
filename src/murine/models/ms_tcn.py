"""MS-TCN and MS-TCN++: temporal convolutional networks that refine their own prediction.

Sources: Abu Farha and Gall, "MS-TCN: multi-stage temporal convolutional network for action segmentation"
(four stages of 10 layers); Li et al., "MS-TCN++", in the sizes of the EPFL study on CalMS21 (one generator of
11 dual dilated layers, three refinements of 10). Both: 64 maps, kernel 3, dropout 0.5. Unlike the reference
release, padding is masked in every layer.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.blocks import Dropout
from murine.models.contract import Batch, Model, Output, Reach
from murine.models.dilated import LARGEST_RATE, computes_here, dual_layer, offsets, refining_layer
from murine.models.factory import MODELS, ModelEntry
from murine.models.settings import Count, Natural, Share


class DilatedConv(nn.Conv1d):
    """A dilated convolution over time that keeps the length; causal: frame t sees no frame after t."""

    def __init__(self, channels: int, kernel: int, dilation: int, causal: bool) -> None:
        reach = (kernel - 1) * dilation
        padding = 0 if causal else reach // 2
        super().__init__(channels, channels, kernel, padding=padding, dilation=dilation)
        self.past = reach if causal else 0
        self.seen = offsets(kernel, dilation, causal)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        return super().forward(F.pad(x, (self.past, 0)) if self.past else x)


class DualDilatedLayer(nn.Module):
    """Layer i of L of the generator: dilations 2^(L-1-i) and 2^i side by side, fused, residual."""

    def __init__(
        self, maps: int, kernel: int, dilations: tuple[int, int], dropout: float, causal: bool
    ) -> None:
        super().__init__()
        self.falling = DilatedConv(maps, kernel, dilations[0], causal)
        self.rising = DilatedConv(maps, kernel, dilations[1], causal)
        self.fuse = nn.Conv1d(2 * maps, maps, 1)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, maps, T), zero outside the mask -> the same; None: all frames are real."""
        if computes_here(x) and self.dropout.rate <= LARGEST_RATE:
            first, second = self.falling, self.rising
            return dual_layer(
                x, values(first), values(second), values(self.fuse), (first.seen, second.seen),
                self.dropout.rate if self.training else 0.0, mask,
            )  # fmt: skip
        both = torch.cat([self.falling(x), self.rising(x)], dim=1)
        change: Tensor = self.dropout(F.relu(self.fuse(both)))
        return x + change if mask is None else (x + change) * mask


class DilatedLayer(nn.Module):
    """A layer of a refinement: dilated convolution, ReLU, 1x1 convolution, residual."""

    def __init__(self, maps: int, kernel: int, dilation: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.dilated = DilatedConv(maps, kernel, dilation, causal)
        self.mix = nn.Conv1d(maps, maps, 1)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, maps, T), zero outside the mask -> the same; None: all frames are real."""
        if computes_here(x) and self.dropout.rate <= LARGEST_RATE:
            return refining_layer(
                x, values(self.dilated), values(self.mix), self.dilated.seen,
                self.dropout.rate if self.training else 0.0, mask,
            )  # fmt: skip
        change: Tensor = self.dropout(self.mix(F.relu(self.dilated(x))))
        return x + change if mask is None else (x + change) * mask


class Stage(nn.Module):
    """A 1x1 convolution in, layers of growing dilation, a 1x1 convolution out."""

    def __init__(self, inputs: int, maps: int, classes: int, layers: list[nn.Module]) -> None:
        super().__init__()
        self.enter = nn.Conv1d(inputs, maps, 1)
        self.layers = nn.ModuleList(layers)
        self.leave = nn.Conv1d(maps, classes, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, inputs, T) -> logits (B, classes, T), zero outside the mask."""
        x = through(self.layers, self.enter(x) * mask, mask)
        logits: Tensor = self.leave(x) * mask
        return logits


def values(layer: nn.Conv1d) -> tuple[Tensor, Tensor]:
    """Return a convolution's weight and bias."""
    assert layer.bias is not None
    return layer.weight, layer.bias


def through(layers: Iterable[nn.Module], x: Tensor, mask: Tensor) -> Tensor:
    """Return (B, C, T) after layers of this file, zero outside the mask."""
    # Most batches have no padding, and then nothing has to be set to zero after each layer.
    real = None if computes_here(x) and bool(mask.all()) else mask
    for layer in layers:
        x = layer(x, real)
    return x


def dual_layers(maps: int, *, layers: int, kernel: int, dropout: float, causal: bool) -> list[nn.Module]:
    """Return dual dilated layers: one dilation falls from 2^(layers - 1) to 1, the other rises."""
    return [
        DualDilatedLayer(maps, kernel, (2 ** (layers - 1 - i), 2**i), dropout, causal)
        for i in range(layers)
    ]


def dual_stage(
    inputs: int, maps: int, classes: int, *, layers: int, kernel: int, dropout: float, causal: bool
) -> Stage:
    """Return the generator of MS-TCN++: dual dilated layers."""
    made = dual_layers(maps, layers=layers, kernel=kernel, dropout=dropout, causal=causal)
    return Stage(inputs, maps, classes, made)


def dual_view(layers: int) -> int:
    """Return the sum of the larger dilations of a generator of dual dilated layers."""
    return sum(max(2**i, 2 ** (layers - 1 - i)) for i in range(layers))


def dilated_stage(
    inputs: int, maps: int, classes: int, *, layers: int, kernel: int, dropout: float, causal: bool
) -> Stage:
    """Return a stage of single dilated layers: dilations 1, 2, 4, ..."""
    made: list[nn.Module] = [DilatedLayer(maps, kernel, 2**i, dropout, causal) for i in range(layers)]
    return Stage(inputs, maps, classes, made)


def view(dilations: int, kernel: int, causal: bool) -> Reach:
    """Return how far convolutions on one another see; `dilations`: the sum of theirs."""
    reach = (kernel - 1) * dilations
    return (reach, 0) if causal else (reach // 2, reach // 2)


def pose_and_mask(batch: Batch, features: int) -> tuple[Tensor, Tensor]:
    """Return the pose features (B, F, T), zero outside the mask, and the mask (B, 1, T) of ones and zeros.

    Raises InputError for another number of features than the network is built for.
    """
    pose = batch["pose"]
    if pose.shape[-1] != features:
        raise InputError(
            f"{pose.shape[-1]} pose features came; this network is built for {features}. "
            "Compute them with the settings it was trained with"
        )
    real = batch.get("mask")
    if real is None:
        real = torch.ones(pose.shape[:2], dtype=torch.bool, device=pose.device)
    # Chosen, not multiplied: padding may hold anything, NaN too.
    x = torch.where(real[..., None], pose, 0.0).transpose(1, 2)
    return x, real[:, None].to(x.dtype)


class MultiStage(Model):
    """A generator, and refinements each fed with what the stage before believes.

    The logits are the last stage's, `stages` those of the earlier ones.
    """

    streams = ("pose",)
    predicts = "all"

    def __init__(
        self, features: int, generator: Stage, refinements: list[nn.Module], *, exclusive: bool
    ) -> None:
        super().__init__()
        self.features = features
        self.exclusive = exclusive
        self.generator = generator
        self.refinements = nn.ModuleList(refinements)
        refined = (
            f"refinements.{i}.{end}." for i in range(len(refinements)) for end in ("enter", "leave")
        )
        self.head_names = ("generator.leave.", *refined)

    def forward(self, batch: Batch) -> Output:
        """Return logits (B, T, classes) of every frame, zero outside the mask."""
        x, mask = pose_and_mask(batch, self.features)
        stages = [self.generator(x, mask)]
        for refinement in self.refinements:
            stages.append(refinement(belief(stages[-1], self.exclusive) * mask, mask))
        logits = [stage.transpose(1, 2) for stage in stages]
        return Output(logits[-1], tuple(logits[:-1]))


def belief(logits: Tensor, exclusive: bool) -> Tensor:
    """Return the probabilities (B, C, T), float32, that a refinement reads."""
    last = logits.float()
    return last.softmax(dim=1) if exclusive else last.sigmoid()


def check_kernel(kernel: int) -> None:
    """Raise InputError for an even kernel."""
    if kernel % 2 == 0:
        raise InputError(f"kernel must be odd, so that a frame has a middle; came {kernel}")


class MSTCN(MultiStage):
    """MS-TCN on pose features: stages of dilated layers, each but the first refining the one before.

    `classes`, `features`: columns out and in. `maps`: channels inside. `layers`: of each stage; a layer more
    doubles a stage's view in time (2,047 frames for 10). `kernel` must be odd. `causal`: no frame sees a later
    one. `exclusive`: a refinement reads the softmax of the stage before it; False: the sigmoid, where
    behaviours may overlap.
    """

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        maps: Count = 64,
        stages: Count = 4,
        layers: Count = 10,
        kernel: Count = 3,
        dropout: Share = 0.5,
        causal: bool = False,
        exclusive: bool = True,
    ) -> None:
        check_kernel(kernel)
        made = [
            dilated_stage(
                features if i == 0 else classes, maps, classes,
                layers=layers, kernel=kernel, dropout=dropout, causal=causal,
            )
            for i in range(stages)
        ]  # fmt: skip
        super().__init__(features, made[0], [*made[1:]], exclusive=exclusive)
        self.reach = view(stages * (2**layers - 1), kernel, causal)


class MSTCNPlusPlus(MultiStage):
    """MS-TCN++ on pose features; the logits are the last stage's, `stages` those of the earlier ones.

    `classes`, `features`: columns out and in. `maps`: channels inside. `generator_layers`,
    `refinement_stages`, `refinement_layers`: as named; a layer more doubles the view in time (8,001 frames
    for the generator of 11). `kernel` must be odd. `causal`: no frame sees a later one. `exclusive`: a
    refinement reads the softmax of the stage before it; False: the sigmoid, where behaviours may overlap.
    """

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        maps: Count = 64,
        generator_layers: Count = 11,
        refinement_stages: Natural = 3,
        refinement_layers: Count = 10,
        kernel: Count = 3,
        dropout: Share = 0.5,
        causal: bool = False,
        exclusive: bool = True,
    ) -> None:
        check_kernel(kernel)
        generator = dual_stage(
            features,
            maps,
            classes,
            layers=generator_layers,
            kernel=kernel,
            dropout=dropout,
            causal=causal,
        )
        refinements: list[nn.Module] = [
            dilated_stage(
                classes, maps, classes,
                layers=refinement_layers, kernel=kernel, dropout=dropout, causal=causal,
            )
            for _ in range(refinement_stages)
        ]  # fmt: skip
        super().__init__(features, generator, refinements, exclusive=exclusive)
        refined = refinement_stages * (2**refinement_layers - 1)
        self.reach = view(dual_view(generator_layers) + refined, kernel, causal)


MODELS.add(
    "ms_tcn",
    ModelEntry(
        build=MSTCN,
        streams=MSTCN.streams,
        family="ms_tcn",
        source="Abu Farha and Gall, MS-TCN: four stages of 10 layers",
        published=None,
        counted={"classes": 4, "features": 28},
        tiny={"maps": 16, "stages": 3, "layers": 3},
    ),
)
MODELS.add(
    "ms_tcn_pp",
    ModelEntry(
        build=MSTCNPlusPlus,
        streams=MSTCNPlusPlus.streams,
        family="ms_tcn",
        source="Li et al., MS-TCN++; sizes of the EPFL study on CalMS21",
        published=None,
        counted={"classes": 4, "features": 28},
        tiny={
            "maps": 16,
            "generator_layers": 3,
            "refinement_stages": 2,
            "refinement_layers": 3,
        },
    ),
)
