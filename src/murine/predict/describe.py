"""Where the stream "embedding" of a trained network comes from: a backbone's file or the stage before it.

S samples, F features.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from murine.config import EmbeddingSettings, InputSettings, load_recipe
from murine.data.embedding import Embedder, FrameEmbedder, finished_rows
from murine.data.source import Source, open_source
from murine.data.windows import Sampling, Windows
from murine.errors import InputError
from murine.files import replacing, value_hash
from murine.models.backbones import Backbone, create_backbone
from murine.models.contract import Model
from murine.predict.runtime import OpenVino
from murine.predict.stream import SampleReader, overlapping_clip, shares_overlap, window_batch
from murine.train.device import autocast, choose_device, to_device
from murine.train.runs import BACKBONE_FILE, STAGE_FOLDER, TrainedRun, load_run
from murine.types import Pose, Recording, Timeline
from murine.video.photometry import Night

Rows = NDArray[np.float32]


class StageEmbedder:
    """What a trained clip network makes of the window around each sample, before its own head."""

    def __init__(
        self,
        run: TrainedRun,
        settings: EmbeddingSettings,
        device: torch.device,
        runtime: OpenVino | None = None,
    ) -> None:
        if not run.model.described:
            raise InputError(
                f"recipe '{run.recipe.name}': its model '{run.name}' does not describe windows, so no other "
                "network can learn from it. Name a recipe with a clip network, such as c3d-lstm/c3d"
            )
        self.run = run
        self.settings = settings
        self.features = run.model.described
        self._device = device
        self._inner = run_embedder(run, str(device), runtime)
        self._by_runtime = runtime and runtime.describe(run.model, run.name, settings.precision)

    @property
    def sees(self) -> tuple[str, ...]:
        """Which streams the stage looks at in the end."""
        return self.run.sees

    @property
    def key(self) -> str:
        """Hash of the network and of what becomes of its rows."""
        return value_hash([self.run.hash, self.settings.normalise, self.settings.precision])

    def tracks(self, settings: InputSettings) -> bool:
        """Return whether the stage sees pose or crops by it; `settings` of later stages do not matter."""
        return self.run.tracks

    def open(
        self, recording: Recording, settings: InputSettings, timeline: Timeline, pose: Pose | None
    ) -> Source:
        """Return the recording as the stage's own recipe prepares it."""
        run = self.run
        animals, keypoints = ((), ()) if run.pose is None else (run.pose.animals, run.pose.keypoints)
        return open_source(
            recording, run.recipe.input, run.model.streams, timeline=timeline, pose=pose,
            animals=animals, keypoints=keypoints, night=run.night, embedder=self._inner,
        )  # fmt: skip

    def rows(
        self, seen: Source, samples: Sampling, start: int, chunk: int
    ) -> Iterator[tuple[int, Rows]]:
        """Give (first sample, rows (n, F)): of the stage's window whose centre is nearest to each sample,
        shifted inwards at the recording's ends.
        """
        size, total = self.run.recipe.window.frames, len(seen.sampling)
        starts = seen.sampling.owner[samples.samples] - size // 2
        starts = np.clip(starts, 0, max(total - size, 0)).astype(np.int64)
        # Samples closer together than the stage's own see the same window: it is described once.
        unique, which = np.unique(starts, return_inverse=True)
        windows = Windows(total, "centre", unique, unique + size, unique, unique + 1)
        if start >= len(which):
            return
        size_of_batch, done = self.settings.batch_size, start
        # Batches are cut alike from wherever one begins, so that rows are the same to the last bit.
        begin = int(which[start]) // size_of_batch * size_of_batch
        shares = self._by_runtime is None and shares_overlap(self.run.model, windows)
        reader = SampleReader(seen, int(unique[begin]))
        for at in range(begin, len(unique), size_of_batch):
            chosen = range(at, min(at + size_of_batch, len(unique)))
            rows = (
                self._shared(reader, windows, chosen) if shares else self._alone(reader, windows, chosen)
            )
            stop = int(np.searchsorted(which, chosen.stop))
            yield done, finished_rows(rows[which[done:stop] - at], self.settings)
            done = stop

    def _alone(self, reader: SampleReader, windows: Windows, chosen: Sequence[int]) -> Rows:
        """Describe windows one beside the other."""
        batch = to_device(
            window_batch(reader, windows, chosen, self.run),
            self._device,
            channels_last=self.run.recipe.training.channels_last,
        )
        with torch.inference_mode(), autocast(self._device, self.settings.precision):
            describe = self._by_runtime or self._model().describe
            return describe(batch).float().cpu().numpy()

    def _shared(self, reader: SampleReader, windows: Windows, chosen: Sequence[int]) -> Rows:
        """Describe windows that overlap, what they have in common once."""
        clip, starts = overlapping_clip(reader, windows, chosen, self.run)
        with torch.inference_mode(), autocast(self._device, self.settings.precision):
            rows = self._model().describe_windows(clip.to(self._device), starts, len(starts))
        return rows.float().cpu().numpy()

    def _model(self) -> Model:
        return self.run.model.to(self._device).eval()


