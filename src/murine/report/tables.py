"""The tables of a report, worked out from its data; the page only lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from murine.metrics import METRICS, PROTOCOLS
from murine.report.data import ReportData, ReportRecording
from murine.types import Bouts, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class BudgetTable:
    """How time was spent, all recordings together: (C,) per behaviour, (R, C) per recording.

    `share` is of the annotated time; `mean_s` and `median_s` of the bouts' durations, NaN without one.
    """

    seconds: FloatArray
    share: FloatArray
    bouts: IntArray
    mean_s: FloatArray
    median_s: FloatArray
    by_recording: FloatArray


def budgets(data: ReportData) -> dict[str, BudgetTable]:
    """Return the time budgets of "human" and "predicted", where there are any.

    Where a recording has both, both are taken over the frames the human annotated: otherwise the two
    could not be compared.
    """
    sides: dict[str, list[tuple[ReportRecording, Bouts]]] = {"human": [], "predicted": []}
    for r in data.recordings:
        human, predicted = r.true_frames, r.predicted_frames
        if human is not None and (human != -1).any():
            sides["human"].append((r, Bouts.from_frames(data.ethogram, human)))
        if predicted is not None:
            if human is not None and (human != -1).any():
                predicted = np.where((human == -1).all(axis=1)[:, None], -1, predicted)
            sides["predicted"].append((r, Bouts.from_frames(data.ethogram, predicted)))
    return {side: _budget(data, pairs) for side, pairs in sides.items() if pairs}


def _budget(data: ReportData, pairs: list[tuple[ReportRecording, Bouts]]) -> BudgetTable:
    size = len(data.ethogram)
    lengths: list[list[float]] = [[] for _ in range(size)]
    seconds, total = np.zeros((len(pairs), size)), np.zeros(len(pairs))
    for i, (r, bouts) in enumerate(pairs):
        lasts = r.timeline.seconds(bouts.stop) - r.timeline.seconds(bouts.start)
        for c in range(size):
            lengths[c] += lasts[bouts.behaviour == c].tolist()
        seconds[i] = np.bincount(bouts.behaviour, weights=lasts, minlength=size)
        total[i] = np.diff(r.timeline.seconds(bouts.annotated), axis=1).sum()
    return BudgetTable(
        seconds=seconds.sum(axis=0),
        share=seconds.sum(axis=0) / max(total.sum(), 1e-12),
        bouts=np.array([len(n) for n in lengths]),
        mean_s=np.array([np.mean(n) if n else np.nan for n in lengths]),
        median_s=np.array([np.median(n) if n else np.nan for n in lengths]),
        by_recording=seconds / np.maximum(total, 1e-12)[:, None],
    )


Ends = tuple[float, float]


@dataclass(frozen=True)
class ScoreRow:
    """One score beside what it costs nothing to reach; `interval` of 95 %, None where there is none."""

    name: str
    title: str
    meaning: str
    value: float | None
    baseline: float | None
    interval: Ends | None = None


SEGMENTS = (
    ("edit", "Segmental edit", "order of the bouts, whatever their length; 1 is the right order"),
    ("f1_10", "Segmental F1@10", "bouts found, overlapping by at least 10 % (intersection over union)"),
    ("f1_25", "Segmental F1@25", "the same, at least 25 %"),
    ("f1_50", "Segmental F1@50", "the same, at least 50 %: a flickering prediction falls far here"),
)
_OF_PROTOCOL = (("macro_f1", "macro F1"), ("map", "mean average precision"))


def score_rows(data: ReportData) -> list[ScoreRow]:
    """Return the pooled scores in the order they are shown; those of the background only where it is."""
    if data.scores is None:
        return []
    base: Mapping[str, Any] = data.baseline or {}
    told = data.details or {}
    ends = told.get("intervals", {})
    rows = [
        ScoreRow(
            name, metric.title, metric.meaning, data.scores.get(name), base.get(name), _ends(ends, name)
        )
        for name, metric in METRICS.items()
        if data.ethogram.background is not None or "foreground" not in name
    ]
    cuts = data.segments or {}
    for name, title, meaning in SEGMENTS:
        if cuts.get(name) is not None:
            row = ScoreRow(name, title, meaning, cuts[name] / 100, None, _ends(ends, name, 100))
            rows.append(row)
    for name, found in told.get("protocols", {}).items() if data.unit == "frame" else ():
        for key, words in _OF_PROTOCOL:
            rows.append(
                ScoreRow(
                    f"{name} {key}",
                    f"{PROTOCOLS[name].title} {words}" if name in PROTOCOLS else f"{name} {words}",
                    f"by that protocol: {found['meaning']}" if key == "macro_f1" else "the same",
                    found.get(key),
                    None,
                    _ends(found["intervals"], key),
                )
            )
    return [row for row in rows if row.value is not None]


OWN_SCORES = (
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("macro_f1", "Macro F1"),
    ("macro_f1_foreground", "without background"),
    ("kappa", "Kappa"),
    ("map", "Mean average precision"),
    ("auc_macro", "ROC AUC"),
    ("edit", "Segmental edit"),
    ("f1_50", "Segmental F1@50"),
)


def own_scores(data: ReportData) -> list[tuple[str, str]]:
    """Return (name, title) of the scores that stand beside each recording: those that any of them has."""
    return [
        (name, title)
        for name, title in OWN_SCORES
        if any(own_score(r, name) is not None for r in data.recordings)
        and (data.ethogram.background is not None or "foreground" not in name)
    ]


def own_score(r: ReportRecording, name: str) -> float | None:
    """Return one recording's own score, 0..1; segmental ones too. None where it has none."""
    scores = r.scores or {}
    value = scores.get(name)
    if value is None and (cuts := scores.get("segments")):
        value = None if cuts.get(name) is None else cuts[name] / 100
    return None if value is None else float(value)


