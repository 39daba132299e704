"""What stands beside a page for papers and programs: every figure by itself, every table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from murine.files import make_folder, write_text
from murine.report.activity import durations, latency_rows, transitions
from murine.report.curves import curve_rows
from murine.report.data import ReportData
from murine.report.drawing import save_drawings
from murine.report.figures import FIGURES, RECORDING_FIGURES
from murine.report.methods import methods_text
from murine.report.tables import (
    bout_rows,
    budgets,
    clips,
    own_score,
    own_scores,
    score_rows,
    tested_in,
)
from murine.report.trust import fusion_rows

Rows = Sequence[Mapping[str, Any]]


def save_files(data: ReportData, folder: Path) -> list[Path]:
    """Write every figure as PNG, SVG and PDF, every table as CSV and the methods as text; return their paths.

    Raises StorageError where the folder cannot be written.
    """
    folder, data = make_folder(Path(folder)), data.complete()
    written: list[Path] = []
    for name, kind in FIGURES.items():
        figure = kind.draw(data)
        if figure is not None:
            written += save_drawings(figure, folder / name)
    for r in data.recordings if clips(data) is None else ():
        for name, one in RECORDING_FIGURES.items():
            figure = one.draw(data, r)
            if figure is not None:
                written += save_drawings(figure, folder / f"{name}_{r.id}")
    for name, rows in tables(data).items():
        if rows:
            written.append(folder / f"{name}.csv")
            write_text(written[-1], table_text(rows))
    written.append(folder / "methods.txt")
    write_text(written[-1], methods_text(data) + "\n")
    return written


def table_text(rows: Rows) -> str:
    """Return rows as CSV with the names of all their columns."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def tables(data: ReportData) -> dict[str, Rows]:
    """Return every table of a report by name, rows by columns; empty ones where there is nothing."""
    scores = data.scores or {}
    names = data.ethogram.behaviours
    groups = data.groups or {}
    return {
        "scores": [
            {
                "score": row.name,
                "value": row.value,
                "low": None if row.interval is None else row.interval[0],
                "high": None if row.interval is None else row.interval[1],
                "baseline": row.baseline,
            }
            for row in score_rows(data)
        ],
        "behaviours": [{"behaviour": n, **row} for n, row in scores.get("per_class", {}).items()],
        "confusion": _matrix(names, scores.get("confusion")),
        "confusion_normalised": _matrix(names, scores.get("confusion"), share=True),
        "curves": curve_rows(data),
        "recordings": _recordings(data),
        "bouts": bout_rows(data),
        "time": _budgets(data),
        "bout_durations": [
            {"side": side, "behaviour": name, "seconds": value}
            for side, rows in durations(data).items()
            for name, row in zip(names, rows, strict=True)
            for value in row.tolist()
        ],
        "latencies": [
            {"behaviour": row["name"], "side": side, **row[side]}
            for row in latency_rows(data)
            for side in row
            if side != "name"
        ],
        **{f"transitions_{side}": _matrix(names, table) for side, table in transitions(data).items()},
        "calibration": [
            {"probabilities": name, **b} for name, told in data.calibration.items() for b in told["bins"]
        ],
        "coverage": [
            {"probabilities": name, **b}
            for name, told in data.calibration.items()
            for b in told["coverage"]
        ],
        "fusion": fusion_rows(data),
        "learning": [
            {"fold": fold, **dict(zip(columns, row, strict=True))}
            for fold, columns in data.learning.items()
            for row in zip(*columns.values(), strict=True)
        ],
        "groups": [_pair(row) for row in groups.get("rows", ())],
        "animals": groups.get("animals", ()),
    }


def _matrix(names: Sequence[str], table: Any, *, share: bool = False) -> Rows:
    if table is None:
        return []
    rows = []
    for name, counts in zip(names, table, strict=True):
        total = sum(counts)
        cells = [(v / total if total else None) for v in counts] if share else counts
        rows.append({"behaviour": name, **dict(zip(names, cells, strict=True))})
    return rows


def _recordings(data: ReportData) -> Rows:
    tested = tested_in(data)
    return [
        {
            "recording": r.id,
            "seconds": r.seconds,
            "frames": len(r.timeline),
            "fps": r.timeline.fps,
            **r.groups,
            "tested_in": tested.get(r.id),
            **{name: own_score(r, name) for name, _ in own_scores(data)},
            **{f"f1 {n}": row["f1"] for n, row in (r.scores or {}).get("per_class", {}).items()},
        }
        for r in data.recordings
    ]


def _budgets(data: ReportData) -> Rows:
    return [
        {
            "behaviour": name,
            "side": side,
            "seconds": float(table.seconds[c]),
            "share": float(table.share[c]),
            "bouts": int(table.bouts[c]),
            "mean_s": float(table.mean_s[c]) if table.bouts[c] else None,
            "median_s": float(table.median_s[c]) if table.bouts[c] else None,
        }
        for side, table in budgets(data).items()
        for c, name in enumerate(data.ethogram.behaviours)
    ]


def _pair(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a compared pair of groups as one flat row."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}_{inner}": v for inner, v in value.items()}
        elif name.endswith("_interval"):
            low, high = value or (None, None)
            base = name.removesuffix("_interval")
            flat |= {f"{base}_low": low, f"{base}_high": high}
        else:
            flat[name] = value
    return flat
