"""From a combination of values to a recipe, and what is wrong with a space before any work starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, get_args, get_origin

import numpy as np

from murine.config import Recipe, load_recipe, recipe_from_dict, recipe_to_dict
from murine.config.convert import field_types, show
from murine.config.recipes import SECTIONS
from murine.errors import ConfigError, InputError, suggest
from murine.models import MODELS, model_settings
from murine.search.settings import Search
from murine.search.space import Axis, Choice, Values, combinations, draw
from murine.train.checking import recipe_faults

RECIPE = "recipe"
"""The key of a space whose values are recipes."""

_TRIES = 30
"""Combinations drawn around one value before it is held to be wrong by itself."""

_SHOWN = 5
"""Faults of combinations that are told; the rest is counted."""


def known_kinds(bases: Sequence[Recipe], models: Sequence[str] = ()) -> dict[str, Any]:
    """Return every key a space may vary and its type: of the recipes' sections, and of their networks' settings.

    `models`: other networks that are tried. The type is None where it is neither a number nor text.
    """
    kinds: dict[str, Any] = {
        f"{section}.{name}": _plain(hint)
        for section, cls in SECTIONS.items()
        for name, hint in field_types(cls).items()
    }
    kinds |= {"model.name": str, "postprocess": list, RECIPE: str}
    for name in dict.fromkeys([*(base.model for base in bases), *models]):
        if name in MODELS:
            kinds |= {f"model.{key}": _plain(one.type) for key, one in model_settings(name).items()}
    return kinds


def _plain(hint: Any) -> Any:
    """Return int or float for a number's type, another type for all that has no range."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint if hint in (int, float) else str


def unknown(key: str, kinds: Mapping[str, Any]) -> str:
    """Return what is wrong with a key that does not exist."""
    if key in ("name", "description", "source"):
        return f"{key}: says nothing to a network, so there is nothing to search"
    last = key.rsplit(".", 1)[-1]
    homes = [known for known in kinds if known.rsplit(".", 1)[-1] == last]
    told = " or ".join(f"'{home}'" for home in homes)
    hint = f" Did you mean {told}?" if homes else _nearest(key, kinds)
    return f"{key}: unknown setting.{hint}"


def _nearest(key: str, kinds: Mapping[str, Any]) -> str:
    hint = suggest(key, kinds)
    section = key.split(".", 1)[0] + "."
    if hint.startswith(" Known") and (own := [k for k in kinds if k.startswith(section)]):
        return suggest(key, own)
    return hint


_Bases = dict[str, dict[str, Any]]


def make_recipe(search: Search, values: Values, *, bases: _Bases | None = None) -> Recipe:
    """Return the recipe of a combination; raises ConfigError with all that is wrong with it.

    `bases`: recipes read before, to which this one is added, so that many combinations read few files.
    """
    read = {} if bases is None else bases
    base = str(values.get(RECIPE, search.recipe))
    if base not in read:
        read[base] = recipe_to_dict(load_recipe(base))
    tables = dict(read[base])
    for key, value in {**search.fixed, **values}.items():
        section, _, name = key.partition(".")
        if key == RECIPE:
            continue
        if name:
            tables[section] = {**tables[section], name: value}
        else:
            tables[key] = value
    told = ", ".join(f"{key} = {show(value)}" for key, value in values.items())
    return recipe_from_dict(tables, source=f"search '{search.name}', {told}", check=recipe_faults)


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Return a recipe that trains with another seed."""
    return replace(recipe, training=replace(recipe.training, seed=seed))


def bases_of(search: Search) -> list[Recipe]:
    """Return the recipes a search begins with; raises InputError where one does not exist."""
    axis = next((a for a in search.space if a.key == RECIPE), None)
    names = axis.grid() if axis is not None else (search.recipe,)
    return [load_recipe(str(name)) for name in names]


def first_recipes(search: Search) -> list[Recipe]:
    """Return one combination's recipe for each recipe that a search begins with, as far as one is met soon."""
    found: dict[Any, Recipe] = {}
    rng = np.random.default_rng([search.seed, 0])
    drawn = (draw(search.space, rng) for _ in range(_TRIES))
    for values in combinations(search.space) if search.method == "grid" else drawn:
        if values.get(RECIPE) not in found:
            with suppress(ConfigError):
                found[values.get(RECIPE)] = make_recipe(search, values)
    return list(found.values())


def check_space(search: Search) -> None:
    """Raise ConfigError with every key, value or combination that makes no recipe.

    Of a grid every combination is made. Of another search each value (of a range both ends) must go with some
    combination of the others; one that does not is a trial that fails.
    """
    if search.method == "grid":
        faults = _all_faults(search, combinations(search.space))
    else:
        faults = [f for axis in search.space for f in _axis_faults(search, axis)]
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise ConfigError(f"search '{search.name}'", [*faults[:_SHOWN], *more])


def _all_faults(search: Search, every: Iterator[dict[str, Any]]) -> list[str]:
    faults: list[str] = []
    bases: _Bases = {}
    for values in every:
        try:
            make_recipe(search, values, bases=bases)
        except (ConfigError, InputError) as error:
            faults += _told(values, error)
    return list(dict.fromkeys(faults))


def _axis_faults(search: Search, axis: Axis) -> list[str]:
    ends = axis.values if isinstance(axis, Choice) else (axis.low, axis.high)  # type: ignore[attr-defined]
    faults = []
    bases: _Bases = {}
    for value in ends:
        whole = getattr(axis, "whole", False)
        rng = np.random.default_rng([search.seed, 0])
        first: list[str] = []
        for _ in range(_TRIES):
            values = {**draw(search.space, rng), axis.key: int(value) if whole else value}
            try:
                make_recipe(search, values, bases=bases)
            except (ConfigError, InputError) as error:
                first = first or _told({axis.key: value}, error)
            else:
                first = []
                break
        faults += first
    return list(dict.fromkeys(faults))


def _told(values: Values, error: Exception) -> list[str]:
    if isinstance(error, ConfigError):
        return list(error.faults)
    return [f"{', '.join(f'{k} = {show(v)}' for k, v in values.items())}: {error}"]
