"""3D convolutions with "same" padding, and the ways in which a CPU does them fastest.

All ways give the same numbers, but for the order of their sums.

oneDNN 3.12, which PyTorch 2.13 has within, is wrong in bfloat16 on processors with matrix tiles (AMX), and here
is how each case is kept from it:

- a kernel larger than the axis reads past the picture: taps that only meet padding are left out;
- one output column and a stride along rows gives wrong sums (PyTorch's issue 169688): float32;
- 3D weight gradients write past their memory where a picture's rows do not fit the second-level cache but its
  frames, by another count, do: sums of 2D gradients (see `_large_weight_gradient`), and products for 1x1x1;
- 1x1x1 with a stride writes past its memory, in float32 too (oneDNN's issue 6035): unused places are cut out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.models.geometry import same_padding, triple, used_taps

KERAS_LEAK = 0.2
"""Slope of TensorFlow's leaky ReLU; PyTorch's default is 0.01."""

LAST = torch.channels_last_3d

FITS = 400_000
"""Bytes that fit the second-level cache for certain (see `_rows_fit`)."""

Activation = Literal["none", "relu", "leaky_relu"]
Pads = list[tuple[int, int]]
"""How many zeros come before and after each axis."""


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with TensorFlow's slope, of a value used nowhere else (in place without gradients)."""
    return F.leaky_relu(x, KERAS_LEAK, inplace=not torch.is_grad_enabled())


def relu(x: Tensor) -> Tensor:
    """ReLU of a value used nowhere else (in place without gradients, which saves a pass over memory)."""
    return F.relu(x, inplace=not torch.is_grad_enabled())


class SameConv3d(nn.Conv3d):
    """A 3D convolution with bias and "same" padding, out = ceil(in / stride) on every axis; and its activation.

    Taps of the kernel that would only meet padding are left out, which changes nothing but the time: the last
    modules have one frame and kernels of 5, and train three to four times as fast.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        activation: Activation = "none",
    ) -> None:
        super().__init__(inputs, outputs, triple(kernel), triple(stride))
        self.activation: Activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, C_out, ceil(T / s), ceil(H / s), ceil(W / s))."""
        if _on_cpu(x) and self._takes_frames_for_channels(x.shape[2]):
            return self._frames_for_channels(x)
        weight, pads = self.weight, []
        for axis, (size, kernel, stride) in enumerate(
            zip(x.shape[2:], self.kernel_size, self.stride, strict=True), start=2
        ):
            first, stop = used_taps(size, kernel, stride)
            if stop - first < kernel:
                weight = weight.narrow(axis, first, stop - first)
            before, after = same_padding(size, kernel, stride)
            pads.append((before - first, after - (kernel - stop)))
        return convolve(x, weight, self.bias, self.stride, pads, self.activation)

    def _takes_frames_for_channels(self, frames: int) -> bool:
        """True where every tap along time is used, but on less than every second frame.

        So with 7 on 4 frames: trained with the frames as channels of one picture it takes half the time.
        """
        return self.stride[0] == 1 and frames > 2 and self.kernel_size[0] >= 2 * frames - 1

    def _frames_for_channels(self, x: Tensor) -> Tensor:
        clips, channels, frames, *size = x.shape
        before = same_padding(frames, self.kernel_size[0], 1)[0]
        taps = self.weight.unbind(2)
        rows = [
            torch.stack([taps[given - made + before] for given in range(frames)], dim=1)
            for made in range(frames)
        ]
        kernel, stride = self.kernel_size[1:], (1, *self.stride[1:])
        weight = torch.stack(rows).reshape(frames * self.out_channels, frames * channels, 1, *kernel)
        bias = None if self.bias is None else self.bias.repeat(frames)
        picture = x.permute(0, 3, 4, 2, 1).reshape(clips, 1, *size, -1).permute(0, 4, 1, 2, 3)
        pads = [(0, 0), *(same_padding(*a) for a in zip(size, kernel, stride[1:], strict=True))]
        found = convolve(picture, weight, bias, stride, pads, self.activation)
        apart = found.permute(0, 2, 3, 4, 1).reshape(clips, *found.shape[3:], frames, self.out_channels)
        return apart.permute(0, 3, 1, 2, 4).contiguous().permute(0, 4, 1, 2, 3)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    pads: Pads,
    activation: Activation = "none",
) -> Tensor:
    """Return the activation of a convolution whose padding before and after each axis may differ."""
    steps = list(stride)
    for axis in range(3):  # the places that a single tap never meets
        if weight.shape[axis + 2] == 1 and steps[axis] > 1 and pads[axis] == (0, 0):
            x = x[(slice(None),) * (axis + 2) + (slice(None, None, steps[axis]),)]
            steps[axis] = 1
    # The library pads both sides alike. Where that is all, it pads without a copy and skips the taps there.
    if any(before != after for before, after in pads):
        uneven = [(0, 0) if before == after else (before, after) for before, after in pads]
        x = F.pad(x, [n for pair in reversed(uneven) for n in pair])
    padding = [before if before == after else 0 for before, after in pads]
    if _on_cpu(x) and _fuses(kind := _cpu_type(x)):
        fused: Tensor = _Fused.apply(  # type: ignore[no-untyped-call]
            x.to(kind), weight, bias, steps, padding, activation
        )
        return fused
    if x.device.type == "cpu" and (kind := _cpu_type(x)) == torch.bfloat16:  # compiled: nothing to trust
        whole = None if bias is None else bias.float()
        with torch.autocast("cpu", enabled=False):
            exact = F.conv3d(x.float(), weight.float(), whole, triple(steps), triple(padding))
        return _activate(exact.to(kind), activation)
    return _activate(F.conv3d(x, weight, bias, triple(steps), triple(padding)), activation)


