"""Post-processing chosen on other folds: honest, the same as a plain search, and told step by step."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from small_study import clip_study, pose_recipe, pose_study
from typer.testing import CliRunner

from murine.cli import app
from murine.config import load_recipe
from murine.data.splits import Split
from murine.ensemble import tune
from murine.ensemble.counting import (
    CRITERIA,
    all_scores,
    check_criterion,
    count,
    gain_interval,
    score_counts,
)
from murine.ensemble.options import STAGES, Option, best_thresholds
from murine.ensemble.searching import Search, Source
from murine.errors import InputError
from murine.files import write_json
from murine.formats import write_labels
from murine.metrics import score_frames, score_segments
from murine.postprocess import apply, make_steps
from murine.predictions import read_prediction, write_prediction
from murine.project import load_bouts, load_project, timeline
from murine.reporting import evaluation_data
from murine.train.crossval import Judged, read_splits, score_all, write_evaluation
from murine.types import Bouts, Ethogram, Prediction


def noisy(truth: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities that flicker: each frame right in seven of ten, and surer of walking than it should be."""
    rng = np.random.default_rng(seed)
    right = rng.random(len(truth)) < 0.7
    walk = np.where(
        right == (truth == 1), rng.uniform(0.55, 0.9, len(truth)), rng.uniform(0.2, 0.6, len(truth))
    )
    return np.stack([1 - walk, walk], axis=1).astype(np.float32)


def made_up(study: Path, name: str, folds: int) -> Path:
    """Write an evaluation as `evaluate` does, with probabilities that flicker."""
    project, out = load_project(study), study / "evaluations" / name
    ids = [r.id for r in project.labelled()]
    tests = [ids[i::folds] for i in range(folds)]
    splits = [
        Split(
            f"fold-{i + 1}", tuple(r for r in ids if r not in test), (), tuple(test), {r: r for r in ids}
        )
        for i, test in enumerate(tests)
    ]
    out.mkdir(parents=True)
    recipe = replace(pose_recipe(), name=name, postprocess=({"name": "median", "seconds": 0.3},))
    write_evaluation(out, study, recipe, splits, {})
    judged = {}
    for i, id_ in enumerate(ids):
        recording = project.recording(id_)
        bouts = load_bouts(project, recording)
        fold = next(s.name for s in splits if id_ in s.test)
        meta = {"model": name, "model_hash": fold, "fold": fold, "postprocess": list(recipe.postprocess)}
        values = noisy(bouts.classes(), i)
        prediction = Prediction(id_, project.ethogram, values, timeline(recording), meta)
        write_prediction(out / "predictions" / f"{id_}.parquet", prediction)
        judged[id_] = Judged(bouts, prediction, apply(prediction, make_steps(recipe.postprocess)))
    write_json(out / "scores.json", score_all(judged, splits, project.unit) | {"reused": []})
    return out


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_study(tmp_path_factory.mktemp("tuning"), recordings=6, n=200)


@pytest.fixture(scope="module")
def evaluation(study: Path) -> Path:
    return made_up(study, "noisy", 3)


@pytest.fixture(scope="module")
def tuned(evaluation: Path, tmp_path_factory: pytest.TempPathFactory):
    return tune(tmp_path_factory.mktemp("out") / "tuned", evaluation)


def test_each_stage_is_worth_something_here(tuned, evaluation):
    raw, *others = tuned.worth
    assert raw["stage"] == "raw"
    assert [row["stage"] for row in others] == list(STAGES)
    assert others[1]["macro_f1"] > raw["macro_f1"] + 0.1
    total = sum(row["gain"] for row in others)
    assert tuned.worth[-1]["macro_f1"] == pytest.approx(raw["macro_f1"] + total)
    low, high = others[1]["interval"]
    assert low <= others[1]["gain"] <= high or others[1]["gain"] == 0
    truth, said = [], []
    for path in tuned.predictions:
        prediction = read_prediction(path)
        source = read_prediction(evaluation / "predictions" / path.name)
        assert np.array_equal(prediction.probabilities, source.probabilities)
        decided = apply(prediction, make_steps(prediction.meta["postprocess"]))
        said.append(decided.classes())
        project = load_project(evaluation.parent.parent)
        truth.append(load_bouts(project, project.recording(path.stem)).classes())
    score = f1_score(np.concatenate(truth), np.concatenate(said), average="macro")
    assert score == pytest.approx(tuned.worth[-1]["macro_f1"])
    assert tuned.scores["pooled"]["macro_f1"] == pytest.approx(score)


