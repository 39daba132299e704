"""Several tasks at once: behaviours, labels, losses, decisions, the network with a head each, few-shot."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_study import FPS, make_pose, pose_recipe, pose_study
from torch import Tensor

from murine.config import Recipe, TrainingSettings
from murine.data.sampling import task_order, task_turns
from murine.errors import ConfigError, InputError, ProjectError
from murine.formats import write_pose
from murine.models import Model, create_model
from murine.models.contract import Output
from murine.predictions import read_prediction
from murine.project import Project, check, load_bouts, load_project, save_project
from murine.project.values import TaskLabels
from murine.train.building import task_table
from murine.train.crossval import evaluate
from murine.train.losses import BinaryCrossEntropy, CrossEntropy, make_loss, mean_loss, probabilities
from murine.train.run import train
from murine.train.runs import load_run
from murine.types import Bouts, Ethogram, Recording, Task

BOUTS = Task("S1", ("rest", "walk"))
EVENTS = Task("S2", ("none", "turn", "stop"), background="none")
FREE = Task("more", ("left", "right"), exclusive=False)
WHOLE = Ethogram.of_tasks([BOUTS, EVENTS, FREE])
SMALL = {
    "maps": 8,
    "generator_layers": 3,
    "refinement_stages": 1,
    "refinement_layers": 2,
    "dropout": 0.0,
}


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(ethogram: Ethogram, **settings: object) -> Model:
    given = {**SMALL, "tasks": task_table(ethogram), **settings}
    return create_model("multi_task", classes=len(ethogram), features=3, settings=given)


def test_behaviours_carry_their_task() -> None:
    assert WHOLE.behaviours[:3] == ("S1/rest", "S1/walk", "S2/none")
    assert not WHOLE.exclusive
    assert [WHOLE.columns(t) for t in WHOLE.tasks] == [slice(0, 2), slice(2, 5), slice(5, 7)]
    assert WHOLE.tasks[1].background == "S2/none"
    assert WHOLE.tasks[1].plain == EVENTS.behaviours
    assert Ethogram(**WHOLE.to_dict()) == WHOLE
    assert "tasks" not in Ethogram(("a", "b")).to_dict()
    with pytest.raises(InputError, match="each in one task"):
        Ethogram(WHOLE.behaviours[:-1], exclusive=False, tasks=WHOLE.tasks)
    with pytest.raises(InputError, match="differ in name"):
        Ethogram(("a/x", "a/y"), False, None, (Task("a", ("a/x",)), Task("a", ("a/y",))))


def test_decision_and_probabilities_are_of_each_task() -> None:
    logits = draw(0, 1, 6, 7)
    values = probabilities(logits, exclusive=False, ethogram=WHOLE)[0]
    torch.testing.assert_close(values[:, :2].sum(1), torch.ones(6))
    torch.testing.assert_close(values[:, 2:5].sum(1), torch.ones(6))
    torch.testing.assert_close(values[:, 5:], logits[0, :, 5:].sigmoid())
    decided = WHOLE.plain_decision(values.numpy())
    assert (decided[:, :2].sum(1) == 1).all()
    assert (decided[:, 2:5].argmax(1) == logits[0, :, 2:5].argmax(1).numpy()).all()
    assert (decided[:, 5:] == (logits[0, :, 5:].numpy() >= 0)).all()


def target() -> Tensor:
    """Two recordings of five frames: the second is labelled for the second task alone."""
    values = torch.full((2, 5, 7), -1.0)
    values[0, :, :2] = F.one_hot(torch.tensor([0, 0, 1, 1, 0]), 2).float()
    values[:, :, 2:5] = F.one_hot(torch.tensor([[0, 1, 2, 0, 0], [1, 1, 0, 0, 2]]), 3).float()
    values[0, :, 5:] = torch.tensor([[0, 1], [1, 1], [0, 0], [1, 0], [0, 0]]).float()
    return values


def test_loss_is_the_weighted_sum_of_the_tasks() -> None:
    settings = TrainingSettings(loss="cross_entropy_smoothing", task_weights=(0.02, 0.02, 0.06))
    output = Output(draw(1, 2, 5, 7), (draw(2, 2, 5, 7),))
    mask = torch.ones(2, 5, dtype=torch.bool)
    loss = make_loss(settings, exclusive=False, ethogram=WHOLE)
    whole = mean_loss(loss.sums(output, target(), mask), loss.counts(target(), mask))
    expected = torch.zeros(())
    for weight, columns, exclusive in (
        (0.02, slice(0, 2), True), (0.02, slice(2, 5), True), (0.06, slice(5, 7), False),
    ):  # fmt: skip
        part = Output(output.logits[..., columns], (output.stages[0][..., columns],))
        truth = target()[..., columns]
        if exclusive:
            truth = torch.where((truth == 1).any(-1), truth.argmax(-1), -1)
        one = CrossEntropy(smoothing=0.15) if exclusive else BinaryCrossEntropy(smoothing=0.15)
        expected += weight * mean_loss(one.sums(part, truth, mask), one.counts(truth, mask))
    torch.testing.assert_close(whole, expected)
    with pytest.raises(ConfigError, match="one for each of S1, S2, more"):
        make_loss(replace(settings, task_weights=(1.0,)), exclusive=False, ethogram=WHOLE)
    with pytest.raises(ConfigError, match="has no tasks"):
        make_loss(settings, exclusive=True)


def test_a_task_without_labels_teaches_its_own_head_nothing() -> None:
    model = network(WHOLE).train()
    loss = make_loss(TrainingSettings(loss="focal"), exclusive=False, ethogram=WHOLE)
    output = model({"pose": draw(3, 1, 5, 3)})
    second = target()[1:]
    mean_loss(loss.sums(output, second, None), loss.counts(second, None)).backward()
    slopes = {n: p.grad for n, p in model.named_parameters()}
    for name, slope in slopes.items():
        learns = not name.startswith("heads.") or name.startswith("heads.of_S2.")
        assert (slope is not None and bool(slope.abs().sum() > 0)) == learns, name


def test_annotators_share_a_head_and_differ_by_a_vector() -> None:
    annotators = Ethogram.of_tasks([Task(f"annotator{i}", ("rest", "walk")) for i in range(3)])
    heads, vectors = network(annotators), network(annotators, style="embedding")
    one = sum(p.numel() for p in heads.heads["of_annotator0"].parameters())
    count = {m: sum(p.numel() for p in m.parameters()) for m in (heads, vectors)}
    assert count[heads] - count[vectors] == 2 * one - 3 * 8 - (8 * 8 + 8)
    x = {"pose": draw(4, 1, 9, 3)}
    with torch.no_grad():
        first, second, third = vectors.eval()(x).logits.split(2, dim=-1)
        assert not torch.allclose(first, second)
        vectors.styles["of_annotator1"].copy_(vectors.styles["of_annotator2"])
        _, second, _ = vectors(x).logits.split(2, dim=-1)
    torch.testing.assert_close(second, third)


def test_wrong_tasks_of_a_network_are_refused() -> None:
    with pytest.raises(ConfigError, match="tasks hold 7 columns; there are 4 behaviours"):
        create_model("multi_task", classes=4, features=3, settings={"tasks": task_table(WHOLE)})
    with pytest.raises(ConfigError, match="needs columns, exclusive and like"):
        create_model("multi_task", classes=4, features=3, settings={"tasks": {"a": {"columns": 4}}})


CALTECH = "Caltech Behavior Annotator - Annotation File\n\nConfiguration file:\n"


def stream(name: str, classes: np.ndarray, words: tuple[str, ...]) -> str:
    rows = Bouts.from_classes(Ethogram(words), classes).intervals()
    lines = [f"{name}:\tstart\tend\ttype", "-" * 29]
    return "\n".join([*lines, *(f"\t{a + 1}\t{b}\t{w}" for a, b, w in rows)]) + "\n\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings with the stream S1, three of them with S2 as well."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = []
    for i in range(4):
        pose, bouts = make_pose(120, i)
        classes = bouts.classes()
        write_pose(folder / f"m{i}.csv", pose)
        keys = "".join(f"{w}\t{w[0]}\n" for w in (*BOUTS.behaviours, *EVENTS.behaviours))
        text = CALTECH + keys + "\n" + stream("S1", classes, BOUTS.behaviours)
        if i < 3:
            edges = np.diff(classes, prepend=classes[0])
            events = np.convolve(edges == 1, np.ones(5), "same") > 0
            stops = np.convolve(edges == -1, np.ones(5), "same") > 0
            text += stream("S2", np.where(events, 1, np.where(stops, 2, 0)), EVENTS.behaviours)
        (folder / f"m{i}.txt").write_text(text)
        files = {"pose": folder / f"m{i}.csv", "labels": folder / f"m{i}.txt"}
        rows.append(Recording(f"m{i}", fps=FPS, groups={"annotator": str(i % 2)}, **files))
    tasks = (TaskLabels(BOUTS, stream="S1"), TaskLabels(EVENTS, stream="S2"))
    ethogram = Ethogram.of_tasks([BOUTS, EVENTS])
    save_project(Project(folder / "study", "tasks", ethogram, tuple(rows), sources=tasks))
    return folder / "study"


def test_two_streams_of_a_file_are_two_tasks(study: Path) -> None:
    project = load_project(study)
    assert project.ethogram == Ethogram.of_tasks([BOUTS, EVENTS])
    assert load_project(study).sources == project.sources
    first = load_bouts(project, project.recording("m0")).frames()
    assert (first[:, :2].sum(1) == 1).all()
    assert (first[:, 2:].sum(1) == 1).all()
    assert (first[:, 1] == (make_pose(120, 0)[1].classes() == 1)).all()
    last = load_bouts(project, project.recording("m3")).frames()
    assert (last[:, 2:] == -1).all(), "nobody labelled S2 there"
    assert (last[:, :2] != -1).all()
    report = check(study)
    assert not [f for f in report.faults if f.severity == "error"]
    assert any("has no labels of S2" in f.text for f in report.faults)


def test_a_task_may_be_one_annotators(study: Path, tmp_path: Path) -> None:
    text = (study / "project.toml").read_text()
    text = text.replace('stream = "S2"', 'stream = "S2"\nwhere = "annotator=1"')
    (tmp_path / "project.toml").write_text(text)
    table = (study / "recordings.csv").read_text().replace("../", f"{study.parent}/")
    (tmp_path / "recordings.csv").write_text(table)
    project = load_project(tmp_path)
    known = [(load_bouts(project, r).frames()[:, 2:] != -1).any() for r in project.recordings]
    assert known == [False, True, False, False]


def test_faults_of_tasks_are_told_together(study: Path, tmp_path: Path) -> None:
    (tmp_path / "recordings.csv").write_text((study / "recordings.csv").read_text())
    (tmp_path / "project.toml").write_text(
        'name = "x"\n[ethogram]\nbehaviours = ["a"]\n[tasks.one]\nbehaviors = ["a"]\n'
        '[tasks.two]\nbehaviours = ["a", "b"]\nwhere = "annotator"\n'
    )
    with pytest.raises(ProjectError) as raised:
        load_project(tmp_path)
    told = str(raised.value)
    for part in ("tasks.one.behaviors: unknown", "COLUMN=VALUE", "[ethogram]: its behaviours are those"):
        assert part in told


def task_recipe(**training: object) -> Recipe:
    recipe = pose_recipe(epochs=8, **training)
    return replace(recipe, name="test/tasks", model="multi_task", model_settings=SMALL)


def test_trained_judged_and_few_shot(study: Path, tmp_path: Path) -> None:
    recipe = task_recipe(task_weights=(1.0, 0.5), class_weights_beta=0.99)
    found = evaluate(study, recipe, out=tmp_path / "evaluation")
    rows = found.scores["pooled"]["per_class"]
    assert rows["S1/walk"]["support"] + rows["S1/rest"]["support"] == 4 * 120
    assert sum(rows[f"S2/{b}"]["support"] for b in EVENTS.behaviours) == 3 * 120
    assert rows["S1/walk"]["f1"] > 0.6
    prediction = read_prediction(found.predictions[0])
    assert prediction.ethogram.tasks == load_project(study).ethogram.tasks
    np.testing.assert_allclose(prediction.probabilities[:, :2].sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(prediction.probabilities[:, 2:].sum(1), 1, atol=1e-5)

    # A new question with few labels: the shared part stays, a fresh head learns.
    base = train(study, recipe, folder=tmp_path / "base")
    project = load_project(study)
    new = Task("new", ("turn", "none"), background="none")
    other = replace(
        project,
        root=tmp_path / "other",
        ethogram=Ethogram.of_tasks([new]),
        sources=(TaskLabels(new, stream="S2"),),
        ignore=("stop",),
        recordings=project.recordings[:3],
    )
    save_project(other)
    fewer = task_recipe(initial=str(base), freeze=("all but head",))
    small = load_run(train(other.root, fewer, folder=tmp_path / "few"))
    before, after = load_run(base).model.state_dict(), small.model.state_dict()
    shared = [n for n in after if n.startswith("generator.")]
    assert shared
    assert all(torch.equal(before[n], after[n]) for n in shared)
    assert {n.split(".")[1] for n in after if n.startswith("heads.")} == {"of_new"}


def test_real_sessions_have_two_streams(tmp_path: Path) -> None:
    data = Path(os.environ.get("MURINE_DATA", "../shared/data")) / "rat-social"
    if not data.is_dir():
        pytest.skip("rat-social is not here (MURINE_DATA)")
    rows = []
    for name in ("1", "3"):
        (pose,) = (data / "pose").glob(f"{name}DLC_*.csv.gz")
        labels = data / "annotations" / f"{name}_annot.txt"
        rows.append(Recording(name, pose=pose, labels=labels, fps=30.0))
    social = Task("S1", ("base", "social", "nonsocial", "aggression"))
    fights = (
        "base", "lateralthreat", "keepdown", "clinch", "uprightposture", "freezing", "bite", "chase",
    )  # fmt: skip
    tail = Task("S2", fights)
    sources = (TaskLabels(social, stream="S1"), TaskLabels(tail, stream="S2"))
    ethogram = Ethogram.of_tasks([social, tail])
    save_project(Project(tmp_path, "rats", ethogram, tuple(rows), tolerance_s=2.0, sources=sources))
    project = load_project(tmp_path)
    for recording in project.recordings:
        frames = load_bouts(project, recording).frames()
        assert (frames[:, :4].sum(1) == 1).mean() > 0.99
        streams = recording.labels.read_text().count("type") if recording.labels else 0
        known = (frames[:, 4:] != -1).all(1).mean()
        assert known == 0 if streams == 1 else known > 0.99


def test_tasks_take_turns() -> None:
    known = np.array([[1, 0], [1, 0], [1, 1], [1, 0], [0, 1]], dtype=bool)
    order = task_order(known, np.random.default_rng(0))
    first, second = order[0::2], order[1::2]
    assert sorted(first % 5) == [0, 1, 2, 3]
    assert sorted(second % 5) == [2, 2, 4, 4]
    assert len(set(order.tolist())) == 8, "a window that comes again has other random numbers"
    assert task_turns(known).tolist() == [1, 1, 3, 1, 2]
    assert len(task_order(known, np.random.default_rng(0), 20)) == 20


def test_training_goes_through_the_tasks_by_turns(study: Path, tmp_path: Path) -> None:
    turns = task_recipe(balance="tasks", batch_size=1, accumulate=2)
    run = load_run(train(study, turns, folder=tmp_path / "turns"))
    assert run.recipe.training.balance == "tasks"
    with pytest.raises(ConfigError, match="'tasks' is for a project with tasks"):
        train(pose_study(tmp_path / "plain"), pose_recipe(balance="tasks"))
