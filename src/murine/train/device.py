"""Where and how a network runs: device, precision, memory layout, randomness of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from murine.errors import InputError


def choose_device(name: str) -> torch.device:
    """Return the device a recipe names; "auto" is a GPU where there is one. Raises InputError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device '{name}' cannot be used ({reason}). Use 'auto', 'cpu' or 'cuda' (training.device)"
        ) from error
    return device


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a network runs at the recipe's precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def to_device(
    batch: Mapping[str, Tensor], device: torch.device, *, channels_last: bool = False
) -> dict[str, Tensor]:
    """Return a batch on a device, video streams with channels last if wanted."""
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    if channels_last:
        for name, value in moved.items():
            if value.dim() == 5:
                moved[name] = value.contiguous(memory_format=torch.channels_last_3d)
    return moved


def use_channels_last(model: nn.Module) -> None:
    """Store the kernels of 3D convolutions with channels last, where oneDNN and cuDNN are quickest."""
    for parameter in model.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


def derived_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's dropout: of recipe seed and epoch alone."""
    return (seed * 1_000_003 + epoch * 7_919 + 1) % (2**63)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Keep torch's global generators as they are outside the block (dropout draws from them)."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
