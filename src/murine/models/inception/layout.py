"""Inception-V1 as numbers: the order of its parts, their widths, and how its three releases call them.

I3D, the 2D network and the 2D network inflated to 3D are all built from this table. Names of parts are ours,
after the names in I3D's checkpoints; those of BVLC GoogLeNet count from one letter earlier (3a is our 3b).
Source of the widths: Carreira and Zisserman 2017, figure 3, and Szegedy et al. 2015, table 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Conv(NamedTuple):
    """A convolution: filters, side of its kernel, its stride."""

    filters: int
    kernel: int
    stride: int = 1


class Pool(NamedTuple):
    """A max-pool: kernel and stride in time, kernel and stride in the picture."""

    time: tuple[int, int]
    space: tuple[int, int]


class Widths(NamedTuple):
    """Filters of an Inception block: the 1x1 branch; the two of the 3x3 branch; the two of the branch that is
    5x5 in 2D and 3x3x3 in I3D; the one behind the pool.
    """

    point: int
    middle_reduce: int
    middle: int
    wide_reduce: int
    wide: int
    pooled: int


PARTS: dict[str, Conv | Pool | Widths] = {
    "conv_1a": Conv(64, 7, 2),
    "pool_2a": Pool((1, 1), (3, 2)),
    "conv_2b": Conv(64, 1),
    "conv_2c": Conv(192, 3),
    "pool_3a": Pool((1, 1), (3, 2)),
    "mixed_3b": Widths(64, 96, 128, 16, 32, 32),
    "mixed_3c": Widths(128, 128, 192, 32, 96, 64),
    "pool_4a": Pool((3, 2), (3, 2)),
    "mixed_4b": Widths(192, 96, 208, 16, 48, 64),
    "mixed_4c": Widths(160, 112, 224, 24, 64, 64),
    "mixed_4d": Widths(128, 128, 256, 24, 64, 64),
    "mixed_4e": Widths(112, 144, 288, 32, 64, 64),
    "mixed_4f": Widths(256, 160, 320, 32, 128, 128),
    "pool_5a": Pool((2, 2), (2, 2)),
    "mixed_5b": Widths(256, 160, 320, 32, 128, 128),
    "mixed_5c": Widths(384, 192, 384, 48, 128, 128),
}
"""The network from its input to its last feature map, as I3D has it; the 2D network's pools are all 3x3, stride 2."""

BRANCHES = ("branch_0", "branch_1a", "branch_1b", "branch_2a", "branch_2b", "branch_3b")
"""The convolutions of a block, in the order of `Widths`."""

FEATURES = 1024
"""Channels of the last feature map: 384 + 384 + 128 + 128."""


def filters(part: Widths) -> int:
    """Return the channels that come out of a block."""
    return part.point + part.middle + part.wide + part.pooled


def scaled(part: Conv | Pool | Widths, width: float) -> Conv | Pool | Widths:
    """Return a part with its filters times `width`, at least one each."""
    if isinstance(part, Widths):
        return Widths(*(scaled_filters(n, width) for n in part))
    return part._replace(filters=scaled_filters(part.filters, width)) if isinstance(part, Conv) else part


def scaled_filters(number: int, width: float) -> int:
    """Return a number of filters times a width, at least one."""
    return max(1, round(number * width))


def units() -> Iterator[str]:
    """Yield our names of all 57 convolutions before the head, in order."""
    for name, part in PARTS.items():
        if isinstance(part, Conv):
            yield name
        elif isinstance(part, Widths):
            yield from (f"{name}.{branch}" for branch in BRANCHES)
