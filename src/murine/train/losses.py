"""What training lowers: losses that know of frames nobody labelled, of padding, of earlier stages and of tasks.

A loss is split into sums and counts, so that the mean over several small batches (gradient
accumulation), or over a whole validation set, is the mean over all their frames, not a mean of means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from murine.config import TrainingSettings
from murine.errors import ConfigError
from murine.models.contract import Output
from murine.registry import Registry
from murine.types import Ethogram, Task

IGNORED = -1
"""The target of a frame without a label."""

TRUNCATION = 4.0
"""tau of the smoothing loss of MS-TCN (Farha & Gall 2019, equation 9)."""

_LEAST = 1e-6
"""Probabilities nearer to 0 and 1 than this are taken for this, so that no logarithm is infinite."""


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
    `gamma` > 0: focal loss, each frame times (1 - p)^gamma, p being the probability of what it shows (Lin et
    al. 2017, equation 4). With `smoothing` > 0: the truncated squared difference of neighbouring
    log-probabilities, the previous frame detached, min(d^2, 16), averaged over neighbouring frames and
    behaviours (MS-TCN++, Li et al. 2020, equations 7-9). With `boundary` > 0: cross-entropy of "another
    behaviour than in the frame before", whose probability is 1 - sum of p(t) p(t - 1), averaged over
    neighbouring labelled frames (murine's own, in place of ASRF's boundary branch). All stages of the output
    count alike.
    """

    weights: Tensor | None = None
    smoothing: float = 0.0
    gamma: float = 0.0
    boundary: float = 0.0

    def sums(self, output: Output, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return [sum of weighted cross-entropy, sum of smoothing, sum of boundary loss] over all stages."""
        weights = None if self.weights is None else self.weights.to(target.device)
        changed = (target[:, 1:] != target[:, :-1]).float()
        both = _both_labelled(target)
        totals = []
        for logits in (*output.stages, output.logits):
            log_p = F.log_softmax(logits.float(), dim=-1)
            if self.gamma:
                shown = log_p.gather(-1, target.clamp(min=0)[..., None])[..., 0]
                factor = (1 - shown.exp()).clamp(min=_LEAST) ** self.gamma * (target != IGNORED)
                if weights is not None:
                    factor = factor * weights[target.clamp(min=0)]
                entropy = -(factor * shown).sum()
            else:
                entropy = F.nll_loss(
                    log_p.flatten(0, 1), target.flatten(), weights, ignore_index=IGNORED, reduction="sum"
                )
            terms = [entropy, _roughness(log_p, target, mask, self.smoothing)]
            stays = (log_p[:, 1:] + log_p[:, :-1]).exp().sum(-1) if self.boundary else None
            terms.append(_missed(stays, changed, both))
            totals.append(torch.stack(terms))
        scale = target.new_tensor([1.0, self.smoothing, self.boundary], dtype=torch.float32)
        return torch.stack(totals).sum(0) * scale

    def counts(self, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return [labelled frames, neighbouring real frames, neighbouring labelled frames]."""
        labelled = (target != IGNORED).sum()
        return torch.stack([labelled, _pairs(target, mask).sum(), _both_labelled(target).sum()]).float()


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Sigmoid cross-entropy of behaviours that may overlap, (B, T_out, C) against the same, -1 ignored.

    `weights` (C, 2): what a frame without and with the behaviour counts, n / (2 n_c) as in de Juan
    2022. The mean is over labelled cells (frame x behaviour). Focal, smoothing (on log-sigmoids) and boundary
    as in CrossEntropy, each behaviour by itself. All stages count alike.
    """

    weights: Tensor | None = None
    smoothing: float = 0.0
    gamma: float = 0.0
    boundary: float = 0.0

    def sums(self, output: Output, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return [sum of weighted binary cross-entropy, sum of smoothing, sum of boundary loss], all stages."""
        truth = target.clamp(min=0).float()
        factor = (target >= 0).float()
        if self.weights is not None:
            weights = self.weights.to(target.device)
            factor = factor * torch.where(target > 0, weights[:, 1], weights[:, 0])
        changed = (target[:, 1:] != target[:, :-1]).float()
        both = _both_labelled(target)
        totals = []
        for logits in (*output.stages, output.logits):
            values = logits.float()
            each = F.binary_cross_entropy_with_logits(values, truth, reduction="none")
            if self.gamma:
                each = each * (1 - (-each).exp()).clamp(min=_LEAST) ** self.gamma
            terms = [
                (each * factor).sum(),
                _roughness(F.logsigmoid(values), target, mask, self.smoothing),
            ]
            p = values.sigmoid()
            stays = p[:, 1:] * p[:, :-1] + (1 - p[:, 1:]) * (1 - p[:, :-1]) if self.boundary else None
            terms.append(_missed(stays, changed, both))
            totals.append(torch.stack(terms))
        scale = values.new_tensor([1.0, self.smoothing, self.boundary])
        return torch.stack(totals).sum(0) * scale

    def counts(self, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return [labelled cells, neighbouring real frames, neighbouring labelled cells]."""
        labelled = (target >= 0).sum()
        return torch.stack([labelled, _pairs(target, mask).sum(), _both_labelled(target).sum()]).float()


@dataclass(frozen=True)
class TaskLoss:
    """The losses of several tasks side by side, each a mean over its own labelled frames, times its weight.

    `parts`: the columns of each task, whether it is exclusive, its loss and its weight. Logits and target are
    (B, T_out, C), of all tasks; -1 where a task is not labelled. Source: Do Dinh et al. (EPFL), section V-C.
    """

    parts: tuple[tuple[slice, bool, Loss, float], ...]

    def sums(self, output: Output, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weighted numerators of all tasks, one task after the other."""
        found = []
        for columns, exclusive, loss, weight in self.parts:
            stages = tuple(stage[..., columns] for stage in output.stages)
            part = Output(output.logits[..., columns], stages)
            found.append(weight * loss.sums(part, task_target(target, columns, exclusive), mask))
        return torch.cat(found)

    def counts(self, target: Tensor, mask: Tensor | None) -> Tensor:
        """Return the denominators of all tasks, one task after the other."""
        return torch.cat([loss.counts(task_target(target, c, e), mask) for c, e, loss, _ in self.parts])


def task_target(target: Tensor, columns: slice, exclusive: bool) -> Tensor:
    """Return one task's target out of (B, T, C): the class (B, T) int64 of an exclusive one, -1 where unknown."""
    part = target[..., columns]
    if not exclusive:
        return part
    return torch.where((part == 1).any(-1), part.argmax(-1), IGNORED)


def _pairs(target: Tensor, mask: Tensor | None) -> Tensor:
    """Return (B, T_out - 1), 1 where a frame and the one before it are both real and not padding."""
    if mask is None or mask.shape[1] != target.shape[1]:
        return torch.ones((target.shape[0], target.shape[1] - 1), device=target.device)
    return (mask[:, 1:] & mask[:, :-1]).float()


def _both_labelled(target: Tensor) -> Tensor:
    """Return (B, T_out - 1, ...), 1 where a frame and the one before it are both labelled."""
    return ((target[:, 1:] != IGNORED) & (target[:, :-1] != IGNORED)).float()


def _roughness(log_p: Tensor, target: Tensor, mask: Tensor | None, weight: float) -> Tensor:
    """Return the sum over real neighbours of the truncated squared step of log-probabilities (B, T, C)."""
    if not weight:
        return log_p.new_zeros(())
    steps = (log_p[:, 1:] - log_p[:, :-1].detach()).square().clamp(max=TRUNCATION**2)
    return (steps.mean(dim=-1) * _pairs(target, mask)).sum()


def _missed(stays: Tensor | None, changed: Tensor, both: Tensor) -> Tensor:
    """Return the summed cross-entropy of boundaries; `stays`: the probability that there is none."""
    if stays is None:
        return both.new_zeros(())
    stays = stays.clamp(_LEAST, 1 - _LEAST)
    return -((changed * torch.log1p(-stays) + (1 - changed) * stays.log()) * both).sum()


def _add(name: str, kind: type[CrossEntropy] | type[BinaryCrossEntropy], focal: bool) -> None:
    """Register a loss, with and without smoothing."""

    def build(weights: Tensor | None, settings: TrainingSettings, smoothing: float) -> Loss:
        gamma = settings.focal_gamma if focal else 0.0
        return kind(weights, smoothing, gamma, settings.boundary_weight)

    LOSSES.add(name, lambda weights, settings: build(weights, settings, 0.0))
    LOSSES.add(
        f"{name}_smoothing",
        lambda weights, settings: build(weights, settings, settings.smoothing_weight),
    )


_add("cross_entropy", CrossEntropy, focal=False)
_add("binary_cross_entropy", BinaryCrossEntropy, focal=False)
_add("focal", CrossEntropy, focal=True)
_add("binary_focal", BinaryCrossEntropy, focal=True)


def make_loss(
    settings: TrainingSettings,
    *,
    exclusive: bool,
    weights: Tensor | None = None,
    ethogram: Ethogram | None = None,
) -> Loss:
    """Return the loss a recipe names; raises ConfigError where it does not suit the ethogram.

    `ethogram`: given where it has tasks: each then has its own loss, "cross_entropy" meaning that of its kind.
    """
    builder = LOSSES[settings.loss]
    binary = settings.loss.startswith("binary")
    plain = settings.loss.removeprefix("binary_")
    if ethogram is not None and ethogram.tasks:
        return _task_loss(settings, plain, ethogram, weights)
    if settings.task_weights:
        raise ConfigError("training.task_weights", ["this project has no tasks; leave it out"])
    if exclusive and binary:
        raise ConfigError(
            "training.loss",
            [
                f"'{settings.loss}' is for behaviours that may overlap, and this project's exclude each "
                f"other: use '{plain}'"
            ],
        )
    if not exclusive and not binary:
        raise ConfigError(
            "training.loss",
            [
                f"'{settings.loss}' is for behaviours that exclude each other, and this project's may "
                f"overlap: use 'binary_{plain}'"
            ],
        )
    return builder(weights, settings)


def _task_loss(
    settings: TrainingSettings, plain: str, ethogram: Ethogram, weights: Tensor | None
) -> TaskLoss:
    """Return the loss of several tasks; `weights` (C, 2) as for binary ones, of exclusive ones the second."""
    shares = settings.task_weights or (1.0,) * len(ethogram.tasks)
    if len(shares) != len(ethogram.tasks):
        names = ", ".join(task.name for task in ethogram.tasks)
        raise ConfigError(
            "training.task_weights", [f"one for each of {names}; came {len(shares)}: {list(shares)}"]
        )
    parts = []
    for task, share in zip(ethogram.tasks, shares, strict=True):
        columns = ethogram.columns(task)
        own = None if weights is None else weights[columns]
        if own is not None and task.exclusive:
            own = own[:, 1]
        name = plain if task.exclusive else f"binary_{plain}"
        parts.append((columns, task.exclusive, LOSSES[name](own, settings), share))
    return TaskLoss(tuple(parts))


def probabilities(logits: Tensor, *, exclusive: bool, ethogram: Ethogram | None = None) -> Tensor:
    """Return float32 probabilities of logits (..., C): softmax where behaviours exclude each other, in all or,
    given the `ethogram`, within its exclusive tasks; else sigmoid.
    """
    values = logits.float()
    if exclusive:
        return values.softmax(dim=-1)
    found = values.sigmoid()
    tasks: Sequence[Task] = () if ethogram is None else ethogram.tasks
    for columns in (ethogram.columns(t) for t in tasks if ethogram is not None and t.exclusive):
        found[..., columns] = values[..., columns].softmax(dim=-1)
    return found
