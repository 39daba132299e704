"""Means of predictions by hand, as rules, and every pair that must not be averaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.ensemble import COMBINED, SCALES, combine_predictions
from murine.ensemble.values import on_timeline
from murine.errors import InputError
from murine.types import Ethogram, Prediction, Task, Timeline

THREE = Ethogram(("groom", "rear", "rest"))
LOOSE = Ethogram(("groom", "rear", "rest"), exclusive=False)


def make(values: np.ndarray, ethogram: Ethogram = THREE, **meta: object) -> Prediction:
    return Prediction("m", ethogram, values, Timeline.uniform(len(values), 25.0), meta)


def draw(seed: int, n: int = 30, ethogram: Ethogram = THREE, **meta: object) -> Prediction:
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.ones(3) * 0.5, n) if ethogram.exclusive else rng.random((n, 3))
    return make(values.astype(np.float32), ethogram, **meta)


def test_means_by_hand() -> None:
    a, b = make(np.array([[0.8, 0.1, 0.1]])), make(np.array([[0.2, 0.4, 0.4]]))
    equal = combine_predictions([a, b]).probabilities[0]
    assert equal == pytest.approx([0.5, 0.25, 0.25])
    weighted = combine_predictions([a, b], weights=(3, 1)).probabilities[0]
    assert weighted == pytest.approx([0.65, 0.175, 0.175])
    # geometric means .4, .2, .2, brought to a sum of 1
    logits = combine_predictions([a, b], on="logits").probabilities[0]
    assert logits == pytest.approx([0.5, 0.25, 0.25])
    third = combine_predictions([a, b], on="logits", weights=(1, 2)).probabilities[0]
    raw = np.array([0.8 ** (1 / 3) * 0.2 ** (2 / 3), *[0.1 ** (1 / 3) * 0.4 ** (2 / 3)] * 2])
    assert third == pytest.approx(raw / raw.sum(), rel=1e-6)


def test_log_odds_where_behaviours_overlap() -> None:
    a = make(np.array([[0.9, 0.5, 0.01]]), LOOSE)
    b = make(np.array([[0.5, 0.5, 0.99]]), LOOSE)
    # odds 9 and 1: mean of the logarithms is log 3, a probability of 3/4
    assert combine_predictions([a, b], on="logits").probabilities[0] == pytest.approx([0.75, 0.5, 0.5])
    assert combine_predictions([a, b]).probabilities[0] == pytest.approx([0.7, 0.5, 0.5])


def test_each_task_has_its_own_mean_of_logarithms() -> None:
    tasks = [Task("S1", ("groom", "rear", "rest")), Task("S2", ("sniff",), exclusive=False)]
    both = Ethogram.of_tasks(tasks)
    a, b = make(np.array([[0.8, 0.1, 0.1, 0.9]]), both), make(np.array([[0.2, 0.4, 0.4, 0.5]]), both)
    came = combine_predictions([a, b], on="logits").probabilities[0]
    assert came == pytest.approx([0.5, 0.25, 0.25, 0.75])
    mean = combine_predictions([a, b]).probabilities[0]
    assert mean == pytest.approx([0.5, 0.25, 0.25, 0.7])
    loose = Ethogram.of_tasks([replace(tasks[0], exclusive=False), tasks[1]])
    with pytest.raises(
        InputError, match="'S1/groom' is of task 'S1', whose behaviours exclude each other in"
    ):
        combine_predictions([a, make(b.probabilities, loose)])


@settings(max_examples=40, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 999), min_size=2, max_size=4, unique=True),
    on=st.sampled_from(SCALES),
    ethogram=st.sampled_from([THREE, LOOSE]),
    data=st.data(),
)
def test_rules_of_a_mean(seeds, on, ethogram, data) -> None:
    parts = [draw(seed, ethogram=ethogram) for seed in seeds]
    weights = [data.draw(st.floats(0.1, 5)) for _ in parts]
    mean = combine_predictions(parts, weights=weights, on=on).probabilities
    turned = combine_predictions(parts[::-1], weights=weights[::-1], on=on).probabilities
    assert turned == pytest.approx(mean, abs=1e-6)
    scaled = combine_predictions(parts, weights=[7 * w for w in weights], on=on).probabilities
    assert scaled == pytest.approx(mean, abs=1e-6)
    if ethogram.exclusive:
        assert mean.sum(axis=1) == pytest.approx(np.ones(len(mean)), abs=1e-5)
    else:  # between the least and the greatest, on either scale
        every = np.stack([p.probabilities for p in parts])
        assert (mean >= every.min(axis=0) - 1e-6).all()
        assert (mean <= every.max(axis=0) + 1e-6).all()
    same = combine_predictions([parts[0]] * 3, on=on).probabilities
    assert same == pytest.approx(parts[0].probabilities, abs=2e-6)
    alone = combine_predictions(parts[:2], weights=(1, 0), on=on).probabilities
    assert alone == pytest.approx(parts[0].probabilities, abs=2e-6)


def test_certainty_stays_finite() -> None:
    sure = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=np.float32)
    for ethogram in (THREE, LOOSE):
        a, b = make(sure, ethogram), make(sure[::-1].copy(), ethogram)
        both = combine_predictions([a, b], on="logits").probabilities
        assert np.isfinite(both).all()
        assert both[:, 0] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_behaviours_meet_by_name() -> None:
    a, b = draw(1), draw(2)
    order = ("rest", "groom", "rear")
    columns = [THREE.index(name) for name in order]
    moved = replace(b, ethogram=Ethogram(order), probabilities=b.probabilities[:, columns])
    for on in SCALES:
        expected = combine_predictions([a, b], on=on)
        got = combine_predictions([a, moved], on=on)
        assert got.ethogram == THREE
        np.testing.assert_array_equal(got.probabilities, expected.probabilities)


def test_the_history_says_what_was_combined() -> None:
    a = draw(
        1,
        model="srs",
        model_hash="11",
        fold="fold-1",
        file_hashes={"video": "v"},
        postprocess=[{"name": "box"}],
    )
    b = draw(2, model="i3d", model_hash="22", fold="fold-1", file_hashes={"pose": "p"})
    meta = combine_predictions([a, b], weights=(1, 3), on="logits", names=("rgb", "flow")).meta
    assert meta[COMBINED]["on"] == "logits"
    assert [(p["name"], p["weight"], p["model_hash"]) for p in meta[COMBINED]["parts"]] == [
        ("rgb", 0.25, "11"),
        ("flow", 0.75, "22"),
    ]
    assert meta["file_hashes"] == {"video": "v", "pose": "p"}
    assert (meta["fold"], meta["postprocess"], meta["run"]) == (
        "fold-1",
        [{"name": "box"}],
        "rgb + flow",
    )
    other = combine_predictions([a, b], weights=(1, 1), on="logits").meta
    assert other["model_hash"] != meta["model_hash"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(draw(2), recording="n"), "predicts recording 'm', .* 'n'"),
        (draw(2, n=29), "30 frames and 29 frames"),
        (draw(2, ethogram=LOOSE), "exclude each other"),
        (draw(2, ethogram=Ethogram(("groom", "rear", "rst"))), "'rest' only in the first. Did you mean 'rst'"),
        (draw(2, ethogram=Ethogram(("groom", "rear", "rest"), background="rest")), "backgrounds"),
        (replace(draw(2), timeline=Timeline.uniform(30, 10.0)), "lie up to .* s apart"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(other: Prediction, words: str) -> None:
    with pytest.raises(InputError, match=words):
        combine_predictions([draw(1), other])


def test_other_faults_are_named() -> None:
    two = [draw(1), draw(2)]
    for weights, words in (
        ((1, 2, 3), "3 weights came for 2"),
        ((1, -1), "0 or more"),
        ((0, 0), "above 0"),
        ((1, float("nan")), "0 or more"),
    ):
        with pytest.raises(InputError, match=words):
            combine_predictions(two, weights=weights)
    with pytest.raises(InputError, match="Did you mean 'logits'"):
        combine_predictions(two, on="logit")
    with pytest.raises(InputError, match="at least two"):
        combine_predictions(two[:1])


def test_another_camera_is_met_by_time() -> None:
    """25 frames a second on 30: each frame takes the nearest in time, whatever the clocks begin with."""
    slow = Timeline(np.arange(50) / 25 + 3.0)
    values = np.zeros((50, 3), dtype=np.float32)
    values[:, 0] = np.arange(50) / 100
    fast = Timeline.uniform(60, 30.0)
    placed = on_timeline(Prediction("left", THREE, values, slow), fast, 0.0)
    assert placed.timeline is fast
    expected = [min(int(np.abs(np.arange(50) / 25 - t).argmin()), 49) for t in fast.times]
    at = np.round(placed.probabilities[:, 0] * 100).astype(int)
    apart = np.abs(np.arange(50)[at] / 25 - fast.times)
    assert apart == pytest.approx(np.abs(np.arange(50)[expected] / 25 - fast.times), abs=1e-6)
    with pytest.raises(InputError, match=r"lasts 2.00 s and the recording beside it 2.20 s"):
        on_timeline(Prediction("left", THREE, values, slow), Timeline.uniform(66, 30.0), 0.1)
    longer = on_timeline(Prediction("left", THREE, values, slow), Timeline.uniform(66, 30.0), 0.2)
    assert longer.probabilities[-1, 0] == values[-1, 0]
