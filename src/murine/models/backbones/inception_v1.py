"""Inception-V1 with BVLC's ImageNet weights (GoogLeNet): 1,024 features of a picture."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from murine.models.backbones.registry import BACKBONES, Backbone, BackboneEntry
from murine.models.inception.googlenet import WORDS, read_googlenet
from murine.models.inception.inception_v1 import SMALLEST, InceptionV1
from murine.models.inception.layout import FEATURES


class InceptionV1Backbone(Backbone):
    """The 2D network without its head: the mean over its last feature map."""

    size = (224, 224)
    smallest = SMALLEST
    features = FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.network = InceptionV1(classes=0)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1024)."""
        self.check_size((pictures.shape[-2], pictures.shape[-1]))
        features: Tensor = self.network(pictures)
        return features


def read_weights(path: Path, backbone: Backbone) -> dict[str, Tensor]:
    """Return the file of BVLC's weights as the state of the backbone; its head is left out.

    Raises InputError that lists every tensor missing, extra or of another shape.
    """
    prefix = "network."
    wanted = {
        name.removeprefix(prefix): tuple(value.shape) for name, value in backbone.state_dict().items()
    }
    state, _ = read_googlenet(path, wanted)
    return {prefix + name: value for name, value in state.items()}


BACKBONES.add(
    "inception_v1",
    BackboneEntry(
        build=InceptionV1Backbone,
        file="googlenet_imagenet.safetensors",
        read=read_weights,
        source="Szegedy et al. 2015, table 1; weights: BVLC GoogLeNet, unrestricted licence",
        published=5_973_552,
        layout=lambda path: WORDS,
    ),
)
