"""Frame scores of a prediction against human labels, frames nobody annotated left out.

Where scikit-learn has the same score the numbers agree (see the tests): its defaults count a
behaviour that is never true but is predicted as F1 = 0, and leave out one that is neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError
from murine.metrics.basics import (
    Counts,
    average_precision,
    confusion,
    kappa,
    mean,
    roc_auc,
)
from murine.registry import Registry
from murine.types import Ethogram, FloatArray


@dataclass(frozen=True)
class BehaviourScores:
    """One behaviour against the rest. `support`: its true frames; `said`: frames decided to show it.

    A score without a denominator is None (see `metrics.basics`).
    """

    behaviour: str
    support: int
    said: int
    tp: int
    fp: int
    tn: int
    fn: int
    precision: float | None
    recall: float | None
    f1: float | None
    kappa: float | None
    average_precision: float | None
    auc: float | None


@dataclass(frozen=True)
class FrameScores:
    """All frame scores of one prediction, pooled over its `n` labelled frames.

    `accuracy`: share of frames (multi-label: of frame-behaviour decisions) that are right.
    `balanced_accuracy`: mean recall over the behaviours that happen (multi-label: mean of recall and
    specificity, then over behaviours). `kappa`: Cohen's (multi-label: mean over behaviours).
    `macro_f1`: mean F1 of all behaviours; `_foreground`: without the background;
    `_foreground_without_background_frames`: moreover, frames that truly are background left out.
    `auc_micro`, `auc_macro`: one-vs-rest ROC areas; `map`: mean average precision of all behaviours,
    `map_foreground`: without the background. `confusion`: (C, C), row true, column decided; None where
    behaviours may overlap. `ignored`: frames left out because nobody annotated them.
    """

    ethogram: Ethogram
    n: int
    ignored: int
    accuracy: float | None
    balanced_accuracy: float | None
    kappa: float | None
    macro_f1: float | None
    macro_f1_foreground: float | None
    macro_f1_foreground_without_background_frames: float | None
    auc_micro: float | None
    auc_macro: float | None
    map: float | None
    map_foreground: float | None
    behaviours: tuple[BehaviourScores, ...]
    confusion: tuple[tuple[int, ...], ...] | None

    @property
    def absent(self) -> tuple[str, ...]:
        """The behaviours that never happen in the labelled frames."""
        return tuple(b.behaviour for b in self.behaviours if not b.support)

    def behaviour(self, name: str) -> BehaviourScores:
        """Return the scores of one behaviour; raises InputError for an unknown name."""
        return self.behaviours[self.ethogram.index(name)]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form; `per_class` holds one table per behaviour, by name, in order."""
        form = asdict(self)
        form["ethogram"] = self.ethogram.to_dict()
        del form["behaviours"]
        form["per_class"] = {
            b.behaviour: {k: v for k, v in asdict(b).items() if k != "behaviour"}
            for b in self.behaviours
        }
        form["confusion"] = None if self.confusion is None else [list(row) for row in self.confusion]
        form["absent"] = list(self.absent)
        return form


@dataclass(frozen=True)
class Metric:
    """A score to show: a short title, what it means in plain words, how to read it off."""

    title: str
    meaning: str
    of: Callable[[FrameScores], float | None]


METRICS: Registry[Metric] = Registry("metric")
for _name, _title, _meaning in (
    ("macro_f1", "Macro F1", "mean of F1 over behaviours: rare ones count as much as common ones"),
    (
        "macro_f1_foreground",
        "Macro F1 without background",
        "the same, background left out",
    ),
    (
        "macro_f1_foreground_without_background_frames",
        "Macro F1 without background frames",
        "the same, on frames that truly show a behaviour",
    ),
    ("accuracy", "Accuracy", "share of frames that are right"),
    (
        "balanced_accuracy",
        "Balanced accuracy",
        "mean over behaviours of the share of frames found",
    ),
    ("kappa", "Cohen's kappa", "agreement beyond what chance gives; 0 is chance, 1 is perfect"),
    (
        "auc_macro",
        "ROC AUC, macro",
        "chance that a frame with it is ranked above one without",
    ),
    ("auc_micro", "ROC AUC, micro", "the same, all behaviours pooled"),
    ("map", "Mean average precision", "mean over behaviours of precision, averaged over all thresholds"),
    ("map_foreground", "Mean average precision without background", "the same, background left out"),
):
    METRICS.add(_name, Metric(_title, _meaning, attrgetter(_name)))


