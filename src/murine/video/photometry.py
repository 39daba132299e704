"""What is done to the brightness and colour of frames, by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from murine.registry import Registry
from murine.video.reader import Video

Pixels = NDArray[np.uint8]
Night = tuple[float, float, float]
"""Mean R, G and B of recordings made at night, 0..255."""

NIGHTIFY = "nightify"
"""The one way that needs to know the night."""

COLOURLESS = 8.0
"""Levels of 255 by which the strongest channel exceeds the weakest, on average, below which there is no colour:
grey video that went through a codec comes out at 3 to 6."""
DARK = 40.0
"""Mean level of 255 below which a recording is dark."""

_PICTURES = 32
_SIDE = 64


class Photometry(Protocol):
    """A change of brightness and colour."""

    def __call__(self, frames: Pixels, night: Night | None = None) -> Pixels:
        """Return (..., H, W, 3) uint8 RGB of the same shape and type; what came stays as it is.

        `night`: what day is to look like; None for frames taken at night.
        """


PHOTOMETRY: Registry[Photometry] = Registry("photometry")


@PHOTOMETRY.register("raw")
def raw(frames: Pixels, night: Night | None = None) -> Pixels:
    """Return the frames as they are."""
    return frames


@PHOTOMETRY.register("grey")
def grey(frames: Pixels, night: Night | None = None) -> Pixels:
    """Return the brightness (Rec. 601: 0.299 R + 0.587 G + 0.114 B) in all three channels."""
    return np.repeat(luminance(frames)[..., None], 3, axis=-1)


@PHOTOMETRY.register(NIGHTIFY)
def nightify(frames: Pixels, night: Night | None = None) -> Pixels:
    """Return day frames as if taken at night: each channel, as a share of 255, times its mean at night.

    Frames of the night (`night` None) stay as they are. Nwokedi et al., section 3.1.
    """
    if night is None:
        return frames
    tall = np.ascontiguousarray(frames).reshape(-1, frames.shape[-2], 3)
    return np.asarray(cv2.LUT(tall, _levels(night)), dtype=np.uint8).reshape(frames.shape)


@cache
def _levels(night: Night) -> Pixels:
    """Return (1, 256, 3): what each level of each channel becomes, to the nearest."""
    shares = np.arange(256)[:, None] / 255
    levels: Pixels = np.floor(shares * np.array(night) + 0.5).clip(0, 255).astype(np.uint8)
    return levels[None]


def luminance(frames: Pixels) -> Pixels:
    """Return the Rec. 601 brightness (..., H, W) of (..., H, W, 3) RGB."""
    # Any number of pictures is one tall picture to a function of single pixels.
    tall = np.ascontiguousarray(frames).reshape(-1, frames.shape[-2], 3)
    return np.asarray(cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY), dtype=np.uint8).reshape(frames.shape[:-1])


@dataclass(frozen=True)
class Light:
    """The light a recording was made in: its mean R, G, B, and by how much the strongest channel of a pixel
    exceeds the weakest, on average; all 0..255.
    """

    mean: Night
    colour: float

    @property
    def is_night(self) -> bool:
        """True for pictures without colour (infrared) or in the dark."""
        return self.colour < COLOURLESS or sum(self.mean) / 3 < DARK


def measure_light(video: Video) -> Light:
    """Return the light of a video from 32 frames, evenly spread and reduced to 64x64 pixels.

    Raises InputError for a video that cannot be decoded.
    """
    chosen = np.unique(np.linspace(0, video.n_frames - 1, _PICTURES).astype(np.int64))
    pictures = np.stack(list(video.frames(indices=chosen, size=(_SIDE, _SIDE))))
    red, green, blue = (float(value) for value in pictures.mean(axis=(0, 1, 2)))
    spread = pictures.max(axis=-1).astype(np.float64) - pictures.min(axis=-1)
    return Light((red, green, blue), float(spread.mean()))
