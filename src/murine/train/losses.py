"""What training lowers: losses that know of frames nobody labelled, of padding and of earlier stages.

A loss is split into sums and counts, so that the mean over several small batches (gradient
accumulation), or over a whole validation set, is the mean over all their frames, not a mean of means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from murine.config import TrainingSettings
from murine.errors import ConfigError
from murine.models.contract import Output
from murine.registry import Registry

IGNORED = -1
"""The target of a frame without a label."""

TRUNCATION = 4.0
"""tau of the smoothing loss of MS-TCN (Farha & Gall 2019, equation 9)."""


class Loss(Protocol):
    """A sum of terms, each a mean: `(sums / counts).sum()` is the loss of a batch."""

    def sums(self, output: Output, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return the numerator of every term, (N,), float32."""

    def counts(self, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return the denominator of every term, (N,): known before the network has run."""


LossBuilder = Callable[[Tensor | None, TrainingSettings], Loss]
LOSSES: Registry[LossBuilder] = Registry("loss")


def mean_loss(sums: Tensor, counts: Tensor) -> Tensor:
    """Return the loss from summed terms; a term without a single frame counts 0."""
    return (sums / counts.clamp(min=1.0)).sum()


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy of exclusive behaviours, (B, T_out, C) against (B, T_out) int64.

    `weights` (C,) multiply a frame's loss by its behaviour's weight. The mean is over *labelled frames*,
    not over their weights: with batches of one clip the latter would cancel the weights.
    With `smoothing` > 0: the truncated squared difference of neighbouring log-probabilities, the
    previous frame detached, min(d^2, 16), averaged over neighbouring frames and behaviours
    (MS-TCN++, Li et al. 2020, equations 7-9). All stages of the output count alike.
    """

    weights: Tensor | None = None
    smoothing: float = 0.0

    def sums(self, output: Output, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return [sum of weighted cross-entropy, sum of smoothing] over all stages."""
        entropy = target.new_zeros((), dtype=torch.float32)
        roughness = target.new_zeros((), dtype=torch.float32)
        weights = None if self.weights is None else self.weights.to(target.device)
        for logits in (*output.stages, output.logits):
            log_p = F.log_softmax(logits.float(), dim=-1)
            entropy = entropy + F.nll_loss(
                log_p.flatten(0, 1), target.flatten(), weights, ignore_index=IGNORED, reduction="sum"
            )
            if self.smoothing:
                pairs = _pairs(target, mask)
                steps = (log_p[:, 1:] - log_p[:, :-1].detach()).square().clamp(max=TRUNCATION**2)
                roughness = roughness + (steps.mean(dim=-1) * pairs).sum()
        return torch.stack([entropy, self.smoothing * roughness])

    def counts(self, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return [labelled frames, neighbouring real frames]."""
        return torch.stack([(target != IGNORED).sum(), _pairs(target, mask).sum()]).float()


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Sigmoid cross-entropy of behaviours that may overlap, (B, T_out, C) against the same, -1 ignored.

    `weights` (C, 2): what a frame without and with the behaviour counts, n / (2 n_c) as in de Juan
    2022. The mean is over labelled cells (frame x behaviour). Smoothing as in CrossEntropy, on
    log-sigmoids. All stages count alike.
    """

    weights: Tensor | None = None
    smoothing: float = 0.0

    def sums(self, output: Output, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return [sum of weighted binary cross-entropy, sum of smoothing] over all stages."""
        labelled = target >= 0
        truth = target.clamp(min=0).float()
        factor = labelled.float()
        if self.weights is not None:
            weights = self.weights.to(target.device)
            factor = factor * torch.where(target > 0, weights[:, 1], weights[:, 0])
        entropy = torch.zeros((), device=target.device)
        roughness = torch.zeros((), device=target.device)
        for logits in (*output.stages, output.logits):
            each = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
            entropy = entropy + (each * factor).sum()
            if self.smoothing:
                log_p = F.logsigmoid(logits.float())
                steps = (log_p[:, 1:] - log_p[:, :-1].detach()).square().clamp(max=TRUNCATION**2)
                roughness = roughness + (steps.mean(dim=-1) * _pairs(target, mask)).sum()
        return torch.stack([entropy, self.smoothing * roughness])

    def counts(self, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return [labelled cells, neighbouring real frames]."""
        return torch.stack([(target >= 0).sum(), _pairs(target, mask).sum()]).float()


def _pairs(target: Tensor, mask: Tensor | None) -> Tensor:
    """Return (B, T_out - 1), 1 where a frame and the one before it are both real and not padding."""
    if mask is None or mask.shape[1] != target.shape[1]:
        return torch.ones((target.shape[0], target.shape[1] - 1), device=target.device)
    return (mask[:, 1:] & mask[:, :-1]).float()


LOSSES.add("cross_entropy", lambda weights, settings: CrossEntropy(weights))
LOSSES.add(
    "cross_entropy_smoothing",
    lambda weights, settings: CrossEntropy(weights, settings.smoothing_weight),
)
LOSSES.add("binary_cross_entropy", lambda weights, settings: BinaryCrossEntropy(weights))
LOSSES.add(
    "binary_cross_entropy_smoothing",
    lambda weights, settings: BinaryCrossEntropy(weights, settings.smoothing_weight),
)


def make_loss(settings: TrainingSettings, *, exclusive: bool, weights: Tensor | None = None) -> Loss:
    """Return the loss a recipe names; raises ConfigError where it does not suit the ethogram."""
    builder = LOSSES[settings.loss]
    binary = settings.loss.startswith("binary")
    if exclusive and binary:
        raise ConfigError(
            "training.loss",
            [
                f"'{settings.loss}' is for behaviours that may overlap, and this project's exclude each "
                "other: use 'cross_entropy' or 'cross_entropy_smoothing'"
            ],
        )
    if not exclusive and not binary:
        raise ConfigError(
            "training.loss",
            [
                f"'{settings.loss}' is for behaviours that exclude each other, and this project's may "
                "overlap: use 'binary_cross_entropy' or 'binary_cross_entropy_smoothing'"
            ],
        )
    return builder(weights, settings)


def probabilities(logits: Tensor, *, exclusive: bool) -> Tensor:
    """Return float32 probabilities of logits (..., C): softmax where behaviours exclude each other."""
    values = logits.float()
    return values.softmax(dim=-1) if exclusive else values.sigmoid()
