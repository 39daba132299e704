"""Growing the trees of `models.trees`: scikit-learn does it, the model keeps them as arrays.

An epoch is a round of boosting, `learning_rate` what each tree is scaled by. Where recordings are kept for
validation, the rounds after the best one are dropped. N frames, F features, C behaviours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from murine.config import Recipe
from murine.data.prepared import Prepared
from murine.errors import InputError, MissingExtraError
from murine.models.contract import Output
from murine.models.trees import Trees
from murine.pose.scaler import Scaler
from murine.progress import SILENT, Progress
from murine.train.checkpoint import Row, write_metrics
from murine.train.judging import UNJUDGED
from murine.train.losses import make_loss, mean_loss
from murine.types import Ethogram

_TRAIN_ROWS = 20_000
"""Training frames, evenly spread, from which the training loss of each round is measured."""

_NEVER = 20.0
"""How far the logit of a behaviour lies that no training frame shows, or every one."""

_CHECKED = 1000
"""Frames on which the arrays are held against the library that grew the trees."""


@dataclass(frozen=True)
class Frames:
    """Features (N, F) float32, scaled, and labels (N, C) int8: 1, 0, -1 unknown."""

    rows: NDArray[np.float32]
    labels: NDArray[np.int8]

    @classmethod
    def of(cls, prepared: Sequence[Prepared], scaler: Scaler) -> Frames:
        """Return the annotated samples of some recordings."""
        rows, labels = [], []
        for one in prepared:
            known = one.annotated
            rows.append(scaler.apply(one.table("pose"))[known])
            labels.append(one.resolved[known])
        return cls(np.concatenate(rows), np.concatenate(labels))

    def spread(self, number: int) -> Frames:
        """Return so many of them, evenly spread; all where there are no more, or for 0."""
        if not 0 < number < len(self.rows):
            return self
        chosen = np.linspace(0, len(self.rows) - 1, number).astype(np.int64)
        return Frames(self.rows[chosen], self.labels[chosen])


def fit_trees(
    model: Trees,
    recipe: Recipe,
    training: Sequence[Prepared],
    validation: Sequence[Prepared],
    scaler: Scaler,
    folder: Path,
    *,
    ethogram: Ethogram,
    class_weights: Tensor | None = None,
    progress: Progress = SILENT,
    log: Callable[[Row], None] | None = None,
) -> None:
    """Grow the trees of `model` in place; metrics.csv gets a row per round.

    Raises MissingExtraError without scikit-learn, InputError where a task shows one behaviour alone.
    """
    grow = _grower(model, recipe)
    frames = Frames.of(training, scaler).spread(model.frames_at_most)
    with progress.task("growing trees", len(_questions(ethogram)), "forests") as task:
        for columns, exclusive in _questions(ethogram):
            weights = None if class_weights is None else class_weights[columns].numpy()
            _fit_one(model, grow, frames, columns, exclusive, weights)
            task.advance()
    judged = Frames.of(validation, scaler) if validation else None
    _choose_rounds(
        model, recipe, frames.spread(_TRAIN_ROWS), judged, folder, ethogram, class_weights, log
    )


def _questions(ethogram: Ethogram) -> list[tuple[slice, bool]]:
    """Return the columns that are told from each other together, and those that are by themselves."""
    if ethogram.exclusive:
        return [(slice(0, len(ethogram)), True)]
    tasks = [(ethogram.columns(t), t.exclusive) for t in ethogram.tasks]
    found: list[tuple[slice, bool]] = []
    for columns, exclusive in tasks or [(slice(0, len(ethogram)), False)]:
        each = [(slice(c, c + 1), False) for c in range(columns.start, columns.stop)]
        found += [(columns, True)] if exclusive else each
    return found


def _grower(model: Trees, recipe: Recipe) -> Callable[[], Any]:
    """Return what makes a new, empty forest of the library."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingExtraError("model 'trees'", "trees") from error

    def make() -> Any:
        return HistGradientBoostingClassifier(
            learning_rate=recipe.training.learning_rate,
            max_iter=model.rounds,
            max_leaf_nodes=model.leaves,
            max_depth=model.depth or None,
            min_samples_leaf=model.smallest_leaf,
            l2_regularization=model.shrinkage_l2,
            early_stopping=False,
            random_state=recipe.training.seed % 2**32,
        )

    return make


