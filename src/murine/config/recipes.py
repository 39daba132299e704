"""Recipes as files: found, read, overridden, saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import murine
from murine.config.convert import (
    ValueFault,
    convert,
    field_types,
    freeze,
    limit_fault,
    show,
)
from murine.config.settings import (
    EmbeddingSettings,
    InputSettings,
    Recipe,
    SplitSettings,
    TrainingSettings,
    WindowSettings,
)
from murine.config.shipped import shipped_files, shipped_folder
from murine.config.tomlfile import parse_value, read_toml, toml_text
from murine.errors import ConfigError, InputError, suggest
from murine.files import write_text

SECTIONS: dict[str, type] = {
    "input": InputSettings,
    "window": WindowSettings,
    "embedding": EmbeddingSettings,
    "training": TrainingSettings,
    "split": SplitSettings,
}
_TOP = ("name", "description", "source")
_KEYS = (*_TOP, "model", *SECTIONS, "postprocess")

Check = Callable[[Recipe], Sequence[str]]
"""Looks names and settings up where they are owned (models, losses, ...) and returns what is wrong."""


@dataclass(frozen=True)
class RecipeInfo:
    """A recipe that can be named on the command line."""

    name: str
    path: Path
    model: str
    description: str
    source: str


def list_recipes() -> list[RecipeInfo]:
    """Return the recipes that come with murine, by name; raises ConfigError for a broken one."""
    infos = []
    for name, path in shipped_files("recipes").items():
        recipe = load_recipe(str(path))
        infos.append(RecipeInfo(name, path, recipe.model, recipe.description, recipe.source))
    return infos


def load_recipe(
    name_or_path: str | Path, overrides: Sequence[str] = (), *, check: Check | None = None
) -> Recipe:
    """Return a recipe, given the name of one that comes with murine or the path of a TOML file.

    `overrides` are settings such as `training.epochs=5`, as TOML values; text needs no quotes, a list no
    brackets. `check` adds the faults of names and settings owned elsewhere. Raises InputError where
    there is no such recipe, ConfigError with all faults at once.
    """
    path, name = _find(name_or_path)
    tables = read_toml(path, "the recipe")
    faults = _override(tables, overrides)
    return _build(tables, path, name, check, faults)


def recipe_from_dict(
    tables: Mapping[str, Any],
    *,
    source: str | Path = "recipe",
    name: str = "",
    check: Check | None = None,
) -> Recipe:
    """Return the recipe of the tables of a TOML file; `name` stands in where they have none.

    Raises ConfigError with all faults at once; `source` says there where the tables came from.
    """
    return _build(tables, source, name, check, [])


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return all settings of a recipe as the tables of its TOML file, nothing left to defaults."""
    tables: dict[str, Any] = {key: getattr(recipe, key) for key in _TOP}
    tables["model"] = {"name": recipe.model, **recipe.model_settings}
    for section, cls in SECTIONS.items():
        settings = getattr(recipe, section)
        tables[section] = {f.name: getattr(settings, f.name) for f in fields(cls)}
    tables["postprocess"] = recipe.postprocess
    return tables


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write every setting of a recipe as TOML; reading it gives the same recipe."""
    heading = f"# Every setting of this recipe, as murine {murine.__version__} understood it.\n"
    write_text(path, heading + toml_text(recipe_to_dict(recipe)))


def _find(name_or_path: str | Path) -> tuple[Path, str]:
    text = str(name_or_path)
    path = Path(text).expanduser()
    folder = shipped_folder("recipes")
    if path.suffix == ".toml" or path.is_file():
        whole = path.resolve()
        inside = whole.is_relative_to(folder.resolve())
        named = whole.relative_to(folder.resolve()).with_suffix("") if inside else Path(path.stem)
        return path, named.as_posix()
    known = shipped_files("recipes")
    if text in known:
        return known[text], text
    raise InputError(
        f"no recipe '{text}'.{suggest(text, known)} A recipe of your own is named by its path, "
        "ending in .toml"
    )


def _override(tables: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Put `key=value` settings into the tables; return the faults."""
    faults = []
    for text in overrides:
        key, equals, value = text.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts) or len(parts) > 2:
            faults.append(f"--set {text}: expected table.setting=value, such as training.epochs=5")
            continue
        table = tables
        if len(parts) == 2:
            table = tables.setdefault(parts[0], {})
            if not isinstance(table, dict):
                faults.append(f"--set {text}: '{parts[0]}' is not a table")
                continue
        table[parts[-1]] = _parse(value.strip(), _type_of(parts))
    return faults


