"""The box at the top of a report: what was done, how good it is, what may be wrong, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from murine.report.data import ReportData
from murine.report.tables import budgets, most_confused, tested_in
from murine.report.words import count, duration, listing, percent, score

FEW_BOUTS = 5
UNSURE = 0.5


@dataclass(frozen=True)
class Summary:
    """Sentences of the three parts; `doubts` are those of the data and those worked out here."""

    done: tuple[str, ...]
    good: tuple[str, ...]
    doubts: tuple[str, ...]


def summarise(data: ReportData) -> Summary:
    """Say in words what the numbers say. `data` is complete (see `ReportData.complete`)."""
    return Summary(tuple(_done(data)), tuple(_good(data)), (*data.warnings, *_doubts(data)))


def _done(data: ReportData) -> list[str]:
    total = sum(r.seconds for r in data.recordings)
    what = f"{count(len(data.recordings), 'recording')} ({duration(total)} in all)"
    behaviours = count(len(data.ethogram), "behaviour")
    if data.kind == "labels":
        return [f"Human labels of {what}, {behaviours}. Nothing was predicted."]
    if data.kind == "prediction" and not data.judged:
        return [f"{what}: {behaviours} predicted in every frame."]
    tested = tested_in(data)
    kept = [r.id for r in data.recordings if r.id in tested]
    if data.splits and len(kept) == len(data.recordings):
        folds = count(len(data.splits), "round")
        return [
            f"{what} labelled by a human were predicted, {behaviours}. In {folds} of training some "
            "recordings were kept out each time; every prediction here comes from a model that had not "
            "seen the recording."
        ]
    return [f"{what} labelled by a human were predicted, {behaviours}."]


def _agreement(kappa: float) -> str:
    """Words of Landis & Koch 1977."""
    steps = ((0.0, "none"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))
    return next((word for limit, word in steps if kappa <= limit), "almost perfect")


def _good(data: ReportData) -> list[str]:
    if data.scores is None:
        if data.kind == "labels":
            return ["Labels alone cannot be judged; compare two raters with: murine score."]
        return ["There are no human labels here, so this page cannot tell how good the prediction is."]
    ours, base = data.scores, data.baseline or {}
    unit = "clips" if data.unit == "recording" else "labelled frames"
    common = max(ours["per_class"], key=lambda name: ours["per_class"][name]["support"])
    lines = [
        f"{percent(ours['accuracy'])} of {ours['n']:,} {unit} are right"
        + (
            f"; always saying “{common}”, the commonest behaviour, would be right in "
            f"{percent(base.get('accuracy'))}."
            if data.ethogram.exclusive
            else f"; saying of each behaviour what is commoner would be right in "
            f"{percent(base.get('accuracy'))}."
        ),
        f"Macro F1, in which every behaviour counts alike, is {score(ours['macro_f1'])} (that guess: "
        f"{score(base.get('macro_f1'))}; perfect: 1).",
    ]
    told = data.details or {}
    if ends := told.get("intervals", {}).get("macro_f1"):
        drawn = told["drawn"]
        lines.append(
            f"Other recordings of the same kind would bring it between {score(ends[0])} and {score(ends[1])} "
            f"(95 % interval; drawn again and again: {count(drawn['count'], drawn['over'])})."
        )
    if ours.get("kappa") is not None:
        lines.append(f"Agreement beyond chance: kappa {ours['kappa']:.2f}, {_agreement(ours['kappa'])}.")
    known = {
        n: row["f1"] for n, row in ours["per_class"].items() if row["f1"] is not None and row["support"]
    }
    if len(known) > 1:
        best, worst = max(known, key=lambda n: known[n]), min(known, key=lambda n: known[n])
        taken = most_confused(data, worst)
        mistaken = f"; {percent(taken.share, 0)} of it is taken for “{taken.behaviour}”" if taken else ""
        lines.append(
            f"Best told: “{best}” (F1 {known[best]:.2f}). Worst: “{worst}” (F1 {known[worst]:.2f}{mistaken})."
        )
    singles = {r.id: r.scores["accuracy"] for r in data.recordings if r.scores and data.unit == "frame"}
    if len(singles) > 1:
        low, high = min(singles, key=lambda n: singles[n]), max(singles, key=lambda n: singles[n])
        lines.append(
            f"Recordings differ: from {percent(singles[low], 0)} right ({low}) to "
            f"{percent(singles[high], 0)} ({high})."
        )
    return lines


def _doubts(data: ReportData) -> list[str]:
    lines: list[str] = []
    if data.scores is not None:
        lines += _score_doubts(data)
    lines += _label_doubts(data)
    if data.kind == "prediction":
        lines += _probability_doubts(data)
    varying = [r.id for r in data.recordings if r.timeline.variable]
    if varying:
        lines.append(f"The frame rate varies in {listing(varying)}; times are those of the frames.")
    return lines


def _score_doubts(data: ReportData) -> list[str]:
    ours, base = data.scores or {}, data.baseline or {}
    lines = []
    if ours["macro_f1"] is not None and ours["macro_f1"] <= (base.get("macro_f1") or 0.0) + 0.02:
        lines.append("The model is hardly better than always saying the commonest behaviour.")
    tested = tested_in(data)
    loose = [r.id for r in data.recordings if r.id not in tested]
    if not data.splits:
        lines.append(
            "Nothing here says which recordings the model was trained on. If it has seen these, the "
            "scores are too good; “murine evaluate” gives honest ones."
        )
    elif loose:
        lines.append(f"No fold tested {listing(loose)}: the model may have seen what is scored here.")
    if ours.get("ignored"):
        share = ours["ignored"] / (ours["ignored"] + ours["n"])
        lines.append(
            f"{percent(share)} of the frames are not annotated and were left out of all scores."
        )
    singles = {r.id: r.scores["accuracy"] for r in data.recordings if r.scores and data.unit == "frame"}
    if len(singles) > 2:
        middle = median(singles.values())
        poor = [name for name, value in singles.items() if value < middle - 0.15]
        if poor:
            lines.append(
                f"Far below the others: {listing(poor)}. Look at their ethograms first: other light, "
                "another camera, wrong labels?"
            )
    found = budgets(data)
    if len(found) == 2 and data.unit == "frame":
        human, predicted = found["human"], found["predicted"]
        ratio = predicted.bouts.sum() / max(int(human.bouts.sum()), 1)
        if ratio > 2:
            lines.append(
                f"The prediction flickers: {ratio:.1f} times as many bouts as the human scored. Bout counts "
                "and durations mean little before smoothing (median, minimum_bout, viterbi)."
            )
        for c, name in enumerate(data.ethogram.behaviours):
            off = predicted.share[c] - human.share[c]
            if abs(off) > 0.02 and not 0.67 <= predicted.share[c] / max(human.share[c], 1e-9) <= 1.5:
                lines.append(
                    f"Time in “{name}” is {'over' if off > 0 else 'under'}estimated: "
                    f"{percent(predicted.share[c])} instead of {percent(human.share[c])}."
                )
    return lines


def _label_doubts(data: ReportData) -> list[str]:
    human = budgets(data).get("human")
    if human is None:
        return []
    lines = []
    absent = [n for c, n in enumerate(data.ethogram.behaviours) if not human.bouts[c]]
    if absent:
        lines.append(
            f"Never labelled here: {listing(absent)}. Such a behaviour has no recall and no F1."
        )
    thin = [n for c, n in enumerate(data.ethogram.behaviours) if 0 < human.bouts[c] < FEW_BOUTS]
    if thin:
        lines.append(
            f"Fewer than {FEW_BOUTS} labelled bouts: {listing(thin)}; scores of so few are luck."
        )
    if len(data.recordings) > 1:
        there = (human.by_recording > 0).sum(axis=0)
        alone = [n for c, n in enumerate(data.ethogram.behaviours) if there[c] == 1 and n not in thin]
        if alone:
            lines.append(f"Labelled in a single recording only: {listing(alone)}.")
    elif data.kind == "evaluation":
        lines.append("One recording only: nothing here tells how the model does on another animal.")
    return lines


def _probability_doubts(data: ReportData) -> list[str]:
    values = [r.probabilities for r in data.recordings if r.probabilities is not None]
    if not values or not data.ethogram.exclusive or len(data.ethogram) == 1:
        return []
    unsure = sum(int((v.max(axis=1) < UNSURE).sum()) for v in values) / sum(map(len, values))
    if np.isclose(unsure, 0, atol=0.05):
        return []
    return [f"In {percent(unsure, 0)} of the frames no behaviour reaches a probability of {UNSURE:g}."]
