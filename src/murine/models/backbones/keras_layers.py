"""What the networks of Keras Applications have in common: layers with its numerics, and where its files put
their tensors.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from murine.models.backbones.registry import Backbone

Kind = Literal["conv2d", "batch_normalization"]

TENSORS: dict[Kind, dict[str, str]] = {
    "conv2d": {"kernel": "weight", "bias": "bias"},
    "batch_normalization": {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    },
}
"""A layer's tensors in the order of Keras: its name for them and ours."""


class KerasLayer(NamedTuple):
    """A layer with weights: `module` is ours, `name` Keras' own, empty where Keras only numbers it."""

    kind: Kind
    module: str
    name: str = ""


class KerasBackbone(Backbone):
    """A network of Keras Applications without its top, average-pooled."""

    def keras_layers(self) -> list[KerasLayer]:
        """Return the layers with weights in the order of Keras: by distance from the output."""
        raise NotImplementedError


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm that shifts and does not scale, Keras' `scale=False`."""

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__(channels, eps=eps, momentum=momentum, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))


def scale_pixels(pictures: Tensor) -> Tensor:
    """Return pixels 0..255 as [-1, 1], next to each other by channels, which is faster on every machine."""
    # A new tensor, so that the caller's is not changed; float before the sum, which bytes cannot hold.
    scaled = pictures.float() / 127.5 - 1
    return scaled.contiguous(memory_format=torch.channels_last)


def initialise(network: nn.Module) -> None:
    """Set every convolution as Keras does, Glorot uniform weights and zero bias; channels lie last."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
