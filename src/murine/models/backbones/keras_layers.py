"""What the networks of Keras Applications have in common: layers with its numerics, and where its files put
their tensors.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.models.backbones.registry import Backbone
from murine.models.blocks import relu

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


def norm_after(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return batch norm and ReLU of a convolution without bias.

    Where nothing learns, the norm goes into the kernels, which saves a pass over memory: equal but for rounding.
    """
    if norm.training or torch.is_grad_enabled() or norm.running_mean is None or norm.running_var is None:
        return relu(norm(conv(x)))
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:  # a norm that only shifts has none
        scale = scale * norm.weight
    kernels = conv.weight * scale[:, None, None, None]
    shift = norm.bias - norm.running_mean * scale
    return relu(F.conv2d(x, kernels, shift, conv.stride, conv.padding))


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