def one_class(frames: NDArray[np.int8], ethogram: Ethogram, what: str) -> NDArray[np.int64]:
    """Return (N,) columns of (N, C) exclusive frames, -1 where not annotated; none is the background.

    Raises InputError where a frame has two behaviours, or none and there is no background.
    """
    on = frames == 1
    count = on.sum(axis=1)
    if (count > 1).any():
        row = int((count > 1).argmax())
        names = " and ".join(b for b, held in zip(ethogram.behaviours, on[row], strict=True) if held)
        raise InputError(f"{what}: frame {row} of the labelled frames has {names}, which are exclusive")
    result = np.where(count == 1, on.argmax(axis=1), -1)
    none = (frames == 0).all(axis=1)
    if none.any():
        if ethogram.background_index is None:
            raise InputError(
                f"{what}: {int(none.sum())} frames (first: {int(none.argmax())}) show none of "
                f"{', '.join(ethogram.behaviours)}. Name a background behaviour in project.toml"
            )
        result[none] = ethogram.background_index
    return result.astype(np.int64)


def score_frames(
    truth: ArrayLike,
    probabilities: ArrayLike | None,
    ethogram: Ethogram,
    *,
    decided: ArrayLike | None = None,
) -> FrameScores:
    """Score (N, C) probabilities, or decisions, against (N, C) truth: 1 shown, 0 not, -1 not annotated.

    `decided` (N, C) of 1 and 0 overrides the plain decision (the most probable behaviour, or in a
    multi-label ethogram those of at least 0.5). Without probabilities the areas are None. To score
    several recordings together, concatenate them. Raises InputError for shapes that do not fit, a
    value that is not finite, no labelled frame.
    """
    true = np.asarray(truth)
    values = None if probabilities is None else np.asarray(probabilities)
    choice = None if decided is None else np.asarray(decided)
    expected = (len(true), len(ethogram))
    for what, array in (("truth", true), ("probabilities", values), ("decisions", choice)):
        if array is not None and array.shape != expected:
            raise InputError(f"{what} must be {expected} frames x behaviours; came {array.shape}")
    if values is None and choice is None:
        raise InputError("scores need probabilities or decisions; neither came")
    if values is not None and not np.isfinite(values).all():
        raise InputError("probabilities to score must be finite; a NaN or infinity came")
    labelled = (true != -1).all(axis=1) | (true == 1).any(axis=1)
    if not ethogram.exclusive:
        labelled = (true != -1).any(axis=1)
    if not labelled.any():
        raise InputError(f"none of the {len(true)} frames is labelled; nothing to score against")
    true = true[labelled]
    values = None if values is None else values[labelled]
    choice = None if choice is None else choice[labelled]
    ignored = len(labelled) - len(true)
    if ethogram.exclusive:
        return _exclusive(true, values, choice, ethogram, ignored)
    return _multi_label(true, values, choice, ethogram, ignored)


