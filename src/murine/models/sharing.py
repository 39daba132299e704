"""Layers over windows that overlap: what several windows have in common is computed once.

A layer that sees some frames of a window at a time gives the same map wherever it sees the same frames. So the
maps of all windows are kept as the different ones (`maps`) and a table of which stands where (`index`), and
each layer works on the different ones. Windows differ only near their ends, where a layer sees the padding,
and each layer carries that further inwards. A convolution over time is a sum of convolutions of pictures, one
for each of its taps: a map beside which one window has padding and another a frame shares its taps even so.

The numbers are those of window by window but for the order of additions. N windows of T frames, U maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

NOTHING = -1
"""In a table: no map, beyond the end of the window."""

ADDING = 32
"""To add a value to another costs as much as so many multiply-adds of a convolution: memory bounds it."""

WORTH = 1.1
"""How many times fewer maps make it worth while to go on sharing."""

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


def convolve(x: Shared, layer: nn.Conv3d, pads: Pads, after: Step | None = None) -> Shared:
    """Return what a convolution, padded with zeros, makes of the windows; `after` is done to each new map."""
    time, rows, columns = pads
    seen, index, times = _seen(x, layer.kernel_size[0], layer.stride[0], time)
    # The library pads both sides alike, and a step of the convolution may need them not to be.
    maps = F.pad(x.maps, (0, 0, *columns, *rows)) if any((*rows, *columns)) else x.maps
    work = prod(layer.weight.shape[1:]) // layer.kernel_size[0]
    apart = sum(len(np.unique(of)) * work + len(of) * ADDING for of in (c[c >= 0] for c in seen.T))
    make = _all_taps if seen.shape[1] == 1 or seen.size * work <= apart else _tap_by_tap
    parts = make(maps, seen, layer, time[0])
    return Shared(torch.cat([_inside(after, p) if after else p for p in parts]), index, times)


def _all_taps(maps: Tensor, seen: Table, layer: nn.Conv3d, middle: int) -> Iterator[Tensor]:
    """Yield the new maps: all taps at once, as more channels of one convolution of pictures."""
    weight = torch.cat(layer.weight.unbind(2), dim=1)
    if (seen == NOTHING).any():
        maps = torch.cat([maps, torch.zeros_like(maps[:1])])  # NOTHING is the last, the padding
    size = _slice(maps, layer)
    for at in range(0, len(seen), size):
        beside = [_take(maps, which) for which in seen[at : at + size].T]
        yield _pictures(torch.cat(beside, dim=-1), weight, layer.bias, layer)


def _tap_by_tap(maps: Tensor, seen: Table, layer: nn.Conv3d, middle: int) -> Iterator[Tensor]:
    """Yield the new maps: each tap once for each map that it is needed of, kept while it is, then added up.

    `middle`: the tap that never lies beyond an end; with it comes the bias.
    """
    size = _slice(maps, layer)
    weights = [w.contiguous(memory_format=torch.channels_last) for w in layer.weight.unbind(2)]
    last = [dict(zip(which.tolist(), range(len(seen)), strict=True)) for which in seen.T]
    held: list[dict[int, Tensor]] = [{} for _ in weights]
    for at in range(0, len(seen), size):
        part = seen[at : at + size]
        for tap, weight in enumerate(weights):
            new = np.unique([which for which in part[:, tap] if which >= 0 and which not in held[tap]])
            if len(new):
                bias = layer.bias if tap == middle else None
                made = _pictures(_take(maps, new.astype(np.int64)), weight, bias, layer)
                held[tap].update(zip(new.tolist(), made, strict=True))
        out: Tensor | None = None
        for place, row in enumerate(part.tolist()):
            first, *terms = [held[tap][which] for tap, which in enumerate(row) if which >= 0]
            if out is None:
                out = first.new_empty((len(part), *first.shape))
            torch.add(first, terms[0] if terms else 0, out=out[place])
            for term in terms[1:]:
                out[place] += term
        if out is not None:
            yield out
        for tap, kept in enumerate(held):
            held[tap] = {which: made for which, made in kept.items() if last[tap][which] >= at + size}


def _pictures(maps: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv3d) -> Tensor:
    return _inside(lambda m: F.conv2d(m, weight, bias, layer.stride[1:]), maps)


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
    return maps[torch.from_numpy(np.ascontiguousarray(which)).to(maps.device)]


def _seen(x: Shared, taps: int, stride: int, pads: tuple[int, int]) -> tuple[Table, Table, Table]:
    """Return the different rows of maps (M, taps) that a layer sees, which of them stands where (N, T'), and
    the moments of these places.
    """
    padded = np.pad(x.index, ((0, 0), pads), constant_values=NOTHING)
    table = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)[:, ::stride]
    times = x.times[:, : table.shape[1] * stride : stride]
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


def _slice(maps: Tensor, layer: nn.Conv3d | None = None) -> int:
    """Return how many maps (or of those that a layer makes of them) to make at once."""
    values = maps[0].numel()
    if layer is not None:
        values = values // maps.shape[-1] * layer.out_channels // prod(layer.stride[1:])
    most = AT_ONCE if maps.device.type == "cpu" else AT_ONCE_ELSEWHERE
    return max(1, most // max(1, values))
