"""Networks of single pictures whose features other networks learn from, by name."""

from murine.models.backbones import inception_resnet_v2, inception_v1, resnet50v2
from murine.models.backbones.registry import (
    BACKBONES,
    Backbone,
    BackboneEntry,
    create_backbone,
    find_weights,
    weights_folder,
)

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneEntry",
    "create_backbone",
    "find_weights",
    "inception_resnet_v2",
    "inception_v1",
    "resnet50v2",
    "weights_folder",
]