def _ends(intervals: Mapping[str, Sequence[float]], name: str, scale: float = 1.0) -> Ends | None:
    found = intervals.get(name)
    return None if found is None else (found[0] / scale, found[1] / scale)


def bout_rows(data: ReportData) -> list[dict[str, Any]]:
    """Return how the bouts of each behaviour were met, with the interval of their F1 as `interval`."""
    told = data.details or {}
    ends = told.get("intervals", {})
    return [
        {**row, "interval": _ends(ends, f"bout_f1 {row['behaviour']}")} for row in told.get("bouts", ())
    ]


def task_rows(data: ReportData) -> list[dict[str, Any]]:
    """Return the main scores of each task by itself: title, and (value, interval) of each score."""
    rows = []
    for name, told in (data.details or {}).get("tasks", {}).items():
        ends = told["intervals"]
        frames = [(told["frames"][key], _ends(ends, key)) for key in ("macro_f1", "map", "kappa")]
        cuts = told["segments"] or {}
        segments = [
            (None if cuts.get(key) is None else cuts[key] / 100, _ends(ends, key, 100))
            for key in ("edit", "f1_50")
        ]
        rows.append({"name": name, "n": told["frames"]["n"], "scores": [*frames, *segments]})
    return rows


@dataclass(frozen=True)
class ConfusedWith:
    """The commonest wrong answer for a behaviour, and for which share of its frames."""

    behaviour: str
    share: float


def most_confused(data: ReportData, behaviour: str) -> ConfusedWith | None:
    """Return what a behaviour is most often taken for, or None if it is never mistaken."""
    table = None if data.scores is None else data.scores.get("confusion")
    if table is None:
        return None
    row = np.array(table[data.ethogram.index(behaviour)], dtype=float)
    total = row.sum()
    row[data.ethogram.index(behaviour)] = 0
    if not row.sum():
        return None
    return ConfusedWith(data.ethogram.behaviours[int(row.argmax())], float(row.max() / total))


def tested_in(data: ReportData) -> dict[str, str]:
    """Return for each recording the name of the split that tested it."""
    return {r: str(split.get("name", "")) for split in data.splits for r in split.get("test", ())}


@dataclass(frozen=True)
class Clip:
    """One recording that shows one behaviour all through. `share`: of the most voted answer."""

    id: str
    truth: str
    predicted: str
    confidence: float | None
    seconds: float

    @property
    def right(self) -> bool:
        """True where the prediction is the human's."""
        return self.truth == self.predicted


def clips(data: ReportData) -> list[Clip] | None:
    """Return the recordings as clips, or None if this is no study of clips.

    It is one where there are more than a dozen recordings and the labels (without labels: the
    predictions) never change within any of them.
    """
    if len(data.recordings) <= 12 or not data.ethogram.exclusive:
        return None
    result = []
    for r in data.recordings:
        truth = _single(r.true_frames)
        if r.truth is not None and truth is None:
            return None
        votes = None if r.predicted_frames is None else (r.predicted_frames == 1).mean(axis=0)
        if r.truth is None and (votes is None or votes.max() < 1):
            return None
        values = votes if r.probabilities is None else r.probabilities.mean(axis=0)
        best = None if values is None else int(values.argmax())
        names = data.ethogram.behaviours
        result.append(
            Clip(
                r.id,
                "" if truth is None else names[truth],
                "" if best is None else names[best],
                None if values is None or best is None else float(values[best]),
                r.seconds,
            )
        )
    return result


def _single(frames: Any) -> int | None:
    """The one behaviour of all annotated frames, or None."""
    if frames is None:
        return None
    seen = frames[(frames != -1).any(axis=1)]
    held = (seen == 1).all(axis=0) if len(seen) else np.zeros(frames.shape[1], dtype=bool)
    return int(held.argmax()) if held.any() else None
