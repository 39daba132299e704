"""From what a TOML file or a command line holds to the type a dataclass field asks for."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields
from typing import Any, get_args, get_origin, get_type_hints

from murine.errors import suggest

_KINDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    bool: ("true or false", "true or false"),
}

_TESTS: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("low", "at least", operator.ge),
    ("high", "at most", operator.le),
    ("above", "more than", operator.gt),
    ("below", "less than", operator.lt),
)


class ValueFault(Exception):
    """A value does not fit; the text says what was expected."""


def rule(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Return a dataclass field whose value (or, of a tuple, each element) is at least `low`, at most
    `high`, greater than `above`, less than `below`, and one of `choices`.
    """
    limits = {"low": low, "high": high, "above": above, "below": below}
    return field(default=default, metadata={"limits": limits, "choices": tuple(choices)})


def freeze(value: Any) -> Any:
    """Return a JSON-like value with tuples for lists, at every depth, copied.

    Raises ValueFault for what a TOML file can hold and a setting cannot (a date, a time).
    """
    if isinstance(value, Mapping):
        return {str(key): freeze(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueFault(f"a number, text, true, false or a list of these; came {value!r}")


_FIELD_TYPES: dict[type, dict[str, Any]] = {}
"""What `field_types` found before: resolving the names is slow, and a search makes hundreds of recipes."""


def field_types(cls: type) -> dict[str, Any]:
    """Return the resolved type of each field of a dataclass."""
    if cls not in _FIELD_TYPES:
        hints = get_type_hints(cls)
        _FIELD_TYPES[cls] = {f.name: hints[f.name] for f in fields(cls)}
    return _FIELD_TYPES[cls]


def is_plain(hint: Any) -> bool:
    """Return whether `convert` knows a type: a scalar, or a tuple of known ones."""
    return hint in _KINDS or (get_origin(hint) is tuple and is_plain(get_args(hint)[0]))


def describe(hint: Any, *, several: bool = False) -> str:
    """Return a type in words: "a list of 2 whole numbers"."""
    if get_origin(hint) is not tuple:
        return _KINDS[hint][several]
    parts = get_args(hint)
    count = "" if parts[-1] is Ellipsis else f"{len(parts)} "
    return f"{'lists' if several else 'a list'} of {count}{describe(parts[0], several=True)}"


def convert(value: Any, hint: Any) -> Any:
    """Return `value` as the type `hint`: int, float, str, bool, or a tuple of these.

    Nothing is guessed: a number in quotes is text, 1 is not true; only a whole number may stand
    for a float. Raises ValueFault.
    """
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if not isinstance(value, list | tuple):
            raise ValueFault(f"{describe(hint)}; came {show(value)}")
        if parts[-1] is not Ellipsis and len(value) != len(parts):
            raise ValueFault(f"{describe(hint)}; came {show(value)}")
        try:
            return tuple(convert(item, parts[0]) for item in value)
        except ValueFault:
            raise ValueFault(f"{describe(hint)}; came {show(value)}") from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise ValueFault(f"{describe(hint)}; came {show(value)}")
    if hint is float and not math.isfinite(value):
        raise ValueFault(f"a number that is finite; came {value}")
    return value


def show(value: Any) -> str:
    """Return a value as a message shows it: text in quotes, lists in square brackets."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(show(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def limit_fault(value: Any, metadata: Mapping[str, Any]) -> str:
    """Return what was expected of a value of the right type, or "" where it is allowed."""
    values = value if isinstance(value, tuple) else (value,)
    limits = metadata.get("limits", {})
    choices = metadata.get("choices", ())
    if choices and (wrong := [v for v in values if v not in choices]):
        hint = suggest(wrong[0], choices)
        known = "" if hint.startswith(" Known") else hint
        return f"one of {', '.join(choices)}; came {show(wrong[0])}.{known}"
    stated = [(words, limits[key], test) for key, words, test in _TESTS if limits.get(key) is not None]
    if all(test(v, bound) for v in values for _, bound, test in stated):
        return ""
    each = "each " if isinstance(value, tuple) else ""
    return each + " and ".join(f"{w} {bound:g}" for w, bound, _ in stated) + f"; came {show(value)}"


def value_faults(settings: Any) -> list[str]:
    """Return a line for each field of a settings dataclass that has a wrong type or value.

    A whole number given for a float becomes a float; nested settings check themselves.
    """
    faults = []
    types = field_types(type(settings))
    for item in fields(settings):
        if not is_plain(types[item.name]):
            continue
        try:
            value = convert(getattr(settings, item.name), types[item.name])
        except ValueFault as fault:
            faults.append(f"{item.name}: expected {fault}")
            continue
        object.__setattr__(settings, item.name, value)
        if expected := limit_fault(value, item.metadata):
            faults.append(f"{item.name}: expected {expected}")
    return faults
