"""The settings a search varies: listed values, or numbers between two ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np

from murine.config.convert import ValueFault, freeze, show
from murine.errors import suggest

Values = Mapping[str, Any]
"""A combination: a value for each key of a space."""

_RANGE_KEYS = ("low", "high", "log", "step", "count")


class Axis(Protocol):
    """One key of a space."""

    @property
    def key(self) -> str:
        """The setting, such as "training.learning_rate"."""

    def grid(self) -> tuple[Any, ...]:
        """Return the values a grid tries, in order."""

    def grid_fault(self) -> str:
        """Return why a grid cannot have it, or ""."""

    def draw(self, rng: np.random.Generator) -> Any:
        """Return a value drawn at random."""

    def table(self) -> Any:
        """Return it as a search file holds it."""


@dataclass(frozen=True)
class Choice:
    """A setting that takes one of the listed values."""

    key: str
    values: tuple[Any, ...]

    def grid(self) -> tuple[Any, ...]:
        """Return the values, in order."""
        return self.values

    def grid_fault(self) -> str:
        """Return "": a list always has an end."""
        return ""

    def draw(self, rng: np.random.Generator) -> Any:
        """Return one of the values, each as likely."""
        return self.values[int(rng.integers(len(self.values)))]

    def table(self) -> Any:
        """Return the list."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """A setting that takes a number from `low` to `high`, both included: whole ones if `whole`, in equal ratios
    rather than differences if `log`. `step` apart, if above 0; a grid takes `count` of them, evenly.
    """

    key: str
    low: float
    high: float
    whole: bool = False
    log: bool = False
    step: float = 0.0
    count: int = 0

    def grid(self) -> tuple[Any, ...]:
        """Return the values that a grid tries: a step apart, or so many."""
        if self.step:
            number = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            values = self.low + self.step * np.arange(number)
        elif self.log:
            values = np.geomspace(self.low, self.high, self.count)
        else:
            values = np.linspace(self.low, self.high, self.count)
        return tuple(dict.fromkeys(self._number(v) for v in values.tolist()))

    def grid_fault(self) -> str:
        """Return what a grid lacks: a range without steps has no end of values."""
        if self.step or self.count:
            return ""
        return "a grid needs to know which values; add step or count, or list them"

    def draw(self, rng: np.random.Generator) -> Any:
        """Return a number drawn evenly, of the logarithm if `log`."""
        if self.step or self.count:
            values = self.grid()
            return values[int(rng.integers(len(values)))]
        if self.log:
            return self._number(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        if self.whole:
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        return self._number(rng.uniform(self.low, self.high))

    def table(self) -> Any:
        """Return the table that a search file has."""
        ends = {"low": self._number(self.low), "high": self._number(self.high)}
        more: dict[str, Any] = {"log": True} if self.log else {}
        if self.step:
            more["step"] = self._number(self.step)
        if self.count:
            more["count"] = self.count
        return ends | more

    def _number(self, value: float) -> Any:
        if self.whole:
            return round(value)
        return min(max(float(f"{value:.12g}"), self.low), self.high)


def read_axis(key: str, given: Any, kind: Any = None) -> Axis:
    """Return what a search file says of a key: a list of values, or a table with low and high.

    `kind`: the setting's type, int or float where a range makes sense, None where it is not known. Raises
    ValueFault that says what was expected.
    """
    if isinstance(given, Mapping):
        if kind not in (int, float, None):
            raise ValueFault("a list of values: this setting is no number, so it has no range")
        return _read_range(key, given, kind)
    if not isinstance(given, list | tuple) or not given:
        raise ValueFault(
            f"a list of values, or a range such as {{ low = 0.001, high = 0.1, log = true }}; came {show(given)}"
        )
    values = tuple(freeze(value) for value in given)
    twice = [v for i, v in enumerate(values) if v in values[:i]]
    if twice:
        raise ValueFault(f"values that differ; {show(twice[0])} came twice")
    return Choice(key, values)


def _read_range(key: str, given: Mapping[str, Any], kind: Any) -> Range:
    for name in given:
        if name not in _RANGE_KEYS:
            raise ValueFault(f"low, high, log, step, count; came '{name}'.{suggest(name, _RANGE_KEYS)}")
    numbers = {name: given[name] for name in ("low", "high", "step") if name in given}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueFault(f"a number for {name}; came {show(value)}")
    if not {"low", "high"} <= set(numbers):
        raise ValueFault("both ends of a range, low and high")
    low, high, step = numbers["low"], numbers["high"], numbers.get("step", 0)
    log, count = given.get("log", False), given.get("count", 0)
    if not isinstance(log, bool):
        raise ValueFault(f"true or false for log; came {show(log)}")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0 or count == 1:
        raise ValueFault(f"a count of 2 or more; came {show(count)}")
    if low >= high:
        raise ValueFault(f"low below high; came {low} and {high}")
    if log and low <= 0:
        raise ValueFault(f"low above 0, as log takes ratios; came {low}")
    if step < 0 or (step and (log or count)):
        raise ValueFault("a step above 0, and neither log nor count beside it")
    whole = kind is not float and all(isinstance(value, int) for value in numbers.values())
    if kind is int and not whole:
        raise ValueFault(f"whole numbers, as this setting takes; came {show(list(numbers.values()))}")
    return Range(key, low, high, whole, log, step, count)


def combinations(space: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Yield every combination of a grid, the last key changing fastest."""
    keys = [axis.key for axis in space]
    for values in product(*(axis.grid() for axis in space)):
        yield dict(zip(keys, values, strict=True))


def draw(space: Sequence[Axis], rng: np.random.Generator) -> dict[str, Any]:
    """Return a combination drawn at random."""
    return {axis.key: axis.draw(rng) for axis in space}
