"""TOML read with messages a user can act on, and written so that it reads back equal."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from murine.errors import ConfigError
from murine.files import require_file

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return the tables of a TOML file; `what` names the file's role in messages.

    Raises InputError for a missing or empty file, ConfigError with the line for a syntax error.
    """
    try:
        text = require_file(path, what).read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError:
        raise ConfigError(path, ["not a text file in UTF-8; save it again as UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            path, [f"not valid TOML: {error}. Text needs quotes; a setting is `name = value`"]
        ) from None


def parse_value(text: str) -> Any:
    """Return a value as TOML spells it; raises ValueError for what is no TOML value."""
    if "\n" in text:
        raise ValueError("a value is one line")
    return tomllib.loads(f"value = {text}")["value"]


def toml_text(tables: Mapping[str, Any]) -> str:
    """Return tables as TOML: scalars first, then `[tables]` and `[[lists of tables]]`, in their order.

    Takes what TOML can hold: text, numbers, booleans, lists (or tuples) and mappings of these.
    """
    return "\n".join(_table(tables, ())).strip() + "\n"


def inline(value: Any) -> str:
    """Return a value as TOML on one line, a table in braces."""
    return _value(value)


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines, later = [], []
    for key, value in table.items():
        here = (*path, key)
        name = ".".join(_key(part) for part in here)
        if isinstance(value, Mapping):
            later += ["", f"[{name}]", *_table(value, here)]
        elif not path and _is_tables(value):
            for item in value:
                later += ["", f"[[{name}]]", *_table(item, here)]
        else:
            lines.append(f"{_key(key)} = {_value(value)}")
    return lines + later


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _key(key: str) -> str:
    return key if _BARE_KEY.match(key) else _string(key)


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    raise TypeError(f"TOML cannot hold {value!r}")
