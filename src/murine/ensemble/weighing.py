"""How much each of several networks should count, learned on other folds than it is judged on.

The weights are those with the least log loss, which is convex in them: of a mean of probabilities found by
expectation maximisation of a mixture, of a mean of logarithms by sequential quadratic programming.
M members, N rows (frames, or recordings that have one label), C behaviours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from murine.ensemble.counting import all_scores, check_criterion, count, score_counts
from murine.ensemble.folders import Combined, check_out, kept_splits, steps_of, write_combined
from murine.ensemble.members import Members, open_members
from murine.ensemble.values import check_scale, combine_predictions
from murine.errors import InputError
from murine.files import results_folder, write_json
from murine.postprocess import apply, decide
from murine.postprocess.markov import lanes
from murine.progress import SILENT, Progress
from murine.train.crossval import Judged, unit_rows
from murine.types import UNLABELLED, Ethogram, FloatArray, Prediction

WEIGHTS_FILE = "weights.json"

_SAMPLE = 30_000
"""Rows by which weights are found, evenly taken from all."""

_LEAST = 1e-7
"""Probabilities nearer to 0 than this have no more digits in 32 bits."""


@dataclass(frozen=True)
class Weighed:
    """What came of weighing. `weights`: of each member, by fold; `new`: learned on all folds, for new recordings.

    `table`: scores and log loss of each member, of equal weights, of the learned ones, of the member that was
    best on the other folds ("picked"), and of the one that is best on all (too good).
    """

    combined: Combined
    members: tuple[str, ...]
    weights: dict[str, tuple[float, ...]]
    new: tuple[float, ...]
    picked: dict[str, str]
    table: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what weights.json holds."""
        return {k: v for k, v in asdict(self).items() if k != "combined"}


def weigh(
    out: Path,
    inputs: Sequence[Path],
    *,
    on: str = "probabilities",
    metric: str = "accuracy",
    by: str = "",
    tolerance_s: float | None = None,
    progress: Progress = SILENT,
) -> Weighed:
    """Combine evaluations, each fold by the weights with the least log loss on the other folds.

    `on`, `by`, `tolerance_s`: as `combine`. `metric`: what a single member is picked by, one of
    `counting.CRITERIA`. OUT is an evaluation with weights.json beside. Raises InputError as `combine` does,
    and where there are fewer than two folds with labels.
    """
    out = Path(out)
    check_scale(on)
    members = open_members(inputs, by=by, tolerance_s=tolerance_s)
    if len(members.splits) < 2:
        what = "one fold" if members.splits else "predictions, not evaluations"
        raise InputError(
            f"{inputs[0]}: {what}. Weights are learned on other folds than they are judged on: give evaluations "
            "with at least two folds."
        )
    assert members.project is not None
    check_criterion(metric, members.project.ethogram)
    check_out(out, members)
    with results_folder(out), progress.task("weighing", len(members.splits), "folds") as task:
        panel = _Panel(members, on)
        if len(panel.folds) < 2:
            raise InputError(f"{out}: fewer than two folds have labels, so no weights can be learned.")
        learned: dict[str, tuple[float, ...]] = {}
        for fold in panel.folds:
            learned[fold] = panel.learn([name for name in panel.folds if name != fold])
            task.advance()
        new = panel.learn(panel.folds)
        return _write(out, panel, learned, new, metric)