def test_the_report_shows_what_was_decided_fold_by_fold(tuned):
    data = evaluation_data(tuned.folder)
    for recording in data.recordings:
        prediction = read_prediction(tuned.folder / "predictions" / f"{recording.id}.parquet")
        wanted = apply(prediction, make_steps(prediction.meta["postprocess"]))
        assert recording.predicted.intervals() == wanted.intervals()
    told = json.loads((tuned.folder / "tuning.json").read_text())
    assert set(told["chosen"]) == set(told["steps"]) == {"fold-1", "fold-2", "fold-3"}
    rows = list(csv.DictReader((tuned.folder / "tuning.csv").read_text().splitlines()))
    assert [row["stage"] for row in rows] == ["raw", *STAGES]
    assert float(rows[-1]["macro_f1"]) == pytest.approx(tuned.worth[-1]["macro_f1"], abs=1e-6)


def test_the_recipe_for_new_recordings_holds_the_steps(tuned):
    recipe = load_recipe(str(tuned.folder / "recipe.toml"))
    assert recipe.model == pose_recipe().model
    assert make_steps(recipe.postprocess) == make_steps(tuned.new)
    assert load_recipe(str(tuned.folder / "config.toml")).postprocess == ()


def test_what_is_chosen_for_a_fold_never_saw_its_labels(study, evaluation, tuned, tmp_path):
    """Labels of a fold turned around: nothing that this fold is decided by may change."""
    project = load_project(study)
    fold = read_splits(evaluation)[1]
    before = json.loads((tuned.folder / "tuning.json").read_text())["steps"]
    kept = {}
    try:
        for id_ in fold.test:
            recording = project.recording(id_)
            kept[recording.labels] = recording.labels.read_bytes()
            turned = Bouts.from_classes(project.ethogram, 1 - load_bouts(project, recording).classes())
            write_labels(recording.labels, turned, timeline(recording), "bouts")
        again = tune(tmp_path / "again", evaluation)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    after = json.loads((again.folder / "tuning.json").read_text())["steps"]
    assert after[fold.name] == before[fold.name]
    assert after["fold-1"] != before["fold-1"] or after["fold-3"] != before["fold-3"]


def test_the_search_is_the_plain_one(study, evaluation):
    """One stage, options that learn nothing: the best on the other folds, by scikit-learn."""
    project = load_project(study)
    splits = read_splits(evaluation)
    source = Source(evaluation, project, splits)
    options = [o for o in STAGES["smooth"] if not o.learns]
    search = Search(source, {"smooth": options}, "macro_f1")
    for split in splits:
        scores = []
        for option in options:
            truth, said = [], []
            for other in splits:
                for id_ in other.test if other.name != split.name else ():
                    steps = make_steps(option.steps(None, ()))
                    said.append(apply(source.predictions[id_], steps).classes())
                    truth.append(source.truth[id_].classes())
            scores.append(f1_score(np.concatenate(truth), np.concatenate(said), average="macro"))
        chosen = search.choose(frozenset({split.name}), Silent())
        assert chosen["smooth"] is options[int(np.argmax(np.round(scores, 12)))]


class Silent:
    def note(self, text: str) -> None: ...

    def advance(self, amount: float = 1) -> None: ...


