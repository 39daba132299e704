"""Optimizers and learning rates by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from murine.config import TrainingSettings
from murine.registry import Registry

OptimizerBuilder = Callable[[Iterable[nn.Parameter], TrainingSettings], torch.optim.Optimizer]
OPTIMIZERS: Registry[OptimizerBuilder] = Registry("optimizer")
OPTIMIZERS.add(
    "sgd",
    lambda p, s: torch.optim.SGD(p, s.learning_rate, momentum=s.momentum, weight_decay=s.weight_decay),
)
OPTIMIZERS.add("adam", lambda p, s: torch.optim.Adam(p, s.learning_rate, weight_decay=s.weight_decay))
OPTIMIZERS.add("adamw", lambda p, s: torch.optim.AdamW(p, s.learning_rate, weight_decay=s.weight_decay))


@dataclass
class Constant:
    """The learning rate of the recipe throughout."""

    settings: TrainingSettings

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.settings.learning_rate

    def observe(self, value: float) -> None:
        """Take note of what is watched after an epoch; lower is better."""

    def memory(self) -> dict[str, Any]:
        """Return what must survive a restart, as JSON-like values."""
        return {}

    def restore(self, memory: dict[str, Any]) -> None:
        """Continue from what `memory` returned."""


@dataclass
class Step(Constant):
    """Multiply by `plateau_factor` every `plateau_patience` epochs."""

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        falls = epoch // max(1, self.settings.plateau_patience)
        return float(self.settings.learning_rate * self.settings.plateau_factor**falls)


@dataclass
class Cosine(Constant):
    """Fall to `final_rate` along half a cosine over all epochs of the recipe."""

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        first, last = self.settings.learning_rate, self.settings.final_rate
        share = epoch / max(1, self.settings.epochs)
        return last + (first - last) * 0.5 * (1 + math.cos(math.pi * share))


@dataclass
class Linear(Constant):
    """Fall by the same amount each epoch, to `final_rate` in the last."""

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        first, last = self.settings.learning_rate, self.settings.final_rate
        return first + (last - first) * _share(epoch, self.settings.epochs)


@dataclass
class Exponential(Constant):
    """Fall by the same factor each epoch, to `final_rate` in the last."""

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        first, last = self.settings.learning_rate, self.settings.final_rate
        return float(first * (last / first) ** _share(epoch, self.settings.epochs))


def _share(epoch: int, epochs: int) -> float:
    """Return how far an epoch is from the first (0) to the last (1)."""
    return epoch / max(1, epochs - 1)


@dataclass
class _PlateauMemory:
    factor: float = 1.0
    best: float | None = None
    waited: int = 0


class Plateau(Constant):
    """Multiply by `plateau_factor` after `plateau_patience` epochs without a better value, then wait anew."""

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__(settings)
        self._memory = _PlateauMemory()

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.settings.learning_rate * self._memory.factor

    def observe(self, value: float) -> None:
        """Take note of what is watched after an epoch; lower is better."""
        state = self._memory
        if state.best is None or value < state.best:
            state.best, state.waited = value, 0
            return
        state.waited += 1
        if state.waited >= max(1, self.settings.plateau_patience):
            state.factor *= self.settings.plateau_factor
            state.waited = 0

    def memory(self) -> dict[str, Any]:
        """Return what must survive a restart, as JSON-like values."""
        return asdict(self._memory)

    def restore(self, memory: dict[str, Any]) -> None:
        """Continue from what `memory` returned."""
        self._memory = _PlateauMemory(**memory)


SCHEDULES: Registry[Callable[[TrainingSettings], Constant]] = Registry("schedule")
SCHEDULES.add("constant", Constant)
SCHEDULES.add("step", Step)
SCHEDULES.add("cosine", Cosine)
SCHEDULES.add("linear", Linear)
SCHEDULES.add("exponential", Exponential)
SCHEDULES.add("plateau", Plateau)
