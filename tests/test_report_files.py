"""Figures, tables and methods beside a page; groups, latencies and transitions within it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_report import ABC, read, recording, study  # noqa: F401  (a fixture)

from murine.groups import compare_observed
from murine.metrics.basics import confusion
from murine.report import ReportData, methods_text, save_files, write_report
from murine.report.activity import durations, latency_rows, observed, transitions


@pytest.fixture(scope="module")
def grouped() -> ReportData:
    every = [
        replace(recording(f"m{i}", i), groups={"genotype": "ko" if i % 2 else "wt"}) for i in range(6)
    ]
    data = ReportData("Groups", "prediction", ABC, every)
    compared = compare_observed(observed(data)["predicted"], "genotype")
    return replace(data, groups=compared.to_dict())


def test_every_figure_and_table_stands_beside_the_page(grouped: ReportData, tmp_path: Path) -> None:
    written = save_files(grouped, tmp_path / "files")
    names = {path.name for path in written}
    for stem in ("confusion", "curves", "durations", "transitions_human", "groups"):
        assert {f"{stem}.{kind}" for kind in ("png", "svg", "pdf")} <= names
    assert (tmp_path / "files" / "curves.pdf").read_bytes()[:5] == b"%PDF-"
    with (tmp_path / "files" / "confusion.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    done = grouped.complete()
    truth, said, _ = done.judged_rows or (None, None, None)
    assert truth is not None
    assert said is not None
    expected = confusion(truth.argmax(axis=1), said.argmax(axis=1), 3).tolist()
    assert [[int(row[name]) for name in ABC.behaviours] for row in rows] == expected
    with (tmp_path / "files" / "confusion_normalised.csv").open(encoding="utf-8") as handle:
        assert [
            sum(float(row[n]) for n in ABC.behaviours) for row in csv.DictReader(handle)
        ] == pytest.approx([1, 1, 1])
    with (tmp_path / "files" / "groups.csv").open(encoding="utf-8") as handle:
        pairs = list(csv.DictReader(handle))
    told = grouped.groups or {}
    assert [p["p"] for p in pairs] == ["" if r["p"] is None else str(r["p"]) for r in told["rows"]]
    again = save_files(grouped, tmp_path / "again")
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(written, again, strict=True))


def test_latencies_transitions_and_durations_are_those_of_the_bouts(study: ReportData) -> None:  # noqa: F811
    sides = observed(study)
    for side, counts in transitions(study).items():
        total = 0
        for one in sides[side]:
            mine = [row for row in one.bouts.intervals() if row[2] != "rest"]
            total += max(len(mine) - 1, 0)
        assert counts.sum() == total
        assert counts[2].sum() == counts[:, 2].sum() == 0
    row = latency_rows(study)[0]
    firsts = [
        next(start for start, _, name in o.bouts.intervals() if name == "groom") / 10.0
        - float(o.timeline.seconds(o.bouts.annotated)[0, 0])
        for o in sides["human"]
        if any(name == "groom" for _, _, name in o.bouts.intervals())
    ]
    assert row["human"]["latency_s"] == pytest.approx(sum(firsts) / len(firsts))
    assert row["human"]["never"] == 3 - len(firsts)
    lengths = durations(study)["human"]
    assert sum(r.sum() for r in lengths) == pytest.approx(300 / 10 * 3 - 6)


def test_groups_stand_in_the_page_and_its_copy(grouped: ReportData, tmp_path: Path) -> None:
    page = write_report(tmp_path / "r.html", grouped)
    reader = read(page)
    rows = [row for row in reader.rows if row and "ko – wt" in row]
    told = grouped.groups or {}
    tested = [row for row in told["rows"] if row["p"] is not None]
    assert len(rows) == len(tested)
    assert rows[0][8] == f"{min(tested, key=lambda r: (r['p_holm'], r['p']))['p']:.4f}"
    assert "counts as an animal of its own" in reader.text
    form = json.loads(page.with_suffix(".json").read_text())
    assert form["groups"]["groups"] == told["groups"]


def test_methods_say_what_was_done_and_what_to_cite(study: ReportData, grouped: ReportData) -> None:  # noqa: F811
    text = methods_text(study)
    done = study.complete()
    assert done.scores is not None
    for words in (
        "3 recordings",
        "groom, rear and rest",
        "3 folds split by recording",
        f"macro F1 {done.scores['macro_f1']:.3f}",
        "Software: murine 0.1.0; torch",
        "Cohen J (1960)",
    ):
        assert words in text
    assert "Holm" not in text
    told = methods_text(grouped)
    assert "ko (n = 3), wt (n = 3)" in told
    assert "exact permutation tests" in told
    assert "Holm S (1979)" in told
    leaky = replace(study, warnings=["LEAK, so that these scores are too good: m1 and m2"])
    assert "share footage" in methods_text(leaky)
    assert "no recording was in" not in methods_text(leaky)
