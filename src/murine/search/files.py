"""Searches as TOML files: found, read, saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import murine
from murine.config import load_recipe, recipe_to_dict
from murine.config.convert import ValueFault, freeze, show
from murine.config.recipes import SECTIONS
from murine.config.shipped import shipped_files
from murine.config.tomlfile import inline, read_toml, toml_text
from murine.errors import ConfigError, InputError, suggest
from murine.files import write_text
from murine.search.making import RECIPE, known_kinds, unknown
from murine.search.settings import Search
from murine.search.space import Axis, read_axis

_TABLES = ("set", "space")
_PLAIN = tuple(f.name for f in fields(Search) if f.name not in ("fixed", "space"))
_KEYS = (*_PLAIN, *_TABLES)


@dataclass(frozen=True)
class SearchInfo:
    """A search that comes with murine. `trials`: how many there are, each as many trainings as folds and seeds."""

    name: str
    path: Path
    method: str
    trials: int
    seeds: int
    criterion: str
    description: str
    source: str


def list_searches() -> list[SearchInfo]:
    """Return the searches that come with murine, by name; raises ConfigError for a broken one."""
    infos = []
    for name, path in shipped_files("searches").items():
        one = load_search(str(path))
        infos.append(
            SearchInfo(
                name,
                path,
                one.method,
                one.wanted,
                max(1, len(one.seeds)),
                one.criterion,
                one.description,
                one.source,
            )
        )
    return infos


def load_search(
    name_or_path: str | Path,
    *,
    recipe: str = "",
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> Search:
    """Return a search, given the name of one that comes with murine or the path of a TOML file.

    `recipe` takes the place of the file's; `overrides` are settings that no trial varies, such as
    "training.epochs=5"; `changes` of the search itself, such as {"trials": 20}. Keys and types are checked here,
    values and combinations by `check_space`. Raises InputError where there is no such search, ConfigError
    with all faults at once.
    """
    path, name = _find(name_or_path)
    tables = {**read_toml(path, "the search"), **(changes or {})}
    if recipe:
        if RECIPE in _flat(tables.get("space", {})):
            raise InputError(f"--recipe {recipe}: this search tries several recipes (space.recipe)")
        tables[RECIPE] = recipe
    elif isinstance(tables.get(RECIPE), str):
        beside = path.parent / tables[RECIPE]
        if beside.suffix == ".toml" and beside.is_file():
            tables[RECIPE] = beside.resolve().as_posix()
    return search_from_dict(tables, source=path, name=name, overrides=overrides)


def search_from_dict(
    tables: Mapping[str, Any],
    *,
    source: str | Path = "search",
    name: str = "",
    overrides: Sequence[str] = (),
) -> Search:
    """Return the search of the tables of a TOML file; `name` stands in where they have none.

    Raises ConfigError with all faults at once; `source` says there where the tables came from.
    """
    faults = [f"{key}: unknown.{suggest(key, _KEYS)}" for key in tables if key not in _KEYS]
    values: dict[str, Any] = {"name": name or "search"}
    values |= {key: tables[key] for key in _PLAIN if key in tables}
    for key in ("seeds", "only"):
        if isinstance(values.get(key), list):
            values[key] = tuple(values[key])
    parts = {}
    for key in _TABLES:
        part = tables.get(key, {})
        if not isinstance(part, Mapping):
            faults.append(f"{key}: expected a table [{key}]; came {show(part)}")
            part = {}
        parts[key] = _flat(part)
    kinds = _kinds(str(tables.get(RECIPE, "")), parts, faults)
    fixed = _fixed(parts["set"], kinds, faults)
    if kinds and not faults:
        fixed |= _overrides(str(tables.get(RECIPE, "")), parts["space"], overrides, kinds, faults)
    space = _space(parts["space"], kinds, faults)
    try:
        search = Search(**values, fixed=fixed, space=space)
    except ConfigError as error:
        told = error.faults if not parts["space"] or space else ()
        raise ConfigError(source, [*faults, *told]) from None
    if faults:
        raise ConfigError(source, faults)
    return search


def save_search(search: Search, path: Path) -> None:
    """Write a search as TOML; reading it gives the same search."""
    heading = f"# The search as murine {murine.__version__} understood it.\n"
    tables = search_to_dict(search)
    # by hand, as the order of keys is that of a grid and tables would come after lists
    space = [f"{key} = {inline(value)}" for key, value in tables.pop("space").items()]
    write_text(path, heading + toml_text(tables) + "\n".join(["\n[space]", *space, ""]))


def search_to_dict(search: Search) -> dict[str, Any]:
    """Return all settings of a search as the tables of its TOML file."""
    tables: dict[str, Any] = {key: getattr(search, key) for key in _PLAIN}
    tables["set"] = dict(search.fixed)
    tables["space"] = {axis.key: axis.table() for axis in search.space}
    return tables


def _find(name_or_path: str | Path) -> tuple[Path, str]:
    text = str(name_or_path)
    path = Path(text).expanduser()
    known = shipped_files("searches")
    if path.suffix == ".toml" or path.is_file():
        whole = path.resolve()
        named = next((name for name, own in known.items() if own.resolve() == whole), path.stem)
        return path, named
    if text in known:
        return known[text], text
    raise InputError(
        f"no search '{text}'.{suggest(text, known)} A search of your own is named by its path, ending in .toml"
    )


def _flat(table: Any) -> dict[str, Any]:
    """Return settings by their whole key: `training.epochs` may stand as a table in a table."""
    flat: dict[str, Any] = {}
    for key, value in table.items() if isinstance(table, Mapping) else ():
        if key in (*SECTIONS, "model") and isinstance(value, Mapping):
            flat |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            flat[key] = value
    return flat


def _kinds(recipe: str, parts: Mapping[str, Mapping[str, Any]], faults: list[str]) -> dict[str, Any]:
    """Return the keys there are, by the recipes that the search begins with; empty where there are none."""
    names = parts["space"].get(RECIPE, [recipe] if recipe else [])
    if not names or not isinstance(names, list | tuple):
        faults.append("recipe: which one stays as it is but for the space? Name it, or give --recipe")
        return {}
    try:
        bases = [load_recipe(str(name)) for name in names]
    except InputError as error:
        faults.append(f"recipe: {error}")
        return {}
    models = [*_listed(parts["space"].get("model.name")), *_listed([parts["set"].get("model.name")])]
    return known_kinds(bases, models)


def _listed(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | tuple) else []


def _fixed(part: Mapping[str, Any], kinds: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    fixed = {}
    for key, value in part.items():
        if kinds and (key not in kinds or key == RECIPE):
            faults.append(f"set.{unknown(key, kinds)}")
            continue
        try:
            fixed[key] = freeze(value)
        except ValueFault as fault:
            faults.append(f"set.{key}: expected {fault}")
    return fixed


def _overrides(
    recipe: str,
    space: Mapping[str, Any],
    overrides: Sequence[str],
    kinds: Mapping[str, Any],
    faults: list[str],
) -> dict[str, Any]:
    """Return settings given as words, as the recipe's own types read them."""
    if not overrides:
        return {}
    base = recipe or str(space[RECIPE][0])
    found = {}
    for text in overrides:
        key = text.partition("=")[0].strip()
        if key in space:
            faults.append(f"--set {text}: {key} is searched (space); leave it out of one of them")
        elif key not in kinds or key == RECIPE:
            faults.append(f"--set {unknown(key, kinds)}")
        else:
            try:
                tables = recipe_to_dict(load_recipe(base, [text]))
            except ConfigError as error:
                faults += [f"--set {fault}" for fault in error.faults]
                continue
            section, _, name = key.partition(".")
            found[key] = tables[section][name] if name else tables[section]
    return found


def _space(part: Mapping[str, Any], kinds: Mapping[str, Any], faults: list[str]) -> tuple[Axis, ...]:
    axes = []
    for key, given in part.items():
        if kinds and key not in kinds:
            faults.append(f"space.{unknown(key, kinds)}")
            continue
        try:
            axes.append(read_axis(key, given, kinds.get(key)))
        except ValueFault as fault:
            faults.append(f"space.{key}: expected {fault}")
    return tuple(axes)
