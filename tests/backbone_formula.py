"""Weights and pictures that need no random numbers, the same to the last bit wherever they are made.

Both Keras (`tests/reference/make_keras_backbones.py`) and our tests fill the networks with them. Only numpy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KERNEL, GAMMA, BETA, MEAN, VARIANCE, BIAS = (
    "kernel",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
    "bias",
)
TENSORS = (KERNEL, BIAS, GAMMA, BETA, MEAN, VARIANCE)


def noise(count: int, seed: int) -> NDArray[np.float64]:
    """Return `count` numbers in [-1, 1): the place of each and the seed, mixed by whole-number arithmetic."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) + np.uint32(seed) * np.uint32(0x9E3779B9)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x ^= x >> np.uint32(shift)
            x *= np.uint32(factor)
        x ^= x >> np.uint32(16)
    return x / 2.0**31 - 1


def tensor(layer: int, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a tensor of Keras' shape; `layer` counts the layers with weights in the order of Keras, from 0.

    Kernels have variance 1.5 / inputs, so that what runs through the network neither dies nor grows; a norm's
    numbers differ from those it begins with, so that each of them shows.
    """
    values = noise(int(np.prod(shape)), 8 * layer + TENSORS.index(name)).reshape(shape)
    if name == KERNEL:
        return (values * np.sqrt(3 * 1.5 / np.prod(shape[:-1]))).astype(np.float32)
    centre, width = {GAMMA: (1.0, 0.2), VARIANCE: (1.0, 0.4)}.get(name, (0.0, 0.2))
    return (centre + width * values).astype(np.float32)


def picture(height: int, width: int, number: int = 0) -> NDArray[np.uint8]:
    """Return an RGB picture (H, W, 3) of patches and grain, its three channels unlike each other."""
    small = noise(8 * 8 * 3, 1000 + number).reshape(8, 8, 3)
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    patches = small[rows][:, columns]
    grain = noise(height * width * 3, 2000 + number).reshape(height, width, 3)
    shade = np.array([60.0, 110.0, 170.0]) + 70 * patches + 15 * grain
    return np.clip(np.rint(shade), 0, 255).astype(np.uint8)
