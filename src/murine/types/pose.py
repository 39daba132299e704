"""Keypoints over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.types.arrays import BoolArray, frozen


@dataclass(frozen=True, eq=False)
class Pose:
    """Keypoints of every animal in every frame.

    `xy`: (T, A, K, 2) float32 in pixels, x then y from the top left corner; NaN where missing (both
    coordinates together). `confidence`: (T, A, K) float32 in 0..1, NaN where missing, or None.
    """

    xy: NDArray[np.float32]
    animals: tuple[str, ...]
    keypoints: tuple[str, ...]
    confidence: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        xy = np.array(self.xy, dtype=np.float32)
        object.__setattr__(self, "animals", tuple(self.animals))
        object.__setattr__(self, "keypoints", tuple(self.keypoints))
        expected = (len(self.animals), len(self.keypoints), 2)
        if xy.ndim != 4 or xy.shape[1:] != expected:
            raise InputError(f"pose must be (T, {', '.join(map(str, expected))}); came {xy.shape}")
        for what, names in (("animal", self.animals), ("keypoint", self.keypoints)):
            if len(set(names)) != len(names):
                raise InputError(f"{what} names must differ: {', '.join(names)}")
        xy[~np.isfinite(xy).all(axis=-1)] = np.nan
        xy.setflags(write=False)
        object.__setattr__(self, "xy", xy)
        if self.confidence is not None:
            confidence = frozen(self.confidence, np.float32)
            if confidence.shape != xy.shape[:3]:
                raise InputError(f"confidence must be {xy.shape[:3]}; came {confidence.shape}")
            object.__setattr__(self, "confidence", confidence)

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def missing(self) -> BoolArray:
        """(T, A, K): True where a keypoint has no position."""
        return np.isnan(self.xy[..., 0])
