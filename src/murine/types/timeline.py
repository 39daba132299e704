"""When each frame was taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from murine.errors import InputError
from murine.types.arrays import FloatArray, IntArray, frozen


@dataclass(frozen=True, eq=False)
class Timeline:
    """The time of each frame in seconds, strictly increasing; a variable rate is allowed."""

    times: FloatArray

    def __post_init__(self) -> None:
        times = frozen(self.times, np.float64)
        if times.ndim != 1 or len(times) == 0:
            raise InputError(f"times must be one row of at least one frame; shape {times.shape}")
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise InputError("frame times must be finite and strictly increasing")
        object.__setattr__(self, "times", times)

    @classmethod
    def uniform(cls, n_frames: int, fps: float) -> Timeline:
        """Return `n_frames` frames at a constant rate, the first at 0 s."""
        if not fps > 0 or not np.isfinite(fps):
            raise InputError(f"frame rate must be a positive number; came {fps}")
        return cls(np.arange(n_frames) / fps)

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def fps(self) -> float:
        """Frames per second: the reciprocal of the median interval (1.0 for a single frame)."""
        return 1.0 if len(self) < 2 else float(1.0 / np.median(np.diff(self.times)))

    @property
    def variable(self) -> bool:
        """True when an interval differs from the median by more than 10 %."""
        if len(self) < 3:
            return False
        steps = np.diff(self.times)
        return bool((np.abs(steps * self.fps - 1.0) > 0.1).any())

    @property
    def end(self) -> float:
        """The time at which the last frame ends, in seconds."""
        return float(self.times[-1] + 1.0 / self.fps)

    def boundary(self, seconds: ArrayLike) -> IntArray:
        """Return the frame boundary (0..T) nearest to each time: boundary n is frame n's start."""
        edges = np.append(self.times, self.end)
        at = np.asarray(seconds, dtype=np.float64)
        right = np.clip(np.searchsorted(edges, at), 1, len(edges) - 1)
        left = right - 1
        nearer_left = (at - edges[left]) < (edges[right] - at)
        return np.asarray(np.where(nearer_left, left, right), dtype=np.int64)

    def seconds(self, boundary: ArrayLike) -> FloatArray:
        """Return the time of each frame boundary (0..T)."""
        at = np.asarray(boundary)
        if at.size and not (at.min() >= 0 and at.max() <= len(self)):
            raise IndexError(f"boundaries of {len(self)} frames are 0..{len(self)}; came {at.tolist()}")
        inside = self.times[np.minimum(at, len(self) - 1)]
        return np.asarray(np.where(at == len(self), self.end, inside))
