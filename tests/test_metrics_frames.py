"""Frame scores against scikit-learn, a published thesis' tables, and hand-worked cases."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from murine.errors import InputError
from murine.metrics import METRICS, majority_baseline, score_frames
from murine.metrics.basics import Counts, average_precision, kappa, roc_auc
from murine.types import Ethogram

# TP, FP, TN, FN of facts/networks.md section 1; accuracy, precision, recall as printed in tables 5.1-5.3.
THESIS = [
    ((2182, 3110, 27583, 125), (0.902, 0.412, 0.946)),
    ((2020, 2721, 27972, 287), (0.909, 0.426, 0.876)),
    ((1240, 580, 30113, 1067), (0.950, 0.681, 0.537)),
    ((1464, 1075, 29618, 843), (0.942, 0.577, 0.635)),
    ((2854, 2657, 26762, 727), (0.897, 0.518, 0.797)),
    ((2680, 2328, 27091, 901), (0.902, 0.535, 0.748)),
    ((374, 527, 28892, 3207), (0.887, 0.415, 0.104)),
    ((2136, 1470, 27949, 1445), (0.912, 0.592, 0.596)),
    ((3530, 1729, 26773, 968), (0.918, 0.671, 0.785)),
    ((3315, 1651, 26851, 1183), (0.914, 0.667, 0.737)),
    ((2566, 3361, 25141, 1932), (0.840, 0.433, 0.570)),
    ((3325, 2523, 25979, 1173), (0.888, 0.569, 0.739)),
]

PROBLEMS = st.tuples(st.integers(2, 5), st.integers(2, 80), st.integers(0, 2**32 - 1), st.booleans())


def draw(problem: tuple[int, int, int, bool]) -> tuple[np.ndarray, np.ndarray]:
    """True columns and probabilities, coarse ones (many ties) where asked."""
    count, length, seed, coarse = problem
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, count, length)
    values = rng.dirichlet(np.ones(count), length)
    values[np.arange(length), truth] += 0.3
    values /= values.sum(axis=1, keepdims=True)
    return truth, np.round(values, 1) if coarse else values


def hot(classes: np.ndarray, count: int) -> np.ndarray:
    return (classes[:, None] == np.arange(count)).astype(np.int8)


def names(count: int, *, exclusive: bool = True, background: bool = False) -> Ethogram:
    behaviours = tuple("abcdefgh"[:count])
    return Ethogram(behaviours, exclusive, behaviours[-1] if background else None)


@pytest.mark.parametrize(("counts", "printed"), THESIS)
def test_the_thesis_tables_follow_from_its_counts(counts, printed):
    tp, fp, tn, fn = counts
    assert sum(counts) == 33_000
    truth = np.repeat([1, 0, 0, 1], [tp, fp, tn, fn])
    said = np.repeat([1, 1, 0, 0], [tp, fp, tn, fn])
    got = Counts.of(truth == 1, said == 1)
    assert got == Counts(*counts)
    scores = score_frames(truth[:, None], None, names(1, exclusive=False), decided=said[:, None])
    row = scores.behaviours[0]
    assert (row.tp, row.fp, row.tn, row.fn) == counts
    got = [f"{v:.3f}" for v in (scores.accuracy, row.precision, row.recall)]
    # One of its 36 figures is cut, not rounded: 3315 / 4966 = .66754 stands there as .667.
    if printed == (0.914, 0.667, 0.737):
        assert got.pop(1) == "0.668"
        printed = (0.914, 0.737)
    assert got == [f"{v:.3f}" for v in printed]
    assert row.f1 == pytest.approx(2 * row.precision * row.recall / (row.precision + row.recall))
    assert row.f1 == pytest.approx(sk.f1_score(truth, said), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(PROBLEMS)
def test_exclusive_scores_are_those_of_scikit_learn(problem):
    truth, values = draw(problem)
    count = problem[0]
    every = list(range(count))
    said = values.argmax(axis=1)
    scores = score_frames(hot(truth, count), values, names(count, background=True))
    close = {"rel": 0, "abs": 1e-12}
    assert scores.accuracy == pytest.approx(sk.accuracy_score(truth, said), **close)
    seen = np.unique(truth)
    recall = sk.recall_score(truth, said, labels=every, average=None, zero_division=0)
    assert scores.balanced_accuracy == pytest.approx(recall[seen].mean(), **close)
    if scores.kappa is not None:
        assert scores.kappa == pytest.approx(sk.cohen_kappa_score(truth, said), **close)
    assert scores.macro_f1 == pytest.approx(sk.f1_score(truth, said, average="macro"), **close)
    foreground = [c for c in np.union1d(truth, said) if c != count - 1]
    if foreground:
        expected = sk.f1_score(truth, said, labels=foreground, average="macro", zero_division=0)
        assert scores.macro_f1_foreground == pytest.approx(expected, **close)
    assert np.array_equal(scores.confusion, sk.confusion_matrix(truth, said, labels=every))
    inside = truth != count - 1
    there = [c for c in np.union1d(truth[inside], said[inside]) if c != count - 1]
    if inside.any() and there:
        expected = sk.f1_score(
            truth[inside], said[inside], labels=there, average="macro", zero_division=0
        )
        got = scores.macro_f1_foreground_without_background_frames
        assert got == pytest.approx(expected, **close)
    table = hot(truth, count)
    assert scores.auc_micro == pytest.approx(sk.roc_auc_score(table.ravel(), values.ravel()), **close)
    for c in every:
        row = scores.behaviours[c]
        assert row.support == table[:, c].sum()
        if not row.support:
            assert row.recall is row.average_precision is row.auc is None
            continue
        expected = sk.average_precision_score(table[:, c], values[:, c])
        assert row.average_precision == pytest.approx(expected, **close)
        if row.support < len(truth):
            assert row.auc == pytest.approx(sk.roc_auc_score(table[:, c], values[:, c]), **close)
    if len(seen) == count:
        assert scores.auc_macro == pytest.approx(
            sk.roc_auc_score(table, values, average="macro"), **close
        )
        assert scores.map == pytest.approx(sk.average_precision_score(table, values), **close)


@settings(max_examples=25, deadline=None)
@given(PROBLEMS)
def test_multi_label_scores_are_those_of_scikit_learn(problem):
    count, length, seed, coarse = problem
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, (length, count)).astype(np.int8)
    values = np.round(rng.random((length, count)), 1 if coarse else 9)
    said = values >= 0.5
    scores = score_frames(truth, values, names(count, exclusive=False))
    close = {"rel": 0, "abs": 1e-12}
    assert scores.confusion is None
    assert scores.accuracy == pytest.approx(float((said == truth).mean()), **close)
    for c, row in enumerate(scores.behaviours):
        for got, score in ((row.precision, sk.precision_score), (row.recall, sk.recall_score)):
            if got is not None:
                assert got == pytest.approx(score(truth[:, c], said[:, c]), **close)
        if row.kappa is not None:
            assert row.kappa == pytest.approx(sk.cohen_kappa_score(truth[:, c], said[:, c]), **close)
    if (truth.sum(axis=0) > 0).all() and (truth.sum(axis=0) < length).all():
        assert scores.macro_f1 == pytest.approx(sk.f1_score(truth, said, average="macro"), **close)
        balanced = [sk.balanced_accuracy_score(truth[:, c], said[:, c]) for c in range(count)]
        assert scores.balanced_accuracy == pytest.approx(np.mean(balanced), **close)
        assert scores.auc_macro == pytest.approx(sk.roc_auc_score(truth, values), **close)
        assert scores.map == pytest.approx(sk.average_precision_score(truth, values), **close)


def test_ties_are_exact_on_many_frames():
    rng = np.random.default_rng(3)
    truth = rng.random(200_000) < 0.2
    values = np.round(np.clip(rng.normal(0.3 + 0.2 * truth, 0.2), 0, 1), 2).astype(np.float32)
    assert roc_auc(truth, values) == pytest.approx(sk.roc_auc_score(truth, values), rel=0, abs=1e-12)
    assert average_precision(truth, values) == pytest.approx(
        sk.average_precision_score(truth, values), rel=0, abs=1e-12
    )
    assert roc_auc(truth, np.full(len(truth), 0.7)) == 0.5


def test_frames_nobody_annotated_change_nothing():
    rng = np.random.default_rng(0)
    truth, values = draw((4, 60, 1, False))
    table = hot(truth, 4)
    plain = score_frames(table, values, names(4))
    wider = np.vstack([table, np.full((30, 4), -1, np.int8)])
    more = score_frames(wider, np.vstack([values, rng.dirichlet(np.ones(4), 30)]), names(4))
    assert more.ignored == 30
    assert more.to_dict() == {**plain.to_dict(), "ignored": 30}


def test_a_cell_nobody_annotated_is_left_out_of_its_behaviour_alone():
    truth = np.array([[1, -1], [0, 1], [-1, 0], [-1, -1]], dtype=np.int8)
    values = np.array([[0.9, 0.9], [0.2, 0.4], [0.9, 0.1], [0.9, 0.9]])
    scores = score_frames(truth, values, names(2, exclusive=False))
    assert (scores.n, scores.ignored, scores.accuracy) == (3, 1, 0.75)
    assert [(r.tp, r.fp, r.tn, r.fn) for r in scores.behaviours] == [(1, 0, 1, 0), (0, 0, 1, 1)]


def test_perfect_is_one_and_worse_is_worse():
    truth, _ = draw((3, 90, 2, False))
    table = hot(truth, 3)
    perfect = score_frames(table, table.astype(float), names(3, background=True))
    wrong = table.copy()
    wrong[:30] = np.roll(wrong[:30], 1, axis=1)
    worse = score_frames(table, wrong.astype(float), names(3, background=True))
    for metric in METRICS.values():
        assert metric.of(perfect) == 1.0
        assert metric.of(worse) < 1.0


def test_none_of_the_others_is_the_background():
    ethogram = Ethogram(("run", "rest"), background="rest")
    truth = np.array([[1, 0], [0, 0], [0, 0]], dtype=np.int8)
    scores = score_frames(truth, None, ethogram, decided=[[1, 0], [0, 0], [0, 1]])
    assert scores.confusion == ((1, 0), (0, 2))
    with pytest.raises(InputError, match=r"2 frames \(first: 1\) show none of run, rest"):
        score_frames(truth, None, Ethogram(("run", "rest")), decided=truth)


def test_an_absent_behaviour_has_no_score_and_no_part_in_a_mean():
    truth = hot(np.array([0, 0, 1, 1]), 3)
    values = np.array([[0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    scores = score_frames(truth, values, names(3))
    row = scores.behaviour("c")
    assert scores.absent == ("c",)
    assert row.precision is row.recall is row.f1 is row.auc is row.average_precision is None
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0.8) / 2)
    assert scores.balanced_accuracy == pytest.approx(0.75)
    assert "NaN" not in json.dumps(scores.to_dict())


def test_one_class_alone_has_no_kappa():
    scores = score_frames(np.ones((5, 1), np.int8), np.ones((5, 1)), names(1))
    assert scores.accuracy == 1.0
    assert scores.kappa is None
    assert scores.auc_micro is None
    assert kappa(np.zeros((2, 2))) is None


def test_the_majority_baseline():
    truth = hot(np.array([0] * 6 + [1] * 3 + [2]), 3)
    scores = majority_baseline(truth, names(3, background=True))
    assert scores.accuracy == 0.6
    assert scores.balanced_accuracy == pytest.approx(1 / 3)
    assert scores.macro_f1 == pytest.approx(0.75 / 3)
    assert scores.auc_macro == 0.5
    assert scores.map == pytest.approx((0.6 + 0.3 + 0.1) / 3)
    assert scores.kappa == 0.0
    rare = majority_baseline([[1, 1], [0, 1], [0, 0]], names(2, exclusive=False))
    assert [(r.tp, r.fp, r.tn, r.fn) for r in rare.behaviours] == [(0, 0, 2, 1), (2, 1, 0, 0)]


@pytest.mark.parametrize(
    ("truth", "values", "words"),
    [
        ([[1, 0]], [[0.5, 0.5], [0.5, 0.5]], r"must be \(1, 2\)"),
        ([[1, 0]], [[np.nan, 0.5]], "finite"),
        ([[-1, -1]], [[0.5, 0.5]], "none of the 1 frames is labelled"),
        ([[1, 1]], [[0.5, 0.5]], "has a and b, which are exclusive"),
        ([[1, 0]], None, "neither came"),
    ],
)
def test_what_cannot_be_scored_is_refused(truth, values, words):
    with pytest.raises(InputError, match=words):
        score_frames(truth, values, names(2))
