"""Backbones of the library timm, by its own names; an extra, imported where it is asked for.

timm needs torchvision, and a torchvision that was built for CUDA cannot be imported beside a torch that was
built without: it describes operators that its missing library should have declared. `import_timm` declares
the two and tries again, so that all of torchvision but those two works.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from murine.errors import InputError, MissingExtraError, suggest
from murine.models.backbones.registry import TIMM, Backbone
from murine.models.backbones.states import fault_error, fitted_state, read_state, state_faults

_OPERATORS = ("nms", "qnms")
_declared: list[torch.library.Library] = []  # an operator lives as long as its library


class TimmBackbone(Backbone):
    """A network of timm without its classifier; pixels are scaled by the mean and deviation of its weights.

    Where timm allows it, a vision transformer takes pictures of any size that its patches divide.
    """

    def __init__(self, network: nn.Module, name: str, any_size: bool) -> None:
        super().__init__()
        facts: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
        self.network = network
        self.name = name
        height, width = (int(n) for n in facts["input_size"][-2:])
        self.size = (height, width)
        self.features = int(getattr(network, "head_hidden_size", None) or network.num_features)  # type: ignore[arg-type]
        self.fixed = bool(facts.get("fixed_input_size")) and not any_size
        self.patch = _patch(network) if any_size else (1, 1)
        for key in ("mean", "std"):
            pixels = 255.0 * torch.tensor(facts[key]).reshape(-1, 1, 1)
            self.register_buffer(key, pixels, persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) RGB 0..255 -> (N, features); raises InputError for a size it cannot take."""
        self.check_size((pictures.shape[-2], pictures.shape[-1]))
        rows: Tensor = self.network((pictures.float() - self.mean) / self.std)  # type: ignore[operator]
        if rows.shape[1:] != (self.features,):
            raise InputError(
                f"backbone '{TIMM}{self.name}' gives {tuple(rows.shape[1:])} for a picture where one row of "
                f"{self.features} was expected; it cannot be used as a backbone"
            )
        return rows

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise InputError if the network cannot take pictures of this height and width."""
        if self.fixed and size != self.size:
            raise InputError(
                f"backbone '{TIMM}{self.name}' takes pictures of {self.size} only; came {size}. Leave "
                "embedding.size out, or set input.size so"
            )
        if any(side % step for side, step in zip(size, self.patch, strict=True)):
            raise InputError(
                f"backbone '{TIMM}{self.name}' cuts pictures into patches of {self.patch}: height and width "
                f"must be multiples of these; came {size}"
            )


def import_timm(name: str) -> ModuleType:
    """Return the library timm; raises MissingExtraError that names the extra where it is not installed."""
    try:
        _ensure_torchvision()
        return importlib.import_module("timm")
    except ImportError as error:
        raise MissingExtraError(f"backbone '{TIMM}{name}'", "timm") from error


def _ensure_torchvision() -> None:
    """Import torchvision; one built for another torch gets the operators declared that it misses."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        # What the failed import left behind would be taken for the library.
        for module in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
            del sys.modules[module]
        if not _declared:
            library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
            for operator in _OPERATORS:
                schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                library.define(schema)  # type: ignore[no-untyped-call]
            _declared.append(library)
        importlib.import_module("torchvision")


def build_timm(name: str) -> TimmBackbone:
    """Return a backbone of timm with fresh weights; raises InputError for a name timm does not know."""
    timm = import_timm(name)
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = suggest(architecture, timm.list_models())
        hint = " timm.list_models() lists all." if near.startswith(" Known") else near
        raise InputError(f"timm {timm.__version__} has no model '{architecture}'.{hint}")
    try:
        try:
            network = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
            any_size = True
        except TypeError:  # not a vision transformer: no such setting
            network = timm.create_model(name, pretrained=False, num_classes=0)
            any_size = False
    except (RuntimeError, ValueError) as error:
        raise InputError(f"timm {timm.__version__} cannot build '{name}': {error}") from error
    return TimmBackbone(network, name, any_size)


def read_timm(path: Path, backbone: Backbone) -> dict[str, Tensor]:
    """Return a file of weights of timm, or of a network that timm can convert, as the backbone's state.

    The classifier's tensors are left out. Raises InputError that lists all other tensors that do not fit.
    """
    assert isinstance(backbone, TimmBackbone)
    network = backbone.network
    found = read_state(path)
    prefix = "backbone.network."
    part = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
    found = _without_classifier(part or found, network)
    if faults := state_faults(found, network):
        found = _converted(found, network)
        if state_faults(found, network):
            raise fault_error(path, faults)
    state = fitted_state(path, found, network)
    return {f"network.{key}": value for key, value in state.items()}


def _without_classifier(found: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    facts: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
    names = facts.get("classifier") or ()
    layers = tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
    wanted = network.state_dict()
    return {k: v for k, v in found.items() if k in wanted or not (layers and k.startswith(layers))}


def _converted(found: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return tensors by timm's own conversion from other libraries, if the network's family has one."""
    family = sys.modules[type(network).__module__]
    convert: Callable[..., Any] | None = getattr(family, "checkpoint_filter_fn", None)
    if convert is None:
        return found
    try:
        converted = convert(dict(found), network)
    except (KeyError, ValueError, RuntimeError, IndexError, AttributeError):
        return found  # a file of something else: what does not fit is said of its own names
    return _without_classifier(dict(converted), network)


def _patch(network: nn.Module) -> tuple[int, int]:
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", (1, 1))
    height, width = patch if isinstance(patch, tuple) else (patch, patch)
    return int(height), int(width)
