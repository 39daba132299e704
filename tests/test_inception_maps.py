"""The features of two maps at two scales: what stands where in a row."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from murine.models.backbones import create_backbone

CHANNELS = (832, 1024)


def test_a_row_holds_means_and_peaks_of_two_maps_at_two_scales() -> None:
    backbone = create_backbone("inception_v1_maps", "random")
    pictures = torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        rows = backbone(pictures)
        expected = []
        for seen in (pictures, F.adaptive_avg_pool2d(pictures.float(), (224, 224))):
            for name, features in backbone.network.body.endpoints(backbone.network.scale(seen)):
                if name in ("mixed_4f", "mixed_5c"):
                    flat = features.flatten(2)
                    expected += [flat.sum(2) / flat.shape[2], flat.max(2).values]
    assert backbone.features == rows.shape[1] == 4 * sum(CHANNELS) == 7424
    torch.testing.assert_close(rows, torch.cat(expected, 1), rtol=1e-4, atol=1e-5)


def test_the_mean_of_the_last_map_is_the_plain_backbones() -> None:
    wide, plain = (create_backbone(n, "random", 3) for n in ("inception_v1_maps", "inception_v1"))
    pictures = torch.randint(
        0, 256, (1, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        torch.testing.assert_close(wide(pictures)[:, 2 * 832 :][:, :1024], plain(pictures))
