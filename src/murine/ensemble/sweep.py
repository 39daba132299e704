"""How much weight the second of two networks should have, found without looking at what is judged.

Nguyen et al. (paper 003) fuse an RGB and an optical-flow network at flow weights 0, 0.1, ... 1 and report the
accuracy at each (Fig. 2, 3), with the confusion matrices (Fig. 4, 5) and the best ratio. That ratio is chosen on
the very folds it is reported on, so its score is too good; here each fold is judged at the ratio that was best
on the other folds, and the ratio chosen on all is told apart from it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.ensemble.folders import Combined, check_out, kept_splits, steps_of, write_combined
from murine.ensemble.members import Members, open_members
from murine.ensemble.pictures import draw_confusions, draw_ratios
from murine.ensemble.values import check_scale, combine_predictions
from murine.errors import InputError, suggest
from murine.files import results_folder, write_json, write_text
from murine.metrics import score_frames
from murine.metrics.basics import Counts, mean
from murine.postprocess import apply
from murine.progress import SILENT, Progress
from murine.report import save_picture
from murine.train.crossval import Judged, unit_rows
from murine.types import Prediction

RATIOS = tuple(round(0.1 * i, 1) for i in range(11))
"""Weights of the second network that the paper examines."""

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
"""Scores of the table; the paper chooses by the first."""

FUSION_FILE = "fusion.json"
TABLE_FILE = "fusion.csv"


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of some folds: `each` (C, 4) true and false positives, true and false negatives; `table` (C, C),
    row true, column decided, None where behaviours may overlap.
    """

    each: NDArray[np.int64]
    table: NDArray[np.int64] | None

    def __add__(self, other: Tally) -> Tally:
        both = self.table is not None and other.table is not None
        return Tally(self.each + other.each, self.table + other.table if both else None)  # type: ignore[operator]

    def scores(self) -> dict[str, float | None]:
        """Return accuracy, balanced accuracy and macro F1, as `metrics.score_frames` defines them."""
        counts = [Counts(*map(int, row)) for row in self.each]
        f1 = mean(c.f1 for c in counts)
        if self.table is not None:
            total = int(self.table.sum())
            accuracy = float(np.trace(self.table) / total) if total else None
            return {
                "accuracy": accuracy,
                "balanced_accuracy": mean(c.recall for c in counts),
                "macro_f1": f1,
            }
        right, every = int(self.each[:, [0, 2]].sum()), int(self.each.sum())
        sides = [mean((c.recall, c.specificity)) if c.recall is not None else None for c in counts]
        return {
            "accuracy": right / every if every else None,
            "balanced_accuracy": mean(sides),
            "macro_f1": f1,
        }


