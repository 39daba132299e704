"""Networks of single pictures whose features other networks learn from, by name."""

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
    "weights_folder",
]
