"""The body of Inception-V1, for any kind of convolution: 3D with batch norm (I3D), 2D, 2D inflated to 3D."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from murine.models.inception.layout import PARTS, Conv, Pool, Widths, filters, scaled


@dataclass(frozen=True)
class Kit:
    """What a body is made of. `conv` makes a convolution with its activation from the number of channels that
    come in; `pool` makes a pool; `wide`: side of the second kernel of branch 2. `after`: a module that follows
    a part of this name.
    """

    conv: Callable[[int, Conv], nn.Module]
    pool: Callable[[Pool], nn.Module]
    wide: int
    after: Mapping[str, nn.Module] = field(default_factory=dict)


class Mixed(nn.Module):
    """An Inception block: four branches side by side, joined over channels in this order."""

    def __init__(self, inputs: int, widths: Widths, kit: Kit) -> None:
        super().__init__()
        self.branch_0 = kit.conv(inputs, Conv(widths.point, 1))
        self.branch_1a = kit.conv(inputs, Conv(widths.middle_reduce, 1))
        self.branch_1b = kit.conv(widths.middle_reduce, Conv(widths.middle, 3))
        self.branch_2a = kit.conv(inputs, Conv(widths.wide_reduce, 1))
        self.branch_2b = kit.conv(widths.wide_reduce, Conv(widths.wide, kit.wide))
        self.branch_3a = kit.pool(Pool((3, 1), (3, 1)))
        self.branch_3b = kit.conv(inputs, Conv(widths.pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, ...) -> (B, filters of the block, ...)."""
        middle = self.branch_1b(self.branch_1a(x))
        wide = self.branch_2b(self.branch_2a(x))
        pooled = self.branch_3b(self.branch_3a(x))
        return torch.cat([self.branch_0(x), middle, wide, pooled], dim=1)


class Trunk(nn.Module):
    """All parts up to the last feature map. `inputs`: channels of the picture; `width` multiplies the filters."""

    def __init__(self, inputs: int, kit: Kit, width: float = 1.0) -> None:
        super().__init__()
        self.after = nn.ModuleDict(kit.after)
        channels = inputs
        for name, published in PARTS.items():
            part = scaled(published, width)
            if isinstance(part, Pool):
                self.add_module(name, kit.pool(part))
            elif isinstance(part, Conv):
                self.add_module(name, kit.conv(channels, part))
                channels = part.filters
            else:
                self.add_module(name, Mixed(channels, part, kit))
                channels = filters(part)
        self.features = channels

    def endpoints(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the output of each part, in order."""
        for name in PARTS:
            x = self._part(name, x)
            yield name, x

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, ...) -> (B, features, ...)."""
        for name in PARTS:
            x = self._part(name, x)
        return x

    def _part(self, name: str, x: Tensor) -> Tensor:
        x = self.get_submodule(name)(x)
        return self.after[name](x) if name in self.after else x
