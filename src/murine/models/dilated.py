"""Dilated convolutions over time on a CPU, as products of matrices, and the two layers that MS-TCN is made of.

A tap of a convolution is one matrix times the frames it sees, a view of the input: nothing is padded, copied or
unfolded, and a tap that sees only what lies outside the recording costs nothing. The layers' gradients are written
out, so that no more is kept for them than they need. `benchmarks/bench_ms_tcn.py` has it beside the plain way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Offsets = tuple[int, ...]

_CHANCES = 1 << 16

_PIECE = 4096
"""Frames that prediction takes through a layer at once."""

LARGEST_RATE = 0.99
"""Of dropout: beyond it the layers leave the work to others, for whom dropping all is no division by zero."""


def computes_here(x: Tensor) -> bool:
    """Say whether these layers compute `x`: on a CPU, in its own precision, while nothing is exported or compiled."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def offsets(kernel: int, dilation: int, causal: bool) -> Offsets:
    """Return which frame each tap sees, counted from the one it helps to compute."""
    middle = kernel - 1 if causal else kernel // 2
    return tuple((tap - middle) * dilation for tap in range(kernel))


def refining_layer(
    x: Tensor,
    dilated: tuple[Tensor, Tensor],
    mix: tuple[Tensor, Tensor],
    seen: Offsets,
    rate: float,
    mask: Tensor | None,
) -> Tensor:
    """Return (x + dropout(mix(relu(dilated(x))))) * mask, (B, C, T); weights with their biases; None: all frames."""
    if rate == 0 and not torch.is_grad_enabled():
        return _foresee(x, [_Taps(*dilated, seen)], mix, mask, dual=False)
    kept, scale = draw_kept(x, rate)
    result: Tensor = _Refining.apply(  # type: ignore[no-untyped-call]
        x, *dilated, *mix, kept, mask, seen, scale
    )
    return result


def dual_layer(
    x: Tensor,
    falling: tuple[Tensor, Tensor],
    rising: tuple[Tensor, Tensor],
    fuse: tuple[Tensor, Tensor],
    seen: tuple[Offsets, Offsets],
    rate: float,
    mask: Tensor | None,
) -> Tensor:
    """Return (x + dropout(relu(fuse(falling(x), rising(x))))) * mask, (B, C, T)."""
    if rate == 0 and not torch.is_grad_enabled():
        inner = [_Taps(*falling, seen[0]), _Taps(*rising, seen[1])]
        return _foresee(x, inner, fuse, mask, dual=True)
    kept, scale = draw_kept(x, rate)
    result: Tensor = _Dual.apply(  # type: ignore[no-untyped-call]
        x, *falling, *rising, *fuse, kept, mask, seen, scale
    )
    return result


