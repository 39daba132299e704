"""The one table of formats in the pages: it has every format, and what it says is lost is measured here."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_docs import code, page, rows, tables

from murine import formats
from murine.formats import FORMATS, LabelFormat
from murine.types import Bouts, Ethogram, LabelChoice, Timeline

LABELS = [n for n, f in FORMATS.items() if isinstance(f, LabelFormat) and f.write]
TIMELINE = Timeline.uniform(12, 25)
BOUTS = Bouts.build(Ethogram(("dig", "never", "rest")), 12, [(0, 3, "dig"), (5, 8, "rest")], [[0, 10]])


def row_of(name: str) -> dict[str, str]:
    head = ("format", "holds", "files", "read", "write", "summary", "lost")
    found = [r for r in rows(tables().formats()) if code(r[0]) == [name]]
    assert len(found) == 1, f"{name} must have one row"
    return dict(zip(head, found[0], strict=True))


def test_the_page_has_every_format_once() -> None:
    assert page("formats").count("<!-- table: formats -->") == 1
    told = [code(r[0])[0] for r in rows(tables().formats())]
    assert told == list(FORMATS)
    for name, form in FORMATS.items():
        row = row_of(name)
        assert (row["read"], row["write"]) == ("yes", "yes" if form.write else "no")
        assert row["lost"], f"{name} does not say what is lost"


@pytest.mark.parametrize("name", LABELS)
def test_what_is_lost_is_what_the_table_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{FORMATS[name].suffixes[0]}"
    formats.write_labels(path, BOUTS, TIMELINE, name, subject="rat 7", recording="r1", media="r1.mp4")
    table = formats.parse_labels(path)
    back = formats.read_labels(
        path, TIMELINE, LabelChoice(stream="all"), known=BOUTS.ethogram.behaviours
    )
    lost = {
        "behaviours without a bout": "never" not in table.declared,
        "subject": "rat 7" not in formats.describe_labels(path).subjects,
        "'other'": "other" in back.ethogram.behaviours,
    }
    row = row_of(name)
    assert {what: what in row["lost"] for what in lost} == lost
    # The frames themselves are never lost.
    kept = formats.align(back, BOUTS.ethogram, ignore={"other"})
    assert (kept.frames() == BOUTS.frames()).all()
