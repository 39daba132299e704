"""One evaluation with several seeds: mean, deviation, and nothing run twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_study import pose_recipe, pose_study
from typer.testing import CliRunner

from murine.cli import app
from murine.config import save_recipe
from murine.errors import InputError
from murine.files import read_json, write_json
from murine.train.crossval import load_scores, read_splits
from murine.train.seeds import Seeds, evaluate_seeds, over_seeds


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    study = pose_study(tmp_path_factory.mktemp("seeds"), recordings=4, n=80)
    return evaluate_seeds(study, pose_recipe(epochs=2), [0, 3])


def test_mean_and_deviation_of_the_scores(found: Seeds) -> None:
    assert [f.name for f in found.evaluations] == ["seed-0", "seed-3"]
    scores = [load_scores(folder) for folder in found.evaluations]
    for name, part in (("accuracy", "pooled"), ("macro_f1", "pooled"), ("f1_50", "segments")):
        values = [s[part][name] for s in scores]
        assert found.table[name]["values"] == values
        assert found.table[name]["mean"] == pytest.approx(np.mean(values))
        assert found.table[name]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert scores[0]["pooled"] != scores[1]["pooled"]
    assert read_splits(found.evaluations[0]) == read_splits(found.evaluations[1])
    assert read_json(found.folder / "seeds.json", "seeds") == found.to_dict()


def test_finished_seeds_are_used_again(found: Seeds) -> None:
    weights = [p for f in found.evaluations for p in f.rglob("weights.safetensors")]
    before = {path: path.stat().st_mtime_ns for path in weights}
    study = found.folder.parent.parent
    again = evaluate_seeds(study, pose_recipe(epochs=2), [0, 3, 1])
    assert {path: path.stat().st_mtime_ns for path in weights} == before
    assert again.table["accuracy"]["values"][:2] == found.table["accuracy"]["values"]
    assert len(again.table["accuracy"]["values"]) == 3


def test_on_the_command_line(found: Seeds, tmp_path: Path) -> None:
    save_recipe(pose_recipe(epochs=2), tmp_path / "r.toml")
    study = found.folder.parent.parent
    words = ["evaluate", str(study), "--recipe", str(tmp_path / "r.toml"), "-o", str(found.folder), "-q"]
    run = CliRunner().invoke(app, [*words, "--seeds", "0,3"])
    assert run.exit_code == 0, run.output
    assert "mean" in run.output
    assert "seed 3" in run.output
    run = CliRunner().invoke(app, [*words, "--seeds", "0,3", "--json"])
    assert json.loads(run.output)["scores"] == json.loads(json.dumps(found.table))
    for odd in ("x", "0", "1,1"):
        assert CliRunner().invoke(app, [*words, "--seeds", odd]).exit_code == 2


def test_what_cannot_be_averaged(found: Seeds, tmp_path: Path) -> None:
    study = found.folder.parent.parent
    with pytest.raises(InputError, match="seeds are different numbers from 0; came none"):
        evaluate_seeds(study, pose_recipe(), [])
    with pytest.raises(InputError, match="holds an evaluation"):
        evaluate_seeds(study, pose_recipe(), [0], out=found.evaluations[0])
    other = tmp_path / "other"
    shutil.copytree(found.evaluations[1], other)
    scores = load_scores(other)
    scores["pooled"]["ethogram"]["behaviours"] = ["rest", "run"]
    write_json(other / "scores.json", scores)
    with pytest.raises(InputError, match="are of different behaviours"):
        over_seeds([found.evaluations[0], other])
    scores = load_scores(found.evaluations[1])
    scores["recordings"].pop("m0")
    write_json(other / "scores.json", scores)
    with pytest.raises(InputError, match="are of different recordings"):
        over_seeds([found.evaluations[0], other])