def _fit_one(
    model: Trees,
    grow: Callable[[], Any],
    frames: Frames,
    columns: slice,
    exclusive: bool,
    weights: NDArray[np.float32] | None,
) -> None:
    """Grow the trees of behaviours that exclude each other, or of one behaviour against all else."""
    labels = frames.labels[:, columns]
    if exclusive:
        known = (labels == 1).any(axis=1)
        classes = labels.argmax(axis=1)[known]
        each = None if weights is None else (weights if weights.ndim == 1 else weights[:, 1])
    else:
        known = labels[:, 0] >= 0
        classes = labels[known, 0]
        each = None if weights is None else weights[0]
    model.base[columns] = -_NEVER
    present = np.unique(classes)
    if len(present) < 2:
        if exclusive or not len(present):
            raise InputError(
                "the training recordings show one behaviour of a task alone, or none, so there is nothing to "
                "tell apart. Label more of them"
            )
        model.base[columns] = _NEVER if present[0] else -_NEVER
        return
    rows = frames.rows[known]
    forest = grow()
    forest.fit(rows, classes, sample_weight=None if each is None else each[classes])
    _take_over(model, forest, columns, exclusive)
    _check(model, forest, rows[:: max(1, len(rows) // _CHECKED)], columns, exclusive)


def _take_over(model: Trees, forest: Any, columns: slice, exclusive: bool) -> None:
    """Copy a forest's trees into the model's arrays."""
    base = np.asarray(forest._baseline_prediction, dtype=np.float64).ravel()
    places = [columns.start + int(c) for c in forest.classes_] if exclusive else [columns.start]
    if exclusive and len(forest.classes_) == 2:
        model.base[places[0]] = 0.0  # one score stands for both: that of the second
        places = places[1:]
    for place, value in zip(places, base, strict=True):
        model.base[place] = float(value)
    for number, trees in enumerate(forest._predictors):
        for place, tree in zip(places, trees, strict=True):
            nodes = tree.nodes
            leaf = nodes["is_leaf"].astype(bool)
            own = np.arange(len(nodes))
            model.set_tree(
                number,
                place,
                {
                    "feature": torch.from_numpy(np.where(leaf, 0, nodes["feature_idx"])),
                    "threshold": torch.from_numpy(np.where(leaf, 0.0, nodes["num_threshold"])),
                    "left": torch.from_numpy(np.where(leaf, own, nodes["left"]).astype(np.int64)),
                    "right": torch.from_numpy(np.where(leaf, own, nodes["right"]).astype(np.int64)),
                    "value": torch.from_numpy(np.where(leaf, nodes["value"], 0.0)),
                },
                depth=int(nodes["depth"].max()),
            )
    model.kept.clamp_(min=len(forest._predictors))


def _check(
    model: Trees, forest: Any, rows: NDArray[np.float32], columns: slice, exclusive: bool
) -> None:
    """Hold the arrays against the library, whose inner form of a tree is not promised to stay as it is."""
    with torch.inference_mode():
        ours = model({"pose": torch.from_numpy(np.ascontiguousarray(rows))[None]}).logits[0, :, columns]
    found = ours.numpy()
    said = np.asarray(forest.predict_proba(rows))
    if exclusive:
        odds = np.exp(found - found.max(axis=1, keepdims=True))
        mine = (odds / odds.sum(axis=1, keepdims=True))[:, forest.classes_]
    else:
        mine, said = 1 / (1 + np.exp(-found)), said[:, 1:]
    if np.abs(mine - said).max() > 1e-4:
        raise RuntimeError("trees taken over from scikit-learn do not say what they said there")


def _choose_rounds(
    model: Trees,
    recipe: Recipe,
    training: Frames,
    validation: Frames | None,
    folder: Path,
    ethogram: Ethogram,
    class_weights: Tensor | None,
    log: Callable[[Row], None] | None,
) -> None:
    """Write the losses after each round, and keep the rounds up to the best one."""
    settings = recipe.training
    loss = make_loss(settings, exclusive=ethogram.exclusive, weights=class_weights, ethogram=ethogram)
    sets = [s for s in (training, validation) if s is not None]
    rows = [torch.from_numpy(np.ascontiguousarray(s.rows)) for s in sets]
    targets = [_target(s.labels, exclusive=ethogram.exclusive) for s in sets]
    logits = [model.base.expand(len(r), -1).clone() for r in rows]
    written: list[Row] = []
    best, best_loss = int(model.kept), np.inf
    for number in range(int(model.kept)):
        began = time.monotonic()
        values = []
        for at, (r, target) in enumerate(zip(rows, targets, strict=True)):
            logits[at] += model.round_values(r, number)
            sums = loss.sums(Output(logits[at][None].float()), target, None)
            values.append(float(mean_loss(sums, loss.counts(target, None))))
        row: Row = {
            "epoch": number + 1,
            "learning_rate": settings.learning_rate,
            "train_loss": values[0],
            **UNJUDGED,
        }
        if validation is not None:
            row["validation_loss"] = values[1]
            if values[1] < best_loss:
                best, best_loss = number + 1, values[1]
        row["seconds"] = round(time.monotonic() - began, 3)
        written.append(row)
        if log is not None:
            log(row)
        if validation is not None and 0 < settings.early_stopping <= number + 1 - best:
            break
    model.kept.fill_(best)
    write_metrics(folder, written)


def _target(labels: NDArray[np.int8], *, exclusive: bool) -> Tensor:
    """Return labels as a loss takes them, one long window."""
    if not exclusive:
        return torch.from_numpy(labels.astype(np.float32))[None]
    known = (labels == 1).any(axis=1)
    return torch.from_numpy(np.where(known, labels.argmax(axis=1), -1).astype(np.int64))[None]