def test_many_folds_are_left_out_in_five_parts(study, tmp_path):
    six = made_up(study, "six", 6)
    source = Source(six, load_project(study), read_splits(six))
    assert sorted(map(sorted, set(source.part_of.values()))) == [
        ["fold-1", "fold-6"], ["fold-2"], ["fold-3"], ["fold-4"], ["fold-5"],
    ]  # fmt: skip
    seen: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    class Watched(Search):
        def resolve(self, chosen, labels, judged):
            seen.append((tuple(labels), tuple(judged)))
            return super().resolve(chosen, labels, judged)

    learned = [o for o in STAGES["drop"] if o.learns]
    search = Watched(source, {"drop": learned}, "macro_f1")
    search.choose(frozenset({"fold-1", "fold-6"}), Silent())
    hidden = {"m0", "m5"}
    assert seen
    for labels, judged in seen:
        assert not hidden & {*labels, *judged}
        assert len(labels) == len(judged) == 3  # the other four folds but the one that is judged


def test_two_folds_learn_within_a_fold(study, tmp_path):
    two = made_up(study, "two", 2)
    done = tune(tmp_path / "two", two, stages=["drop"])
    assert [row["stage"] for row in done.worth] == ["raw", "drop"]
    assert done.worth[-1]["macro_f1"] > done.worth[0]["macro_f1"]


def test_on_the_command_line(evaluation, tmp_path):
    out = tmp_path / "cli"
    words = [
        "tune",
        str(out),
        str(evaluation),
        "--stages",
        "smooth,close",
        "--metric",
        "f1_50",
        "--quiet",
    ]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    assert "+ smooth" in run.output
    assert "chosen by f1_50, for each fold on the others" in run.output
    run = CliRunner().invoke(app, [*words, "--json"])
    value = json.loads(run.output)
    assert value["worth"][1]["f1_50"] > value["worth"][0]["f1_50"]
    assert value["worth"][0]["f1_50"] == pytest.approx(value["scores"]["worth"][0]["f1_50"])


def test_what_cannot_be_tuned(study, evaluation, tuned, tmp_path):
    for words, call in (
        ("stages are smooth, decide, close, drop; came 'smoth'", {"stages": ["smoth"]}),
        ("what is best is said by macro_f1", {"metric": "f2"}),
    ):
        with pytest.raises(InputError, match=words):
            tune(tmp_path / "o", evaluation, **call)
    with pytest.raises(InputError, match="is the evaluation to tune"):
        tune(evaluation, evaluation)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        tune(tmp_path / "full", evaluation)
    with pytest.raises(InputError, match="one fold"):
        tune(tmp_path / "o", made_up(study, "one", 1))
    assert not (tmp_path / "o").exists()
    both = Ethogram(("a", "b"), exclusive=False)
    with pytest.raises(InputError, match="counts bouts of behaviours that exclude each other"):
        check_criterion("f1_50", both)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10_000), st.sampled_from(["none", "background", "overlap"]))
def test_counts_have_the_scores_of_frames_and_segments(length, seed, kind):
    rng = np.random.default_rng(seed)
    names = ("a", "b", "c")
    ethogram = Ethogram(names, kind != "overlap", "c" if kind == "background" else None)
    if kind == "overlap":
        truth = rng.integers(-1, 2, (length, 3)).astype(np.int8)
        said = rng.integers(0, 2, (length, 3)).astype(np.int8)
    else:
        one_hot = np.eye(3, dtype=np.int8)
        truth, said = (one_hot[np.repeat(rng.integers(0, 3, length), 3)[:length]] for _ in range(2))
        truth[rng.random(length) < 0.2] = -1
        if kind == "background":
            truth[(truth[:, 2] == 1)] = 0
    if not (truth != -1).any():
        return
    half = length // 2
    sums = count(truth[:half], said[:half], ethogram) + count(truth[half:], said[half:], ethogram)
    found = all_scores(sums, ethogram)
    wanted = score_frames(truth, None, ethogram, decided=said)
    for name in ("macro_f1", "accuracy", "balanced_accuracy"):
        assert found[name] == pytest.approx(getattr(wanted, name)), name
    if kind != "overlap":
        bouts = [Bouts.from_frames(ethogram, part).classes() for part in (truth, said)]
        pairs = [(b[:half], b[half:]) for b in bouts]
        segments = score_segments(*pairs)
        shown = None if segments.f1_50 is None else segments.f1_50 / 100
        assert found["f1_50"] == pytest.approx(shown)


