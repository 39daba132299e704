"""One self-contained page from a report's data: nothing is fetched, nothing runs, it prints well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from murine import __version__
from murine.files import write_json, write_text
from murine.progress import SILENT, Progress
from murine.report import words
from murine.report.activity import latency_rows, transitions
from murine.report.data import ReportData, ReportRecording
from murine.report.drawing import Picture, picture
from murine.report.figures import FIGURES, RECORDING_FIGURES
from murine.report.methods import methods_text
from murine.report.palette import colours, ink_on
from murine.report.summary import Summary, summarise
from murine.report.tables import (
    BudgetTable,
    Clip,
    bout_rows,
    budgets,
    clips,
    most_confused,
    own_score,
    own_scores,
    score_rows,
    task_rows,
    tested_in,
)
from murine.report.trust import fusion_rows

MOST_PAIRS = 100
"""Rows of compared groups in the page; the copy for machines has all."""
OF_TIME = ("overview", "budget", "durations", "transitions_human", "transitions_predicted")


def write_report(path: Path, data: ReportData, *, progress: Progress = SILENT) -> Path:
    """Write the page to `path` and the same numbers to `path` with the suffix .json; return `path`.

    Raises StorageError where they cannot be written.
    """
    path, data = Path(path), data.complete()
    grid = clips(data)
    summary = summarise(data)
    pictured = [] if grid is not None else list(data.recordings)
    with progress.task("Report", len(pictured) + 1, "recordings") as task:
        recordings = []
        for i, r in enumerate(pictured):
            recordings.append(_recording(data, r, i))
            task.advance()
        html = _render(data, summary, grid, recordings)
        task.advance()
    write_text(path, html)
    write_json(path.with_suffix(".json"), report_dict(data, summary, grid))
    return path


def report_dict(data: ReportData, summary: Summary, grid: list[Clip] | None) -> dict[str, Any]:
    """Return the machine-readable form of a report."""
    form = {
        "murine_version": __version__,
        "title": data.title,
        "kind": data.kind,
        "unit": data.unit,
        "ethogram": data.ethogram.to_dict(),
        "summary": asdict(summary),
        "scores": data.scores,
        "baseline": data.baseline,
        "segments": data.segments,
        "details": data.details,
        "budgets": _budget_rows(data, budgets(data)),
        "latencies": latency_rows(data),
        "transitions": transitions(data),
        "groups": data.groups,
        "fusion": data.fusion,
        "calibration": data.calibration,
        "learning": data.learning,
        "recordings": [
            {
                "id": r.id,
                "frames": len(r.timeline),
                "seconds": r.seconds,
                "fps": r.timeline.fps,
                "annotated": annotated_share(r),
                "groups": dict(r.groups),
                "scores": r.scores,
                "note": r.note,
            }
            for r in data.recordings
        ],
        "clips": None if grid is None else [{**asdict(c), "right": c.right} for c in grid],
        "splits": list(data.splits),
        "settings": dict(data.settings),
        "provenance": dict(data.provenance),
        "notes": list(data.notes),
        "methods": methods_text(data),
    }
    result: dict[str, Any] = words.plain(form)
    return result


def annotated_share(r: ReportRecording) -> float | None:
    """Return which share of a recording's frames a human annotated; None without labels."""
    return None if r.true_frames is None else float((r.true_frames != -1).any(axis=1).mean())


def _recording(data: ReportData, r: ReportRecording, i: int) -> dict[str, Any]:
    pictures = {}
    for name, kind in RECORDING_FIGURES.items():
        figure = kind.draw(data, r)
        if figure is not None:
            pictures[name] = picture(figure, f"{name} of {r.id}. {kind.caption(data)}")
    return {"recording": r, "anchor": f"recording-{i + 1}", "pictures": pictures}


def _behaviour_rows(data: ReportData) -> list[dict[str, Any]]:
    scores = {} if data.scores is None else data.scores["per_class"]
    base = {} if data.baseline is None else data.baseline["per_class"]
    return [
        {
            "name": name,
            "confused": most_confused(data, name),
            "baseline": base.get(name, {}).get("f1"),
            **row,
        }
        for name, row in scores.items()
    ]


def _budget_rows(data: ReportData, found: dict[str, BudgetTable]) -> list[dict[str, Any]]:
    rows = []
    for c, name in enumerate(data.ethogram.behaviours):
        row: dict[str, Any] = {"name": name}
        for side, table in found.items():
            known = bool(table.bouts[c])
            row[side] = {
                "seconds": float(table.seconds[c]),
                "share": float(table.share[c]),
                "bouts": int(table.bouts[c]),
                "mean_s": float(table.mean_s[c]) if known else None,
                "median_s": float(table.median_s[c]) if known else None,
            }
        rows.append(row)
    return rows


