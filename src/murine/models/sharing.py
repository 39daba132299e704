"""Layers over windows that overlap: what several windows have in common is computed once.

A layer that sees some frames of a window at a time gives the same map wherever it sees the same frames. So the
maps of all windows are kept as the different ones (`maps`) and a table of which stands where (`index`), and
each layer works on the different ones. Windows differ only near their ends, where a layer sees the padding,
and each layer carries that further inwards. A convolution over time is a sum of convolutions of pictures, one
for each of its taps: a map beside which one window has padding and another a frame shares its taps even so.

The numbers are those of window by window but for the order of additions. N windows of T frames, U maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from murine.models.blocks import Triple

NOTHING = -1
"""In a table: no map, beyond the end of the window."""

ADDING = 24
"""To write a value, or add one to it, costs as much as so many multiply-adds: memory bounds it."""

AT_ONCE, AT_ONCE_ELSEWHERE = 2**22, 2**26
"""How many values are made at once: on a CPU, so few that the system need not be asked for memory each time; on
a GPU."""

Pads = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""What is added before and after time, rows and columns."""

Step = Callable[[Tensor], Tensor]
"""Of maps (U, C, H, W), each by itself: such as ReLU, normalisation, a pool of pictures."""

Table = NDArray[np.int64]


@dataclass(frozen=True)
class Shared:
    """The feature maps of N windows: `maps` (U, H, W, C), of like times side by side; `index` (N, T), which of
    them stands where; `times` (N, T), the moments of the recording they stand for.
    """

    maps: Tensor
    index: Table
    times: Table

    def whole(self) -> Tensor:
        """Return the windows one by one, (N, C, T, H, W), channels innermost in memory."""
        return _take(self.maps, self.index).permute(0, 4, 1, 2, 3)

    @property
    def gain(self) -> float:
        """How many times fewer maps there are than window by window."""
        return self.index.size / len(self.maps)


def share_frames(frames: Tensor, starts: Tensor, size: int) -> Shared:
    """Return windows of `size` frames that begin at `starts` (N,) of a recording (C, T, H, W)."""
    places = starts.cpu().numpy().astype(np.int64)[:, None] + np.arange(size)
    return Shared(frames.permute(1, 2, 3, 0).contiguous(), places, places)


def each_map(x: Shared, step: Step) -> Shared:
    """Return what a step that looks at one map at a time makes of all."""
    size = _slice(x.maps)
    parts = [_inside(step, x.maps[at : at + size]) for at in range(0, len(x.maps), size)]
    return replace(x, maps=torch.cat(parts))


