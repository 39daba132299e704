"""Networks of single pictures whose features other networks learn from, by name."""

from murine.models.backbones import inception_maps, inception_resnet_v2, inception_v1, resnet50v2, small
from murine.models.backbones.registry import (
    BACKBONES,
    Backbone,
    BackboneEntry,
    build_backbone,
    create_backbone,
    describe_backbones,
    find_weights,
    read_backbone,
    weights_folder,
)

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneEntry",
    "build_backbone",
    "create_backbone",
    "describe_backbones",
    "find_weights",
    "inception_maps",
    "inception_resnet_v2",
    "inception_v1",
    "read_backbone",
    "resnet50v2",
    "small",
    "weights_folder",
]
