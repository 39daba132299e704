"""One recording made ready for a network: its streams, its labels, and the way back to its frames."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.data.windows import Sampling
from murine.errors import InputError
from murine.types import UNLABELLED, Ethogram, Timeline

PICTURES = ("rgb", "flow")
"""Streams of uint8 pictures, (S, H, W, channels)."""

TABLES = ("pose", "embedding")
"""Streams of float32 numbers, (S, F)."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """S samples of one recording.

    `streams`: rgb and flow (S, H, W, channels) uint8, usually memory-mapped; pose and embedding (S, F)
    float32. `target`: (S, C) int8, 1 behaviour, 0 annotated and not this one, -1 not annotated (all of
    it where there are no labels). Raises InputError where lengths or types do not fit.
    """

    recording_id: str
    streams: Mapping[str, NDArray[Any]]
    target: NDArray[np.int8]
    sampling: Sampling
    timeline: Timeline
    ethogram: Ethogram

    def __post_init__(self) -> None:
        samples = len(self.sampling)
        if self.target.shape != (samples, len(self.ethogram)):
            raise InputError(
                f"recording '{self.recording_id}': labels are {self.target.shape}, and there are {samples} "
                f"samples x {len(self.ethogram)} behaviours"
            )
        if len(self.sampling.owner) != len(self.timeline):
            raise InputError(f"recording '{self.recording_id}': sampled from another timeline")
        for name, values in self.streams.items():
            if name not in PICTURES + TABLES:
                raise InputError(f"unknown stream '{name}'; known: {', '.join(PICTURES + TABLES)}")
            dtype, axes = (np.uint8, 4) if name in PICTURES else (np.float32, 2)
            if values.ndim != axes or len(values) != samples or values.dtype != dtype:
                raise InputError(
                    f"recording '{self.recording_id}': stream '{name}' is {values.dtype} {values.shape}; "
                    f"expected {np.dtype(dtype)}, {axes} axes, {samples} samples"
                )

    def __len__(self) -> int:
        return len(self.sampling)

    @cached_property
    def resolved(self) -> NDArray[np.int8]:
        """(S, C) as `target`, but samples annotated as none carry the background of an exclusive
        ethogram. Raises InputError without one.
        """
        if not self.ethogram.exclusive:
            return self.target
        none = (self.target == 0).all(axis=1)
        if not none.any():
            return self.target
        column = self.ethogram.background_index
        if column is None:
            frame = int(self.sampling.samples[none.argmax()])
            raise InputError(
                f"recording '{self.recording_id}': frame {frame} is annotated as none of "
                f"{', '.join(self.ethogram.behaviours)}. Name a background behaviour in project.toml"
            )
        resolved = self.target.copy()
        resolved[none, column] = 1
        return resolved

    @cached_property
    def classes(self) -> NDArray[np.int16]:
        """(S,) behaviour columns of an exclusive ethogram, -1 where not annotated."""
        table = self.resolved
        return np.where((table == 1).any(axis=1), table.argmax(axis=1), UNLABELLED).astype(np.int16)

    @cached_property
    def annotated(self) -> NDArray[np.bool_]:
        """(S,) True where at least one behaviour is known to hold or not to hold."""
        return np.asarray((self.target != UNLABELLED).any(axis=1))

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes get the name of a mapped file, not a copy of its gigabytes.
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        state["streams"] = {name: _shut(values) for name, values in self.streams.items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = {name: values.open() if isinstance(values, _Shut) else values
                  for name, values in state["streams"].items()}  # fmt: skip
        for name, value in {**state, "streams": opened}.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class _Shut:
    """Where a memory-mapped array lies."""

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    def open(self) -> NDArray[Any]:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


def _shut(values: NDArray[Any]) -> NDArray[Any] | _Shut:
    # A slice keeps the offset of the whole file, so only a whole map can be found again.
    if not isinstance(values, np.memmap) or not isinstance(values.base, mmap.mmap):
        return values
    if values.filename is None or not values.flags.c_contiguous:
        return values
    return _Shut(Path(values.filename), values.dtype, values.shape, values.offset)
