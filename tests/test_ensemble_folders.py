"""Folders and evaluations combined, and the fusion of two: honest, against a slow and plain version."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from small_study import ETHOGRAM, FPS, clip_study, pose_recipe, pose_study
from typer.testing import CliRunner

from murine.cli import app
from murine.data.splits import Split
from murine.ensemble import COMBINED, RATIOS, combine, sweep
from murine.ensemble.sweep import Tally
from murine.errors import InputError
from murine.files import read_json, write_json
from murine.formats import read_labels
from murine.metrics import score_frames
from murine.postprocess import apply, make_steps
from murine.predictions import read_prediction, write_prediction
from murine.project import load_bouts, load_project, timeline
from murine.reporting import report, write_evaluation_report
from murine.scoring import score_paths
from murine.train.crossval import Judged, load_scores, score_all, write_evaluation
from murine.types import Ethogram, Prediction, Timeline

RECIPE = replace(pose_recipe(), postprocess=({"name": "median", "seconds": 0.3},))
POST = [{"name": "median", "seconds": 0.3}]


def guess(truth: np.ndarray, right: float, seed: int) -> np.ndarray:
    """Probabilities of which a share points at the truth."""
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.ones(2) * 2, len(truth))
    best = values.max(axis=1)
    said = np.where(rng.random(len(truth)) < right, truth, 1 - truth)
    values[np.arange(len(truth)), said] = best
    values[np.arange(len(truth)), 1 - said] = 1 - best
    return values.astype(np.float32)


def fake_evaluation(
    study: Path, name: str, right: dict[str, float] | float, seed: int, folds: int = 0
) -> Path:
    """Write an evaluation as `evaluate` does, its predictions made up. `right`: by recording."""
    project, out = load_project(study), study / "evaluations" / name
    ids = [r.id for r in project.labelled()]
    tests = [ids[i :: folds or len(ids)] for i in range(folds or len(ids))]
    splits = [
        Split(
            f"fold-{i + 1}",
            tuple(r for r in ids if r not in test),
            (),
            tuple(test),
            {r: r for r in ids},
            (),
        )
        for i, test in enumerate(tests)
    ]
    out.mkdir(parents=True)
    write_evaluation(out, study, replace(RECIPE, name=name), splits, {})
    judged = {}
    for i, id_ in enumerate(ids):
        bouts = load_bouts(project, project.recording(id_))
        share = right if isinstance(right, float) else right[id_]
        values = guess(bouts.classes(), share, 100 * seed + i)
        fold = next(s.name for s in splits if id_ in s.test)
        meta = {"model": name, "model_hash": name + fold, "fold": fold, "postprocess": POST}
        prediction = Prediction(id_, project.ethogram, values, timeline(project.recording(id_)), meta)
        write_prediction(out / "predictions" / f"{id_}.parquet", prediction)
        judged[id_] = Judged(bouts, prediction, apply(prediction, make_steps(POST)))
    write_json(out / "scores.json", score_all(judged, splits, project.unit) | {"reused": []})
    return out


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("ensemble"), recordings=4)


@pytest.fixture(scope="module")
def pair(study: Path) -> tuple[Path, Path]:
    """The first network is good at m0 and m1, the second at m2 and m3."""
    first = fake_evaluation(study, "rgb", {"m0": 0.9, "m1": 0.85, "m2": 0.6, "m3": 0.7}, 1)
    return first, fake_evaluation(study, "flow", {"m0": 0.7, "m1": 0.65, "m2": 0.8, "m3": 0.9}, 2)


def folder_of(path: Path, seeds: dict[str, int], n: int = 40, **meta: object) -> Path:
    """Write made-up predictions of some recordings."""
    for id_, seed in seeds.items():
        values = guess(np.arange(n) // 10 % 2, 0.8, seed)
        made = Prediction(id_, ETHOGRAM, values, Timeline.uniform(n, FPS), {"postprocess": POST, **meta})
        write_prediction(path / f"{id_}.parquet", made)
    return path


def test_folders_of_predictions(tmp_path: Path) -> None:
    a = folder_of(tmp_path / "a", {"x": 1, "y": 2}, model="srs")
    b = folder_of(tmp_path / "b", {"x": 3, "y": 4}, model="i3d")
    done = combine(tmp_path / "both", [a, b], weights=(1, 3))
    assert [p.name for p in done.predictions] == ["x.parquet", "y.parquet"]
    assert done.scores is None
    for id_ in ("x", "y"):
        got = read_prediction(tmp_path / "both" / f"{id_}.parquet")
        parts = [read_prediction(f / f"{id_}.parquet").probabilities for f in (a, b)]
        assert got.probabilities == pytest.approx(0.25 * parts[0] + 0.75 * parts[1], abs=1e-6)
        bouts = read_labels(tmp_path / "both" / f"{id_}.bouts.csv", got.timeline)
        assert bouts.intervals() == apply(got, make_steps(POST)).intervals()
    assert report(tmp_path / "both").exists()
    # other recordings in the same folder: what is left from before goes
    for folder in (a, b):
        (folder / "y.parquet").unlink()
    combine(tmp_path / "both", [a, b])
    left = sorted(p.name for p in (tmp_path / "both").iterdir() if not p.name.startswith("report"))
    assert left == ["x.bouts.csv", "x.parquet"]


def test_folders_that_do_not_go_together(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    a = folder_of(tmp_path / "a", {"x": 1, "y": 2}, file_hashes={"video": "1"})
    for name, seeds, rest, words in (
        ("other", {"x": 1, "z": 2}, {}, "only in a: y; only in other: z"),
        ("short", {"x": 1, "y": 2}, {"n": 30}, "recording 'x': 40 frames and 30 frames"),
        (
            "file",
            {"x": 1, "y": 2},
            {"file_hashes": {"video": "2"}},
            "'x': predicted from different files .video",
        ),
    ):
        b = folder_of(tmp_path / name, seeds, **rest)
        with pytest.raises(InputError, match=words):
            combine(tmp_path / "out", [a, b])
        assert not (tmp_path / "out").exists()
    other = folder_of(tmp_path / "b", {"x": 1, "y": 2})
    for inputs, out, words in (
        ([a], "out", "at least two"),
        ([a, a], "out", "named twice"),
        ([a, pair[0]], "out", "is an evaluation and .* is not"),
        ([a, other], "a", "is one of the folders to combine"),
        ([a, other], "short", "predictions of a single network"),
        ([a, tmp_path / "none"], "out", "not found"),
    ):
        with pytest.raises(InputError, match=words):
            combine(tmp_path / out, inputs)
    with pytest.raises(InputError, match="holds an evaluation of its own"):
        combine(pair[0], [a, other])
    with pytest.raises(InputError, match="name it with --study"):
        combine(tmp_path / "out", [a, other], by="scene")


def test_evaluations_are_judged_anew(study: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    done = combine(tmp_path / "both", pair, on="logits")
    assert done.scores == load_scores(tmp_path / "both")
    project = load_project(study)
    truth, said = [], []
    for id_ in ("m0", "m1", "m2", "m3"):
        got = read_prediction(tmp_path / "both" / "predictions" / f"{id_}.parquet")
        logs = (
            sum(
                np.log(read_prediction(f / "predictions" / f"{id_}.parquet").probabilities) for f in pair
            )
            / 2
        )
        expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
        assert got.probabilities == pytest.approx(expected, abs=1e-5)
        truth.append(load_bouts(project, project.recording(id_)).classes())
        said.append(apply(got, make_steps(POST)).classes())
    pooled = done.scores["pooled"]
    assert pooled["accuracy"] == pytest.approx(accuracy_score(*map(np.concatenate, (truth, said))))
    assert done.before == {f.name: load_scores(f)["pooled"] for f in pair}
    # readable by the other commands
    scored = score_paths(study, tmp_path / "both")
    assert scored["pooled"]["accuracy"] == pytest.approx(pooled["accuracy"])
    page = write_evaluation_report(tmp_path / "both").read_text()
    assert "by the networks of fold-1, which did not see it" in page
    # and it may be combined again
    again = combine(tmp_path / "three", [tmp_path / "both", pair[0]])
    assert again.scores is not None
    assert len(again.predictions) == 4
    with pytest.raises(InputError, match="holds an evaluation already"):
        combine(tmp_path / "both", [p / "predictions" for p in pair])


def test_evaluations_that_do_not_go_together(
    study: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    halves = fake_evaluation(study, "halves", 0.8, 3, folds=2)
    other = fake_evaluation(pose_study(tmp_path / "else", recordings=4), "rgb", 0.8, 4)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(halves, unfinished)
    (unfinished / "scores.json").unlink()
    header = read_json(unfinished / "evaluation.json", "evaluation")
    write_json(unfinished / "evaluation.json", header | {"project": str(study)})
    for second, words in (
        (halves, "different folds"),
        (other, "evaluations of different projects"),
        (unfinished, "not finished"),
    ):
        with pytest.raises(InputError, match=words):
            combine(tmp_path / "out", [pair[0], second])
        with pytest.raises(InputError, match=words):
            sweep(tmp_path / "out", pair[0], second)
    assert not (tmp_path / "out").exists()
    shutil.rmtree(halves)


def decided(pair: tuple[Path, Path], id_: str, weight: float) -> np.ndarray:
    a, b = (read_prediction(f / "predictions" / f"{id_}.parquet") for f in pair)
    values = ((1 - weight) * a.probabilities.astype(float) + weight * b.probabilities).astype(np.float32)
    return apply(replace(a, probabilities=values), make_steps(POST)).classes()


def test_the_sweep_is_the_slow_one(study: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    fusion = sweep(tmp_path / "fused", *pair)
    project, ids = load_project(study), ("m0", "m1", "m2", "m3")
    truth = {i: load_bouts(project, project.recording(i)).classes() for i in ids}
    said = {(w, i): decided(pair, i, w) for w in RATIOS for i in ids}

    def accuracy(weight: float, some: list[str]) -> float:
        joined = [np.concatenate(x) for x in ([truth[i] for i in some], [said[weight, i] for i in some])]
        return accuracy_score(*joined)

    everything = np.concatenate([truth[i] for i in ids])
    for row, weight in zip(fusion.table, RATIOS, strict=True):
        whole = np.concatenate([said[weight, i] for i in ids])
        assert row["weight_of_second"] == weight
        assert row["accuracy"] == pytest.approx(accuracy_score(everything, whole))
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(everything, whole))
        assert row["macro_f1"] == pytest.approx(f1_score(everything, whole, average="macro"))
        assert np.sum(row["confusion"]) == len(everything)
        assert row["folds"]["fold-2"]["accuracy"] == pytest.approx(accuracy(weight, ["m1"]))
    for end, folder in ((0, pair[0]), (-1, pair[1])):
        assert fusion.table[end]["accuracy"] == pytest.approx(load_scores(folder)["pooled"]["accuracy"])
    honest = []
    for k, id_ in enumerate(ids):
        rest = [i for i in ids if i != id_]
        best = max(RATIOS, key=lambda w: (round(accuracy(w, rest), 12), -abs(w - 0.5), -w))
        assert fusion.nested["weights_of_second"][f"fold-{k + 1}"] == best
        honest.append(said[best, id_])
        got = read_prediction(tmp_path / "fused" / "predictions" / f"{id_}.parquet")
        assert [p["weight"] for p in got.meta[COMBINED]["parts"]] == pytest.approx([1 - best, best])
    nested = accuracy_score(everything, np.concatenate(honest))
    assert fusion.nested["accuracy"] == pytest.approx(nested)
    assert load_scores(tmp_path / "fused")["pooled"]["accuracy"] == pytest.approx(nested)
    top = max(accuracy(w, list(ids)) for w in RATIOS)
    assert fusion.optimistic["accuracy"] == pytest.approx(top)
    assert "too good" in fusion.optimistic["what"]
    assert top >= nested
    files = {p.name for p in (tmp_path / "fused").iterdir()}
    wanted = {
        "fusion.json",
        "fusion.csv",
        "fusion.png",
        "fusion.svg",
        "fusion_confusion.png",
        "fusion_confusion.svg",
    }
    assert wanted <= files
    stored = json.loads((tmp_path / "fused" / "fusion.json").read_text())
    assert stored["nested"]["accuracy"] == pytest.approx(nested)
    with (tmp_path / "fused" / "fusion.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [float(row["weight_of_second"]) for row in rows] == list(RATIOS)
    assert float(rows[3]["macro_f1"]) == pytest.approx(fusion.table[3]["macro_f1"], abs=1e-6)
    assert "flow" in (tmp_path / "fused" / "fusion.svg").read_text()


def test_a_fold_does_not_choose_its_own_ratio(tmp_path: Path) -> None:
    """The second network is right in one recording and wrong elsewhere: that one is judged as the others ask."""
    study = pose_study(tmp_path, recordings=3)
    first = fake_evaluation(study, "rgb", {"m0": 1.0, "m1": 1.0, "m2": 0.0}, 1)
    second = fake_evaluation(study, "flow", {"m0": 0.0, "m1": 0.0, "m2": 1.0}, 2)
    fusion = sweep(tmp_path / "out", first, second, metric="macro_f1")
    assert fusion.nested["weights_of_second"]["fold-3"] < 0.5
    assert load_scores(tmp_path / "out")["recordings"]["m2"]["frames"]["accuracy"] < 0.2


def test_clips_count_once(tmp_path: Path) -> None:
    study = clip_study(tmp_path, clips=8)
    first, second = (fake_evaluation(study, n, 0.7, i, folds=4) for i, n in enumerate(("rgb", "flow")))
    fusion = sweep(tmp_path / "out", first, second)
    assert np.sum(fusion.table[5]["confusion"]) == 8
    scores = load_scores(tmp_path / "out")
    assert (scores["unit"], scores["pooled"]["n"]) == ("recording", 8)
    assert scores["pooled"]["accuracy"] == pytest.approx(fusion.nested["accuracy"])
    assert combine(tmp_path / "mean", [first, second]).scores["pooled"]["n"] == 8


@pytest.mark.parametrize("exclusive", [True, False])
def test_counts_of_folds_add_up_to_the_scores_of_all(exclusive: bool) -> None:
    rng = np.random.default_rng(0)
    ethogram = Ethogram(("a", "b", "c", "never"), exclusive=exclusive)
    total, truths, choices = None, [], []
    for _ in range(3):
        if exclusive:
            truth, said = (np.eye(4, dtype=int)[rng.integers(0, 3, 50)] for _ in range(2))
        else:
            truth, said = (rng.integers(0, 2, (50, 4)) * [1, 1, 1, 0] for _ in range(2))
        scores = score_frames(truth, None, ethogram, decided=said)
        each = np.array([[b.tp, b.fp, b.tn, b.fn] for b in scores.behaviours])
        part = Tally(each, None if scores.confusion is None else np.array(scores.confusion))
        total = part if total is None else total + part
        truths.append(truth)
        choices.append(said)
    whole = score_frames(np.concatenate(truths), None, ethogram, decided=np.concatenate(choices))
    for name, value in total.scores().items():
        assert value == pytest.approx(getattr(whole, name)), name


def test_the_command(study: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    def run(*words: object) -> tuple[int, dict[str, object]]:
        done = CliRunner().invoke(app, ["combine", *map(str, words), "-q", "--json"])
        return done.exit_code, json.loads(done.stdout)

    code, told = run(tmp_path / "mean", *pair, "--weights", "0.3,0.7")
    assert code == 0
    assert set(told["before"]) == {"rgb", "flow"}
    assert Path(told["report"]).exists()
    words = [tmp_path / "fused", *pair, "--sweep", "--metric", "macro_f1", "-q"]
    text = CliRunner().invoke(app, ["combine", *map(str, words)]).stdout
    stored = read_json(tmp_path / "fused" / "fusion.json", "fusion")
    assert stored["metric"] == "macro_f1"
    assert f"{stored['nested']['macro_f1']:.3f}" in text
    assert len(stored["table"]) == 11
    assert "chosen on the other folds" in text
    assert "best on all (too good)" in text
    for words, said in (
        (["--weights", "a,b"], "numbers with commas"),
        (["--weights", "1,2,3"], "3 weights came for 2"),
        (["--on", "logit"], "Did you mean 'logits'"),
        (["--sweep", "--weights", "1,2"], "leave --weights out"),
        (["--sweep", "--metric", "f1"], "a ratio is chosen by"),
        (["--by", "scene"], "no column 'scene' to join by (there are: animal)"),
    ):
        code, told = run(tmp_path / "bad", *pair, *words)
        assert code == 2
        assert said in told["error"]["message"]
        assert not (tmp_path / "bad").exists()
    code, told = run(tmp_path / "bad", *pair, pair[0], "--sweep")
    assert "3 came" in told["error"]["message"]