class _Fused(torch.autograd.Function):
    """A convolution with its activation in one pass, and a backward pass that can be trusted.

    1x1x1 is a product there; the library would change the layout and back.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        activation: Activation,
    ) -> Tensor:
        """Return the activation of the convolution, in the type of `x`."""
        kind = x.dtype
        trusted = kind if _trusts(x, weight, stride, padding) else torch.float32
        x, used = x.to(trusted), weight.to(trusted)
        scalars = [KERAS_LEAK] if activation == "leaky_relu" else []
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            used,
            None if bias is None else bias.to(trusted),
            padding,
            stride,
            [1, 1, 1],
            1,
            activation,
            scalars,
            "",
        )
        ctx.save_for_backward(x, used, None if activation == "none" else out)
        ctx.stride, ctx.padding, ctx.activation = stride, padding, activation
        ctx.biased = bias is not None
        return out.to(kind)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias."""
        x, weight, out = ctx.saved_tensors
        gradient = gradient.to(x.dtype)
        if ctx.activation == "relu":
            gradient = torch.ops.aten.threshold_backward(gradient, out, 0)
        elif ctx.activation == "leaky_relu":
            gradient = torch.ops.aten.leaky_relu_backward(gradient, out, KERAS_LEAK, True)
        wanted = [*ctx.needs_input_grad[:2], ctx.biased and ctx.needs_input_grad[2]]
        given = (gradient, x, weight, ctx.stride, ctx.padding)
        if weight[0, 0].numel() == 1 and ctx.stride == [1, 1, 1] and ctx.padding == [0, 0, 0]:
            found = _point_gradients(gradient, x, weight, wanted)
        elif x.dtype == torch.float32 or _rows_fit(*given):
            found = _gradients(*given, wanted)
        else:
            found = (
                _gradients(*given, [True, False, False])[0] if wanted[0] else None,
                _large_weight_gradient(*given) if wanted[1] else None,
                _points(gradient).sum(0) if wanted[2] else None,
            )
        return *found, None, None, None


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def _gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    wanted: list[bool],
) -> Gradients:
    """Return the library's gradients of input, weight and bias."""
    found: Gradients = torch.ops.aten.convolution_backward(
        gradient, x, weight, [len(weight)], stride, padding, [1, 1, 1], False, [0, 0, 0], 1, wanted
    )
    return found


