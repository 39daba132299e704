"""Bouts written for other programs are read back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_study import FPS, make_pose, pose_study

from murine.errors import InputError
from murine.export import export
from murine.formats import FORMATS, LabelFormat, read_labels
from murine.postprocess import apply, make_steps
from murine.predictions import write_prediction
from murine.types import Ethogram, Prediction, Timeline

WRITABLE = [f.name for f in FORMATS.values() if isinstance(f, LabelFormat) and f.write]
STEPS = [{"name": "minimum_bout", "seconds": 0.4}]


def prediction(name: str, seed: int) -> Prediction:
    """Return probabilities that flicker, so that post-processing shows."""
    rng = np.random.default_rng(seed)
    values = rng.random((80, 3), dtype=np.float32) + np.repeat(2 * np.eye(3)[[0, 1, 2, 1]], 20, axis=0)
    values /= values.sum(axis=1, keepdims=True)
    values[7] = [0.0, 1.0, 0.0]
    meta = {"postprocess": STEPS, "files": {"video": f"{name}.mp4"}}
    timeline = Timeline.uniform(80, 25)
    return Prediction(
        name, Ethogram(("rest", "walk", "rear")), values.astype(np.float32), timeline, meta
    )


@pytest.mark.parametrize("to", [*WRITABLE, "boris", "csv"])
def test_predictions_come_back_as_decided(tmp_path: Path, to: str) -> None:
    made = [prediction(name, i) for i, name in enumerate(("a", "b"))]
    for one in made:
        write_prediction(tmp_path / f"{one.recording}.parquet", one)
    paths = export(tmp_path, to)
    assert [p.parent for p in paths] == [tmp_path / to] * 2
    assert [p.name.split(".")[0] for p in paths] == ["a", "b"]
    for path, one in zip(paths, made, strict=True):
        decided = apply(one, make_steps(STEPS))
        back = read_labels(path, one.timeline, media=f"{one.recording}.mp4")
        assert sorted(back.intervals()) == sorted(decided.intervals())
        assert back.intervals() != apply(one).intervals()


def test_a_projects_own_labels(tmp_path: Path) -> None:
    study = pose_study(tmp_path, recordings=2, unlabelled=1)
    paths = export(study, "caltech", tmp_path / "out")
    assert [p.name for p in paths] == ["m0.txt", "m1.txt"]
    _, bouts = make_pose(120, 1)
    back = read_labels(paths[1], Timeline.uniform(120, FPS))
    assert back.intervals() == bouts.intervals()


def test_a_format_that_cannot_be_written(tmp_path: Path) -> None:
    write_prediction(tmp_path / "a.parquet", prediction("a", 0))
    with pytest.raises(InputError, match="Did you mean 'boris"):
        export(tmp_path, "borris")
    with pytest.raises(InputError, match="cannot be written"):
        export(tmp_path, "deeplabcut-csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no prediction"):
        export(tmp_path / "empty", "boris")
