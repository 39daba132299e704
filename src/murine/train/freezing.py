"""Parts of a network that stay as they are for a while: two-stage fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from murine.config import TrainingSettings
from murine.errors import InputError, suggest
from murine.models.contract import Model

ALL_BUT_HEAD = "all but head"


@dataclass(frozen=True)
class Freezing:
    """What of a network does not learn, and until when.

    `parameters`: their names. `modules`: names of modules that hold nothing else; they stay in evaluation
    mode, so that statistics of batch norms do not move either. `epochs`: after which all learns (0: never),
    at `factor` times the rate.
    """

    parameters: frozenset[str]
    modules: tuple[str, ...]
    epochs: int
    factor: float

    def holds(self, epoch: int) -> bool:
        """Return whether the parts are frozen in an epoch, counted from 0."""
        return bool(self.parameters) and (self.epochs == 0 or epoch < self.epochs)

    def pending(self, epoch: int) -> bool:
        """Return whether they are frozen and will thaw."""
        return self.epochs > 0 and self.holds(epoch)

    def rate_factor(self, epoch: int) -> float:
        """Return what the learning rate of an epoch is multiplied by."""
        thawed = bool(self.parameters) and not self.holds(epoch)
        return self.factor if thawed else 1.0

    def prepare(self, model: Model, epoch: int) -> None:
        """Bring a model into training mode for an epoch, with what is frozen frozen."""
        frozen = self.holds(epoch)
        model.train()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not (frozen and name in self.parameters))
        if frozen:
            for name in self.modules:
                for module in model.get_submodule(name).modules():
                    # a GPU gives recurrent layers a gradient in training mode only, which differs by dropout
                    module.train(isinstance(module, nn.RNNBase) and module.dropout == 0)


def plan_freezing(model: Model, settings: TrainingSettings) -> Freezing:
    """Return what a recipe freezes of a model.

    Raises InputError for parts that the network does not have (naming those it has), or where nothing is
    left to learn.
    """
    names = [name for name, _ in model.named_parameters()]
    state = [*names, *(name for name, _ in model.named_buffers())]
    unknown = [
        part
        for part in settings.freeze
        if part != ALL_BUT_HEAD and not any(n.startswith(part) for n in names)
    ]
    if unknown:
        raise InputError(
            f"training.freeze: the network has no part {' or '.join(repr(u) for u in unknown)}."
            f"{suggest(unknown[0], [ALL_BUT_HEAD, *parts_of(names)])} Parts are beginnings of the names of its "
            f"parameters: {', '.join(parts_of(names))}"
        )
    frozen = {name for name in state if _is_frozen(name, model, settings.freeze)}
    if not set(names) - frozen:
        raise InputError(
            f"training.freeze: {', '.join(settings.freeze)} is the whole network, so nothing would learn. "
            f"Leave out a part of: {', '.join(parts_of(names))}"
        )
    return Freezing(
        frozenset(frozen & set(names)),
        tuple(_whole_modules(model, "", frozen)),
        settings.freeze_epochs,
        settings.thaw_factor,
    )


def in_head(name: str, model: Model) -> bool:
    """Return whether a parameter or buffer belongs to what depends on the behaviours."""
    return name.startswith(tuple(model.head_names))


def parts_of(names: Iterable[str]) -> list[str]:
    """Return the parts of a network in order: first words of its parameters' names, with the second where
    they are numbered or all begin alike.
    """
    names = list(names)
    depth = 1
    while len({tuple(n.split(".")[:depth]) for n in names}) == 1 and depth < 4:
        depth += 1
    parts: dict[str, None] = {}
    for name in names:
        words = name.split(".")[:-1] or [name]
        numbered = len(words) > depth and words[depth].isdigit()
        parts[".".join(words[: depth + numbered])] = None
    return list(parts)


def _is_frozen(name: str, model: Model, parts: Sequence[str]) -> bool:
    return any(
        not in_head(name, model) if part == ALL_BUT_HEAD else name.startswith(part) for part in parts
    )


def _whole_modules(module: nn.Module, name: str, frozen: set[str]) -> Iterable[str]:
    """Give the names of the largest modules that hold something and nothing that learns.

    Dropout between frozen parts and the head belongs to neither and stays active.
    """
    for key, child in module.named_children():
        path = f"{name}.{key}" if name else key
        held = [n for n, _ in child.named_parameters(path)] + [n for n, _ in child.named_buffers(path)]
        if held and frozen.issuperset(held):
            yield path
        else:
            yield from _whole_modules(child, path, frozen)
