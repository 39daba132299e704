"""Gradient-boosted trees on pose features: each frame by itself, no network.

Source: Friedman 2001, *Greedy function approximation: a gradient boosting machine*; grown by scikit-learn's
histogram-based implementation (`train.trees`), kept here as plain arrays, so that a saved model holds no code and
predicts without that library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry
from murine.models.ms_tcn import pose_and_mask
from murine.models.settings import Count, Limits, Natural

_ROWS = 2048
"""Frames that go through the trees of a round at once."""

_FIELDS: Mapping[str, torch.dtype] = {
    "feature": torch.int32,
    "threshold": torch.float64,
    "left": torch.int32,
    "right": torch.int32,
    "value": torch.float64,
}


class Trees(Model):
    """Boosted trees over the pose features of each frame; what a frame's past and future say must be among them.

    `classes`, `features`: columns out and in. `rounds`, which follows from training.epochs: trees for each
    behaviour. `leaves`: of a tree at most; `depth`: at most, 0: any; `smallest_leaf`: frames in a leaf at least;
    `shrinkage_l2`: penalty of large leaf values. `frames_at_most`: training frames that are used, drawn evenly, 0:
    all.
    """

    streams = ("pose",)
    predicts = "all"
    reach = (0, 0)
    head_names = ("",)

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        rounds: Count = 200,
        leaves: Annotated[int, Limits(2)] = 31,
        depth: Natural = 0,
        smallest_leaf: Count = 20,
        shrinkage_l2: Annotated[float, Limits(0)] = 0.0,
        frames_at_most: Natural = 0,
    ) -> None:
        super().__init__()
        self.features, self.rounds, self.leaves, self.depth = features, rounds, leaves, depth
        self.smallest_leaf, self.shrinkage_l2 = smallest_leaf, shrinkage_l2
        self.frames_at_most = frames_at_most
        shape = (rounds, classes, 2 * leaves - 1)
        for name, kind in _FIELDS.items():
            setattr(self, name, nn.Buffer(torch.zeros(shape, dtype=kind)))
        # A leaf leads to itself, so that all trees are walked down alike, as deep as the deepest.
        nodes = torch.arange(shape[2], dtype=torch.int32).expand(shape)
        self.left, self.right = nn.Buffer(nodes.clone()), nn.Buffer(nodes.clone())
        self.base = nn.Buffer(torch.zeros(classes, dtype=torch.float64))
        self.deepest = nn.Buffer(torch.zeros((), dtype=torch.int32))
        self.kept = nn.Buffer(torch.zeros((), dtype=torch.int32))

    def set_tree(self, number: int, column: int, nodes: Mapping[str, Tensor], depth: int) -> None:
        """Put a tree in its place: `nodes`, one value per node and field; leaves lead to themselves."""
        count = len(nodes["value"])
        for name in _FIELDS:
            field = self.get_buffer(name)
            field[number, column, :count] = nodes[name].to(field.dtype)
        self.deepest.clamp_(min=depth)

    def round_values(self, rows: Tensor, number: int) -> Tensor:
        """Return what the trees of a round add to the logits of rows (N, F), (N, classes) float64."""
        parts = [self._walk(part, slice(number, number + 1)) for part in torch.split(rows, _ROWS)]
        return torch.cat(parts) if parts else self.base.new_zeros(0, len(self.base))

    def forward(self, batch: Batch) -> Output:
        """Return logits (B, T, classes) of every frame, zero outside the mask."""
        x, mask = pose_and_mask(batch, self.features)
        real = mask[:, 0] > 0
        rows = x.transpose(1, 2)[real]
        kept = slice(0, int(self.kept))
        # Fewer rows at once where there are more trees: memory stays the same.
        size = max(1, _ROWS * 16 // max(1, int(self.kept)))
        parts = [self._walk(part, kept) for part in torch.split(rows, size)]
        found = torch.cat(parts) if parts else self.base.new_zeros(0, len(self.base))
        logits = torch.zeros(*real.shape, len(self.base), device=x.device)
        logits[real] = (self.base + found).float()
        return Output(logits)

    def _walk(self, rows: Tensor, rounds: slice) -> Tensor:
        """Return the sum of the leaves that rows (N, F) reach in the trees of some rounds, (N, classes)."""
        fields = {name: self.get_buffer(name)[rounds].flatten() for name in _FIELDS}
        nodes = 2 * self.leaves - 1
        trees = fields["value"].numel() // nodes
        first = torch.arange(trees, device=rows.device) * nodes
        at = first.expand(len(rows), trees)
        values = rows.double()
        for _ in range(int(self.deepest)):
            seen = values.gather(1, fields["feature"][at].long())
            down = torch.where(seen <= fields["threshold"][at], fields["left"][at], fields["right"][at])
            at = first + down
        reached = fields["value"][at].reshape(len(rows), -1, len(self.base))
        return reached.sum(1)


MODELS.add(
    "trees",
    ModelEntry(
        build=Trees,
        streams=Trees.streams,
        family="trees",
        source="Friedman 2001, gradient boosting; grown by scikit-learn (extra 'trees')",
        counted={"classes": 4, "features": 28},
        tiny={"rounds": 4, "leaves": 4, "smallest_leaf": 5},
        fitted=True,
    ),
)