@dataclass(frozen=True)
class Fusion:
    """What a sweep found; `table`: scores at each weight of the second network; `nested`: honest, each fold
    at the weight that was best on the others; `optimistic`: at the weight that was best on all.
    """

    combined: Combined
    first: str
    second: str
    metric: str
    table: tuple[dict[str, Any], ...]
    nested: dict[str, Any]
    optimistic: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return what fusion.json holds."""
        kept = ("first", "second", "metric", "table", "nested", "optimistic")
        return {k: v for k, v in asdict(self).items() if k in kept}


def sweep(
    out: Path,
    first: Path,
    second: Path,
    *,
    on: str = "probabilities",
    metric: str = "accuracy",
    by: str = "",
    tolerance_s: float | None = None,
    progress: Progress = SILENT,
) -> Fusion:
    """Fuse two evaluations at weights 0, 0.1, ... 1 of the second, and write the evaluation of the fusion.

    Each fold of OUT is fused at the weight that scored best by `metric` on the other folds together (of equals
    the one nearest to one half). fusion.json, fusion.csv and two pictures show the scores and confusions at
    every weight. `on`, `by`, `tolerance_s`: as `combine`. Raises InputError as `combine` does, and where
    there are fewer than two folds.
    """
    out = Path(out)
    check_scale(on)
    if metric not in METRICS:
        raise InputError(
            f"a ratio is chosen by {', '.join(METRICS)}; came '{metric}'.{suggest(metric, METRICS)}"
        )
    members = open_members([first, second], by=by, tolerance_s=tolerance_s)
    if len(members.splits) < 2:
        what = "one fold" if members.splits else "predictions, not evaluations"
        raise InputError(
            f"{first} and {second}: {what}. A ratio is chosen on other folds than it is judged on: give two "
            "evaluations with at least two folds."
        )
    check_out(out, members)
    with results_folder(out):
        pairs = {unit.id: members.read(unit) for unit in members.units}
        tallies = _tallies(members, pairs, on, progress)
        return _write(out, members, pairs, tallies, on, metric)


def _tallies(
    members: Members, pairs: Mapping[str, list[Prediction]], on: str, progress: Progress
) -> dict[float, dict[str, Tally]]:
    """Return the counts at each weight, by fold; folds without a labelled frame are left out."""
    assert members.project is not None
    units = {unit.id: unit for unit in members.units}
    truths = {id_: members.truth(unit)[0] for id_, unit in units.items()}
    steps = steps_of(members)

    def judged(id_: str, weight: float) -> Judged:
        prediction = fused(pairs[id_], weight, on, members.names)
        return Judged(truths[id_], prediction, apply(prediction, steps))

    result: dict[float, dict[str, Tally]] = {}
    with progress.task("weights", len(RATIOS)) as task:
        for weight in RATIOS:
            result[weight] = {}
            for split in kept_splits(members.splits, units):
                tally = _tally([judged(id_, weight) for id_ in split.test], members.project.unit)
                if tally is not None:
                    result[weight][split.name] = tally
            task.advance()
    return result


def fused(pair: Sequence[Prediction], weight: float, on: str, names: Sequence[str]) -> Prediction:
    """Return two predictions combined, the second with this weight."""
    return combine_predictions(pair, weights=(1.0 - weight, weight), on=on, names=names)


def _tally(judged: list[Judged], unit: str) -> Tally | None:
    truth, values, decided = unit_rows(judged, unit)
    if not (truth != -1).any():
        return None
    scores = score_frames(
        truth, values if decided is None else None, judged[0].truth.ethogram, decided=decided
    )
    each = np.array([[b.tp, b.fp, b.tn, b.fn] for b in scores.behaviours], dtype=np.int64)
    table = None if scores.confusion is None else np.array(scores.confusion, dtype=np.int64)
    return Tally(each, table)


def choose(tallies: Mapping[float, Mapping[str, Tally]], metric: str, folds: Sequence[str]) -> float:
    """Return the weight with the best score on some folds together; of equals the one nearest to one half."""

    def rank(weight: float) -> tuple[float, float, float]:
        value = together(tallies[weight], folds).scores()[metric]
        return (-np.inf if value is None else round(value, 12), -abs(weight - 0.5), -weight)

    return max(tallies, key=rank)


def together(tallies: Mapping[str, Tally], folds: Sequence[str]) -> Tally:
    """Return the counts of some folds."""
    total = tallies[folds[0]]
    for name in folds[1:]:
        total = total + tallies[name]
    return total


def _write(
    out: Path,
    members: Members,
    pairs: Mapping[str, list[Prediction]],
    tallies: Mapping[float, Mapping[str, Tally]],
    on: str,
    metric: str,
) -> Fusion:
    folds = list(next(iter(tallies.values())))
    if len(folds) < 2:
        raise InputError(f"{out}: fewer than two folds have labelled frames, so no ratio can be chosen.")
    every = {weight: together(by_fold, folds) for weight, by_fold in tallies.items()}
    table = tuple(
        {
            "weight_of_second": weight,
            **every[weight].scores(),
            "folds": {name: tallies[weight][name].scores() for name in folds},
            "confusion": None if (t := every[weight].table) is None else t.tolist(),
        }
        for weight in tallies
    )
    best = choose(tallies, metric, folds)
    chosen = {name: choose(tallies, metric, [f for f in folds if f != name]) for name in folds}
    judged_at = together({name: tallies[chosen[name]][name] for name in folds}, folds)
    nested = {
        "what": "each fold judged at the weight that was best on the other folds",
        "weights_of_second": chosen,
        **judged_at.scores(),
    }
    optimistic = {
        "what": "the weight that is best on all folds, judged on these same folds: too good",
        "weight_of_second": best,
        **every[best].scores(),
    }
    fold_of = {id_: split.name for split in members.splits for id_ in split.test}
    predictions = {
        id_: fused(pair, chosen.get(fold_of[id_], best), on, members.names)
        for id_, pair in pairs.items()
    }
    what = {"on": on, "metric": metric, "weights_of_second": chosen}
    combined = write_combined(out, members, predictions, what)
    first, second = members.names
    fusion = Fusion(combined, first, second, metric, table, nested, optimistic)
    write_json(out / FUSION_FILE, {"on": on, **fusion.to_dict()})
    write_text(out / TABLE_FILE, _csv(table))
    save_picture(draw_ratios(fusion.to_dict()), out / "fusion")
    assert members.project is not None
    confusions = draw_confusions(fusion.to_dict(), members.project.ethogram.behaviours)
    if confusions is not None:
        save_picture(confusions, out / "fusion_confusion")
    return fusion


def _csv(table: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["weight_of_second", *METRICS])
    for row in table:
        cells = ["" if row[name] is None else f"{row[name]:.6f}" for name in METRICS]
        writer.writerow([f"{row['weight_of_second']:.1f}", *cells])
    return text.getvalue()
