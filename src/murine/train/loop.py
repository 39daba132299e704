"""The one training loop.

Everything random in an epoch follows from the recipe's seed and the epoch's number, and the state is saved
whole after every epoch: a run that was killed goes on from its last epoch to the same numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from murine.config import Recipe, TrainingSettings
from murine.data.dataset import collate
from murine.errors import InputError
from murine.models.contract import Model
from murine.progress import SILENT, Progress, Task
from murine.train.checkpoint import (
    Numbers,
    Row,
    State,
    load_state,
    save_state,
    snapshot,
    write_metrics,
)
from murine.train.device import (
    Network,
    autocast,
    choose_device,
    derived_seed,
    keep_freed_memory,
    own_randomness,
    to_device,
    use_channels_last,
)
from murine.train.freezing import plan_freezing
from murine.train.judging import UNJUDGED, judge
from murine.train.losses import Loss, make_loss, mean_loss
from murine.train.schedule import OPTIMIZERS, SCHEDULES
from murine.types import Ethogram


class Samples(Protocol):
    """What the loop needs of a data set; `WindowDataset` is one."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next samples belong to; all that is random follows from it."""

    def order(self) -> Sequence[int]:
        """Return the indices of this epoch, in the order to visit them."""


@dataclass(frozen=True)
class FitResult:
    """What training came to. `best_value` is what is watched (`training.watch`: validation loss, or area
    under precision and recall) in `best_epoch` (counted from 1), or the last training loss where nothing
    was kept for validation.
    """

    best_epoch: int
    best_value: float
    epochs: int


Log = Callable[[Row], None]


def fit(
    model: Model,
    recipe: Recipe,
    train_set: Samples,
    validation_set: Samples | None,
    folder: Path,
    *,
    ethogram: Ethogram,
    class_weights: Tensor | None = None,
    identity: str = "",
    progress: Progress = SILENT,
    log: Log | None = None,
) -> FitResult:
    """Train `model` in place; afterwards it holds the weights of the best epoch of the validation set.

    What is best, `training.watch` says: the lowest loss, or the largest area under precision and recall.
    Early stopping and the plateau go by the same value; while parts are frozen that are still to thaw,
    nothing stops early. Without a validation set the last weights stay. Continues from the state in
    `folder`, which must be of the same `identity`. `log` is told every new row of metrics.csv. The
    global random generators are left as they were. KeyboardInterrupt leaves the last epoch's state.
    Raises InputError for a state of another run, a part to freeze that the model does not have, or a loss
    that is no longer a number.
    """
    settings = recipe.training
    device = choose_device(settings.device)
    keep_freed_memory(device)
    loss = make_loss(settings, exclusive=ethogram.exclusive, weights=class_weights, ethogram=ethogram)
    freezing = plan_freezing(model, settings)
    model.to(device)
    if settings.channels_last:
        use_channels_last(model)
    network = Network(model, compiled=settings.compile, progress=progress)
    # of all parameters, frozen ones too: those have no gradient yet, and a slot once they have
    optimizer = OPTIMIZERS[settings.optimizer](model.parameters(), settings)
    schedule = SCHEDULES[settings.schedule](settings)
    numbers, best = Numbers(identity), dict[str, Tensor]()
    if (state := load_state(folder)) is not None:
        if state.numbers.identity != identity:
            raise InputError(
                f"{folder}: holds a run with other settings or other recordings, which cannot be continued. "
                "Choose another name for this run, or delete that folder."
            )
        numbers, best = state.numbers, state.best
        model.load_state_dict(state.model)
        optimizer.load_state_dict(state.optimizer)
        schedule.restore(numbers.schedule)
        write_metrics(folder, numbers.rows)

    validation = None if validation_set is None or len(validation_set) == 0 else validation_set
    per_epoch = len(train_set.order()) + (0 if validation is None else len(validation))
    with own_randomness(device), progress.task("training", settings.epochs * per_epoch, "clips") as task:
        task.advance(numbers.epoch * per_epoch)
        while numbers.epoch < settings.epochs and not numbers.finished:
            began = time.monotonic()
            epoch = numbers.epoch
            torch.manual_seed(derived_seed(settings.seed, epoch))
            freezing.prepare(model, epoch)
            rate = schedule.rate(epoch) * freezing.rate_factor(epoch)
            for group in optimizer.param_groups:
                group["lr"] = rate
            train_set.set_epoch(epoch)
            batches = _loader(train_set, train_set.order(), settings, device)
            title = f"epoch {epoch + 1}/{settings.epochs}"
            train_loss = _learn(network, optimizer, loss, batches, settings, task, title)
            row: Row = {"epoch": epoch + 1, "learning_rate": rate, "train_loss": train_loss, **UNJUDGED}
            if validation is not None:
                batches = _loader(validation, range(len(validation)), settings, device)
                row |= judge(network, loss, batches, settings, ethogram, task)
            watched = _watched(row, settings)
            sign = -1.0 if settings.watch == "pr_auc" and validation is not None else 1.0
            schedule.observe(sign * watched)
            better = numbers.best_value is None or sign * watched < sign * numbers.best_value
            if better or validation is None:
                numbers = replace(numbers, best_epoch=epoch + 1, best_value=watched, waited=0)
                best = snapshot(model.state_dict()) if validation is not None else {}
            elif not freezing.pending(epoch):
                numbers = replace(numbers, waited=numbers.waited + 1)
            stop = validation is not None and 0 < settings.early_stopping <= numbers.waited
            row["seconds"] = round(time.monotonic() - began, 3)
            numbers = replace(
                numbers,
                epoch=epoch + 1,
                finished=stop or epoch + 1 == settings.epochs,
                schedule=schedule.memory(),
                rows=[*numbers.rows, row],
            )
            save_state(folder, State(numbers, model.state_dict(), best, optimizer.state_dict()))
            write_metrics(folder, numbers.rows)
            if log is not None:
                log(row)
    if best:
        model.load_state_dict(best)
    return FitResult(numbers.best_epoch, float(numbers.best_value or 0.0), numbers.epoch)


