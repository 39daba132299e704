"""What a backbone promises, the list of them, and where their weights are found."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from murine.cache import cache_folder
from murine.errors import InputError, suggest
from murine.registry import Registry

TIMM = "timm:"
"""What the names of backbones of the library timm begin with."""


class Backbone(nn.Module):
    """A network of single pictures. `size`: height and width it is built for; `smallest`: the shortest side
    it can take; `features`: columns out.

    `forward` takes (N, 3, H, W) RGB, uint8 or float in 0..255, scales it as the network wants it, and
    returns (N, features) float.
    """

    size: tuple[int, int] = (224, 224)
    smallest: int = 1
    features: int = 0

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, features)."""
        raise NotImplementedError

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise InputError if the network cannot take pictures of this height and width."""
        if min(size) < self.smallest:
            raise InputError(
                f"pictures of {size[0]} x {size[1]} came; this backbone needs at least {self.smallest} pixels "
                f"each way and is built for {self.size[0]} x {self.size[1]}"
            )

    def keras_parameters(self) -> int:
        """Return the count as Keras makes it: parameters and batch-norm statistics."""
        statistics = sum(
            buffer.numel()
            for name, buffer in self.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        )
        return sum(p.numel() for p in self.parameters()) + statistics


@dataclass(frozen=True)
class BackboneEntry:
    """A backbone that can be had by name.

    `file`: the usual name of its weights; `read`: such a file as the state of the backbone (raises
    InputError that lists every tensor missing, extra or of another shape); `layout`: which of the known
    layouts a file has, in words. `published`: its count of parameters by Keras' rules, if a paper or a
    library prints one.
    """

    build: Callable[[], Backbone]
    file: str
    read: Callable[[Path, Backbone], dict[str, Tensor]]
    source: str
    published: int | None = None
    layout: Callable[[Path], str] | None = None


BACKBONES: Registry[BackboneEntry] = Registry("backbone")


def weights_folder() -> Path:
    """Return the folder of `MURINE_WEIGHTS`, or `weights` beside the cache."""
    named = os.environ.get("MURINE_WEIGHTS")
    return Path(named).expanduser() if named else cache_folder().parent / "weights"


def find_weights(name: str, weights: str = "") -> Path:
    """Return the file of a backbone's weights: `weights`, or its usual file in the weights folder.

    Raises InputError that says which file to put where.
    """
    if weights:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"{path}: the weights of backbone '{name}' were expected there; no such file."
            )
        return path
    file = BACKBONES[name].file
    path = weights_folder() / file
    if not path.is_file():
        raise InputError(
            f"{path}: the weights of backbone '{name}' are not there, and murine does not download any. Put "
            f"{file} into that folder (MURINE_WEIGHTS names another), or name a file in embedding.weights"
        )
    return path


def create_backbone(name: str, weights: str = "", seed: int = 0) -> Backbone:
    """Return a backbone ready to describe pictures (evaluation mode), with `weights` as `find_weights` says.

    "random": fresh weights of a seed. A name that begins with "timm:" is that library's. Raises InputError.
    """
    if name.startswith(TIMM):
        from murine.models.backbones.timm_models import create_timm

        return create_timm(name.removeprefix(TIMM), weights, seed)
    if name not in BACKBONES:
        raise InputError(f"unknown backbone '{name}'.{suggest(name, BACKBONES)}")
    entry = BACKBONES[name]
    path = None if weights == "random" else find_weights(name, weights)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = entry.build()
    if path is not None:
        backbone.load_state_dict(entry.read(path, backbone))
    return backbone.eval()
