"""Boosted trees: the arrays against the library that grew them, and a citizen like any network."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from small_study import ETHOGRAM, pose_recipe, pose_study

from murine.config import Recipe, TrainingSettings
from murine.data.prepared import Prepared
from murine.data.windows import sample_frames
from murine.errors import ConfigError, MissingExtraError
from murine.models import create_model, load_model, save_model
from murine.models.trees import Trees
from murine.pose.scaler import Scaler, fit_scaler
from murine.predict import predict
from murine.predictions import read_prediction
from murine.train.checking import recipe_faults
from murine.train.crossval import evaluate
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.trees import fit_trees
from murine.types import Ethogram, Task, Timeline

FEATURES = 4
SETTINGS = {"leaves": 6, "smallest_leaf": 5}


def recipe(rounds: int = 12, **training: object) -> Recipe:
    settings = {"epochs": rounds, "learning_rate": 0.2, "loss": "cross_entropy", **training}
    return replace(
        pose_recipe(), name="test/trees", model="trees", model_settings=SETTINGS,
        training=TrainingSettings(**settings),  # type: ignore[arg-type]
    )  # fmt: skip


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (n, F) and three classes that follow from them, but for some noise."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, FEATURES)).astype(np.float32)
    score = rows[:, 0] * rows[:, 1] + 0.3 * random.normal(size=n)
    return rows, np.digitize(score, [-0.4, 0.4])


def grown(
    labels: np.ndarray, rows: np.ndarray, ethogram: Ethogram, folder: Path, given: Recipe | None = None
) -> tuple[Trees, Scaler]:
    made = recipe() if given is None else given
    times = Timeline.uniform(len(rows), 10.0)
    data = Prepared("r", {"pose": rows}, labels, sample_frames(times, 0), times, ethogram)
    scaler = fit_scaler([rows])
    model = create_model(
        "trees",
        classes=len(ethogram),
        features=FEATURES,
        settings={**SETTINGS, "rounds": made.training.epochs},
    )
    assert isinstance(model, Trees)
    fit_trees(model, made, [data], [], scaler, folder, ethogram=ethogram)
    return model.eval(), scaler


def judged(model: Trees, scaler: Scaler, rows: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return model({"pose": torch.from_numpy(scaler.apply(rows))[None]}).logits[0]


def library(rows: np.ndarray, classes: np.ndarray) -> HistGradientBoostingClassifier:
    forest = HistGradientBoostingClassifier(
        learning_rate=0.2, max_iter=12, max_leaf_nodes=6, min_samples_leaf=5, early_stopping=False,
        random_state=0,
    )  # fmt: skip
    return forest.fit(rows, classes)


@pytest.mark.parametrize("count", [2, 3])
def test_exclusive_behaviours_are_the_librarys(count: int, tmp_path: Path) -> None:
    rows, classes = sample(500, 0)
    classes = np.minimum(classes, count - 1)
    labels = np.eye(count, dtype=np.int8)[classes]
    model, scaler = grown(labels, rows, Ethogram(tuple("abc"[:count])), tmp_path)
    new, _ = sample(300, 1)
    ours = judged(model, scaler, new).softmax(-1).numpy()
    theirs = library(scaler.apply(rows), classes).predict_proba(scaler.apply(new))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.ptp(ours, axis=0).min() > 0.5


def test_behaviours_that_may_overlap_have_a_forest_each(tmp_path: Path) -> None:
    rows, classes = sample(500, 2)
    labels = np.stack([classes > 0, classes > 1], axis=1).astype(np.int8)
    labels[:50, 1] = -1  # nobody looked for the second there
    given = recipe(loss="binary_cross_entropy")
    model, scaler = grown(labels, rows, Ethogram(("a", "b"), exclusive=False), tmp_path, given)
    ours = judged(model, scaler, rows).sigmoid().numpy()
    for column, known in ((0, slice(None)), (1, slice(50, None))):
        forest = library(scaler.apply(rows[known]), labels[known, column])
        np.testing.assert_allclose(
            ours[:, column], forest.predict_proba(scaler.apply(rows))[:, 1], atol=1e-6
        )


def test_behaviours_never_shown_and_tasks(tmp_path: Path) -> None:
    rows, classes = sample(400, 3)
    labels = np.eye(4, dtype=np.int8)[classes]  # the fourth never happens
    model, scaler = grown(labels, rows, Ethogram(tuple("abcd")), tmp_path)
    said = judged(model, scaler, rows).softmax(-1)
    assert said[:, 3].max() < 1e-6
    np.testing.assert_allclose(
        said[:, :3].numpy(),
        library(scaler.apply(rows), classes).predict_proba(scaler.apply(rows)),
        atol=1e-6,
    )
    tasks = Ethogram.of_tasks([Task("one", ("x", "y", "z")), Task("two", ("w",), exclusive=False)])
    both = np.concatenate([labels[:, :3], (classes == 0)[:, None]], axis=1).astype(np.int8)
    model, scaler = grown(both, rows, tasks, tmp_path)
    said = judged(model, scaler, rows)
    np.testing.assert_allclose(
        said[:, :3].softmax(-1).numpy(),
        library(scaler.apply(rows), classes).predict_proba(scaler.apply(rows)),
        atol=1e-6,
    )
    assert (said[:, 3].sigmoid()[classes == 0].mean() - said[:, 3].sigmoid()[classes > 0].mean()) > 0.5


def test_saved_padded_and_in_batches(tmp_path: Path) -> None:
    rows, classes = sample(300, 4)
    ethogram = Ethogram(tuple("abc"))
    model, scaler = grown(np.eye(3, dtype=np.int8)[classes], rows, ethogram, tmp_path)
    save_model("trees", model, tmp_path / "saved", ethogram, {})
    loaded = load_model(tmp_path / "saved").model
    x = torch.full((2, 40, FEATURES), float("nan"))
    mask = torch.zeros(2, 40, dtype=torch.bool)
    for i, n in enumerate((40, 13)):
        x[i, :n] = torch.from_numpy(scaler.apply(rows[:n]))
        mask[i, :n] = True
    with torch.no_grad():
        together = loaded({"pose": x, "mask": mask}).logits
    assert torch.equal(together[0], judged(model, scaler, rows[:40]))
    assert torch.equal(together[1, :13], together[0, :13])
    assert not together[1, 13:].any()


def test_trained_judged_and_predicted_like_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = pose_study(tmp_path, unlabelled=1)
    given = recipe(rounds=20, early_stopping=3)
    found = evaluate(study, given, out=tmp_path / "evaluation")
    assert found.scores["pooled"]["macro_f1"] > found.scores["baseline"]["macro_f1"] + 0.2
    folder = train(study, given)
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,learning_rate,train_loss,validation_loss")
    losses = [float(row.split(",")[3]) for row in rows[1:]]
    run = load_run(folder)
    assert isinstance(run.model, Trees)
    assert int(run.model.kept) == int(np.argmin(losses)) + 1
    assert len(losses) in (20, int(run.model.kept) + 3)
    for name in [n for n in sys.modules if n.startswith("sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)  # prediction does without
    (path,) = predict(folder, [tmp_path / "m4_pose.csv"], tmp_path / "out", fps=10.0)
    prediction = read_prediction(path)
    assert prediction.ethogram == ETHOGRAM
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1, atol=1e-5)
    assert prediction.probabilities[:, 1].std() > 0.2


def test_a_network_per_behaviour_may_be_trees(tmp_path: Path) -> None:
    study = pose_study(tmp_path)
    given = recipe(rounds=6, loss="binary_cross_entropy", per_behaviour=True)
    run = load_run(train(study, given))
    assert run.name == "per_behaviour"
    assert all(int(member.kept) > 0 for member in run.model.members)


def test_what_needs_gradients_is_refused() -> None:
    odd = recipe(
        initial="x",
        freeze=("head",),
        loss="focal",
        watch="pr_auc",
        augment=("phase",),
        boundary_weight=1.0,
    )
    told = "\n".join(recipe_faults(odd))
    for key in ("initial", "freeze", "augment", "loss", "watch"):
        assert f"training.{key}: " in told


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, classes = sample(60, 5)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtraError, match="murine\\[trees\\]"):
        grown(np.eye(3, dtype=np.int8)[classes], rows, Ethogram(tuple("abc")), tmp_path)


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="leaves"):
        create_model("trees", classes=2, features=3, settings={"leaves": 1})
