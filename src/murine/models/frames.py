"""End-to-end networks of frames: a backbone sees every picture, a head their sequence.

Source: de Juan, *Automated Mouse Behavior Recognition using LSTM and TCN Networks* (2022), whose heads these
are; learning backbone and head together, the head first, is what its section 6.1 wished for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from murine.errors import InputError
from murine.models.backbones import build_backbone, read_backbone
from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry
from murine.models.recurrent import LSTMHead
from murine.models.sequence import SequenceHead
from murine.models.settings import Count, Natural, Share
from murine.models.temporal_conv import Norm, TCNHead
from murine.models.transformer import Positions, TransformerHead

SOURCE = "de Juan, LSTM and TCN networks, section 6.1: backbone and head learned together"
BACKBONE = "resnet50v2"
SIZE = (224, 224)


class FramesModel(Model):
    """Pictures of any number of frames through a backbone and a head over its features.

    `backbone`: a name of `models.backbones`, or "timm:" and one of timm's. `size`: height and width of the
    pictures. `at_once`: pictures that go through the backbone together, which bounds memory; in training
    these are also whose statistics a batch norm of the backbone takes. `recompute`: what the backbone holds
    inside is computed anew for the gradient and not kept, so that long windows fit into memory, for a third
    more time. Padding never reaches the backbone.
    """

    streams = ("rgb",)
    head_names = ("head.classify.",)
    predicts = "all"

    def __init__(
        self,
        backbone: str,
        size: tuple[int, int],
        at_once: int,
        recompute: bool,
        head: Callable[[int], SequenceHead],
    ) -> None:
        super().__init__()
        self.backbone_name, self.at_once, self.recompute = backbone, at_once, recompute
        self.backbone = build_backbone(backbone)
        self.backbone.check_size(size)
        self.head = head(self.backbone.features)
        self.reach = self.head.reach

    def forward(self, batch: Batch) -> Output:
        """Return logits (B, T, classes) of every frame, zero outside the mask."""
        clips = batch["rgb"].transpose(1, 2)  # (B, T, 3, H, W)
        mask = batch.get("mask")
        if mask is None:
            mask = torch.ones(clips.shape[:2], dtype=torch.bool, device=clips.device)
        pictures = clips[mask]
        parts = torch.tensor_split(pictures, max(1, -(-len(pictures) // self.at_once)))
        rows = torch.cat([self._describe(part) for part in parts if len(part)] or [self._none(clips)])
        x = rows.new_zeros(*mask.shape, self.backbone.features)
        return Output(self.head(x.masked_scatter(mask[..., None], rows), mask))

    def _describe(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, features) float32."""
        learning = any(p.requires_grad for p in self.backbone.parameters())
        if self.recompute and learning and torch.is_grad_enabled():
            rows = checkpoint(self.backbone, pictures, use_reentrant=False, context_fn=self._contexts)
        else:
            rows = self.backbone(pictures)
        whole: Tensor = rows.float()
        return whole

    def _none(self, clips: Tensor) -> Tensor:
        return torch.zeros(0, self.backbone.features, device=clips.device)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return the surroundings of the first computation and of the second."""
        return nullcontext(), self._still_norms()

    @contextmanager
    def _still_norms(self) -> Iterator[None]:
        """Keep running statistics as they are: the first computation has counted these pictures."""
        norms = [m for m in self.backbone.modules() if isinstance(m, _BatchNorm) and m.training]
        before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        try:
            yield
        finally:
            for norm, (momentum, count) in zip(norms, before, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, count


class FramesLSTM(FramesModel):
    """A backbone and LSTM layers; the settings of the head are those of the model `lstm`."""

    def __init__(
        self,
        classes: int,
        *,
        backbone: str = BACKBONE,
        size: tuple[Count, Count] = SIZE,
        at_once: Count = 32,
        recompute: bool = False,
        units: tuple[Count, ...] = (64, 32, 16),
        dropout: Share = 0.5,
        bidirectional: bool = False,
    ) -> None:
        def head(features: int) -> SequenceHead:
            return LSTMHead(features, classes, units=units, dropout=dropout, bidirectional=bidirectional)

        super().__init__(backbone, size, at_once, recompute, head)


class FramesTCN(FramesModel):
    """A backbone and a temporal convolutional network; the settings of the head are those of the model `tcn`."""

    def __init__(
        self,
        classes: int,
        *,
        backbone: str = BACKBONE,
        size: tuple[Count, Count] = SIZE,
        at_once: Count = 32,
        recompute: bool = False,
        filters: Count = 256,
        kernel: Count = 3,
        dilations: tuple[Count, ...] = (1, 2, 4, 8, 16, 32),
        stacks: Count = 1,
        layers: Count = 1,
        norm: Norm = "batch",
        dropout: Share = 0.0,
        causal: bool = True,
        norm_momentum: Share = 0.01,
    ) -> None:
        def head(features: int) -> SequenceHead:
            return TCNHead(
                features,
                classes,
                filters=filters,
                kernel=kernel,
                dilations=dilations,
                stacks=stacks,
                layers=layers,
                norm=norm,
                dropout=dropout,
                causal=causal,
                norm_momentum=norm_momentum,
            )

        super().__init__(backbone, size, at_once, recompute, head)


class FramesTransformer(FramesModel):
    """A backbone and a transformer encoder; the settings of the head are those of the model `transformer`."""

    def __init__(
        self,
        classes: int,
        *,
        backbone: str = BACKBONE,
        size: tuple[Count, Count] = SIZE,
        at_once: Count = 32,
        recompute: bool = False,
        units: Count = 128,
        heads: Count = 4,
        layers: Count = 3,
        feed_forward: Count = 256,
        dropout: Share = 0.2,
        positions: Positions = "sinusoidal",
        reach: Count = 64,
        span: Natural = 0,
        causal: bool = False,
    ) -> None:
        def head(features: int) -> SequenceHead:
            return TransformerHead(
                features,
                classes,
                units=units,
                heads=heads,
                layers=layers,
                feed_forward=feed_forward,
                dropout=dropout,
                positions=positions,
                reach=reach,
                span=span,
                causal=causal,
            )

        super().__init__(backbone, size, at_once, recompute, head)


def read_frames(path: Path, model: Model) -> tuple[dict[str, Tensor], str]:
    """Return a file of the backbone's weights by the names of the whole model, and the layout met.

    The head's weights are not among them. Raises InputError that lists every tensor that does not fit.
    """
    if not isinstance(model, FramesModel):
        raise InputError(f"{path}: weights of a backbone are for a network of frames")
    state, layout = read_backbone(model.backbone_name, path, model.backbone)
    words = f"backbone '{model.backbone_name}'" + (f", {layout}" if layout else "")
    return {f"backbone.{key}": value for key, value in state.items()}, words


_SMALL = {"backbone": "small_cnn", "size": [24, 24], "at_once": 40}

for _name, _build, _tiny in (
    ("frames_lstm", FramesLSTM, {"units": [32]}),
    ("frames_tcn", FramesTCN, {"filters": 12, "dilations": [1, 2, 4]}),
    (
        "frames_transformer",
        FramesTransformer,
        {"units": 16, "heads": 2, "layers": 2, "feed_forward": 24},
    ),
):
    MODELS.add(
        _name,
        ModelEntry(
            build=_build,
            streams=FramesModel.streams,
            family="frames",
            source=SOURCE,
            counted={"classes": 1},
            tiny={**_SMALL, **_tiny},
            read_weights=read_frames,
        ),
    )
