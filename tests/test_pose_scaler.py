"""Scaling: the numbers of all recordings together, whichever blocks they came in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import pose_recipe, pose_study

from murine.config import SplitSettings
from murine.errors import InputError
from murine.pose import Scaler, apply_scaler, fit_range, fit_scaler
from murine.pose.scaler import FIT
from murine.train.crossval import evaluate
from murine.train.runs import load_run
from murine.train.study import open_study


def recordings(seed: int, sizes: list[int], features: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(rng.uniform(-5, 900), 3, (n, features)).astype(np.float32) for n in sizes]
    for array in arrays:
        array[rng.random(array.shape) < 0.3] = np.nan
    return arrays


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 2**31))
def test_streaming_agrees_with_all_at_once(sizes: list[int], seed: int) -> None:
    arrays = recordings(seed, sizes)
    together = np.concatenate(arrays).astype(np.float64)
    scaler = fit_scaler(iter(arrays))
    for f in range(together.shape[1]):
        column = together[~np.isnan(together[:, f]), f]
        if len(column) == 0:
            assert (scaler.mean[f], scaler.std[f]) == (0.0, 1.0)
            continue
        assert scaler.mean[f] == pytest.approx(column.mean(), rel=1e-9)
        expected = column.std() if np.ptp(column) > 0 else 1.0
        assert scaler.std[f] == pytest.approx(expected, rel=1e-9)


def test_long_recording_far_from_zero_keeps_its_digits() -> None:
    """Sums of squares would lose a spread of 0.01 around 10,000; more frames than one block."""
    values = np.tile(np.array([[9999.0], [10001.0]]), (70_000, 1)) / 2
    scaler = fit_scaler([values])
    assert scaler.mean[0] == pytest.approx(5000, rel=1e-12)
    assert scaler.std[0] == pytest.approx(0.5, rel=1e-9)


def test_constant_and_empty_features_get_a_deviation_of_one() -> None:
    values = np.full((50, 3), np.nan, dtype=np.float32)
    values[:, 0] = 0.1
    values[:, 1] = 0
    values[::2, 1] = 1e-3
    scaler = fit_scaler([values])
    np.testing.assert_allclose(scaler.std, [1, 5e-4, 1], rtol=1e-6)
    np.testing.assert_allclose(scaler.mean, [0.1, 5e-4, 0], rtol=1e-6)


def test_scaled_training_values_have_mean_zero_and_deviation_one() -> None:
    arrays = recordings(5, [400, 300])
    scaler = fit_scaler(arrays)
    scaled = np.concatenate([scaler.apply(array) for array in arrays])
    missing = np.isnan(np.concatenate(arrays))
    assert scaled.dtype == np.float32
    assert (scaled[missing] == 0).all()
    for f in range(3):
        known = scaled[~missing[:, f], f]
        assert known.mean() == pytest.approx(0, abs=1e-3)
        assert known.std() == pytest.approx(1, abs=1e-3)


def test_applying_is_the_formula_with_missing_as_zero() -> None:
    values = np.array([[10.0, np.nan], [14.0, np.inf]], dtype=np.float32)
    np.testing.assert_array_equal(
        apply_scaler(values, [12, 3], [4, 2]), np.float32([[-0.5, 0], [0.5, 0]])
    )
    assert np.isnan(values[0, 1])


def test_infinite_values_do_not_count() -> None:
    scaler = fit_scaler([np.array([[1.0], [3.0], [np.inf]])])
    assert (scaler.mean[0], scaler.std[0]) == (2.0, 1.0)


def test_stored_form_gives_the_same_bits() -> None:
    scaler = fit_scaler(recordings(9, [40]))
    again = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    np.testing.assert_array_equal(scaler.mean, again.mean)
    np.testing.assert_array_equal(scaler.std, again.std)
    assert len(again) == 3


def test_range_is_least_and_greatest_of_all_training_recordings() -> None:
    first = np.array([[1.0, np.nan, 5.0], [3.0, np.nan, 5.0]])
    second = np.array([[2.0, np.nan, 5.0], [-1.0, np.inf, np.nan]])
    scaler = fit_range(iter([first, second]))
    np.testing.assert_array_equal(scaler.mean, [-1, 0, 5])
    np.testing.assert_array_equal(scaler.std, [4, 1, 1])
    np.testing.assert_allclose(scaler.apply(first), [[0.5, 0, 0], [1, 0, 0]])
    # A recording that is not among them may lie outside: it is not scaled by itself.
    np.testing.assert_allclose(scaler.apply(np.array([[7.0, 1.0, 6.0]])), [[2, 1, 1]])
    with pytest.raises(InputError, match="no training recording with pose"):
        fit_range([])
    with pytest.raises(InputError, match=r"must be \(T, 3\).*came \(3, 4\)"):
        fit_range([first, np.zeros((3, 4))])


@pytest.mark.parametrize("scaling", FIT)
def test_each_folds_scale_is_of_its_own_training_recordings(tmp_path: Path, scaling: str) -> None:
    study = pose_study(tmp_path, recordings=3)
    small = pose_recipe(epochs=1)
    recipe = replace(
        small, input=replace(small.input, pose_scaling=scaling), split=SplitSettings(validation=0.0)
    )
    opened = open_study(study, recipe)
    evaluate(study, recipe, out=tmp_path / "out")
    tables = {name: one.table("pose") for name, one in opened.prepared.items()}
    folders = [path.parent for path in (tmp_path / "out").rglob("model.json")]
    assert len(folders) == 3
    for folder in folders:
        (split,) = json.loads((folder / "splits.json").read_text())
        assert len(split["train"]) == 2
        expected = FIT[scaling](tables[name] for name in split["train"])
        scaler = load_run(folder).pose.scaler
        np.testing.assert_array_equal(scaler.mean, expected.mean)
        np.testing.assert_array_equal(scaler.std, expected.std)
        (left_out,) = set(tables) - set(split["train"])
        assert (
            not np.array_equal(FIT[scaling](tables.values()).mean, expected.mean) or scaling == "range"
        )
        assert not np.array_equal(FIT[scaling]([tables[left_out]]).mean, expected.mean)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: fit_scaler([]), "no training recording with pose"),
        (lambda: fit_scaler([np.zeros((3, 2)), np.zeros((3, 4))]), r"must be \(T, 2\).*came \(3, 4\)"),
        (
            lambda: apply_scaler(np.zeros((3, 4)), [0, 0], [1, 1]),
            "trained on 2 pose features and 4 came",
        ),
        (lambda: Scaler.from_dict({"mean": [0.0]}), "'mean' and 'std'; came mean"),
        (lambda: Scaler(np.zeros(2), np.zeros(2)), "must be .* positive"),
        (lambda: Scaler(np.zeros(2), np.ones(3)), "one mean and one std"),
    ],
)
def test_what_does_not_fit_is_refused(work, words: str) -> None:
    with pytest.raises(InputError, match=words):
        work()
