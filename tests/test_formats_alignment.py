"""How far labels in seconds lie from the frames they are put on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from murine.formats import label_offset, write_labels
from murine.types import Bouts, Ethogram, Timeline

TWO = Ethogram(("groom", "rear"))
TIMELINE = Timeline.uniform(300, 30.0)
BOUTS = Bouts.build(TWO, 300, [(10, 40, "groom"), (100, 101, "rear")])


def test_labels_of_these_frames_are_off_by_rounding_alone(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.csv", BOUTS, TIMELINE, "boris-tabular")
    offset = label_offset(tmp_path / "a.csv", TIMELINE)
    assert offset is not None
    assert offset < 0.001


def test_labels_made_at_another_rate_are_off_by_up_to_half_a_frame(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.csv", BOUTS, TIMELINE, "boris-tabular")
    slower = Timeline.uniform(100, 10.0)
    # Edges at 10, 40, 100 and 101 of 30 per second: 1/3, 4/3, 10/3 and 101/30 s on frames of 0.1 s.
    edges = np.array([10, 40, 100, 101]) / 30
    expected = np.abs(edges - np.round(edges * 10) / 10).max()
    assert label_offset(tmp_path / "a.csv", slower) == pytest.approx(expected, abs=0.001)


def test_labels_that_count_frames_have_no_offset(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.txt", BOUTS, TIMELINE, "caltech")
    assert label_offset(tmp_path / "a.txt", TIMELINE) is None


def test_real_labels_of_a_stop_watch(data: Path) -> None:
    offset = label_offset(data / "formats/boris/e3v813a_events.csv", Timeline.uniform(5700, 30.0))
    assert offset == pytest.approx(0.5 / 30, abs=0.001)
