"""Local response normalisation over neighbouring channels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

SIZE, ALPHA, BETA = 5, 1e-4, 0.75
"""Of BVLC GoogLeNet: x / (1 + alpha / size x sum of the squares of size neighbours) ** beta."""


class LocalResponse(nn.Module):
    """Local response normalisation (5, 1e-4, 0.75) of (B, C, ...), in float32.

    The sum over neighbouring channels is a product with a banded matrix, and the power 0.75 two square roots: two to
    four times as fast on a CPU as the library's average pool and power, and equal within rounding.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        place = np.arange(channels)  # NumPy, as models are also described without memory ("meta")
        near = np.abs(place[:, None] - place) <= SIZE // 2
        self.band: Tensor
        band = torch.tensor(near * (ALPHA / SIZE), dtype=torch.float32)
        self.register_buffer("band", band, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same."""
        # Of no device ("meta", where work is counted) there is nothing to switch off.
        kind = x.device.type if torch.amp.is_autocast_available(x.device.type) else "cpu"
        with torch.autocast(kind, enabled=False):
            x = x.float()
            kernel = self.band.reshape(*self.band.shape, *[1] * (x.dim() - 2))
            convolve = torch.conv2d if x.dim() == 4 else torch.conv3d
            root = convolve(x * x, kernel).add_(1.0).rsqrt_()
            return x * root * root.sqrt()