def draw_kept(x: Tensor, rate: float) -> tuple[Tensor | None, float]:
    """Return 1 where dropout keeps a value of `x`, else 0, and what kept ones are multiplied by; None: keeps all.

    Of 65,536 chances, the nearest to `rate` drop a value. The numbers come from a generator that the global one
    seeds: a fifth of the time of drawing them there one by one.
    """
    dropped = round(rate * _CHANCES)
    if dropped == 0:
        return None, 1.0
    seed = int(torch.randint(2**62, ()))
    drawn = np.random.SFC64(seed).random_raw(-(-x.numel() // 4)).view(np.uint16)[: x.numel()]
    kept = torch.from_numpy(drawn >= dropped).view(x.shape).to(x.dtype)
    return kept, _CHANCES / (_CHANCES - dropped)


class _Refining(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mix: Tensor,
        mix_bias: Tensor,
        kept: Tensor | None,
        mask: Tensor | None,
        seen: Offsets,
        scale: float,
    ) -> Tensor:
        hidden = convolve(x, weight, bias, seen).relu_()
        change = convolve(hidden, mix, mix_bias, (0,))
        if kept is not None:
            change *= kept
        ctx.save_for_backward(x, weight, hidden, mix, kept, mask)
        ctx.seen, ctx.scale = seen, scale
        return _joined(x, change, scale, mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, hidden, mix, kept, mask = ctx.saved_tensors
        need = ctx.needs_input_grad
        grad = grad if mask is None else grad * mask
        change = grad if kept is None else grad * kept
        of_hidden = torch.empty_like(hidden)
        add_input_gradient(of_hidden, change, mix, (0,), ctx.scale, fresh=True)
        of_mix = (
            weight_gradients(hidden, change, mix, (0,), ctx.scale) if any(need[3:5]) else (None,) * 2
        )
        of_hidden = torch.ops.aten.threshold_backward(of_hidden, hidden, 0)
        own = weight_gradients(x, of_hidden, weight, ctx.seen) if any(need[1:3]) else (None,) * 2
        of_x = None
        if need[0]:
            of_x = grad.clone()
            add_input_gradient(of_x, of_hidden, weight, ctx.seen)
        return of_x, *own, *of_mix, None, None, None, None


class _Dual(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        falling: Tensor,
        falling_bias: Tensor,
        rising: Tensor,
        rising_bias: Tensor,
        fuse: Tensor,
        fuse_bias: Tensor,
        kept: Tensor | None,
        mask: Tensor | None,
        seen: tuple[Offsets, Offsets],
        scale: float,
    ) -> Tensor:
        half = len(falling)
        both = x.new_empty(x.shape[0], half + len(rising), x.shape[2])
        convolve(x, falling, falling_bias, seen[0], both[:, :half])
        convolve(x, rising, rising_bias, seen[1], both[:, half:])
        change = convolve(both, fuse, fuse_bias, (0,)).relu_()
        if kept is not None:
            change *= kept
        # Above zero is just what dropout kept and ReLU let pass: the gradient needs no more.
        ctx.save_for_backward(x, falling, rising, both, fuse, change, mask)
        ctx.seen, ctx.scale = seen, scale
        return _joined(x, change, scale, mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, falling, rising, both, fuse, change, mask = ctx.saved_tensors
        need = ctx.needs_input_grad
        grad = grad if mask is None else grad * mask
        of_change = torch.ops.aten.threshold_backward(grad, change, 0)
        of_both = torch.empty_like(both)
        add_input_gradient(of_both, of_change, fuse, (0,), ctx.scale, fresh=True)
        of_fuse = (
            weight_gradients(both, of_change, fuse, (0,), ctx.scale) if any(need[5:7]) else (None,) * 2
        )
        half = len(falling)
        of_x = grad.clone() if need[0] else None
        own: list[Tensor | None] = []
        for weight, part, seen, wanted in (
            (falling, of_both[:, :half], ctx.seen[0], need[1:3]),
            (rising, of_both[:, half:], ctx.seen[1], need[3:5]),
        ):
            own += weight_gradients(x, part, weight, seen) if any(wanted) else (None,) * 2
            if of_x is not None:
                add_input_gradient(of_x, part, weight, seen)
        return of_x, *own, *of_fuse, None, None, None, None


def _joined(x: Tensor, change: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    whole = torch.add(x, change, alpha=scale)
    return whole if mask is None else whole.mul_(mask)


def _meeting(offset: int, length: int) -> tuple[slice, slice]:
    """Return which frames a tap helps to compute, and which it sees for them; empty where it sees none."""
    reach = min(abs(offset), length)
    early, late = slice(0, length - reach), slice(reach, length)
    return (early, late) if offset > 0 else (late, early)


def _taps(weight: Tensor) -> list[Tensor]:
    """Return the matrix (O, I) of each tap of (O, I, K), each lying by itself in memory."""
    return list(weight.permute(2, 0, 1).contiguous())


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor, seen: Offsets, into: Tensor | None = None
) -> Tensor:
    """Return the convolution (B, O, T) of (B, I, T) by (O, I, K) whose taps see these frames, without a gradient."""
    result = x.new_empty(len(x), len(weight), x.shape[2]) if into is None else into
    taps = _Taps(weight, bias, seen)
    for item, out in zip(x, result, strict=True):
        taps.convolve(item, 0, x.shape[2], out)
    return result


class _Taps:
    """A convolution's taps, that of the frame itself first."""

    def __init__(self, weight: Tensor, bias: Tensor, seen: Offsets) -> None:
        taps = zip(seen, _taps(weight), strict=True)
        (_, self.middle), *self.others = sorted(taps, key=lambda tap: tap[0] != 0)
        self.column = bias[:, None]

    def convolve(self, item: Tensor, start: int, stop: int, out: Tensor) -> None:
        """Put frames start to stop of the convolution of (I, T) into `out` (O, stop - start)."""
        length = item.shape[1]
        torch.addmm(self.column, self.middle, item[:, start:stop], out=out)
        for offset, matrix in self.others:
            first, last = max(start, -offset), min(stop, length - offset)
            if first < last:
                out[:, first - start : last - start].addmm_(
                    matrix, item[:, first + offset : last + offset]
                )


def _foresee(
    x: Tensor, inner: list[_Taps], outer: tuple[Tensor, Tensor], mask: Tensor | None, dual: bool
) -> Tensor:
    """Return what a layer without dropout gives where no gradient is wanted, piece by piece.

    A piece stays in the processor's cache from the first product to the last. `dual`: ReLU follows `outer`, else it
    goes before.
    """
    length, maps = x.shape[2], len(inner) * x.shape[1]
    result = torch.empty_like(x)
    matrix, bias = outer[0][..., 0], outer[1][:, None]
    room = x.new_empty(maps, min(length, _PIECE))
    for place, (item, whole) in enumerate(zip(x, result, strict=True)):
        for start in range(0, length, _PIECE):
            stop = min(start + _PIECE, length)
            hidden, part, own = room[:, : stop - start], whole[:, start:stop], item[:, start:stop]
            for taps, place_in in zip(inner, torch.split(hidden, x.shape[1]), strict=True):
                taps.convolve(item, start, stop, place_in)
            if dual:
                torch.addmm(bias, matrix, hidden, out=part).relu_().add_(own)
            else:
                torch.add(own, bias, out=part).addmm_(matrix, hidden.relu_())
            if mask is not None:
                part.mul_(mask[place, :, start:stop])
    return result


def add_input_gradient(
    into: Tensor, grad: Tensor, weight: Tensor, seen: Offsets, scale: float = 1.0, *, fresh: bool = False
) -> None:
    """Add to `into` (B, I, T) the gradient of a convolution's input, times `scale`; `fresh`: put it there."""
    length = grad.shape[2]
    taps = sorted(zip(seen, _taps(weight), strict=True), key=lambda tap: tap[0] != 0)
    for item, out in zip(grad, into, strict=True):
        for offset, matrix in taps:
            if abs(offset) < length:
                helped, frames = _meeting(offset, length)
                beta = 0 if fresh and offset == 0 else 1
                out[:, frames].addmm_(matrix.T, item[:, helped], beta=beta, alpha=scale)


def weight_gradients(
    x: Tensor, grad: Tensor, weight: Tensor, seen: Offsets, scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the gradients of a convolution's weight (O, I, K) and bias (O), times `scale`."""
    length = x.shape[2]
    found = weight.new_zeros(len(seen), *weight.shape[:2])
    for tap, offset in enumerate(seen):
        if abs(offset) < length:
            helped, frames = _meeting(offset, length)
            for item, out in zip(x, grad, strict=True):
                found[tap].addmm_(out[:, helped], item[:, frames].T, alpha=scale)
    return found.permute(1, 2, 0), grad.sum(dim=(0, 2)).mul_(scale)
