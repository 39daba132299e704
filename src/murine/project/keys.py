"""Tables of project.toml read key by key, with every fault told by the key's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from murine.config.convert import ValueFault, convert, show
from murine.errors import suggest


def typed(
    table: Any,
    types: Mapping[str, Any],
    where: str,
    faults: list[str],
    extra: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the values of a table that have the types wanted, adding to `faults` all that have not.

    `where`: the table's name, "" for the top of the file. `extra`: keys that are read elsewhere, to be suggested
    beside those of `types`.
    """
    if not isinstance(table, Mapping):
        faults.append(f"{where}: expected a table [{where}]; came {show(table)}")
        return {}
    prefix = f"{where}." if where else ""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in types:
            faults.append(f"{prefix}{key}: unknown setting.{suggest(key, [*types, *extra])}")
            continue
        try:
            values[key] = convert(value, types[key])
        except ValueFault as fault:
            faults.append(f"{prefix}{key}: expected {fault}")
    return values
