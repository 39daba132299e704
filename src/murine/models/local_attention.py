"""Attention of every frame to the frames around it, at a cost that grows with the window and not with T squared.

Queries are taken in blocks; a block sees the stretch of keys that its windows cover, and what a frame may not
see of it (outside its own window, padding) is masked. B recordings, T frames, D columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_BLOCK = 32
"""Queries of a block at least: below it a processor is busier with the blocks than with the numbers."""


@dataclass(frozen=True)
class Neighbourhood:
    """Which frames see which, for windows of one size: made once for a batch, used by every layer of that size.

    A frame sees the real ones of `before` frames before it, itself, and `after` frames after it. `bias`:
    (B, N blocks, block, block + before + after), 0 where a query sees a key, else the lowest number there is.
    """

    before: int
    after: int
    block: int
    bias: Tensor

    @classmethod
    def of(cls, real: Tensor, before: int, after: int, kind: torch.dtype) -> Neighbourhood:
        """Return the neighbourhood of frames that are `real`, (B, T) bool, for numbers of one kind."""
        frames = real.shape[1]
        block = min(max(SMALLEST_BLOCK, (before + after + 1) // 2), frames)
        keys = block + before + after
        seen = F.pad(real, (before, after - frames % -block)).unfold(1, keys, block)
        place = torch.arange(keys, device=real.device) - torch.arange(block, device=real.device)[:, None]
        near = (place >= 0) & (place <= before + after)
        # Not minus infinity: a row of nothing but padding would become NaN.
        bias = torch.zeros((), dtype=kind, device=real.device).masked_fill(
            ~(seen[:, :, None] & near), torch.finfo(kind).min
        )
        return cls(before, after, block, bias)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(B, T, D) each -> (B, T, columns of value): means of values, weighted by softmax of q k / sqrt(D).

        Rows of frames that are not real hold anything finite.
        """
        frames = query.shape[1]
        more = -frames % self.block
        size = self.block + self.before + self.after
        around = (0, 0, self.before, self.after + more)
        # Blocks stand where heads would: nothing is copied, and no matrix of weights is kept for the gradient.
        out = F.scaled_dot_product_attention(
            _blocks(F.pad(query, (0, 0, 0, more)), self.block, self.block),
            _blocks(F.pad(key, around), size, self.block),
            _blocks(F.pad(value, around), size, self.block),
            self.bias,
        )
        return out.flatten(1, 2)[:, :frames]


def _blocks(x: Tensor, size: int, stride: int) -> Tensor:
    """(B, T, D) -> (B, N, size, D): stretches of `size` frames, `stride` apart, as views."""
    return x.unfold(1, size, stride).transpose(2, 3)


def window_sides(window: int, causal: bool) -> tuple[int, int]:
    """Return how many frames before and after a frame its window of `window` frames holds."""
    return (window - 1, 0) if causal else (window // 2, window - 1 - window // 2)


def neighbourhoods(
    real: Tensor, windows: Sequence[int], causal: bool, kind: torch.dtype
) -> list[Neighbourhood]:
    """Return what `Neighbourhood.of` makes of windows of several sizes."""
    return [Neighbourhood.of(real, *window_sides(window, causal), kind) for window in windows]