class _Panel:
    """Members' predictions and labels, as rows of each fold."""

    def __init__(self, members: Members, on: str) -> None:
        assert members.project is not None
        self.members, self.on = members, on
        self.unit, self.ethogram = members.project.unit, members.project.ethogram
        self.steps = steps_of(members)
        units = {unit.id: unit for unit in members.units}
        self.read = {id_: members.read(unit) for id_, unit in units.items()}
        self.truth = {id_: members.truth(unit)[0] for id_, unit in units.items()}
        self.splits = kept_splits(members.splits, units)
        self.folds = [s.name for s in self.splits if any(self._labelled(id_) for id_ in s.test)]
        self.tests = {s.name: s.test for s in self.splits}
        self._rows: dict[str, tuple[FloatArray, Any]] = {}

    def _labelled(self, id_: str) -> bool:
        return bool((self.truth[id_].frames() != UNLABELLED).any())

    def rows(self, fold: str) -> tuple[FloatArray, Any]:
        """Return probabilities (M, N, C) and truth (N, C) of a fold's recordings."""
        if fold not in self._rows:
            parts = [self.read[id_] for id_ in self.tests[fold]]
            sides = []
            for m in range(len(self.members.names)):
                judged = [
                    Judged(self.truth[id_], own[m], self.truth[id_])
                    for id_, own in zip(self.tests[fold], parts, strict=True)
                ]
                truth, values, _ = unit_rows(judged, self.unit)
                sides.append(values)
            self._rows[fold] = np.stack(sides), truth
        return self._rows[fold]

    def learn(self, folds: Sequence[str]) -> tuple[float, ...]:
        """Return the weights with the least log loss on some folds."""
        sides = [self.rows(fold) for fold in folds]
        values = np.concatenate([side[0] for side in sides], axis=1)
        truth = np.concatenate([side[1] for side in sides])
        step = max(1, len(truth) // _SAMPLE)
        return best_weights(values[:, ::step], truth[::step], self.ethogram, self.on)

    def fused(self, id_: str, weights: Sequence[float]) -> Prediction:
        """Return the members' predictions of a recording combined."""
        if sorted(weights)[-2] == 0:  # a single member, as it is
            return self.read[id_][int(np.argmax(weights))]
        return combine_predictions(self.read[id_], weights=weights, on=self.on, names=self.members.names)

    def judge(self, weights: Mapping[str, Sequence[float]]) -> tuple[dict[str, FloatArray], float]:
        """Return counts of each fold at its weights, and the log loss of all rows."""
        counts, losses = {}, []
        for fold in self.folds:
            judged = []
            for id_ in self.tests[fold]:
                prediction = self.fused(id_, weights[fold])
                judged.append(Judged(self.truth[id_], prediction, apply(prediction, self.steps)))
            truth, values, decided = unit_rows(judged, self.unit)
            said = decide(values, self.ethogram) if decided is None else decided
            counts[fold] = count(truth, np.asarray(said, dtype=np.int8), self.ethogram)
            losses.append(log_losses(values, truth, self.ethogram))
        return counts, float(np.concatenate(losses).mean())


def best_weights(values: FloatArray, truth: Any, ethogram: Ethogram, on: str) -> tuple[float, ...]:
    """Return the weights (M,), which sum to 1, of members' probabilities (M, N, C) with the least log loss.

    `truth`: (N, C) of 1, 0 and -1; of behaviours that exclude each other it is that of the one that holds, of all
    others the sum over them. Raises InputError where nothing is labelled.
    """
    held, odds = [], []
    for columns in lanes(ethogram):
        known = (truth[:, columns] != UNLABELLED).all(axis=1)
        if len(columns) == 1 and not ethogram.exclusive:
            yes = truth[known, columns[0]] == 1
            part = values[:, known, columns[0]].astype(np.float64)
            held.append(np.where(yes, part, 1.0 - part))
            inside = np.clip(part, _LEAST, 1.0 - _LEAST)
            odds.append((np.log1p(-inside) - np.log(inside)) * np.where(yes, 1.0, -1.0))
        else:
            known &= (truth[:, columns] == 1).any(axis=1)
            at = truth[known][:, columns].argmax(axis=1)
            part = values[:, known][:, :, columns].astype(np.float64)
            held.append(part[:, np.arange(len(at)), at])
            logs = np.log(np.maximum(part, _LEAST))
            odds.append(logs - logs[:, np.arange(len(at)), at][:, :, None])
    chances = np.maximum(np.concatenate(held, axis=1), _LEAST)
    if not chances.shape[1]:
        raise InputError("no row is labelled, so no weights can be learned")
    if on == "probabilities":
        return _mixture(chances)
    return _pool(odds)


def _mixture(chances: FloatArray) -> tuple[float, ...]:
    """Return the weights of a mixture (M, K) with the largest likelihood."""
    weights = np.full(len(chances), 1.0 / len(chances))
    for _ in range(2000):
        shares = weights[:, None] * chances
        new = (shares / shares.sum(axis=0)).mean(axis=1)
        done = np.abs(new - weights).max() < 1e-7
        weights = new
        if done:
            break
    weights[weights < 1e-4] = 0.0
    return tuple(float(w) for w in weights / weights.sum())


def _pool(odds: Sequence[FloatArray]) -> tuple[float, ...]:
    """Return the weights of logarithms with the least loss.

    `odds`: for each lane either (M, K, S), logarithms less that of the truth, or (M, K), the log-odds against it.
    """
    count = len(odds[0])
    rows = sum(part.shape[1] for part in odds)

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        total, slope = 0.0, np.zeros(count)
        for part in odds:
            mixed = np.tensordot(weights, part, axes=1)
            if part.ndim == 2:
                total += float(np.logaddexp(0.0, mixed).sum())
                slope += part @ expit(mixed)
            else:
                each = logsumexp(mixed, axis=1)
                total += float(each.sum())
                slope += np.einsum("mks,ks->m", part, np.exp(mixed - each[:, None]))
        return total / rows, slope / rows

    problem: dict[str, Any] = {
        "jac": True,
        "method": "SLSQP",
        "bounds": [(0.0, 1.0)] * count,
        "constraints": {
            "type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(count),
        },
        "options": {"maxiter": 300, "ftol": 1e-10},
    }  # fmt: skip
    found = minimize(loss, np.full(count, 1.0 / count), **problem)
    weights = np.where(found.x < 1e-4, 0.0, found.x)
    return tuple(float(w) for w in weights / weights.sum())


def log_losses(values: FloatArray, truth: Any, ethogram: Ethogram) -> FloatArray:
    """Return the log loss of each labelled row (and behaviour, where they may overlap)."""
    found = []
    exact = np.clip(values.astype(np.float64), _LEAST, 1.0)
    for columns in lanes(ethogram):
        if len(columns) == 1 and not ethogram.exclusive:
            known = truth[:, columns[0]] != UNLABELLED
            part = np.clip(exact[known, columns[0]], _LEAST, 1.0 - _LEAST)
            found.append(-np.log(np.where(truth[known, columns[0]] == 1, part, 1.0 - part)))
        else:
            known = (truth[:, columns] == 1).any(axis=1)
            at = truth[known][:, columns].argmax(axis=1)
            found.append(-np.log(exact[known][:, columns][np.arange(len(at)), at]))
    return np.concatenate(found)


def _write(
    out: Path,
    panel: _Panel,
    learned: dict[str, tuple[float, ...]],
    new: tuple[float, ...],
    metric: str,
) -> Weighed:
    names, folds = panel.members.names, panel.folds
    alone = [tuple(float(i == m) for i in range(len(names))) for m in range(len(names))]
    judged = [panel.judge(dict.fromkeys(folds, weights)) for weights in alone]

    def best(some: Sequence[str]) -> int:
        scores = [
            float(score_counts(np.sum([counts[f] for f in some], axis=0), metric, panel.ethogram))
            for counts, _ in judged
        ]
        return int(np.nanargmax(np.round(scores, 12)))

    picked = {fold: best([f for f in folds if f != fold]) for fold in folds}
    rows = [(name, *found) for name, found in zip(names, judged, strict=True)]
    equal = (1.0 / len(names),) * len(names)
    for name, weights in (
        ("equal weights", dict.fromkeys(folds, equal)),
        ("learned on the other folds", learned),
        ("picked on the other folds", {fold: alone[m] for fold, m in picked.items()}),
        ("picked on all (too good)", dict.fromkeys(folds, alone[best(folds)])),
        ("learned on all (too good)", dict.fromkeys(folds, new)),
    ):
        rows.append((name, *panel.judge(weights)))
    table = tuple(
        {"what": name, "log_loss": loss}
        | all_scores(np.sum(list(counts.values()), axis=0), panel.ethogram)
        for name, counts, loss in rows
    )
    predictions = {
        id_: panel.fused(id_, learned.get(split.name, new))
        for split in panel.splits
        for id_ in split.test
    }
    order = {unit.id: predictions[unit.id] for unit in panel.members.units if unit.id in predictions}
    shown = {fold: dict(zip(names, weights, strict=True)) for fold, weights in learned.items()}
    combined = write_combined(out, panel.members, order, {"on": panel.on, "weights_by_fold": shown})
    chosen = {fold: names[m] for fold, m in picked.items()}
    weighed = Weighed(combined, names, learned, new, chosen, table)
    write_json(out / WEIGHTS_FILE, {"on": panel.on, "metric": metric, **weighed.to_dict()})
    return weighed
