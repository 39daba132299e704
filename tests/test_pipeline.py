"""The whole path by its commands: simulated mice in, an audited ethogram out, and back from other programs.

What is exact is pinned exactly (frames, splits, bouts through foreign formats); what training decides is
only bounded, because processors differ in the last digit.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_samples import done

from murine import formats
from murine.predictions import read_prediction
from murine.project import load_bouts, load_project
from murine.simulate import BEHAVIOURS
from murine.types import LabelChoice

FRAMES = 180
IDS = ("animal1_day1", "animal2_day1", "animal3_day1")
EPOCHS = 6
TINY = tuple(
    word
    for setting in (
        f"training.epochs={EPOCHS}",
        "training.batch_size=8",
        "training.learning_rate=0.003",
        "model.width=0.25",
        "window.predict_stride_s=0.4",
    )
    for word in ("--set", setting)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder in which everything below has been run once, and what the commands said."""
    folder = tmp_path_factory.mktemp("pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MURINE_CACHE", str(folder / "cache"))
        said = run()
    return folder, said


def run() -> dict[str, Any]:
    recipe = ("-r", "demo/dual-stream-small", *TINY, "-q", "--json")
    size = ("--height", 64, "--width", 64)
    words: dict[str, tuple[object, ...]] = {
        "simulate": ("simulate", "sim", "--animals", 3, "--seconds", 12, "--unlabelled", 0, *size),
        "init": ("init", "study", "-v", "sim/videos/*.mp4", "-p", "sim/pose", "-l", "sim/labels/*.csv",
                 "--pattern", r"(?P<animal>animal\d)"),
        "check": ("check", "study"),
        "evaluate": ("evaluate", "study", *recipe),
        "train": ("train", "study", *recipe, "--name", "all"),
        "predict": ("predict", "study/models/all", "sim/videos/*.mp4", "-o", "out", "-q"),
        "score": ("score", "study", "out"),
        "report": ("report", "out"),
        "boris": ("export", "out", "--to", "boris"),
        "caltech": ("export", "out", "--to", "caltech"),
        "human": ("export", "study", "--to", "caltech", "-o", "human"),
    }  # fmt: skip
    return {
        name: done(*line, *(() if "--json" in line else ("--json",))).value
        for name, line in words.items()
    }


Place = tuple[Path, dict[str, Any]]


def test_the_study_is_found_and_checked(place: Place) -> None:
    folder, said = place
    assert said["init"]["recordings"] == said["init"]["labelled"] == 3
    assert sorted(said["init"]["ethogram"]["behaviours"]) == sorted(BEHAVIOURS)
    assert said["init"]["ethogram"]["exclusive"] is True
    assert said["init"]["ethogram"]["background"] is None
    with (folder / "study" / "recordings.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [(r["id"], r["video"], r["pose"], r["labels"], r["animal"]) for r in rows] == [
        (i, f"../sim/videos/{i}.mp4", f"../sim/pose/{i}.csv", f"../sim/labels/{i}.csv", i[:7])
        for i in IDS
    ]
    check = said["check"]
    assert check["ok"] is True
    assert [fault for fault in check["faults"] if fault["severity"] == "error"] == []
    for row, id_ in zip(check["recordings"], IDS, strict=True):
        assert (row["id"], row["frames"], row["pose_frames"]) == (id_, FRAMES, FRAMES)
        assert (row["width"], row["height"], row["annotated"], row["missing"]) == (64, 64, 1.0, 0.0)
        assert (row["seconds"], row["fps"]) == (pytest.approx(12), pytest.approx(15))
    assert sum(row["frames"] for row in check["classes"]) == 3 * FRAMES
    assert sum(row["bouts"] for row in check["classes"]) == sum(
        row["bouts"] for row in check["recordings"]
    )


