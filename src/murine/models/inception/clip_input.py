"""The check that every network of this family makes of a clip before it scales it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from murine.errors import InputError


def check_clip(clip: Tensor, name: str, expected: Sequence[int]) -> None:
    """Raise InputError unless a stream (B, C, T, H, W) has the channels, frames, height and width expected."""
    if tuple(clip.shape[1:]) != tuple(expected):
        raise InputError(
            f"{name} clips are {_words(clip.shape[1:])}; this network is built for {_words(expected)}. "
            "Its settings frames, size and flow_channels must be those of the recipe's input"
        )


def _words(shape: Sequence[int]) -> str:
    channels, frames, height, width = shape
    return f"{frames} frames of {height} x {width} with {channels} channels"
