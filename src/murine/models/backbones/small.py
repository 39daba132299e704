"""A small network of pictures without published weights, to be learned from scratch end to end."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from murine.models.backbones.keras_layers import initialise, scale_pixels
from murine.models.backbones.registry import BACKBONES, Backbone, BackboneEntry
from murine.models.backbones.states import read_own_state

WIDTHS = (16, 32, 64, 128)


class SmallCNN(Backbone):
    """Four times a 3x3 convolution of stride 2, batch norm and ReLU; then the mean over the picture."""

    size = (64, 64)
    smallest = 16
    features = WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            conv = nn.Conv2d(channels, width, 3, 2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) RGB 0..255 -> (N, 128)."""
        self.check_size((pictures.shape[-2], pictures.shape[-1]))
        rows: Tensor = self.layers(scale_pixels(pictures)).mean((2, 3))
        return rows


def read_small(path: Path, backbone: Backbone) -> dict[str, Tensor]:
    """Return the state of the network from the weights of a trained model that holds one."""
    return read_own_state(path, backbone)


BACKBONES.add(
    "small_cnn",
    BackboneEntry(
        build=SmallCNN,
        file="small_cnn.safetensors",
        read=read_small,
        source="murine's own, to be trained from scratch; the weights of a trained model, if it was",
    ),
)
