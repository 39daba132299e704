"""TV-L1 optical flow of many pairs of pictures at once, as torch code for processors and GPUs.

The method of Zach, Pock and Bischof ("A duality based approach for realtime TV-L1 optical flow", 2007), as
Sanchez, Meinhardt and Facciolo write it out ("TV-L1 optical flow estimation", Image Processing On Line 3,
2013), with the parameters, the median filter, the scales and the stopping rule of OpenCV's DualTVL1.

B pairs, H, W, N = H x W. Flow (B, 2, H, W): u to the right, v down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from murine.video.flow.median import median5_

TAU = 0.25
"""Step of the dual variables."""
LAMBDA = 0.15
"""Weight of the brightness term: the smaller, the smoother the flow."""
THETA = 0.3
"""How tightly the flow of both terms is coupled."""
SCALES = 5
STEP = 0.8
"""Size of each scale relative to the one before; none has a side below `SMALLEST` pixels."""
SMALLEST = 16
WARPS = 5
OUTER, INNER = 10, 30
"""Iterations for a warp: the median filter comes before each run of `INNER`."""
EPSILON = 0.01
"""Root mean square in pixels of the change in one iteration at which a pair is finished."""

_SCALE = TAU / THETA
_FLAT = 1.1920929e-07
"""Squared gradient up to which a pixel says nothing."""
_PIXELS = 16_384
"""Pixels worked on at once on a processor: their 20 numbers each stay in its cache."""
_PAIRS = {"cpu": 16, "cuda": 256}


def pairs_at_once() -> int:
    """Return how many pairs are best given together: more where there is a GPU."""
    return _PAIRS[_device().type]


def tvl1_flow(previous: NDArray[np.uint8], present: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the flow (B, H, W, 2) in pixels between pictures (B, H, W), on the GPU if there is one.

    On a processor one thread works, and each pair's flow is the same to the last bit whatever else is in
    the batch.
    """
    with torch.inference_mode(), _one_thread():
        pairs = torch.stack(
            [torch.from_numpy(np.ascontiguousarray(p)) for p in (previous, present)], dim=1
        )
        levels = _pyramid(pairs.to(_device(), torch.float32))
        flow = torch.zeros_like(levels[-1])
        for level in reversed(levels):
            flow = _enlarged(flow, level.shape[-2:])
            pixels = level.shape[-2] * level.shape[-1]
            few = len(level) if level.is_cuda else max(1, _PIXELS // pixels)
            parts = zip(torch.split(level, few), torch.split(flow, few), strict=True)
            flow = torch.cat([_Scale(pictures, start).flow() for pictures, start in parts])
        result: NDArray[np.float32] = flow.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return result


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to the calling thread: whoever has several pairs of hands gives each a batch of its own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _pyramid(pairs: Tensor) -> list[Tensor]:
    """Return pairs (B, 2, H, W) at all scales, the finest first."""
    levels = [pairs]
    while len(levels) < SCALES:
        height, width = (round(side * STEP) for side in levels[-1].shape[-2:])
        if min(height, width) < SMALLEST:
            break
        # A side that rounds up ends a little outside; there the edge is repeated.
        wider = functional.pad(levels[-1], (0, 2, 0, 2), mode="replicate")
        smaller = functional.interpolate(
            wider, scale_factor=STEP, mode="bilinear", align_corners=False, recompute_scale_factor=False
        )
        levels.append(smaller[..., :height, :width].contiguous())
    return levels


def _enlarged(flow: Tensor, size: torch.Size) -> Tensor:
    """Return flow carried over to the next larger scale, in its pixels."""
    if flow.shape[-2:] == size:
        return flow
    return functional.interpolate(flow, size=list(size), mode="bilinear", align_corners=False) / STEP


class _Scale:
    """Pairs of pictures (B, 2, H, W) of one size, and all that the iterations over them need, in place.

    Flow is kept as tau / theta times the flow, and duals (B, 4, N), of u and v along x, then of u and v along
    y, as tau times those of the paper: so one multiplication less is done for each. Pixels of a pair stand in
    one row, where a neighbour is a shift of the row. The duals of the last column and row are 0, and so is
    what a shift carries over an edge.
    """

    def __init__(self, pairs: Tensor, flow: Tensor) -> None:
        count, _, height, width = pairs.shape
        pixels = height * width
        self._first, second = pairs[:, 0], pairs[:, 1:]
        padded = functional.pad(second, (1, 1, 1, 1), mode="replicate")
        along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
        along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
        planes = torch.cat([second, along_x, along_y], dim=1)
        # grid_sample wants places as shares of a side. On a side that is a power of two they are exact, and
        # a picture that stands still is found to; it is black outside anyway.
        sides = [1 << (side - 1).bit_length() for side in (width, height)]
        self._second = functional.pad(planes, (0, sides[0] - width, 0, sides[1] - height))
        per_pixel = flow.new_tensor([2 / side for side in sides]).view(2, 1, 1)
        x, y = (torch.arange(side, device=flow.device) for side in (width, height))
        spots = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
        self._spots, self._per_flow = (spots + 0.5) * per_pixel - 1, per_pixel / _SCALE
        self._flow = flow * _SCALE
        self._duals = flow.new_zeros(count, 4, pixels)
        self._data = flow.new_empty(count, 5, height, width)
        self._slopes = flow.new_zeros(count, 4, pixels)
        self._work = flow.new_empty(count, 5, pixels)
        self._sweeps: dict[int, Callable[[], list[float]]] = {}

    def flow(self) -> Tensor:
        """Return the flow (B, 2, H, W) in pixels after all warps."""
        for _ in range(WARPS):
            self._linearise()
            self._iterate()
        return self._flow / _SCALE

    def _linearise(self) -> None:
        """Fill the brightness term around the present flow, (B, 5, H, W).

        Planes 0 to 2: a, b, c such that a + b u + c v is the step, in gradients, that brings the difference
        of brightness to 0; 0 where the picture is flat. Planes 3 and 4: the gradient, scaled as flow is.
        """
        places = torch.addcmul(self._spots, self._flow, self._per_flow)
        warped = functional.grid_sample(
            self._second, places.permute(0, 2, 3, 1), mode="bicubic", padding_mode="zeros",
            align_corners=False,
        )  # fmt: skip
        along_x, along_y = warped[:, 1], warped[:, 2]
        steepness = torch.mul(along_x, along_x).addcmul_(along_y, along_y)
        flat = steepness <= _FLAT
        inverse = steepness.neg_().reciprocal_().masked_fill_(flat, 0.0)
        a, b, c, *gradient = self._data.unbind(1)
        torch.sub(warped[:, 0], self._first, out=a).mul_(inverse)
        inverse.div_(_SCALE)
        for slope, step, scaled, flow in zip(
            (along_x, along_y), (b, c), gradient, self._flow.unbind(1), strict=True
        ):
            torch.mul(slope, inverse, out=step)
            a.addcmul_(step, flow, value=-1)
            torch.mul(slope, _SCALE, out=scaled)

    def _iterate(self) -> None:
        """Iterate until every pair is finished; each pair's flow and duals stay as they are then."""
        limit = _SCALE * EPSILON * math.sqrt(self._slopes.shape[-1])
        order = list(range(len(self._flow)))
        live = len(order)
        for step in range(OUTER * INNER):
            if step % INNER == 0:
                median5_(self._flow[:live])
            if live not in self._sweeps:
                self._sweeps[live] = self._sweep_of(live)
            changes = self._sweeps[live]()
            # From the last on: the one that takes a finished pair's place has been asked before.
            for at in reversed(range(live)):
                if changes[at] <= limit:
                    live -= 1
                    order[at], order[live] = order[live], order[at]
                    self._exchange(at, live)
            if not live:
                break
        if order != sorted(order):
            back = torch.tensor(order, device=self._flow.device).argsort()
            self._flow.copy_(self._flow[back])
            self._duals.copy_(self._duals[back])

    def _exchange(self, at: int, finished: int) -> None:
        """Let a finished pair change places with the last one that is not."""
        if at != finished:
            for values in (self._flow, self._duals):
                held = values[at].clone()
                values[at] = values[finished]
                values[finished] = held
            self._data[at] = self._data[finished]

    def _sweep_of(self, live: int) -> Callable[[], list[float]]:
        """Return a function that does one iteration over the first pairs, and returns the length of each
        pair's change, all pixels together.

        Views are made once, here: making them takes as long as some of the arithmetic.
        """
        height, width = self._data.shape[-2:]
        data, flow, duals = (
            self._data[:live].flatten(2),
            self._flow[:live].flatten(2),
            self._duals[:live],
        )
        a, b, c, gradient = data[:, :1], data[:, 1:2], data[:, 2:3], data[:, 3:]
        u, v = flow[:, :1], flow[:, 1:]
        right, left, lower, upper = flow[..., 1:], flow[..., :-1], flow[..., width:], flow[..., :-width]
        along_x, along_y, by_direction = duals[:, :2], duals[:, 2:], duals.view(live, 2, 2, -1)
        before_x, before_y = along_x[..., :-1], along_y[..., :-width]
        slopes = self._slopes[:live]
        slope_x, slope_y = slopes[:, :2], slopes[:, 2:]
        inner_x, inner_y = slope_x[..., :-1], slope_y[..., :-width]
        last_column = slope_x.view(live, 2, height, width)[..., -1]
        work = self._work[:live]
        steps, change, norms = work[:, :1], work[:, 1:3], work[:, 3:]
        change_right, change_lower, norms_of_both = change[..., 1:], change[..., width:], norms[:, None]
        reach = LAMBDA * THETA

        def sweep() -> list[float]:
            # Towards equal brightness, by at most `reach` gradients (equation 17 of the paper),
            torch.addcmul(a, b, u, out=steps).addcmul_(c, v).clamp_(-reach, reach)
            torch.mul(gradient, steps, out=change)
            # and by the divergence of the duals (equation 15).
            change.add_(along_x).add_(along_y)
            change_right.sub_(before_x)
            change_lower.sub_(before_y)
            flow.add_(change)
            # The duals follow the slopes of the flow and are never longer than 1, here tau (equation 16).
            torch.sub(right, left, out=inner_x)
            last_column.zero_()
            torch.sub(lower, upper, out=inner_y)
            torch.mul(slope_x, slope_x, out=norms).addcmul_(slope_y, slope_y).sqrt_().add_(1)
            duals.add_(slopes, alpha=TAU)
            by_direction.div_(norms_of_both)
            lengths: list[float] = torch.linalg.vector_norm(change, dim=(1, 2)).tolist()
            return lengths

        return sweep
