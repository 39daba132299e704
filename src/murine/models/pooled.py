"""Logistic regression on what an embedding is on the average over a window, and how much it changes in it.

The plainest judge of frozen features, and a strong one where labels are few: murine's own, after the usual
"linear probe".
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry
from murine.models.settings import Share

Statistic = Literal["mean", "deviation", "change"]


class Pooled(Model):
    """Statistics of each column over the window, standardised, then one dense layer.

    `classes`, `features`: columns out and in. `statistics`: side by side, "mean"; "deviation", standard;
    "change", the mean absolute difference of neighbouring frames. `dropout`: of the standardised columns.
    They are divided by the square root of their number, so that learning rate and weight decay mean the
    same for wide and for narrow embeddings.
    """

    streams = ("embedding",)
    predicts = "centre"
    head_names = ("classify.",)

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        statistics: tuple[Statistic, ...] = ("mean", "change"),
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        if not statistics or len(set(statistics)) != len(statistics):
            raise InputError(
                f"statistics: one or more of mean, deviation, change, each once; came {statistics}"
            )
        self.features = features
        self.statistics = statistics
        self.described = len(statistics) * features
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
        made = {"mean": _mean(x, real)}
        if "deviation" in self.statistics:
            variance = _mean((x - made["mean"][:, None]).square(), real)
            # A column that never changes has no slope at 0.
            made["deviation"] = variance.clamp(min=1e-12).sqrt()
        if "change" in self.statistics:
            made["change"] = _mean((x[:, 1:] - x[:, :-1]).abs(), real[:, 1:] & real[:, :-1])
        return torch.cat([made[name] for name in self.statistics], dim=1)

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


def _mean(x: Tensor, real: Tensor) -> Tensor:
    """Return the mean (B, F) over the real steps of x (B, T, F), 0 where there is none."""
    return (x * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)


MODELS.add(
    "pooled",
    ModelEntry(
        build=Pooled,
        streams=Pooled.streams,
        family="embeddings",
        source="murine's own: a linear probe on statistics over time",
        counted={"classes": 8, "features": 1024},
    ),
)
