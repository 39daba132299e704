"""Scoring files and folders: recordings meet by name, behaviours by name, frames by whoever knows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from murine.errors import ConfigError, InputError
from murine.export import export
from murine.formats import write_labels
from murine.predictions import write_prediction
from murine.reporting import report
from murine.scoring import score_paths
from murine.types import Bouts, Ethogram, Prediction, Timeline

THREE = Ethogram(("groom", "rear", "walk"))
TIMELINE = Timeline.uniform(100, 10.0)


def labels(path: Path, *intervals: tuple[int, int, str], form: str = "caltech") -> Path:
    write_labels(path, Bouts.build(THREE, 100, intervals), TIMELINE, form)
    return path


def test_two_label_files_need_a_length_and_then_agree_by_hand(tmp_path: Path) -> None:
    truth = labels(tmp_path / "a.txt", (0, 50, "groom"), (50, 100, "walk"))
    other = labels(tmp_path / "b.txt", (0, 40, "groom"), (40, 100, "walk"))
    with pytest.raises(InputError, match="--frames"):
        score_paths(truth, other)
    scores = score_paths(truth, other, n_frames=100)
    assert scores["pooled"]["accuracy"] == pytest.approx(0.9)
    assert scores["pooled"]["per_class"]["groom"]["recall"] == pytest.approx(0.8)
    assert scores["pooled"]["per_class"]["walk"]["precision"] == pytest.approx(50 / 60)


def test_a_behaviour_that_one_side_never_saw_never_happened_there(tmp_path: Path) -> None:
    for folder, second in (("one", "walk"), ("two", "rear")):
        (tmp_path / folder).mkdir()
        labels(tmp_path / folder / "m1.txt", (0, 60, "groom"), (60, 100, second))
        labels(tmp_path / folder / "m2.txt", (0, 100, "groom"))
    labels(tmp_path / "one" / "m2.txt", (0, 100, "rear"))
    scores = score_paths(tmp_path / "one", tmp_path / "two", n_frames=100)
    assert scores["recordings"] == 2
    assert scores["pooled"]["accuracy"] == pytest.approx(0.3)
    assert scores["pooled"]["per_class"]["walk"]["recall"] == 0.0


def test_two_spellings_are_refused_with_a_suggestion(tmp_path: Path) -> None:
    spelt = Ethogram(("groom", "walking"))
    truth = labels(tmp_path / "a.txt", (0, 50, "groom"), (50, 100, "walk"))
    other = Bouts.build(spelt, 100, [(0, 50, "groom"), (50, 100, "walking")])
    write_labels(tmp_path / "b.txt", other, TIMELINE, "caltech")
    with pytest.raises(InputError, match="Did you mean 'walking'"):
        score_paths(truth, tmp_path / "b.txt", n_frames=100)
    with pytest.raises(InputError, match="no behaviour 'wolk'"):
        score_paths(truth, truth, n_frames=100, background="wolk")


def test_a_prediction_tells_its_frames_and_its_post_processing(tmp_path: Path) -> None:
    values = np.zeros((100, 3), dtype=np.float32)
    values[:, 0] = 1.0
    values[50] = (0.0, 1.0, 0.0)
    values[80:] = (0.0, 0.0, 1.0)
    for name, meta in (("raw", {}), ("smooth", {"postprocess": [{"name": "median", "seconds": 0.5}]})):
        write_prediction(tmp_path / f"{name}.parquet", Prediction("m", THREE, values, TIMELINE, meta))
    truth = labels(tmp_path / "m.csv", (0, 80, "groom"), (80, 100, "walk"), form="boris-tabular")
    assert score_paths(truth, tmp_path / "raw.parquet")["pooled"]["accuracy"] == pytest.approx(0.99)
    assert score_paths(truth, tmp_path / "smooth.parquet")["pooled"]["accuracy"] == 1.0


def test_folders_that_share_no_recording_are_refused(tmp_path: Path) -> None:
    for folder, name in (("one", "a"), ("two", "b")):
        (tmp_path / folder).mkdir()
        labels(tmp_path / folder / f"{name}.txt", (0, 100, "groom"))
    with pytest.raises(InputError, match="no recording is in both"):
        score_paths(tmp_path / "one", tmp_path / "two", n_frames=100)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([{"name": "medain", "seconds": 1.0}], "name = 'medain' is not a step. Did you mean 'median'"),
        ("median", "a list of steps was expected; came 'median'"),
        (["median"], "a list of steps was expected"),
        (None, "a list of steps was expected; came None"),
    ],
)
def test_a_step_a_prediction_should_not_have_is_told_with_its_file(
    steps: object, says: str, tmp_path: Path
) -> None:
    values = np.full((100, 3), 1 / 3, dtype=np.float32)
    path = tmp_path / "out" / "m.parquet"
    path.parent.mkdir()
    write_prediction(path, Prediction("m", THREE, values, TIMELINE, {"postprocess": steps}))
    truth = labels(tmp_path / "m.txt", (0, 100, "groom"))
    for use in (
        lambda: score_paths(truth, path),
        lambda: export(tmp_path / "out", "caltech", tmp_path / "labels"),
        lambda: report(tmp_path / "out", out=tmp_path / "report.html"),
    ):
        with pytest.raises(ConfigError) as caught:
            use()
        assert caught.value.source == str(path)
        assert says in str(caught.value)