def convolve(
    x: Shared,
    weight: Tensor,
    bias: Tensor | None,
    stride: Triple,
    pads: Pads,
    after: Step | None = None,
) -> Shared:
    """Return what a 3D convolution, padded with zeros, makes of the windows; `after` is done to each new map."""
    time, (top, bottom), (left, right) = pads
    seen, index, times = _seen(x, weight.shape[2], stride[0], time)
    maps = x.maps
    if any((top, bottom, left, right)) or (seen == NOTHING).any():
        # The library pads both sides alike, so it is done here; the last map, which is NOTHING, is all zero.
        maps = F.pad(maps, (0, 0, left, right, top, bottom, 0, 1))
    width = _group(seen, prod(weight.shape[1:]) // weight.shape[2])
    # The bias comes with a tap that never lies beyond an end; padding by more than half the taps leaves none.
    real = np.flatnonzero((seen != NOTHING).all(axis=0)).tolist()
    groups = []
    for at in range(0, weight.shape[2], width):
        taps = slice(at, at + width)
        own = bias if real and at <= real[0] < at + width else None
        groups.append(_Taps(seen[:, taps], weight[:, :, taps], own))
    size = _slice(maps, weight.shape[0] // prod(stride[1:]))
    parts = []
    for first in range(0, len(seen), size):
        part = range(first, min(first + size, len(seen)))
        for group in groups:
            group.make(maps, part, stride[1:])
        out = _sum([[m for g in groups if (m := g.of(row)) is not None] for row in part])
        if bias is not None and not real:
            out += bias
        parts.append(_inside(after, out) if after else out)
        for group in groups:
            group.forget(part.stop)
    return Shared(torch.cat(parts), index, times)


class _Taps:
    """Some neighbouring taps of a convolution over time: of each different part of a row that they see, one
    convolution of pictures, with as many channels more, made when first needed and kept as long as it is.
    """

    def __init__(self, seen: Table, weight: Tensor, bias: Tensor | None) -> None:
        self.rows, owner = np.unique(seen, axis=0, return_inverse=True)
        self.owner: list[int] = owner.reshape(-1).tolist()
        self.last = dict(zip(self.owner, range(len(seen)), strict=True))
        beyond = np.flatnonzero((self.rows == NOTHING).all(axis=1))
        self.beyond = set(beyond.tolist())
        flat = torch.cat(weight.unbind(2), dim=1)
        self.weight, self.bias = flat.contiguous(memory_format=torch.channels_last), bias
        self.held: dict[int, Tensor] = {}

    def make(self, maps: Tensor, part: range, stride: tuple[int, ...]) -> None:
        """Make what some rows need and is not there yet."""
        wanted = {self.owner[row] for row in part} - self.held.keys() - self.beyond
        if not wanted:
            return
        new = sorted(wanted)
        taken = [_take(maps, which) for which in self.rows[new].T]
        beside = torch.cat(taken, dim=-1) if len(taken) > 1 else taken[0]
        if self.weight.shape[2:] == stride == (1, 1):
            made = F.linear(beside, self.weight.flatten(1), self.bias)
        else:
            made = _inside(lambda m: F.conv2d(m, self.weight, self.bias, stride), beside)
        self.held.update(zip(new, made, strict=True))

    def of(self, row: int) -> Tensor | None:
        """Return what these taps add to a row, None if they lie beyond the end."""
        return self.held.get(self.owner[row])

    def forget(self, row: int) -> None:
        """Drop what no row from this one on needs."""
        self.held = {which: made for which, made in self.held.items() if self.last[which] >= row}


def _sum(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return the sum of the terms of each row, (rows, H, W, C)."""
    out = rows[0][0].new_empty((len(rows), *rows[0][0].shape))
    for total, (first, *terms) in zip(out, rows, strict=True):
        torch.add(first, terms[0] if terms else 0, out=total)
        for term in terms[1:]:
            total += term
    return out


def _group(seen: Table, work: int) -> int:
    """Return how many taps to take together: fewer share more, more add up less."""

    def cost(width: int) -> int:
        total = 0
        for at in range(0, seen.shape[1], width):
            part = seen[:, at : at + width]
            part = part[(part != NOTHING).any(axis=1)]
            made = len(np.unique(part, axis=0))
            total += made * (part.shape[1] * work + ADDING) + len(part) * ADDING
        return total

    return min(range(1, seen.shape[1] + 1), key=cost)


def pool_time(x: Shared, taps: int, stride: int, pads: tuple[int, int] = (0, 0)) -> Shared:
    """Return the maximum over so many frames; beyond the ends of a window there is nothing."""
    if taps == stride == 1:
        return x
    seen, index, times = _seen(x, taps, stride, pads)
    # A place beyond the end repeats another of its row.
    seen = np.where(seen == NOTHING, seen.max(axis=1, keepdims=True), seen)
    best = _take(x.maps, seen[:, 0])
    for which in seen.T[1:]:
        best = torch.maximum(best, _take(x.maps, which))
    return Shared(best, index, times)


def join(branches: Sequence[Shared]) -> Shared:
    """Return the channels of several branches of the same windows side by side."""
    table = np.stack([branch.index for branch in branches], axis=-1)
    seen, index = _different(table, branches[0].times)
    maps = [_take(branch.maps, which) for branch, which in zip(branches, seen.T, strict=True)]
    return Shared(torch.cat(maps, dim=-1), index, branches[0].times)


def _inside(step: Step, maps: Tensor) -> Tensor:
    """Do to maps (U, H, W, C) what is written for (U, C, H, W); no copy where channels stay innermost."""
    return step(maps.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()


def _take(maps: Tensor, which: Table) -> Tensor:
    """Return some maps; a view where they stand side by side."""
    if which.ndim == 1 and which[0] >= 0 and (np.diff(which) == 1).all():
        return maps[int(which[0]) : int(which[-1]) + 1]
    return maps[torch.from_numpy(np.ascontiguousarray(which)).to(maps.device)]


def _seen(x: Shared, taps: int, stride: int, pads: tuple[int, int]) -> tuple[Table, Table, Table]:
    """Return the different rows of maps (M, taps) that a layer sees, which of them stands where (N, T'), and
    the moments of these places.
    """
    padded = np.pad(x.index, ((0, 0), pads), constant_values=NOTHING)
    table = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)[:, ::stride]
    middle = np.arange(table.shape[1]) * stride + taps // 2 - pads[0]
    times = x.times[:, np.clip(middle, 0, x.times.shape[1] - 1)]
    return *_different(table, times), times


def _different(table: Table, times: Table) -> tuple[Table, Table]:
    """Return the different rows (M, K) of a table (N, T, K) in the order of their times, and which stands
    where (N, T).
    """
    flat = table.reshape(-1, table.shape[-1])
    rows, first, owner = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(times.reshape(-1)[first], kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return rows[order], place[owner.reshape(-1)].reshape(table.shape[:2])


def _slice(maps: Tensor, channels: int = 0) -> int:
    """Return how many maps to make at once, of so many channels (0: as many as there are)."""
    most = AT_ONCE if maps.device.type == "cpu" else AT_ONCE_ELSEWHERE
    return max(1, most // max(1, maps[0, ..., 0].numel() * (channels or maps.shape[-1])))
