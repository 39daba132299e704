"""Every figure of a report: a function of the data, and one line in a dictionary here.

`FIGURES` draw the study, `RECORDING_FIGURES` one recording; each function returns None where there is
nothing to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from murine.files import make_folder
from murine.registry import Registry
from murine.report.charts import draw_behaviours, draw_budget, draw_confusion
from murine.report.data import ReportData, ReportRecording
from murine.report.drawing import save_png
from murine.report.ethograms import draw_ethogram, draw_overview, draw_probabilities


@dataclass(frozen=True)
class StudyFigure:
    """A figure of the whole study: `caption` says how to read it."""

    caption: str
    draw: Callable[[ReportData], Figure | None]


@dataclass(frozen=True)
class RecordingFigure:
    """A figure of one recording."""

    caption: str
    draw: Callable[[ReportData, ReportRecording], Figure | None]


FIGURES: Registry[StudyFigure] = Registry("figure")
RECORDING_FIGURES: Registry[RecordingFigure] = Registry("figure of a recording")


RECORDING_FIGURES.add(
    "ethogram",
    RecordingFigure(
        "A lane per behaviour; human labels above, prediction below; hatched: not annotated.",
        draw_ethogram,
    ),
)
RECORDING_FIGURES.add(
    "probabilities",
    RecordingFigure(
        "Probability of each behaviour, from white (0) to full colour (1).", draw_probabilities
    ),
)
FIGURES.add(
    "overview",
    StudyFigure(
        "All recordings on one time scale; human labels above, prediction below; hatched: not annotated.",
        draw_overview,
    ),
)
FIGURES.add(
    "behaviours",
    StudyFigure("F1 of each behaviour, with its precision and recall.", draw_behaviours),
)
FIGURES.add(
    "confusion",
    StudyFigure(
        "Each row: what was predicted in the frames a human gave to one behaviour. Right is on the diagonal.",
        draw_confusion,
    ),
)
FIGURES.add(
    "budget",
    StudyFigure(
        "Share of the annotated time in each behaviour, all recordings together; a dot is one recording.",
        draw_budget,
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
