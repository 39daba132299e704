"""One recording made ready for a network: its streams, its labels, and the way back to its frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.data.posed import Posed
from murine.data.windows import Sampling
from murine.errors import InputError, StorageError
from murine.types import UNLABELLED, Ethogram, Task, Timeline

PICTURES = ("rgb", "flow")
"""Streams of uint8 pictures, (S, H, W, channels)."""

TABLES = ("pose", "embedding")
"""Streams of float32 numbers, (S, F)."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, of which slices along the first axis are read when they are wanted.

    A memory map would hold a file handle each, and a folder of clips has more clips than a process may
    have handles; it would also travel to worker processes as a copy of all its bytes.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, mapped: NDArray[Any]) -> StoredArray | NDArray[Any]:
        """Return where a whole mapped array lies; any other array comes back as it is."""
        if not isinstance(mapped, np.memmap) or mapped.filename is None:
            return mapped
        return cls(Path(mapped.filename), mapped.dtype, mapped.shape, mapped.offset)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return rows [start, stop) as a new array; raises StorageError where the file is gone."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError("a stored array is read in one piece, without steps")
        per_row = math.prod(self.shape[1:])
        count = max(stop - start, 0) * per_row
        try:
            at = self.offset + start * per_row * self.dtype.itemsize
            values = np.fromfile(self.path, self.dtype, count, offset=at)
        except OSError as error:
            values = np.empty(0, self.dtype)
            reason = error.strerror or str(error)
        else:
            reason = "it is shorter than it was"
        if len(values) != count:
            raise StorageError(
                f"{self.path}: cannot be read any more ({reason}). The cache was emptied, or another "
                "command needed its room (MURINE_CACHE_GB is the limit); run the command again."
            )
        return values.reshape(-1, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


Stream = NDArray[Any] | StoredArray


@dataclass(frozen=True, eq=False)
class Prepared:
    """S samples of one recording.

    `streams`: rgb and flow (S, H, W, channels) uint8, pose and embedding (S, F) float32, pose unscaled
    with NaN where unknown; in memory or in the cache. `target`: (S, C) int8, 1 behaviour, 0 annotated and
    not this one, -1 not annotated (all of it where there are no labels). `keys`: what each stream was
    made of (files, times, settings), as the hash that names it in the cache. `posed`: the pose itself, where
    training moves it. Raises InputError where lengths or types do not fit.
    """

    recording_id: str
    streams: Mapping[str, Stream]
    target: NDArray[np.int8]
    sampling: Sampling
    timeline: Timeline
    ethogram: Ethogram
    keys: Mapping[str, str] = field(default_factory=dict)
    posed: Posed | None = None

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
        ethogram, or of each exclusive task. Raises InputError without one.
        """
        whole = self.ethogram
        exclusive = [Task("all", whole.behaviours, True, whole.background)] if whole.exclusive else []
        exclusive += [task for task in whole.tasks if task.exclusive]
        resolved = self.target
        for task in exclusive:
            columns = whole.columns(task)
            none = (self.target[:, columns] == 0).all(axis=1)
            if not none.any():
                continue
            if task.background is None:
                frame = int(self.sampling.samples[none.argmax()])
                raise InputError(
                    f"recording '{self.recording_id}': frame {frame} is annotated as none of "
                    f"{', '.join(task.behaviours)}. Name a background behaviour in project.toml"
                )
            resolved = resolved.copy()
            resolved[none, whole.index(task.background)] = 1
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

    def table(self, name: str) -> NDArray[np.float32]:
        """Return the whole of a stream of numbers, "pose" or "embedding", (S, F) float32, in memory."""
        return np.asarray(self.streams[name], dtype=np.float32)