def _watched(row: Row, settings: TrainingSettings) -> float:
    """Return the value of an epoch that decides; raises InputError where the loss is no number any more, or
    the value does not exist.
    """
    judged = row["validation_loss"] is not None
    loss = row["validation_loss"] if judged else row["train_loss"]
    if loss is None or not math.isfinite(loss):
        raise InputError(
            f"training diverged: the loss of epoch {row['epoch']} is {loss}. Choose a lower learning rate than "
            f"{settings.learning_rate:g} (training.learning_rate), or clip gradients (training.gradient_clip)"
        )
    if not judged or settings.watch == "loss":
        return loss
    area = row["validation_pr_auc"]
    if area is None:
        raise InputError(
            "no behaviour happens in the validation recordings, so precision and recall cannot tell the best "
            "epoch. Keep other recordings for validation (split.seed, split.stratify), or set training.watch "
            "to 'loss'"
        )
    return area


def _learn(
    network: Network,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    batches: Iterable[Mapping[str, Tensor]],
    settings: TrainingSettings,
    task: Task,
    title: str,
) -> float:
    """Go once through the training samples; return their mean loss as it was when each was met."""
    device = network.device
    totals: list[Tensor] = []
    for group in _groups(batches, settings.accumulate):
        counts = torch.stack([loss.counts(b["target"], b.get("mask")) for b in group]).sum(0)
        if not any((b["target"] >= 0).any() for b in group):
            continue
        optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros_like(counts, device=device)
        for batch in group:
            batch = to_device(batch, device, channels_last=settings.channels_last)
            with autocast(device, settings.precision):
                output = network(batch)
            part = loss.sums(output, batch["target"], batch.get("mask"))
            # divided by the frames of the whole group: many small batches step as one large one
            torch.autograd.backward(mean_loss(part, counts.to(device)))
            sums += part.detach()
            task.advance(len(batch["target"]))
        if settings.gradient_clip > 0:
            nn.utils.clip_grad_norm_(network.model.parameters(), settings.gradient_clip)
        optimizer.step()
        totals.append(torch.stack([sums.cpu(), counts.cpu()]))
        recent = torch.stack(totals[-20:]).sum(0)
        task.note(f"{title} loss {mean_loss(*recent).item():.4f}")
    if not totals:
        raise InputError("no training sample carries a label. Label more, or choose longer windows")
    return float(mean_loss(*torch.stack(totals).double().sum(0)).item())


def _groups(batches: Iterable[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for batch in batches:
        group.append(batch)
        if len(group) >= max(1, size):
            yield group
            group = []
    if group:
        yield group


def _loader(
    samples: Samples, order: Sequence[int], settings: TrainingSettings, device: torch.device
) -> DataLoader[Any]:
    # the loader draws a seed for its workers; its own generator keeps that off the global one
    return DataLoader(
        samples,  # type: ignore[arg-type]
        batch_size=settings.batch_size,
        sampler=order,
        collate_fn=collate,
        num_workers=settings.workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator().manual_seed(settings.seed),
    )