def _one_hot(classes: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    return np.asarray(classes[:, None] == np.arange(count))


def _rows(
    true: list[NDArray[np.bool_]],
    said: list[NDArray[np.bool_]],
    values: list[FloatArray] | None,
    ethogram: Ethogram,
) -> tuple[BehaviourScores, ...]:
    rows = []
    for c, name in enumerate(ethogram.behaviours):
        n = Counts.of(true[c], said[c])
        precision = None if values is None else average_precision(true[c], values[c])
        auc = None if values is None else roc_auc(true[c], values[c])
        counts = (n.tp + n.fn, n.tp + n.fp, n.tp, n.fp, n.tn, n.fn)
        rows.append(BehaviourScores(name, *counts, n.precision, n.recall, n.f1, n.kappa, precision, auc))
    return tuple(rows)


def _exclusive(
    truth: NDArray[Any],
    values: FloatArray | None,
    choice: NDArray[Any] | None,
    ethogram: Ethogram,
    ignored: int,
) -> FrameScores:
    count = len(ethogram)
    classes = one_class(np.where(truth == 1, 1, 0).astype(np.int8), ethogram, "truth")
    if choice is not None:
        said = one_class(np.where(choice == 1, 1, 0).astype(np.int8), ethogram, "decisions")
    else:
        said = np.asarray(values).argmax(axis=1)
    table = confusion(classes, said, count)
    true_hot, said_hot = _one_hot(classes, count), _one_hot(said, count)
    rows = _rows(
        list(true_hot.T), list(said_hot.T), None if values is None else list(values.T), ethogram
    )
    seen = ethogram.foreground
    inside = table.copy()
    if ethogram.background_index is not None:
        inside[ethogram.background_index] = 0
    return FrameScores(
        ethogram=ethogram,
        n=len(truth),
        ignored=ignored,
        accuracy=float(np.trace(table) / len(truth)),
        balanced_accuracy=mean(row.recall for row in rows),
        kappa=kappa(table),
        macro_f1=mean(row.f1 for row in rows),
        macro_f1_foreground=mean(rows[c].f1 for c in seen),
        macro_f1_foreground_without_background_frames=mean(_f1(inside, c) for c in seen),
        auc_micro=None if values is None else roc_auc(true_hot.ravel(), values.ravel()),
        auc_macro=mean(row.auc for row in rows),
        map=mean(row.average_precision for row in rows),
        map_foreground=mean(rows[c].average_precision for c in seen),
        behaviours=rows,
        confusion=tuple(tuple(int(n) for n in row) for row in table),
    )


def _f1(table: NDArray[np.int64], c: int) -> float | None:
    tp, row, column = int(table[c, c]), int(table[c].sum()), int(table[:, c].sum())
    return Counts(tp, column - tp, 0, row - tp).f1


def _multi_label(
    truth: NDArray[Any],
    values: FloatArray | None,
    choice: NDArray[Any] | None,
    ethogram: Ethogram,
    ignored: int,
) -> FrameScores:
    known = truth != -1  # a behaviour may have been annotated where another was not
    said = choice == 1 if choice is not None else ethogram.plain_decision(np.asarray(values))
    columns = range(len(ethogram))
    rows = _rows(
        [truth[known[:, c], c] == 1 for c in columns],
        [said[known[:, c], c] for c in columns],
        None if values is None else [values[known[:, c], c] for c in columns],
        ethogram,
    )
    counts = [Counts(row.tp, row.fp, row.tn, row.fn) for row in rows]
    f1, precision = mean(row.f1 for row in rows), mean(row.average_precision for row in rows)
    return FrameScores(
        ethogram=ethogram,
        n=len(truth),
        ignored=ignored,
        accuracy=float(((truth == 1) == said)[known].mean()),
        balanced_accuracy=mean(
            mean((n.recall, n.specificity)) if n.recall is not None else None for n in counts
        ),
        kappa=mean(row.kappa for row in rows),
        macro_f1=f1,
        macro_f1_foreground=f1,
        macro_f1_foreground_without_background_frames=f1,
        auc_micro=None if values is None else roc_auc((truth == 1)[known], values[known]),
        auc_macro=mean(row.auc for row in rows),
        map=precision,
        map_foreground=precision,
        behaviours=rows,
        confusion=None,
    )
