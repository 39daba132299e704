"""What a step is, and the dictionary of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.registry import Registry
from murine.types import Ethogram, Timeline

Decided = NDArray[np.bool_]
"""(T, C): True where a behaviour is decided to hold; one per frame in an exclusive ethogram."""

Kind = Literal["probabilities", "decision", "bouts"]
ORDER: tuple[Kind, ...] = ("probabilities", "decision", "bouts")


class Step(Protocol):
    """What every step promises: its place in the order, and a function of one recording."""

    kind: ClassVar[Kind]

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> NDArray[Any]:
        """Return new values; those that came are left as they are."""


class Smoothing(Step, Protocol):
    """A step on probabilities, which may be given a piece of a recording at a time."""

    def reach(self, timeline: Timeline) -> int:
        """Return how many frames to each side of a frame decide its new values."""


class Decision(Step, Protocol):
    """A decision, which may be given a recording piece by piece."""

    def over(self, pieces: Iterable[NDArray[Any]], timeline: Timeline, ethogram: Ethogram) -> Decided:
        """Return the (T, C) decisions of pieces (n, C) that follow each other."""


STEPS: Registry[Callable[..., Step]] = Registry("post-processing step")


def check_duration(name: str, value: float) -> None:
    """Raise InputError unless `value` is a duration in seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} must be a number of seconds; came {value!r}")
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{name} must be 0 or more seconds; came {value}")


def check_names(name: str, value: object) -> None:
    """Raise InputError unless `value` is a list of behaviour names."""
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise InputError(f"{name} must be a list of names; came {value!r}")


def task_parts(ethogram: Ethogram) -> list[tuple[slice, Ethogram]]:
    """Return the columns of each task and its own ethogram; the whole where there are none."""
    parts = [
        (ethogram.columns(t), Ethogram(t.behaviours, t.exclusive, t.background)) for t in ethogram.tasks
    ]
    return parts or [(slice(0, len(ethogram)), ethogram)]


def in_each_task(
    step: Callable[[Sequence[str]], Step],
    behaviours: Sequence[str],
    values: Decided,
    timeline: Timeline,
    ethogram: Ethogram,
) -> Decided:
    """Return the decisions (T, C) of several tasks after a step on bouts, each task by itself.

    `step`: makes the step for some behaviours; `behaviours`: those asked for (none: all). Raises InputError for an
    unknown name.
    """
    for name in behaviours:
        ethogram.index(name)
    result = values.copy()
    for columns, own in task_parts(ethogram):
        mine = [name for name in behaviours if name in own.behaviours]
        if mine or not behaviours:
            result[:, columns] = step(mine)(values[:, columns], timeline, own)
    return result
