"""A constructor's keywords as settings: their types, limits and defaults, and what is wrong with a table.

The signature is the only place a setting is written: `dropout: Share = 0.2` says its name, type, limits
and default. Tables come from TOML or JSON, so a list stands for a tuple and 1 for 1.0.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from murine.errors import suggest

NOT_SETTINGS = ("classes", "features")
"""Constructor keywords that follow from the data, not from a recipe."""


@dataclass(frozen=True)
class Limits:
    """The numbers a setting may take: `minimum` (itself left out if `above`) to `maximum`."""

    minimum: float = -math.inf
    maximum: float = math.inf
    above: bool = False

    def fault(self, value: float) -> str:
        """Return what is wrong with a value, or an empty text."""
        low = value <= self.minimum if self.above else value < self.minimum
        if not low and value <= self.maximum:
            return ""
        lower = f"above {self.minimum:g}" if self.above else f"at least {self.minimum:g}"
        upper = "" if self.maximum == math.inf else f" and at most {self.maximum:g}"
        return f"must be {lower}{upper}; came {value:g}"


Count = Annotated[int, Limits(1)]
Natural = Annotated[int, Limits(0)]
Positive = Annotated[float, Limits(0, above=True)]
Share = Annotated[float, Limits(0, 1)]
Table = Mapping[str, Any]
"""A table of settings of something else, which that thing checks: text, numbers, true, false, lists, tables."""


class Setting(NamedTuple):
    """The type of a setting (with its limits) and its default."""

    type: Any
    default: Any


def read_settings(build: Callable[..., object], *, everything: bool = False) -> dict[str, Setting]:
    """Return the settings of a class or function, in the order of its signature; with `everything` also
    what is not a setting.
    """
    function = inspect.getattr_static(build, "__init__") if isinstance(build, type) else build
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(build).parameters.values()
    return {
        p.name: Setting(hints[p.name], p.default)
        for p in parameters
        if everything or p.name not in NOT_SETTINGS
    }


def check_settings(
    known: Mapping[str, Setting], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return every setting with its given or default value, converted, and all faults found."""
    values = {name: setting.default for name, setting in known.items()}
    faults = []
    for name, value in given.items():
        if name not in known:
            faults.append(f"unknown setting '{name}'.{suggest(name, known)}")
            continue
        try:
            values[name] = _convert(value, known[name].type)
        except _WrongError as error:
            faults.append(f"'{name}' {error}")
    return values, faults


class _WrongError(Exception):
    """A value does not fit its type; the text completes a sentence that begins with its name."""


def _convert(value: Any, hint: Any) -> Any:
    """Return `value` as `hint` wants it; raises _WrongError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _limited(_convert(value, arguments[0]), arguments[1:])
    if origin is Literal:
        return _choice(value, arguments)
    if origin in (Union, UnionType):
        return _either(value, hint, arguments)
    if origin is tuple:
        return _several(value, hint, arguments)
    if origin is Mapping:
        return _table(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise _WrongError(f"must be a finite number; came {value}")
        return float(value)
    if isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise _WrongError(f"must be {describe(hint)}; came {value!r}")


def _limited(value: Any, limits: tuple[Any, ...]) -> Any:
    for limit in limits:
        fault = limit.fault(value) if isinstance(limit, Limits) else ""
        if fault:
            raise _WrongError(fault)
    return value


def _choice(value: Any, choices: tuple[Any, ...]) -> Any:
    if value in choices:
        return value
    names = ", ".join(repr(choice) for choice in choices)
    raise _WrongError(f"must be one of {names}; came {value!r}")


def _either(value: Any, hint: Any, arguments: tuple[Any, ...]) -> Any:
    if value is None and NoneType in arguments:
        return None
    faults = []
    for argument in arguments:
        try:
            return _convert(value, argument)
        except _WrongError as error:
            faults.append(str(error))
    kinds = [a for a in arguments if a is not NoneType]
    raise _WrongError(faults[0] if len(kinds) == 1 else f"must be {describe(hint)}; came {value!r}")


def _several(value: Any, hint: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _WrongError(f"must be {describe(hint)}; came {value!r}")
    kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(value):
        raise _WrongError(f"must be {describe(hint)}; came {len(value)} values")
    return tuple(_convert(item, kind) for item, kind in zip(value, kinds, strict=True))


def _table(value: Any) -> Any:
    """Return a table, or what stands in it, as JSON would give it back."""
    if not isinstance(value, Mapping):
        raise _WrongError(f"must be a table; came {value!r}")
    return {_name(key): _plain(item, key) for key, item in value.items()}


def _name(key: Any) -> str:
    if not isinstance(key, str):
        raise _WrongError(f"has a key that is no text: {key!r}")
    return key


def _plain(value: Any, key: Any) -> Any:
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise _WrongError(f"has a number that is not finite at '{key}': {value}")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise _WrongError(f"has at '{key}' what no table can hold: {value!r}")


def describe(hint: Any) -> str:
    """Return a type in words, such as "a list of 2 whole numbers"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return describe(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(describe(a) for a in arguments if a is not NoneType)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in arguments)
    if origin is Mapping:
        return "a table"
    if origin is tuple:
        inner = _WORDS.get(_bare(arguments[0]), str(arguments[0]))[1]
        return f"a list of {inner if arguments[-1] is Ellipsis else f'{len(arguments)} {inner}'}"
    return _WORDS[hint][0] if hint in _WORDS else str(hint)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


_WORDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    bool: ("true or false", "true or false values"),
}