def frame_embedder(
    settings: EmbeddingSettings, seed: int, device: str = "auto", night: Night | None = None
) -> FrameEmbedder:
    """Return the embedder of a recipe's backbone, its weights read from where the recipe says.

    `night`: what photometry "nightify" makes its pictures look like. Raises InputError for an unknown backbone,
    or weights that are missing or do not fit.
    """
    backbone = create_backbone(settings.backbone, settings.weights, seed)
    return FrameEmbedder(backbone, settings, _hash(backbone), choose_device(device), night)


def trained_stage(settings: EmbeddingSettings, device: str = "auto") -> StageEmbedder:
    """Return the embedder of a stage that was trained elsewhere: the run folder that `settings.weights` names.

    Raises InputError for a folder that holds no trained network, or one of another recipe's model.
    """
    folder, expected = Path(settings.weights).expanduser(), load_recipe(settings.recipe).model
    stage = load_run(folder)
    if stage.name != expected:
        raise InputError(
            f"embedding.weights: {folder} holds a network '{stage.name}' (of recipe '{stage.recipe.name}'), and "
            f"recipe '{settings.recipe}' makes a '{expected}'. Name a run of that recipe, or the recipe of "
            "that run (embedding.recipe)"
        )
    return StageEmbedder(stage, settings, choose_device(device))


def run_embedder(
    run: TrainedRun, device: str = "auto", runtime: OpenVino | None = None
) -> Embedder | None:
    """Return who makes the embedding that a trained network sees, None for one that sees none.

    `runtime`: what computes it in the place of torch.

    A stage lies in the run's folder; so does a backbone or a stage that was trained elsewhere, unless the run
    is a fold of an evaluation: then it is read from where the recipe says. Raises InputError where it is
    missing or another.
    """
    if run.embedding is None:
        return None
    assert run.folder is not None
    settings = run.recipe.embedding
    if settings.recipe:
        own = run.folder / STAGE_FOLDER
        elsewhere = bool(settings.weights) and not own.exists()
        stage = load_run(Path(settings.weights).expanduser() if elsewhere else own)
        staged = StageEmbedder(stage, settings, choose_device(device), runtime)
        if elsewhere:
            _check_same(staged, run)
        return staged
    kept = run.folder / BACKBONE_FILE
    if kept.exists():
        backbone = create_backbone(settings.backbone, "random")
        backbone.load_state_dict(safetensors.torch.load_file(kept))
        embedder = FrameEmbedder(backbone, settings, _hash(backbone), choose_device(device), run.night)
    else:
        embedder = frame_embedder(settings, run.recipe.training.seed, device, run.night)
    _check_same(embedder, run)
    if runtime is not None:
        embedder.compute = runtime.embed(embedder.backbone, settings.backbone, settings.precision)
    return embedder


def _check_same(embedder: Embedder, run: TrainedRun) -> None:
    """Raise InputError where an embedding would be another than the one a network was trained on."""
    assert run.embedding is not None
    settings = run.recipe.embedding
    if embedder.key != run.embedding.key:
        raise InputError(
            f"{run.folder}: was trained on the embedding of '{settings.backbone or settings.recipe}' with other "
            "weights than those found now. Put back what it was trained with (embedding.weights), or train "
            "again"
        )


def keep_stage(folder: Path, embedder: StageEmbedder) -> None:
    """Copy a stage that was trained elsewhere into a run folder, so that prediction needs nothing else."""
    path = Path(folder) / STAGE_FOLDER
    assert embedder.run.folder is not None
    if path.exists():
        return
    part = path.with_name(f".{STAGE_FOLDER}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a copy that was stopped
    shutil.copytree(embedder.run.folder, part, ignore=shutil.ignore_patterns("tensorboard", ".*"))
    os.replace(part, path)


def keep_backbone(folder: Path, embedder: FrameEmbedder) -> None:
    """Write a backbone's weights into a run folder, so that prediction needs nothing else."""
    path = Path(folder) / BACKBONE_FILE
    if not path.exists():
        tensors = {k: v.detach().cpu().contiguous() for k, v in embedder.backbone.state_dict().items()}
        with replacing(path) as part:
            part.write_bytes(safetensors.torch.save(tensors))


def _hash(backbone: Backbone) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
