"""The body of I3D over windows that overlap: 15 of 16 frames are the same at a step of one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.models.blocks import max_pool, relu, same_padding, triple
from murine.models.inception.layout import PARTS
from murine.models.inception.trunk import Mixed, Trunk
from murine.models.inception.units import EPSILON, SamePool3d, Unit3d
from murine.models.sharing import Shared, convolve, each_map, join, pool_time

WORTH = 1.5
"""How many times fewer maps there must be for the next part to go on sharing: less does not pay in a block."""


def slide(body: Trunk, windows: Shared) -> Tensor:
    """Return the last feature maps (N, C, T, H, W) of windows, computed once as long as they share any.

    For a network that is done with learning: its norms are those of prediction. Of 16 frames at a step of one
    all before the first block share; after it each map has seen an end of its window.
    """
    names = list(PARTS)
    while names and windows.gain > WORTH:
        windows = _shared(body.get_submodule(names.pop(0)), windows)
    features = windows.whole()
    for name in names:
        features = body.get_submodule(name)(features)
    return features


def _shared(part: nn.Module, x: Shared) -> Shared:
    if isinstance(part, Unit3d):
        kernel, stride = triple(part.conv.kernel_size), triple(part.conv.stride)
        pads = [same_padding(*axis) for axis in zip(_size(x), kernel, stride, strict=True)]
        # The norm of prediction is a factor and a shift for each channel, part of the convolution.
        factor = torch.rsqrt(part.norm.running_var + EPSILON)
        weight = part.conv.weight * factor[:, None, None, None, None]
        bias = part.norm.bias - part.norm.running_mean * factor
        return convolve(x, weight, bias, stride, (pads[0], pads[1], pads[2]), after=relu)
    if isinstance(part, SamePool3d):
        return _pool(part, x)
    if isinstance(part, Mixed):
        chains = (
            (part.branch_0,),
            (part.branch_1a, part.branch_1b),
            (part.branch_2a, part.branch_2b),
            (part.branch_3a, part.branch_3b),
        )
        branches = []
        for chain in chains:
            branch = x
            for step in chain:
                branch = _shared(step, branch)
            branches.append(branch)
        return join(branches)
    raise TypeError(f"no way to share {type(part).__name__}")


def _pool(part: SamePool3d, x: Shared) -> Shared:
    """The pool in time of what is pooled in each picture: a maximum of maxima."""
    size, kernel, stride = _size(x), part.kernel, part.stride
    time, *space = (same_padding(*axis) for axis in zip(size, kernel, stride, strict=True))

    def picture(maps: Tensor) -> Tensor:
        if kernel[1:] == (3, 3) and stride[1] == stride[2]:
            return max_pool(maps.unsqueeze(2), stride[1]).squeeze(2)
        before = [pads[0] for pads in space]
        return F.max_pool2d(maps, kernel[1:], stride[1:], before, ceil_mode=True)

    return pool_time(each_map(x, picture), kernel[0], stride[0], time)


def _size(x: Shared) -> tuple[int, int, int]:
    return x.index.shape[1], x.maps.shape[1], x.maps.shape[2]
