"""Sizes and padding of convolutions and pools as TensorFlow and Keras have them."""

from __future__ import annotations

from collections.abc import Sequence

Triple = tuple[int, int, int]


def triple(value: int | Sequence[int]) -> Triple:
    """Return a size for T, H and W: one number stands for all three."""
    t, h, w = (value, value, value) if isinstance(value, int) else value
    return t, h, w


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many elements "same" padding puts before and after an axis of `size`."""
    total = max((same_size(size, stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def used_taps(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the first tap of a kernel that ever meets an element of an axis, and the one after the last.

    The others see nothing but "same" padding: of a kernel of 5 on an axis of 1, four.
    """
    before = same_padding(size, kernel, stride)[0]
    return max(0, before - (same_size(size, stride) - 1) * stride), min(kernel, size + before)


def same_size(size: int, stride: int) -> int:
    """Return ceil(size / stride)."""
    return -(-size // stride)
