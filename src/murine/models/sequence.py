"""What the networks over embeddings have in common: one row of numbers per frame in, logits of every frame out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.contract import Batch, Model, Output, Reach

KERAS_NORM = 1e-3
"""Epsilon of Keras' normalisation layers."""


class SequenceHead(nn.Module):
    """Base of the heads: `forward` takes x (B, T, F) and mask (B, T) and returns logits (B, T, C).

    Frames outside the mask may hold anything, NaN too; their logits are zero, and nothing of them reaches
    another frame. `classify` is the last, dense layer; `reach` is as a model's.
    """

    classify: nn.Linear
    reach: Reach = (None, None)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F), (B, T) -> (B, T, C)."""
        # Chosen, not multiplied: NaN times zero is NaN.
        steps = self.steps(torch.where(mask[..., None], x, 0.0), mask)
        logits: Tensor = torch.where(mask[..., None], self.classify(steps), 0.0)
        return logits

    def steps(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F), zero outside the mask -> what the dense layer sees of every frame, (B, T, units)."""
        raise NotImplementedError


class SequenceModel(Model):
    """A head over a stream of rows of numbers, of any length."""

    head_names = ("head.classify.",)
    predicts = "all"

    def __init__(self, features: int, head: SequenceHead) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.reach = head.reach

    def forward(self, batch: Batch) -> Output:
        """Return logits (B, T, classes) of every frame, zero outside the mask."""
        x = batch[self.streams[0]]
        if x.shape[-1] != self.features:
            what, remedy = _WRONG_COLUMNS[self.streams[0]]
            raise InputError(
                f"{what} of {x.shape[-1]} columns came; this network is built for {self.features}. {remedy}"
            )
        mask = batch.get("mask")
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        return Output(self.head(x.float(), mask))


class EmbeddingModel(SequenceModel):
    """A head over the stream "embedding", of any length."""

    streams = ("embedding",)


class PoseModel(SequenceModel):
    """A head over the stream "pose", of any length."""

    streams = ("pose",)


_WRONG_COLUMNS = {
    "embedding": (
        "embeddings",
        "They must come from the backbone or recipe that it was trained with",
    ),
    "pose": ("pose features", "Compute them with the settings it was trained with"),
}


def keras_dense(layer: nn.Linear) -> nn.Linear:
    """Set a dense layer as Keras does, Glorot uniform weights and zero bias, and return it."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def keras_he_normal(layer: nn.Conv1d) -> nn.Conv1d:
    """Set a convolution as Keras' He-normal does, and return it: a normal cut at two deviations, of variance
    2 / inputs, and zero bias.
    """
    inputs = layer.weight[0].numel()
    # A unit normal cut at +-2 has the deviation 0.8796.
    deviation = math.sqrt(2 / inputs) / 0.87962566103423978
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