def _type_of(parts: Sequence[str]) -> Any:
    if len(parts) == 1:
        return str if parts[0] in _TOP else None
    section = SECTIONS.get(parts[0])
    return field_types(section).get(parts[1]) if section else None


def _parse(text: str, hint: Any) -> Any:
    """Read a value from the command line: TOML, or bare words where text is meant."""
    if hint is str and not text.startswith(('"', "'")):
        return text
    try:
        value = parse_value(text)
    except ValueError:
        many = getattr(hint, "__origin__", None) is tuple
        if many and not text.startswith("["):
            return [_parse(part.strip(), None) for part in text.split(",") if part.strip()]
        return text
    many = getattr(hint, "__origin__", None) is tuple
    return [value] if many and not isinstance(value, list) else value


def _build(
    tables: Mapping[str, Any], source: str | Path, name: str, check: Check | None, faults: list[str]
) -> Recipe:
    faults += [f"{key}: unknown.{_elsewhere(key, '', _KEYS)}" for key in tables if key not in _KEYS]
    values: dict[str, Any] = {"name": name or "recipe"}
    for key in _TOP:
        if key in tables:
            if isinstance(tables[key], str):
                values[key] = tables[key]
            else:
                faults.append(f"{key}: expected text; came {show(tables[key])}")
    values |= _model(tables.get("model", {}), faults)
    for section, cls in SECTIONS.items():
        values[section] = _section(section, cls, tables.get(section, {}), faults)
    values["postprocess"] = _steps(tables.get("postprocess", ()), faults)
    try:
        recipe = Recipe(**values)
    except ConfigError as error:
        raise ConfigError(source, [*faults, *error.faults]) from None
    if check is not None:
        faults += check(recipe)
    if faults:
        raise ConfigError(source, faults)
    return recipe


def _model(table: Any, faults: list[str]) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        faults.append(f'model: expected a table [model] with name = "..."; came {show(table)}')
        return {}
    settings = dict(table)
    values: dict[str, Any] = {}
    if "name" in settings:
        values["model"] = settings.pop("name")
        if not isinstance(values["model"], str):
            faults.append(f"model.name: expected text; came {show(values.pop('model'))}")
    kept = {}
    for key, value in settings.items():
        try:
            kept[key] = freeze(value)
        except ValueFault as fault:
            faults.append(f"model.{key}: expected {fault}")
    return {**values, "model_settings": kept}


def _section(section: str, cls: type, table: Any, faults: list[str]) -> Any:
    """Return the settings of one table; a setting with a fault keeps its default."""
    if not isinstance(table, Mapping):
        faults.append(f"{section}: expected a table [{section}]; came {show(table)}")
        return cls()
    types = field_types(cls)
    metadata = {f.name: f.metadata for f in fields(cls)}
    kept: dict[str, Any] = {}
    for key, value in table.items():
        if key not in types:
            faults.append(f"{section}.{key}: unknown setting.{_elsewhere(key, section, types)}")
            continue
        try:
            converted = convert(value, types[key])
        except ValueFault as fault:
            faults.append(f"{section}.{key}: expected {fault}")
            continue
        if expected := limit_fault(converted, metadata[key]):
            faults.append(f"{section}.{key}: expected {expected}")
        else:
            kept[key] = converted
    try:
        return cls(**kept)
    except ConfigError as error:  # settings that do not fit each other
        faults += [f"{section}.{fault}" for fault in error.faults]
        return cls()


def _steps(steps: Any, faults: list[str]) -> tuple[Any, ...]:
    if not isinstance(steps, list | tuple) or not all(isinstance(s, Mapping) for s in steps):
        faults.append(f"postprocess: expected a list of tables [[postprocess]]; came {show(steps)}")
        return ()
    try:
        return tuple(freeze(step) for step in steps)
    except ValueFault as fault:
        faults.append(f"postprocess: expected {fault}")
        return ()


def _elsewhere(key: str, section: str, known: Any) -> str:
    """Return where a misplaced setting belongs, or the names like it."""
    homes = [name for name, cls in SECTIONS.items() if name != section and key in field_types(cls)]
    return f" It belongs to [{homes[0]}]." if homes else suggest(key, known)
