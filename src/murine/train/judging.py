"""What the validation recordings say of a network after an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from murine.config import TrainingSettings
from murine.errors import InputError
from murine.metrics.basics import average_precision, mean
from murine.progress import Task
from murine.train.checkpoint import Row
from murine.train.device import Network, autocast, to_device
from murine.train.losses import Loss, mean_loss, probabilities
from murine.types import Ethogram

UNJUDGED: Row = dict.fromkeys(
    ("validation_loss", "validation_accuracy", "validation_macro_f1", "validation_pr_auc")
)
"""The columns of `judge` where there is nothing to judge by."""


@dataclass
class _Ranked:
    """Labels and probabilities of frames (N, C) seen so far, for scores that rank them."""

    truth: list[NDArray[np.int8]] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, target: Tensor, values: Tensor, ethogram: Ethogram) -> None:
        """Add the labelled frames of a batch, whose probabilities are `values` (N, C)."""
        if ethogram.exclusive:
            truth = target.flatten()[:, None] == torch.arange(len(ethogram), device=target.device)
            known = target.flatten() >= 0
        else:
            truth = target.flatten(0, 1)
            known = (truth >= 0).any(1)
        self.truth.append(truth[known].to(torch.int8).cpu().numpy())
        self.values.append(values[known].cpu().numpy())

    def area(self) -> float | None:
        """Return the mean over behaviours of average precision, None where none of them happens."""
        truth, values = np.concatenate(self.truth), np.concatenate(self.values)
        known = truth >= 0
        return mean(
            average_precision(truth[known[:, c], c] == 1, values[known[:, c], c])
            for c in range(truth.shape[1])
        )


@torch.no_grad()
def judge(
    network: Network,
    loss: Loss,
    batches: Iterable[Mapping[str, Tensor]],
    settings: TrainingSettings,
    ethogram: Ethogram,
    task: Task,
) -> Row:
    """Return loss, accuracy, macro F1 and area under precision and recall (mean average precision), the
    latter two of behaviours that occur, over all labelled frames.

    Raises InputError where there is none: a loss of nothing would be 0, and the first epoch the best.
    """
    network.model.eval()
    device = network.device
    total: Tensor | None = None  # of each term of the loss: numerator, denominator
    labelled = 0  # a term may count frames that nobody labelled, as smoothing does
    table = torch.zeros(3, len(ethogram), dtype=torch.int64)  # true, said, both
    ranked = _Ranked()
    for batch in batches:
        batch = to_device(batch, device, channels_last=settings.channels_last)
        target = batch["target"]
        with autocast(device, settings.precision):
            output = network(batch)
        terms = loss.sums(output, target, batch.get("mask")), loss.counts(target, batch.get("mask"))
        parts = torch.stack(terms).cpu().double()
        total = parts if total is None else total + parts
        labelled += int((target >= 0).sum())
        values = probabilities(output.logits, exclusive=ethogram.exclusive, ethogram=ethogram).flatten(
            0, 1
        )
        if ethogram.exclusive:
            seen = target >= 0
            true = nn.functional.one_hot(target[seen], len(ethogram)).bool()
            said = nn.functional.one_hot(output.logits[seen].argmax(-1), len(ethogram)).bool()
        else:
            said = torch.from_numpy(ethogram.plain_decision(values.cpu().numpy())).to(device)
            true, said = target == 1, said.reshape(target.shape) & (target >= 0)
            true, said = true.flatten(0, -2), said.flatten(0, -2)
        table += torch.stack([true.sum(0), said.sum(0), (true & said).sum(0)]).cpu()
        ranked.add(target, values, ethogram)
        task.advance(len(target))
    if total is None or not labelled:
        raise InputError(
            "no window of the validation recordings carries a label, so nothing can tell the best epoch. Set "
            "split.validation to 0, label more of them, or choose another label rule (window.label)"
        )
    true_n, said_n, both = table.double()
    f1 = (2 * both / (true_n + said_n).clamp(min=1))[true_n > 0]
    right = None
    if ethogram.exclusive and true_n.sum() > 0:
        right = float(both.sum() / true_n.sum())
    return {
        "validation_loss": float(mean_loss(total[0], total[1]).item()),
        "validation_accuracy": right,
        "validation_macro_f1": float(f1.mean()) if len(f1) else None,
        "validation_pr_auc": ranked.area(),
    }
