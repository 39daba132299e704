"""A recipe's network: what of its settings follows from the recipe's input."""

from __future__ import annotations

from typing import Any

import torch

from murine.config import Recipe
from murine.models import MODELS, complete_settings, create_model
from murine.models.contract import Model
from murine.types import Ethogram, Task
from murine.video.flow import CHANNELS

_COLUMNS = 64
"""Columns of a table that nobody has read yet: names of parameters do not depend on them."""


def derived_settings(
    recipe: Recipe, *, exclusive: bool, ethogram: Ethogram | None = None
) -> dict[str, Any]:
    """Return the settings of a network that follow from its recipe's input and the project's behaviours."""
    given = recipe.input
    return {
        "frames": recipe.window.frames,
        "size": given.seen_size,
        "flow_channels": CHANNELS[given.flow_encoding],
        "exclusive": exclusive,
        "rounds": recipe.training.epochs,
        **({} if ethogram is None else {"tasks": task_table(ethogram)}),
    }


def task_table(ethogram: Ethogram) -> dict[str, Any]:
    """Return the tasks of an ethogram as the setting of a network that has a head for each.

    By name: how many columns, whether they exclude each other, and the first task whose behaviours are the
    same, such as those of another annotator. An ethogram without tasks is one.
    """
    whole = Task("all", ethogram.behaviours, ethogram.exclusive, ethogram.background)
    tasks = ethogram.tasks or (whole,)
    first: dict[tuple[tuple[str, ...], bool], str] = {}
    return {
        task.name: {
            "columns": len(task.behaviours),
            "exclusive": task.exclusive,
            "like": first.setdefault((task.plain, task.exclusive), task.name),
        }
        for task in tasks
    }


def outline(recipe: Recipe, ethogram: Ethogram, features: int | None = None) -> Model:
    """Return a recipe's network without memory: names and shapes, before any recording is prepared.

    `features`: columns of its table, if they are known.
    """
    derived = derived_settings(recipe, exclusive=ethogram.exclusive, ethogram=ethogram)
    settings = complete_settings(recipe.model, recipe.model_settings, derived)
    columns = (features or _COLUMNS) if MODELS[recipe.model].takes_features else None
    with torch.device("meta"):
        return create_model(recipe.model, classes=len(ethogram), features=columns, settings=settings)