def test_each_animal_is_judged_by_a_network_that_never_saw_it(place: Place) -> None:
    folder, said = place
    evaluation = folder / said["evaluate"]["folder"]
    splits = json.loads((evaluation / "splits.json").read_text())
    assert sorted(split["test"] for split in splits) == [[i] for i in IDS]
    for split in splits:
        assert sorted([*split["train"], *split["test"]]) == list(IDS)
        assert split["validation"] == []
        own = evaluation / "folds" / split["name"]
        assert (own / "weights.safetensors").exists()
        rows = np.genfromtxt(own / "metrics.csv", delimiter=",", names=True)
        assert rows["epoch"].tolist() == list(range(1, EPOCHS + 1))
        losses = rows["train_loss"]
        assert np.isfinite(losses).all()
        assert losses[-1] < losses[0]
    scores = said["evaluate"]["scores"]
    assert scores["unit"] == "frame"
    pooled, baseline = scores["pooled"], scores["baseline"]
    assert pooled["n"] == baseline["n"] == 3 * FRAMES
    assert np.array(pooled["confusion"]).sum() == 3 * FRAMES
    supports = {row["behaviour"]: row["frames"] for row in said["check"]["classes"]}
    assert {name: c["support"] for name, c in pooled["per_class"].items()} == supports
    assert baseline["accuracy"] == pytest.approx(max(supports.values()) / (3 * FRAMES))
    right = np.trace(np.array(pooled["confusion"]))
    assert pooled["accuracy"] == pytest.approx(right / (3 * FRAMES))
    assert set(scores["recordings"]) == set(IDS)
    # behaviours of another animal are recognised: 0.08 by guessing, about 0.3 after these few steps
    assert pooled["macro_f1"] > 1.5 * baseline["macro_f1"]


def test_predictions_cover_every_frame(place: Place) -> None:
    folder, said = place
    assert [Path(p).stem for p in said["predict"]["predictions"]] == list(IDS)
    for id_ in IDS:
        prediction = read_prediction(folder / "out" / f"{id_}.parquet")
        assert prediction.probabilities.shape == (FRAMES, len(BEHAVIOURS))
        np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1, atol=1e-5)
        assert prediction.timeline.fps == pytest.approx(15)
        assert prediction.recording == id_
    # the network has seen these animals: it knows at least as much as the commonest behaviour tells
    commonest = said["evaluate"]["scores"]["baseline"]["macro_f1"]
    assert said["score"]["pooled"]["macro_f1"] > commonest
    assert said["score"]["pooled"]["n"] == 3 * FRAMES


@pytest.mark.parametrize("format", ["boris", "caltech"])
def test_predicted_bouts_come_back_from_other_programs(place: Place, format: str) -> None:
    folder, said = place
    project = load_project(folder / "study")
    assert len(said[format]["written"]) == 3
    for id_, written in zip(IDS, said[format]["written"], strict=True):
        timeline = read_prediction(folder / "out" / f"{id_}.parquet").timeline
        ours = formats.read_labels(folder / "out" / f"{id_}.bouts.csv", timeline)
        back = formats.read_labels(folder / written, timeline, LabelChoice())
        for bouts in (ours, back):
            assert bouts.n_frames == FRAMES
            assert set(bouts.ethogram.behaviours) <= set(project.ethogram.behaviours)
        assert named(back) == named(ours)
        assert len(named(ours)) >= 1


def test_human_labels_come_back_from_other_programs(place: Place) -> None:
    folder, said = place
    project = load_project(folder / "study")
    for id_, written in zip(IDS, said["human"]["written"], strict=True):
        truth = load_bouts(project, project.recording(id_))
        timeline = read_prediction(folder / "out" / f"{id_}.parquet").timeline
        assert named(formats.read_labels(folder / written, timeline)) == named(truth)


def named(bouts: Any) -> list[tuple[int, int, str]]:
    return sorted((start, stop, name) for start, stop, name in bouts.intervals())


def test_the_pages_stand_alone(place: Place) -> None:
    folder, said = place
    for page in (said["report"]["report"], said["evaluate"]["report"]):
        text = (folder / page).read_text(encoding="utf-8")
        for word in (*IDS, *BEHAVIOURS):
            assert word in text
        assert "<script src" not in text
        assert "<link" not in text
        assert 'src="http' not in text


def test_everything_again_gives_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished work is recognised: nothing is trained or predicted twice, and the answer is the same."""
    from murine.train import loop

    folder, said = place
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MURINE_CACHE", str(folder / "cache"))
    monkeypatch.setattr(loop, "save_state", lambda *a: pytest.fail("trained again"))
    recipe = ("-r", "demo/dual-stream-small", *TINY, "-q", "--json")
    again = done("evaluate", "study", *recipe).value["scores"]
    assert sorted(again.pop("reused")) == sorted(json_names(folder / said["evaluate"]["folder"]))
    assert again == {k: v for k, v in said["evaluate"]["scores"].items() if k != "reused"}
    before = (folder / "out" / f"{IDS[0]}.parquet").stat().st_mtime_ns
    done("predict", "study/models/all", "sim/videos/*.mp4", "-o", "out", "-q")
    assert (folder / "out" / f"{IDS[0]}.parquet").stat().st_mtime_ns == before


def json_names(folder: Path) -> list[str]:
    return [split["name"] for split in json.loads((folder / "splits.json").read_text())]
