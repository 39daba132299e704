"""Where and how a network runs: device, precision, memory layout, compilation, randomness of its own."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakSet

import torch
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.contract import Batch, Model, Output
from murine.progress import SILENT, Progress

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Numbers of mallopt(3): so many free bytes at the end are returned, so many blocks get pages of their own."""

_NOT_COMPILED: WeakSet[nn.Module] = WeakSet()
"""Models for which compilation failed once: it would fail again, and takes seconds to do so."""


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


def keep_freed_memory(device: torch.device) -> None:
    """On a CPU, let the process keep what it frees for the next batch, rather than return it to the system.

    The GNU library returns each large block at once, and the system clears every page of the next: a third of
    the time of a training step of the dual-stream networks. The largest memory in use stays the same.
    Elsewhere, where the library is another, and where the user has settings of malloc (MALLOC_...),
    nothing happens. Not for prediction: over an hour of video what is kept falls into pieces, and the memory
    of the process grows by a twentieth.
    """
    if device.type != "cpu" or sys.platform != "linux":
        return
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(MMAP_MAX, 0)
        set_option(TRIM_THRESHOLD, 2**31 - 1)


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


class Network:
    """A model as training and prediction call it: compiled, if wanted and possible, or as it is.

    The weights stay those of `model`, under their own names. Where there is no compiler, or it fails on
    this network, `progress` is told and the model runs as it is: the same numbers, only later.
    """

    def __init__(self, model: Model, *, compiled: bool = False, progress: Progress = SILENT) -> None:
        self.model = model
        self._progress = progress
        self._call: Callable[[Batch], Output] = model
        self._compiled = compiled and model not in _NOT_COMPILED
        if self._compiled:
            self._call = torch.compile(model)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def __call__(self, batch: Batch) -> Output:
        """Return the model's output."""
        if self._compiled:
            # only those who compile load it: that takes seconds
            from torch._dynamo.exc import TorchDynamoException

            try:
                return self._call(batch)
            except TorchDynamoException as error:
                _NOT_COMPILED.add(self.model)
                self._call, self._compiled = self.model, False
                lines = [line.strip() for line in str(error).splitlines() if line.strip()]
                # "backend='inductor' raised:" comes before what it raised
                reason = lines[1] if len(lines) > 1 and lines[0].endswith("raised:") else lines[0]
                self._progress.message(
                    f"training.compile: torch.compile cannot be used here ({reason}); the network runs as it is"
                )
        return self._call(batch)


def derived_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's dropout: of recipe seed and epoch alone."""
    return (seed * 1_000_003 + epoch * 7_919 + 1) % (2**63)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Keep torch's global generators as they are outside the block (dropout draws from them)."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