def test_intervals_of_a_gain():
    ethogram = Ethogram(("a", "b"))
    rng = np.random.default_rng(0)
    truth = np.eye(2, dtype=np.int8)[rng.integers(0, 2, (20, 100))]
    right = [np.where(rng.random((100, 1)) < 0.8, t, 1 - t) for t in truth]
    worse = [np.where(rng.random((100, 1)) < 0.6, t, 1 - t) for t in truth]
    after, before = (
        np.array([count(t, s.astype(np.int8), ethogram) for t, s in zip(truth, part, strict=True)])
        for part in (right, worse)
    )
    low, high = gain_interval(before, after, "accuracy", ethogram)
    each = [
        float(score_counts(a, "accuracy", ethogram) - score_counts(b, "accuracy", ethogram))
        for a, b in zip(after, before, strict=True)
    ]
    middle, error = np.mean(each), np.std(each) / np.sqrt(20)
    assert low == pytest.approx(middle - 1.96 * error, abs=0.01)
    assert high == pytest.approx(middle + 1.96 * error, abs=0.01)
    assert gain_interval(before[:1], after[:1], "accuracy", ethogram) is None
    assert set(CRITERIA) >= {"macro_f1+f1_50"}


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 60), st.integers(0, 10_000))
def test_the_best_threshold_is_the_best_of_all(length, seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.uniform(0.06, 1.0, (length, 2)), 1)
    truth = (rng.random((length, 2)) < 0.3).astype(np.int8)
    both = Ethogram(("a", "b"), exclusive=False)
    limits = best_thresholds(values, truth, both)
    for c in range(2):
        if not truth[:, c].any():
            assert limits[c] == 0.5
            continue

        def f1(
            threshold: float, real: np.ndarray = truth[:, c] == 1, own: np.ndarray = values[:, c]
        ) -> float:
            said = own >= threshold
            return 2 * int((said & real).sum()) / int(said.sum() + real.sum())

        tried, got = [f1(t) for t in np.arange(0.05, 1, 0.1)], f1(limits[c])
        assert got == pytest.approx(max(tried))


def test_thresholds_among_behaviours_that_exclude_each_other_help_the_rare():
    rng = np.random.default_rng(1)
    classes = rng.choice(3, 4000, p=[0.8, 0.15, 0.05])
    prior = np.array([0.8, 0.15, 0.05])
    values = (
        rng.dirichlet(np.ones(3), 4000) * prior + 0.15 * np.eye(3)[classes] * prior[classes][:, None]
    )
    values /= values.sum(axis=1, keepdims=True)
    ethogram = Ethogram(("a", "b", "c"))
    limits = best_thresholds(values, np.eye(3, dtype=np.int8)[classes], ethogram)
    before = f1_score(classes, values.argmax(axis=1), average="macro")
    after = f1_score(classes, (values / limits).argmax(axis=1), average="macro")
    assert limits[0] > limits[2]
    assert after > before + 0.03


def test_clips_have_no_bouts(tmp_path):
    study = clip_study(tmp_path / "c")
    project = load_project(study)
    out = study / "evaluations" / "clips"
    ids = [r.id for r in project.labelled()]
    splits = [
        Split(f"fold-{i}", tuple(ids[1 - i :: 2]), (), tuple(ids[i::2]), {r: r for r in ids})
        for i in (0, 1)
    ]
    out.mkdir(parents=True)
    write_evaluation(out, study, pose_recipe(), splits, {})
    write_json(out / "scores.json", {"pooled": {}})
    with pytest.raises(InputError, match="one label each, so there are no bouts to decode"):
        tune(tmp_path / "o", out)


def test_options_are_plain_first_and_named_apart():
    for name, options in STAGES.items():
        assert isinstance(options[0], Option), name
        assert options[0].steps(None, ()) == ()
        assert len({o.label for o in options}) == len(options)
