"""Rows of numbers instead of pictures: what another network makes of a recording, sample by sample.

N pictures, S samples, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from murine.config import EmbeddingSettings, InputSettings
from murine.data.windows import Sampling
from murine.files import value_hash
from murine.models.backbones import Backbone
from murine.types import Pose, Recording, Timeline
from murine.video.photometry import Night

if TYPE_CHECKING:
    from murine.data.source import Source

Rows = NDArray[np.float32]


class Embedder(Protocol):
    """Makes the stream "embedding" of a recording."""

    @property
    def key(self) -> str:
        """Name it: a hash of the weights and of all settings that decide its values."""

    @property
    def features(self) -> int:
        """Columns of its rows."""

    @property
    def sees(self) -> tuple[str, ...]:
        """Which streams it looks at in the end: rgb, flow, pose."""

    def tracks(self, settings: InputSettings) -> bool:
        """Return whether it needs the pose of a recording, to see or to crop."""

    def open(
        self, recording: Recording, settings: InputSettings, timeline: Timeline, pose: Pose | None
    ) -> Source:
        """Return the recording as this network sees it; `settings` are those of whoever reads the rows."""

    def rows(
        self, seen: Source, samples: Sampling, start: int, chunk: int
    ) -> Iterator[tuple[int, Rows]]:
        """Give (first sample, rows (n, F)) of `samples` one after the other, from sample `start` on.

        `seen` is what `open` returned. Values depend neither on `start` nor on `chunk`.
        """


class FrameEmbedder:
    """The features of a backbone, picture by picture; the pictures are those of the samples themselves.

    `compute` makes them: the backbone, or another that gives the same.
    """

    sees = ("rgb",)

    def __init__(
        self,
        backbone: Backbone,
        settings: EmbeddingSettings,
        weights_hash: str,
        device: torch.device,
        night: Night | None = None,
    ) -> None:
        self.backbone = backbone.to(device).eval()
        self.compute: Callable[[torch.Tensor], torch.Tensor] = self.backbone
        self.settings = settings
        self.weights_hash = weights_hash
        self.features = backbone.features
        self.size = settings.size if all(settings.size) else backbone.size
        self._device = device
        self._night = night

    @property
    def key(self) -> str:
        """Hash of the weights, the pictures' size and what becomes of the rows."""
        chosen = self.settings
        return value_hash(
            [chosen.backbone, self.weights_hash, self.size, chosen.normalise, chosen.precision]
        )

    def tracks(self, settings: InputSettings) -> bool:
        """Return whether the pictures are cut at a tracked point."""
        return bool(settings.crop_keypoint)

    def open(
        self, recording: Recording, settings: InputSettings, timeline: Timeline, pose: Pose | None
    ) -> Source:
        """Return the recording's pictures at the backbone's size, cut and coloured as `settings` say."""
        from murine.data.source import open_source

        chosen = replace(settings, size=self.size, cut_size=(0, 0))
        return open_source(recording, chosen, self.sees, timeline=timeline, pose=pose, night=self._night)

    def rows(
        self, seen: Source, samples: Sampling, start: int, chunk: int
    ) -> Iterator[tuple[int, Rows]]:
        """Give (first sample, rows (n, F)), as `Embedder.rows` says."""
        size = self.settings.batch_size
        # Batches are cut alike from wherever one begins, so that rows are the same to the last bit.
        for first, streams in seen.chunks(start // size * size, max(chunk // size, 1) * size):
            rows = self.describe(streams["rgb"])
            if first + len(rows) > start:
                yield max(first, start), rows[max(start - first, 0) :]

    def describe(self, pictures: NDArray[np.uint8]) -> Rows:
        """Return (N, F) of (N, H, W, 3) RGB pictures."""
        size = self.settings.batch_size
        mixed = self.settings.precision == "bfloat16"
        parts = []
        for at in range(0, len(pictures), size):
            batch = torch.from_numpy(pictures[at : at + size]).to(self._device).permute(0, 3, 1, 2)
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=mixed),
            ):
                parts.append(self.compute(batch).float().cpu().numpy())
        return finished_rows(np.concatenate(parts), self.settings)


def finished_rows(rows: Rows, settings: EmbeddingSettings) -> Rows:
    """Return rows (N, F) as a recipe wants them: of length 1 if normalised."""
    if not settings.normalise:
        return rows
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-12), dtype=np.float32)
