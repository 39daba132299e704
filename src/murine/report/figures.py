"""Every figure of a report: a function of the data, and one line in a dictionary here.

`FIGURES` draw the study, `RECORDING_FIGURES` one recording; each function returns None where there is
nothing to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from murine.files import make_folder
from murine.registry import Registry
from murine.report.activity import HUMAN, PREDICTED, draw_durations, draw_transitions
from murine.report.charts import (
    MAX_DOTS,
    draw_behaviours,
    draw_budget,
    draw_confusion,
    draw_confusion_counts,
)
from murine.report.curves import draw_curves
from murine.report.data import ReportData, ReportRecording
from murine.report.drawing import save_png
from murine.report.ethograms import draw_ethogram, draw_overview, draw_probabilities
from murine.report.strips import draw_compared
from murine.report.trust import draw_calibration, draw_fusion, draw_learning


@dataclass(frozen=True)
class StudyFigure:
    """A figure of the whole study: `caption` says how to read it."""

    caption: Callable[[ReportData], str]
    draw: Callable[[ReportData], Figure | None]


@dataclass(frozen=True)
class RecordingFigure:
    """A figure of one recording."""

    caption: Callable[[ReportData], str]
    draw: Callable[[ReportData, ReportRecording], Figure | None]


FIGURES: Registry[StudyFigure] = Registry("figure")
RECORDING_FIGURES: Registry[RecordingFigure] = Registry("figure of a recording")


def _sides(data: ReportData) -> str:
    """How the strips are to be read: who is above whom, and what hatching means."""
    text = "human labels above, prediction below" if data.judged else ""
    hidden = any(r.true_frames is not None and (r.true_frames == -1).any() for r in data.recordings)
    return "; ".join(part for part in (text, "hatched: not annotated" if hidden else "") if part)


def _caption(text: str, sides: bool = False) -> Callable[[ReportData], str]:
    def write(data: ReportData) -> str:
        more = _sides(data) if sides else ""
        return f"{text}; {more}." if more else f"{text}."

    return write


def _budget_caption(data: ReportData) -> str:
    dots = "; a dot is one recording" if 1 < len(data.recordings) <= MAX_DOTS else ""
    return f"Share of the time in each behaviour, all recordings together{dots}."


RECORDING_FIGURES.add("ethogram", RecordingFigure(_caption("A lane per behaviour", True), draw_ethogram))
RECORDING_FIGURES.add(
    "probabilities",
    RecordingFigure(
        _caption("Probability of each behaviour, from white (0) to full colour (1)"), draw_probabilities
    ),
)
FIGURES.add("overview", StudyFigure(_caption("All recordings on one time scale", True), draw_overview))
FIGURES.add(
    "behaviours",
    StudyFigure(_caption("F1 of each behaviour, with its precision and recall"), draw_behaviours),
)
FIGURES.add(
    "confusion",
    StudyFigure(
        _caption(
            "Each row: what was predicted where a human saw one behaviour. Right is on the diagonal"
        ),
        draw_confusion,
    ),
)
FIGURES.add(
    "confusion_counts",
    StudyFigure(_caption("The same as counts; darker is more"), draw_confusion_counts),
)
FIGURES.add(
    "curves",
    StudyFigure(
        _caption(
            "Every threshold: on the left what is found against what is wrongly found (dotted: by chance), on "
            "the right how often a finding is right against how much is found. Dashed: mean of the behaviours"
        ),
        draw_curves,
    ),
)
FIGURES.add(
    "calibration",
    StudyFigure(
        _caption(
            "Left: of decisions this sure, how many are right (dotted: as sure as right; larger dots: more "
            "decisions; error: expected calibration error). Right: how many are right if only the surest are decided"
        ),
        draw_calibration,
    ),
)
FIGURES.add(
    "fusion",
    StudyFigure(_caption("Two networks averaged: scores against the weight of the second"), draw_fusion),
)
FIGURES.add(
    "learning",
    StudyFigure(_caption("Training, epoch by epoch; thin: one fold, thick: their mean"), draw_learning),
)
FIGURES.add("budget", StudyFigure(_budget_caption, draw_budget))
FIGURES.add(
    "durations",
    StudyFigure(
        _caption(
            "How long bouts last: half of them within the box, 90 % within the line, the mark the median"
        ),
        draw_durations,
    ),
)
for _side in (HUMAN, PREDICTED):
    FIGURES.add(
        f"transitions_{_side}",
        StudyFigure(
            _caption("Each row: what came next after a bout of one behaviour, background left out"),
            partial(draw_transitions, side=_side),
        ),
    )
FIGURES.add(
    "groups",
    StudyFigure(
        _caption(
            "Groups of animals: a dot is an animal, the line their mean (over bins: mean and standard error); a star: "
            "corrected p below .05"
        ),
        draw_compared,
    ),
)


def save_figures(data: ReportData, folder: Path) -> list[Path]:
    """Write every figure as PNG: `<figure>.png` of the study, `<figure>_<recording>.png` of each recording.

    Raises StorageError where the folder cannot be written.
    """
    folder, data = make_folder(Path(folder)), data.complete()
    drawn: list[tuple[str, Figure | None]] = [(name, f.draw(data)) for name, f in FIGURES.items()]
    written = [save_png(figure, folder / f"{name}.png") for name, figure in drawn if figure is not None]
    for r in data.recordings:
        for name, kind in RECORDING_FIGURES.items():
            figure = kind.draw(data, r)
            if figure is not None:
                written.append(save_png(figure, folder / f"{name}_{r.id}.png"))
    return written
