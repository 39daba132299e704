"""A recipe's network: what of its settings follows from the recipe's input."""

from __future__ import annotations

from typing import Any

import torch

from murine.config import Recipe
from murine.models import MODELS, complete_settings, create_model
from murine.models.contract import Model
from murine.types import Ethogram
from murine.video.flow import CHANNELS

_COLUMNS = 64
"""Columns of a table that nobody has read yet: names of parameters do not depend on them."""


def derived_settings(recipe: Recipe, *, exclusive: bool) -> dict[str, Any]:
    """Return the settings of a network that follow from its recipe's input and the project's behaviours."""
    given = recipe.input
    return {
        "frames": recipe.window.frames,
        "size": given.seen_size,
        "flow_channels": CHANNELS[given.flow_encoding],
        "exclusive": exclusive,
    }


def outline(recipe: Recipe, ethogram: Ethogram, features: int | None = None) -> Model:
    """Return a recipe's network without memory: names and shapes, before any recording is prepared.

    `features`: columns of its table, if they are known.
    """
    derived = derived_settings(recipe, exclusive=ethogram.exclusive)
    settings = complete_settings(recipe.model, recipe.model_settings, derived)
    columns = (features or _COLUMNS) if MODELS[recipe.model].takes_features else None
    with torch.device("meta"):
        return create_model(recipe.model, classes=len(ethogram), features=columns, settings=settings)
