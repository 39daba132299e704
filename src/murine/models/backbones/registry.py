"""What a backbone promises, the list of them, and where their weights are found."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from murine.cache import cache_folder
from murine.errors import InputError, suggest
from murine.registry import Registry

TIMM = "timm:"
"""What the names of backbones of the library timm begin with."""

TIMM_SUFFIXES = (".safetensors", ".pth")
"""Kinds of file looked for in the weights folder, the first one first."""


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

    For timm's that is timm/NAME.safetensors or .pth. Raises InputError that says which file to put where.
    """
    if weights:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"{path}: the weights of backbone '{name}' were expected there; no such file."
            )
        return path
    if name.startswith(TIMM):
        files = [f"timm/{name.removeprefix(TIMM)}{suffix}" for suffix in TIMM_SUFFIXES]
    else:
        files = [BACKBONES[name].file]
    for file in files:
        if (path := weights_folder() / file).is_file():
            return path
    raise InputError(
        f"{weights_folder() / files[0]}: the weights of backbone '{name}' are not there, and murine does not "
        f"download any. Put {' or '.join(files)} into the folder {weights_folder()} (MURINE_WEIGHTS names "
        'another), name a file in embedding.weights, or take fresh weights by "random"'
    )


def build_backbone(name: str) -> Backbone:
    """Return a backbone with fresh weights; no file is read.

    A name that begins with "timm:" is that library's. Raises InputError for an unknown name,
    MissingExtraError where timm is asked for and not installed.
    """
    if name.startswith(TIMM):
        from murine.models.backbones.timm_models import build_timm

        return build_timm(name.removeprefix(TIMM))
    if name not in BACKBONES:
        raise InputError(f"unknown backbone '{name}'.{suggest(name, BACKBONES)}")
    return BACKBONES[name].build()


def read_backbone(name: str, path: Path, backbone: Backbone) -> tuple[dict[str, Tensor], str]:
    """Return a file of weights as the whole state of backbone `name`, and the layout met, in words.

    Raises InputError that lists every tensor missing, extra or of another shape.
    """
    if name.startswith(TIMM):
        from murine.models.backbones.timm_models import read_timm

        return read_timm(path, backbone), "tensors of timm"
    entry = BACKBONES[name]
    return entry.read(path, backbone), "" if entry.layout is None else entry.layout(path)


def create_backbone(name: str, weights: str = "", seed: int = 0) -> Backbone:
    """Return a backbone ready to describe pictures (evaluation mode), with `weights` as `find_weights` says.

    "random": fresh weights of a seed. Raises what `build_backbone`, `find_weights` and `read_backbone` raise.
    """
    if weights != "random" and name in BACKBONES:
        find_weights(name, weights)  # before the network is built, which takes seconds
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = build_backbone(name)
    if weights != "random":
        state, _ = read_backbone(name, find_weights(name, weights), backbone)
        backbone.load_state_dict(state)
    return backbone.eval()


def describe_backbones() -> list[dict[str, Any]]:
    """Return one JSON-like row per backbone: what it takes and gives, its parameters counted both ways, the
    usual file of its weights, and whether that lies in the weights folder (`file_found`).
    """
    rows = []
    for name, entry in BACKBONES.items():
        with torch.device("meta"):  # shapes without memory or random numbers
            backbone = entry.build()
        rows.append(
            {
                "name": name,
                "features": backbone.features,
                "size": list(backbone.size),
                "smallest": backbone.smallest,
                "parameters": sum(p.numel() for p in backbone.parameters()),
                "keras_parameters": backbone.keras_parameters(),
                "published": entry.published,
                "file": entry.file,
                "file_found": (weights_folder() / entry.file).is_file(),
                "source": entry.source,
            }
        )
    return rows
