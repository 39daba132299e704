"""Scores of several tasks: what nobody looked for is nobody's fault, whichever side did not look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import FPS, make_pose

from murine.formats import write_pose
from murine.metrics import agree, score_many
from murine.predictions import write_prediction
from murine.project import Project, save_project
from murine.project.values import TaskLabels
from murine.scoring import carried_over, score_paths
from murine.types import Bouts, Ethogram, Prediction, Recording, Task, Timeline

FRAMES = 100
BOUTS = Task("S1", ("rest", "walk"))
EVENTS = Task("S2", ("none", "turn"), background="none")
WHOLE = Ethogram.of_tasks([BOUTS, EVENTS])
TIMELINE = Timeline.uniform(FRAMES, FPS)


def stream(name: str, rows: Sequence[tuple[int, int, str]]) -> str:
    return f"{name}:\tstart\tend\ttype\n{'-' * 29}\n" + "".join(
        f"\t{a + 1}\t{b}\t{word}\n" for a, b, word in rows
    )


def make_project(folder: Path, *, second_has_events: bool) -> Path:
    """Two recordings, both labelled for S1; m1 for S2 only where asked."""
    rows = []
    for i in range(2):
        write_pose(folder / f"m{i}.csv", make_pose(FRAMES, i)[0])
        text = "Caltech Behavior Annotator - Annotation File\n\nConfiguration file:\n"
        text += "rest\tr\nwalk\tw\nnone\tn\nturn\tt\n\n"
        text += stream("S1", [(0, 60, "rest"), (60, FRAMES, "walk")]) + "\n"
        if i == 0 or second_has_events:
            text += stream("S2", [(0, 80, "none"), (80, FRAMES, "turn")]) + "\n"
        (folder / f"m{i}.txt").write_text(text)
        rows.append(Recording(f"m{i}", pose=folder / f"m{i}.csv", labels=folder / f"m{i}.txt", fps=FPS))
    tasks = (TaskLabels(BOUTS, stream="S1"), TaskLabels(EVENTS, stream="S2"))
    save_project(Project(folder / "study", "tasks", WHOLE, tuple(rows), sources=tasks))
    return folder / "study"


def predict(folder: Path, ethogram: Ethogram) -> Path:
    """Predictions that are right in S1, and in m0 right in S2; in m1 they say that S2 turns all the time."""
    folder.mkdir()
    for i in range(2):
        values = np.zeros((FRAMES, 4), dtype=np.float32)
        values[:60, 0] = values[60:, 1] = 1.0
        values[:80, 2] = values[80:, 3] = 1.0
        if i == 1:
            values[:, 2], values[:, 3] = 0.0, 1.0
        kept = [WHOLE.index(name) for name in ethogram.behaviours]
        made = Prediction(f"m{i}", ethogram, values[:, kept], TIMELINE)
        write_prediction(folder / f"m{i}.parquet", made)
    return folder


def test_a_task_that_nobody_labelled_is_not_scored(tmp_path: Path) -> None:
    study = make_project(tmp_path, second_has_events=False)
    scores = score_paths(study, predict(tmp_path / "out", WHOLE))
    rows = scores["pooled"]["per_class"]
    assert rows["S1/rest"]["support"] == 120
    assert (rows["S2/none"]["support"], rows["S2/turn"]["support"]) == (80, 20)
    assert rows["S2/turn"]["fp"] == 0, "nobody looked for turns in m1"
    assert scores["pooled"]["accuracy"] == 1.0
    assert scores["each"]["m1"]["frames"]["per_class"]["S2/turn"]["f1"] is None


def test_a_task_that_the_network_never_learned_is_not_scored(tmp_path: Path) -> None:
    study = make_project(tmp_path, second_has_events=True)
    scores = score_paths(study, predict(tmp_path / "out", Ethogram.of_tasks([BOUTS])))
    assert scores["pooled"]["accuracy"] == 1.0
    assert scores["pooled"]["per_class"]["S2/turn"]["support"] == 0
    assert scores["pooled"]["per_class"]["S1/walk"]["f1"] == 1.0


def test_what_was_not_looked_for_stays_so_under_other_names() -> None:
    bouts = replace(Bouts.build(WHOLE, 10, [(0, 10, "S1/rest")]), unknown=(2, 3))
    wider = Ethogram(("S2/turn", "S3/jump", *WHOLE.behaviours[:3]), exclusive=False)
    table = carried_over(bouts, wider).frames()
    # S3 was no question of these labels either: what has tasks lists all that was asked.
    assert (table == [-1, -1, 1, 0, -1]).all()
    plain = replace(Bouts.build(Ethogram(("a", "b"), False), 10, [(0, 5, "a")]), unknown=(1,))
    carried = carried_over(plain, Ethogram(("c", "b", "a"), exclusive=False)).frames()
    assert (carried[:5] == [0, -1, 1]).all()  # a file without c says that c never happened


@pytest.mark.parametrize("side", [0, 1])
def test_either_side_may_not_have_looked(side: int) -> None:
    loose = Ethogram(("a", "b"), exclusive=False)
    both = Bouts.build(loose, 10, [(0, 5, "a"), (0, 10, "b")])
    half = replace(Bouts.build(loose, 10, [(0, 5, "a")]), unknown=(1,))
    sides = [[both], [both]]
    sides[side] = [half]
    scores = score_many(*sides).frames
    assert scores.accuracy == 1.0
    assert scores.behaviour("b").support == 0
    assert scores.n == 10
    assert agree({"anna": sides[0], "ben": sides[1]}).f1("b") == (None, None)


def test_none_of_a_task_s_behaviours_is_its_background() -> None:
    truth = Bouts.build(WHOLE, 10, [(0, 10, "S1/rest"), (4, 6, "S2/turn")])
    said = [(0, 10, "S1/rest"), (0, 4, "S2/none"), (4, 6, "S2/turn"), (6, 10, "S2/none")]
    scores = score_many([truth], [Bouts.build(WHOLE, 10, said)]).frames
    assert scores.accuracy == 1.0
    assert scores.behaviour("S2/none").support == 8
