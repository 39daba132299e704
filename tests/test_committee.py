"""The networks of an evaluation's folds as a committee for new recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_study import pose_recipe, pose_study
from typer.testing import CliRunner

from murine.cli import app
from murine.ensemble import combine
from murine.ensemble.committee import predict_committee
from murine.errors import InputError
from murine.predictions import read_prediction
from murine.train.crossval import evaluate


def test_the_mean_of_all_folds_on_new_recordings(tmp_path: Path) -> None:
    study = pose_study(tmp_path / "a", recordings=4, n=60)
    evaluation = evaluate(study, pose_recipe(epochs=1)).folder
    new = [pose_study(tmp_path / "b", recordings=1, n=50).parent / "m0_pose.csv"]
    done = predict_committee(evaluation, new, tmp_path / "out", device="cpu")
    (path,) = done.predictions
    parts = [
        read_prediction(tmp_path / "out" / "folds" / f"fold-{k}" / path.name).probabilities
        for k in (1, 2)
    ]
    assert not np.allclose(parts[0], parts[1])
    assert read_prediction(path).probabilities == pytest.approx((parts[0] + parts[1]) / 2, abs=1e-6)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "folds").rglob("*.parquet")}
    words = ["committee", str(evaluation), str(new[0]), "-o", str(tmp_path / "out"), "--quiet"]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    assert "2 networks" in run.output
    assert {p: p.stat().st_mtime_ns for p in before} == before
    other = evaluate(study, pose_recipe(epochs=1, seed=1), out=tmp_path / "other").folder
    both = combine(tmp_path / "both", [evaluation, other]).folder
    with pytest.raises(InputError, match="0 of its folds hold a trained network"):
        predict_committee(both, new, tmp_path / "out2")