def _recording_rows(data: ReportData, recordings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    anchors = {item["recording"].id: item["anchor"] for item in recordings}
    tested = tested_in(data)
    return [
        {
            "recording": r,
            "anchor": anchors.get(r.id),
            "annotated": annotated_share(r),
            "fold": tested.get(r.id),
            "scores": r.scores or {},
            "own": [own_score(r, name) for name, _ in own_scores(data)],
        }
        for r in data.recordings
    ]


def _group_rows(data: ReportData) -> list[dict[str, Any]]:
    """Return the pairs that were tested, the least corrected p first, at most `MOST_PAIRS`."""
    rows = [row for row in (data.groups or {}).get("rows", ()) if row["p"] is not None]
    return sorted(rows, key=lambda row: (row["p_holm"], row["p"]))[:MOST_PAIRS]


def _split_rows(data: ReportData) -> list[dict[str, Any]]:
    rows = []
    for split in data.splits:
        groups = split.get("groups", {})
        sides = {
            side: {
                "recordings": list(split.get(side, ())),
                "groups": list(dict.fromkeys(groups.get(r, r) for r in split.get(side, ()))),
            }
            for side in ("train", "validation", "test")
        }
        rows.append(
            {"name": split.get("name", ""), "sides": sides, "notes": list(split.get("notes", ()))}
        )
    return rows


def _clip_rows(data: ReportData, grid: list[Clip]) -> dict[str, Any]:
    """Clips by their behaviour, right and sure ones first; and the wrong ones, the surest first."""
    key = "truth" if any(c.truth for c in grid) else "predicted"
    rows = []
    for name in data.ethogram.behaviours:
        mine = [c for c in grid if getattr(c, key) == name]
        mine.sort(key=lambda c: (not c.right, -(c.confidence or 0.0)))
        rows.append({"name": name, "clips": mine, "right": sum(c.right for c in mine)})
    judged = [c for c in grid if c.truth and c.predicted]
    wrong = sorted((c for c in judged if not c.right), key=lambda c: -(c.confidence or 0.0))
    return {"rows": [row for row in rows if row["clips"]], "judged": bool(judged), "wrong": wrong}


def _render(
    data: ReportData, summary: Summary, grid: list[Clip] | None, recordings: list[dict[str, Any]]
) -> str:
    figures: dict[str, tuple[Picture, str]] = {}
    for name, kind in FIGURES.items():
        of_time = name in OF_TIME  # which says nothing where every clip is one behaviour
        figure = None if grid is not None and of_time else kind.draw(data)
        if figure is not None:
            caption = kind.caption(data)
            figures[name] = (picture(figure, caption), caption)
    found = budgets(data)
    drawn = {name for item in recordings for name in item["pictures"]}
    palette = colours(data.ethogram)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., Any]] = {
        "score": words.score,
        "between": words.between,
        "percent": words.percent,
        "duration": words.duration,
        "small": words.small,
        "listing": words.listing,
    }
    environment.filters.update(filters)
    folder = resources.files("murine.report")
    template = environment.from_string((folder / "template.html").read_text(encoding="utf-8"))
    groups = list(dict.fromkeys(name for r in data.recordings for name in r.groups))
    return template.render(
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        data=data,
        summary=summary,
        version=__version__,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        palette=palette,
        inks={name: ink_on(colour) for name, colour in palette.items()},
        figures=figures,
        captions=[kind.caption(data) for name, kind in RECORDING_FIGURES.items() if name in drawn],
        scores=score_rows(data),
        drawn=(data.details or {}).get("drawn") if (data.details or {}).get("intervals") else None,
        bouts=[] if grid is not None else bout_rows(data),
        tasks=task_rows(data),
        fusion=fusion_rows(data),
        methods=methods_text(data).split("\n\n"),
        latencies=[] if grid is not None else latency_rows(data),
        group_rows=_group_rows(data),
        behaviours=_behaviour_rows(data),
        budgets=_budget_rows(data, found),
        sides=[] if grid is not None else list(found),
        recordings=recordings,
        recording_rows=_recording_rows(data, recordings),
        own_scores=own_scores(data),
        group_names=groups,
        clips=None if grid is None else _clip_rows(data, grid),
        splits=_split_rows(data),
        settings=words.flatten(data.settings),
        provenance=words.flatten(data.provenance),
        total=float(np.sum([r.seconds for r in data.recordings])),
        has_truth=any(r.truth is not None for r in data.recordings),
        unlabelled=any((annotated_share(r) or 1.0) < 1.0 for r in data.recordings),
    )