def _point_gradients(gradient: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> Gradients:
    """Return the gradients of a 1x1x1 convolution."""
    points = _points(gradient)
    return (
        (gradient.permute(0, 2, 3, 4, 1) @ weight.flatten(1)).permute(0, 4, 1, 2, 3)
        if wanted[0]
        else None,
        (points.mT @ _points(x)).view_as(weight) if wanted[1] else None,
        points.sum(0) if wanted[2] else None,
    )


def _points(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B x T x H x W, C)."""
    return x.permute(0, 2, 3, 4, 1).flatten(0, 3)


def _rows_fit(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int]
) -> bool:
    """True where the library's weight gradient takes the rows of a frame at once, so that its memory suffices.

    It does so if they fit eight tenths of the second-level cache, of half a megabyte where it cannot tell. A
    row lies there twice, in bfloat16, in blocks of 16 channels, and as many columns as make whole tiles of 32.
    """
    columns = _tiles(-(-(x.shape[4] + 2 * padding[2]) // stride[2])) * stride[2]
    row_in = 64 * -(-x.shape[1] // 16) * columns
    row_out = 64 * -(-gradient.shape[1] // 16) * _tiles(gradient.shape[4])
    return gradient.shape[3] * (row_in + row_out) + weight.shape[3] * row_in <= FITS


def _tiles(columns: int) -> int:
    return -(-columns // 32) * 32


def _large_weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int]
) -> Tensor:
    """Return the gradient of the weight where rows do not fit, in float32.

    A sum of 2D gradients, each tap along time by itself: a half longer than the library takes where it is
    right, a third of the time of float32. With a stride along time, frames would have to be copied for each
    tap, and float32 is as fast. Clip by clip, as frames of shifted clips do not lie next to each other.
    """
    if stride[0] > 1:
        wide = (gradient.float(), x.float(), weight.float())
        found = _gradients(*wide, stride, padding, [False, True, False])[1]
        assert found is not None
        return found
    gradient, x = gradient.contiguous(memory_format=LAST), x.contiguous(memory_format=LAST)
    total = torch.zeros(weight.shape)
    for tap in range(weight.shape[2]):
        shift = tap - padding[0]
        first, stop = max(0, -shift), min(gradient.shape[2], x.shape[2] - shift)
        if first >= stop:
            continue
        seen, arrived = x[:, :, first + shift : stop + shift], gradient[:, :, first:stop]
        whole = seen.shape == x.shape and arrived.shape == gradient.shape
        for some, given in (
            [(seen, arrived)] if whole else zip(_clips(seen), _clips(arrived), strict=True)
        ):
            total[:, :, tap] += torch.ops.aten.convolution_backward(
                _pictures(given),
                _pictures(some),
                weight[:, :, tap],
                None,
                stride[1:],
                padding[1:],
                [1, 1],
                False,
                [0, 0],
                1,
                [False, True, False],
            )[1]
    return total


def _clips(x: Tensor) -> list[Tensor]:
    """Return each clip of a batch as a batch of one."""
    return [x[i : i + 1] for i in range(len(x))]


def _pictures(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B x T, C, H, W), channels innermost."""
    return x.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)


def _activate(x: Tensor, activation: Activation) -> Tensor:
    """Return an activation of a value used nowhere else."""
    if activation == "none":
        return x
    return relu(x) if activation == "relu" else leaky_relu(x)


def _trusts(x: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> bool:
    """True where the library's sums are right (see the top of this file)."""
    if x.dtype == torch.float32:
        return True
    columns = 0
    for size, kernel, step, pad in zip(x.shape[2:], weight.shape[2:], stride, padding, strict=True):
        columns = (size + 2 * pad - kernel) // step + 1
        if (columns - 1) * step < pad or kernel - pad > size:  # a tap that only meets padding
            return False
    return columns > 1 or stride[2] == 1


def _on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _cpu_type(x: Tensor) -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


@cache
def _fuses(kind: torch.dtype) -> bool:
    """Try whether this build of the library has a convolution with the activation in it, of that type."""
    if kind not in (torch.float32, torch.bfloat16):
        return False
    one = torch.full((1, 1, 1, 1, 1), -2.0, dtype=kind)
    try:
        with torch.inference_mode():
            got = torch.ops.mkldnn._convolution_pointwise(
                one, one.neg(), None, [0] * 3, [1] * 3, [1] * 3, 1, "leaky_relu", [0.5], ""
            )
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool(got.item() == -2.0)
