"""A recipe: one flat TOML file that says all of an experiment, as dataclasses that check themselves."""

from murine.config.recipes import (
    RecipeInfo,
    list_recipes,
    load_recipe,
    recipe_from_dict,
    recipe_to_dict,
    save_recipe,
)
from murine.config.settings import (
    EmbeddingSettings,
    InputSettings,
    Recipe,
    SplitSettings,
    TrainingSettings,
    WindowSettings,
)

__all__ = [
    "EmbeddingSettings",
    "InputSettings",
    "Recipe",
    "RecipeInfo",
    "SplitSettings",
    "TrainingSettings",
    "WindowSettings",
    "list_recipes",
    "load_recipe",
    "recipe_from_dict",
    "recipe_to_dict",
    "save_recipe",
]
