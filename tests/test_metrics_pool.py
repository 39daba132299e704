"""Scores of weighed recordings: with whole weights they are the scores of recordings counted so often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.metrics import Pair, Pool, follow, match_bouts, outcome_of, score_frames, score_segments
from murine.metrics import pool as pool_module
from murine.metrics.basics import average_precision
from murine.metrics.details import score_details
from murine.metrics.pool import weighted_median
from murine.types import Ethogram, Task, Timeline

FRAMES = 90
THREE = Ethogram(("base", "groom", "rear"), background="base")
LOOSE = Ethogram(("groom", "rear"), exclusive=False)
TASKS = Ethogram.of_tasks([Task("S1", ("rest", "walk")), Task("S2", ("no", "turn"), background="no")])


def pair(seed: int, ethogram: Ethogram, hidden: int = 10) -> Pair:
    """Return a recording whose probabilities are right more often than not; its first frames are not annotated."""
    generator = np.random.default_rng(seed)
    columns = [ethogram.columns(task) for task in ethogram.tasks] or [slice(0, len(ethogram))]
    truth = np.zeros((FRAMES, len(ethogram)), dtype=np.int8)
    values = generator.random((FRAMES, len(ethogram)))
    for part in columns:
        width = part.stop - part.start
        if ethogram.exclusive or ethogram.tasks:
            classes = np.repeat(generator.integers(0, width, FRAMES // 9), 9)
            truth[np.arange(FRAMES), part.start + classes] = 1
        else:
            truth[:, part] = np.repeat(generator.integers(0, 2, (FRAMES // 9, width)), 9, axis=0)
    values = (values + 0.5 * truth) / 1.5
    decided = ethogram.plain_decision(values).astype(np.int8)
    truth[:hidden] = -1
    return Pair(truth, decided, values, Timeline.uniform(FRAMES, 10.0))


def whole(pairs: list[Pair], ethogram: Ethogram) -> dict[str, float | None]:
    """Return the scores of recordings as the plain functions count them."""
    truth, said = (np.concatenate([getattr(p, side) for p in pairs]) for side in ("truth", "decided"))
    values = np.concatenate([p.probabilities for p in pairs])
    frames = score_frames(truth, values, ethogram, decided=said)
    kept = ("accuracy", "balanced_accuracy", "kappa", "macro_f1", "macro_f1_foreground")
    others = ("macro_f1_foreground_without_background_frames", "map", "map_foreground")
    found = {name: getattr(frames, name) for name in (*kept, *others)}
    for row in frames.behaviours:
        found[f"f1 {row.behaviour}"] = row.f1
        found[f"average_precision {row.behaviour}"] = row.average_precision
    if ethogram.exclusive:
        columns = [
            [np.where((x == 1).any(axis=1), x.argmax(axis=1), -1) for x in (p.truth, p.decided)]
            for p in pairs
        ]
        cuts = score_segments(*zip(*columns, strict=True))
        found |= {name: getattr(cuts, name) for name in ("edit", "f1_10", "f1_25", "f1_50")}
    rows = match_bouts(
        ethogram.behaviours,
        [p.truth for p in pairs],
        [p.decided for p in pairs],
        [p.timeline for p in pairs if p.timeline is not None],
    )
    keys = (
        "precision", "recall", "f1", "fragmented_share", "merged_share", "share_error", "onset_s",
        "onset_error_s", "offset_s", "offset_error_s",
    )  # fmt: skip
    found |= {f"bout_{key} {row.behaviour}": getattr(row, key) for row in rows for key in keys}
    return found


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([THREE, LOOSE]),
    st.integers(0, 10**6),
    st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any),
)
def test_weights_count_recordings_so_often(ethogram: Ethogram, seed: int, weights: list[int]) -> None:
    pairs = [pair(seed + i, ethogram) for i in range(3)]
    pool = Pool([outcome_of(p, ethogram) for p in pairs], ethogram)
    drawn = pool.scores(np.array([weights], dtype=np.float64))
    wanted = whole([p for p, n in zip(pairs, weights, strict=True) for _ in range(n)], ethogram)
    assert set(drawn) == set(wanted)
    for name, value in wanted.items():
        came = float(drawn[name][0])
        if value is None:
            assert np.isnan(came), name
        else:
            assert came == pytest.approx(value, abs=1e-9), name


def test_many_positives_are_looked_up_at_fewer_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "STEPS", 64)
    generator = np.random.default_rng(0)
    truth = (generator.random((6, 4000)) < 0.1).astype(np.int8)
    values = generator.normal(size=truth.shape) + 1.5 * truth
    outcomes = [
        outcome_of(Pair(t[:, None], t[:, None], v[:, None]), Ethogram(("groom",), exclusive=False))
        for t, v in zip(truth, values, strict=True)
    ]
    pool = Pool(outcomes, Ethogram(("groom",), exclusive=False))
    exact = average_precision(truth.ravel() == 1, values.ravel())
    assert pool.scores(np.ones((1, 6)))["map"][0] == pytest.approx(exact, abs=1e-12)
    weights = generator.multinomial(6, np.full(6, 1 / 6), size=20)
    drawn = pool.scores(weights.astype(np.float64))["map"]
    for row, came in zip(weights, drawn, strict=True):
        picked = np.repeat(np.arange(6), row)
        assert came == pytest.approx(
            average_precision(truth[picked].ravel() == 1, values[picked].ravel()), abs=2e-3
        )


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 4)), min_size=1, max_size=12),
)
def test_a_weighted_median_is_that_of_repeated_values(rows: list[tuple[float, int]]) -> None:
    values, weights = (np.array(x, dtype=np.float64) for x in zip(*rows, strict=True))
    (came,) = weighted_median(values, weights[None])
    repeated = np.repeat(values, weights.astype(int))
    assert np.isnan(came) if not len(repeated) else came == pytest.approx(np.median(repeated))


def test_the_protocol_pools_frames_and_leaves_the_background_out() -> None:
    pairs = [pair(i, THREE) for i in range(4)]
    # Smoothed decisions are not what the protocol asks for: it takes the most probable behaviour.
    smoothed = [replace(p, decided=np.roll(p.decided, 7, axis=0)) for p in pairs]
    found = follow("calms21", smoothed, THREE)
    frames = score_frames(
        np.concatenate([p.truth for p in pairs]), np.concatenate([p.probabilities for p in pairs]), THREE
    )
    each = [frames.behaviour(name) for name in ("groom", "rear")]
    assert found["macro_f1"] == pytest.approx(np.mean([row.f1 for row in each]))
    assert found["map"] == pytest.approx(np.mean([row.average_precision for row in each]))
    assert set(found["tasks"][""]["per_class"]) == {"groom", "rear"}
    for name in ("macro_f1", "map"):
        low, high = found["intervals"][name]
        assert low < found[name] < high


def test_of_several_tasks_the_protocol_takes_the_mean() -> None:
    pairs = [pair(i, TASKS) for i in range(4)]
    pairs[3] = replace(pairs[3], truth=pairs[3].truth.copy())
    pairs[3].truth[:, 2:] = -1  # nobody labelled S2 there
    found = follow("calms21", pairs, TASKS)
    assert found["tasks"]["S1"]["n"] == 4 * 80
    assert found["tasks"]["S2"]["n"] == 3 * 80
    f1 = {task: rows["per_class"] for task, rows in found["tasks"].items()}
    one = np.mean([f1["S1"]["S1/rest"]["f1"], f1["S1"]["S1/walk"]["f1"]])
    assert found["macro_f1"] == pytest.approx((one + f1["S2"]["S2/turn"]["f1"]) / 2)
    low, high = found["intervals"]["macro_f1"]
    assert low < found["macro_f1"] < high


def test_each_task_has_all_scores_of_its_own() -> None:
    pairs = [pair(i, TASKS) for i in range(3)]
    told = score_details(pairs, TASKS, groups=["a", "b", "b"], over="animal")
    assert told["drawn"] == {"over": "animal", "count": 2}
    alone = Ethogram(("S2/no", "S2/turn"), background="S2/no")
    kept = [p.part(slice(2, 4)) for p in pairs]
    part = told["tasks"]["S2"]
    assert part["frames"]["macro_f1_foreground"] == pytest.approx(whole(kept, alone)["f1 S2/turn"])
    assert part["segments"]["f1_50"] == pytest.approx(whole(kept, alone)["f1_50"])
    assert part["frames"]["confusion"] is not None
    assert set(part["intervals"]) >= {"map", "f1_50", "edit", "bout_f1 S2/turn"}
    # A decision with none of an exclusive task's behaviours, and no background: yes or no of each.
    pairs[0] = replace(pairs[0], decided=pairs[0].decided.copy())
    pairs[0].decided[20, :2] = 0
    assert score_details(pairs, TASKS)["tasks"]["S1"]["frames"]["confusion"] is None


def test_nothing_labelled_has_no_details() -> None:
    nothing = pair(0, THREE, hidden=FRAMES)
    assert score_details([nothing], THREE)["intervals"] == {}
