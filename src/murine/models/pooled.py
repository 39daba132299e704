"""Logistic regression on what an embedding is on the average over a window, and how much it changes in it.

The plainest judge of frozen features, and a strong one where labels are few: murine's own, after the usual
"linear probe".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry
from murine.models.settings import Share


class Pooled(Model):
    """Mean and standard deviation of each column over the window, standardised, then one dense layer.

    `classes`, `features`: columns out and in. `change`: the standard deviation too, not the mean alone.
    `dropout`: of the standardised columns. They are divided by the square root of their number, so that
    learning rate and weight decay mean the same for wide and for narrow embeddings.
    """

    streams = ("embedding",)
    predicts = "centre"
    head_names = ("classify.",)

    def __init__(
        self, classes: int, features: int, *, change: bool = True, dropout: Share = 0.0
    ) -> None:
        super().__init__()
        self.features = features
        self.change = change
        self.described = 2 * features if change else features
        # Without weights of its own: it standardises by the training windows, and no more.
        self.norm = nn.BatchNorm1d(self.described, affine=False, momentum=0.05)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(self.described, classes)
        nn.init.zeros_(self.classify.bias)
        nn.init.normal_(self.classify.weight, std=0.01)

    def describe(self, batch: Batch) -> Tensor:
        """Return the statistics of each window's real frames, (B, described), before standardising."""
        x = batch["embedding"]
        if x.shape[-1] != self.features:
            raise InputError(
                f"embeddings of {x.shape[-1]} columns came; this network is built for {self.features}. "
                "They must come from the backbone or recipe that it was trained with"
            )
        mask = batch.get("mask")
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        x = torch.where(real[..., None], x.float(), 0.0)
        count = real.sum(1, keepdim=True).clamp(min=1)
        mean = x.sum(1) / count
        if not self.change:
            return mean
        spread = torch.where(real[..., None], x - mean[:, None], 0.0).square().sum(1) / count
        # A column that never changes has no slope at 0.
        return torch.cat([mean, spread.clamp(min=1e-12).sqrt()], dim=1)

    def forward(self, batch: Batch) -> Output:
        """Return one row of logits per window, (B, 1, classes)."""
        columns = self.describe(batch)
        norm = self.norm
        # One window alone, as the last batch may be, has no deviation: it takes the running one.
        standard = F.batch_norm(
            columns.float(), norm.running_mean, norm.running_var,
            training=self.training and len(columns) > 1, momentum=norm.momentum or 0.0, eps=norm.eps,
        )  # fmt: skip
        rows = self.dropout(standard) / self.described**0.5
        logits: Tensor = self.classify(rows)
        return Output(logits[:, None])


MODELS.add(
    "pooled",
    ModelEntry(
        build=Pooled,
        streams=Pooled.streams,
        family="embeddings",
        source="murine's own: a linear probe on mean and deviation over time",
        counted={"classes": 8, "features": 1024},
    ),
)
