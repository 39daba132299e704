"""Inception-V1 looked at more closely: two of its feature maps, at two scales, their means and their peaks.

The mean over the last map says what a picture shows and little of how a small animal in it is bent. The
map before the last halving, peaks besides means, and a second look at the picture squeezed to the size the
network was trained at, say more: what it was worth on real clips stands in docs/results.md.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from murine.models.backbones.inception_v1 import InceptionV1Backbone, read_weights
from murine.models.backbones.registry import BACKBONES, BackboneEntry
from murine.models.inception.googlenet import WORDS
from murine.models.inception.layout import FEATURES, PARTS, Widths, filters

MAPS = ("mixed_4f", "mixed_5c")
"""The last map of 1/16 and of 1/32 of the picture's sides."""

SQUEEZED = (224, 224)
"""Height and width that the weights were trained at."""


def _channels() -> int:
    before = PARTS[MAPS[0]]
    assert isinstance(before, Widths)
    return filters(before) + FEATURES


class InceptionV1Maps(InceptionV1Backbone):
    """Means and peaks of two maps of the picture as it is, then of the picture squeezed to 224 x 224."""

    size = (240, 320)
    features = 4 * _channels()

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 7424): for each scale and map the means, then the maxima, over the map."""
        self.check_size((pictures.shape[-2], pictures.shape[-1]))
        # The mean of the pixels that fall together, as pictures are made smaller everywhere here.
        squeezed = F.interpolate(pictures.float(), SQUEEZED, mode="area")
        return torch.cat([self._maps(pictures), self._maps(squeezed)], dim=1)

    def _maps(self, pictures: Tensor) -> Tensor:
        x = self.network.scale(pictures)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        parts = []
        for name, features in self.network.body.endpoints(x):
            if name in MAPS:
                parts += [features.mean((2, 3)), features.amax((2, 3))]
        return torch.cat(parts, dim=1)


BACKBONES.add(
    "inception_v1_maps",
    BackboneEntry(
        build=InceptionV1Maps,
        file="googlenet_imagenet.safetensors",
        read=read_weights,
        source="murine's own use of BVLC GoogLeNet: two maps, two scales, means and maxima",
        published=5_973_552,
        layout=lambda path: WORDS,
    ),
)
