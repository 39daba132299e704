"""From a name and a table of settings to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from murine.errors import ConfigError, InputError
from murine.models.contract import Model
from murine.models.settings import Setting, check_settings, read_settings
from murine.registry import Registry

ReadWeights = Callable[[Path, Model], tuple[dict[str, Tensor], str]]
"""A file and the model it is for, to tensors by the model's own names (those of its head only where they
fit) and the layout in words. Raises InputError that lists every tensor missing, extra or of another shape."""


@dataclass(frozen=True)
class ModelEntry:
    """A network that can be had by name.

    `build` is called with classes (and features, if its signature has them) and its settings. `published`
    is the parameter count in its paper, by Keras' rules; `counted`: the arguments that it was counted at.
    `tiny`: settings of a small version for tests. `read_weights`: reads a file of published weights in any
    known layout as the state of such a model, and says which layout it met. `fitted`: it does not learn by
    gradients, but is fitted at once (`train.trees`).
    """

    build: Callable[..., Model]
    streams: tuple[str, ...]
    family: str
    source: str
    published: int | None = None
    counted: Mapping[str, int] = field(default_factory=lambda: {"classes": 8})
    tiny: Mapping[str, Any] = field(default_factory=dict)
    read_weights: ReadWeights | None = None
    fitted: bool = False

    @property
    def takes_features(self) -> bool:
        """True if the network is built for a number of input features."""
        return "features" in read_settings(self.build, everything=True)

    @property
    def needs_features(self) -> bool:
        """True if it cannot be built without: a network of networks may see tables or pictures."""
        known = read_settings(self.build, everything=True)
        return "features" in known and known["features"].default is not None


MODELS: Registry[ModelEntry] = Registry("model")


def model_settings(name: str) -> dict[str, Setting]:
    """Return the settings of a model: name -> (type, default), in the order of its constructor."""
    return read_settings(MODELS[name].build)


def setting_faults(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Return everything wrong with the settings of a model, the unknown model included."""
    try:
        known = model_settings(name)
    except InputError as error:
        return [str(error)]
    return check_settings(known, settings)[1]


def complete_settings(
    name: str, settings: Mapping[str, Any], derived: Mapping[str, Any]
) -> dict[str, Any]:
    """Add to a recipe's settings of a model those that follow from its input, such as frames, size,
    flow_channels or exclusive; what the model does not have is left out.

    Raises ConfigError where a recipe says otherwise than its input.
    """
    known = model_settings(name)
    follows = {key: value for key, value in derived.items() if key in known}
    given = check_settings(known, settings)[0]
    expected = check_settings(known, follows)[0]
    faults = [
        f"'{key}' is {given[key]!r}, but the recipe's input and window make it {expected[key]!r}; "
        "leave it out of [model]"
        for key in follows
        if key in settings and given[key] != expected[key]
    ]
    if faults:
        raise ConfigError(f"settings of model '{name}'", faults)
    return {**settings, **follows}


def create_model(
    name: str,
    *,
    classes: int,
    features: int | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
    seed: int = 0,
) -> Model:
    """Build a network with fresh weights; the same seed gives the same weights.

    `features`: columns of the pose or embedding stream, where the model has one. Raises ConfigError that
    lists every fault of the settings; the global random generator is left as it was.
    """
    entry = MODELS[name]
    values, faults = check_settings(read_settings(entry.build), settings)
    arguments = {"classes": classes}
    if entry.needs_features and features is None:
        faults.append(f"features: '{name}' needs the number of its input's columns; none came")
    elif entry.takes_features and features is not None:
        arguments["features"] = features
    faults += [f"{key}: must be at least 1; came {n}" for key, n in arguments.items() if n < 1]
    if faults:
        raise ConfigError(f"settings of model '{name}'", faults)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            model = entry.build(**arguments, **values)
        except InputError as error:
            raise ConfigError(f"settings of model '{name}'", [str(error)]) from error
    model.configuration = {"name": name, **arguments, "settings": values}
    return model


def describe_models() -> list[dict[str, Any]]:
    """Return one JSON-like row per model: what it takes, its settings, its parameters counted both ways.

    `parameters` is the framework's count, `keras_parameters` that of the papers, at `counted`.
    """
    rows = []
    for name, entry in MODELS.items():
        classes, features = entry.counted["classes"], entry.counted.get("features")
        with torch.device("meta"):  # shapes without memory or random numbers
            model = create_model(name, classes=classes, features=features)
        rows.append(
            {
                "name": name,
                "family": entry.family,
                "streams": list(entry.streams),
                "window": model.window,
                "predicts": model.predicts,
                "parameters": sum(p.numel() for p in model.parameters()),
                "keras_parameters": model.keras_parameters(),
                "published": entry.published,
                "counted": dict(entry.counted),
                "source": entry.source,
                "settings": {key: setting.default for key, setting in model_settings(name).items()},
            }
        )
    return rows
