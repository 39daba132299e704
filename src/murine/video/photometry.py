"""What is done to the brightness and colour of frames, by name."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from murine.registry import Registry

Pixels = NDArray[np.uint8]

PHOTOMETRY: Registry[Callable[[Pixels], Pixels]] = Registry("photometry")
"""Functions of (..., H, W, 3) uint8 RGB to the same shape and type; their input is left as it is."""


@PHOTOMETRY.register("raw")
def raw(frames: Pixels) -> Pixels:
    """Return the frames as they are."""
    return frames


@PHOTOMETRY.register("grey")
def grey(frames: Pixels) -> Pixels:
    """Return the brightness (Rec. 601: 0.299 R + 0.587 G + 0.114 B) in all three channels."""
    return np.repeat(luminance(frames)[..., None], 3, axis=-1)


def luminance(frames: Pixels) -> Pixels:
    """Return the Rec. 601 brightness (..., H, W) of (..., H, W, 3) RGB."""
    # Any number of pictures is one tall picture to a function of single pixels.
    tall = np.ascontiguousarray(frames).reshape(-1, frames.shape[-2], 3)
    return np.asarray(cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY), dtype=np.uint8).reshape(frames.shape[:-1])
