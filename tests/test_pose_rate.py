"""Pose at another frame rate: splines between known frames, labels carried on, predictions of the frames there were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from small_study import ETHOGRAM, FPS, make_pose, pose_study

from murine.cache import Cache
from murine.config import InputSettings, Recipe, SplitSettings, TrainingSettings, WindowSettings
from murine.data.prepare import prepare
from murine.data.rates import at_rate
from murine.data.source import open_source
from murine.data.windows import samples_per
from murine.errors import InputError
from murine.formats import write_pose
from murine.pose.rate import at_times, found_at
from murine.predict import predict
from murine.predictions import read_prediction
from murine.progress import Silent
from murine.project import load_project
from murine.train.checking import recipe_faults
from murine.train.run import train
from murine.types import Pose, Recording, Timeline

NAN = np.nan


def one_point(x: np.ndarray) -> Pose:
    return Pose(np.stack([x, 100 - x], -1)[:, None, None], ("a",), ("nose",))


def test_three_times_the_frames_is_the_published_spline() -> None:
    """The EPFL release interpolates with scipy's quadratic interp1d: the same curve, to float32."""
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(0, 3, 60)) + 200
    times = np.arange(60) / 30
    moments = np.arange(59 * 3 + 1) / 90
    fine = at_times(one_point(x), times, moments)
    expected = interp1d(times, np.float32(x), kind="quadratic")(moments.clip(max=times[-1]))
    np.testing.assert_allclose(fine.xy[:, 0, 0, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(fine.xy[::3, 0, 0, 0], np.float32(x))


@settings(max_examples=30, deadline=None)
@given(a=st.floats(-3, 3), b=st.floats(-30, 30), fps=st.floats(7, 200))
def test_a_parabola_comes_back_at_any_rate(a: float, b: float, fps: float) -> None:
    times = np.arange(40) / 30
    moments = np.arange(int(times[-1] * fps)) / fps
    fine = at_times(one_point(100 + b * times + a * times**2), times, moments)
    np.testing.assert_allclose(fine.xy[:, 0, 0, 0], 100 + b * moments + a * moments**2, atol=2e-4)


def test_no_gap_is_bridged_and_nothing_is_extrapolated() -> None:
    x = np.array([NAN, 1, 2, 3, NAN, 5, 6, NAN, 8, NAN])
    times = np.arange(10.0)
    fine = at_times(one_point(x), times, np.arange(19) / 2)
    expected = [NAN, NAN, 1, 1.5, 2, 2.5, 3, NAN, NAN, NAN, 5, 5.5, 6, NAN, NAN, NAN, 8, NAN, NAN]
    np.testing.assert_allclose(fine.xy[:, 0, 0, 0], expected, atol=1e-5)
    found = found_at(~np.isnan(x)[:, None, None], times, np.arange(19) / 2)[:, 0, 0]
    np.testing.assert_array_equal(found, ~np.isnan(expected))


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 60),
    fps=st.sampled_from([5.0, 25.0, 30.0, 59.94]),
    other=st.sampled_from([5.0, 10.0, 30.0, 90.0, 100.0]),
    spacing_s=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 100),
)
def test_every_frame_has_the_nearest_sample_and_every_sample_the_next_frames_labels(
    frames: int, fps: float, other: float, spacing_s: float, seed: int
) -> None:
    steps = np.random.default_rng(seed).uniform(0.7, 1.3, frames) / fps
    times = np.cumsum(steps)
    rate = at_rate(Timeline(times), other, spacing_s)
    moments = rate.outer.moments
    assert len(rate.outer) == len(rate.inner) == len(moments)
    np.testing.assert_allclose(moments, rate.timeline.times[rate.inner.samples])
    for t, sample in zip(times, rate.outer.owner, strict=True):
        assert abs(moments[sample] - t) <= np.abs(moments - t).min() + 1e-5
    for moment, frame in zip(moments, rate.outer.samples, strict=True):
        later = np.flatnonzero(times >= moment - 1e-6 / fps)
        assert frame == (later[0] if len(later) else frames - 1)


def test_three_times_and_back_is_the_identity() -> None:
    rate = at_rate(Timeline.uniform(50, 30.0), 90.0, 0.0)
    assert len(rate.outer) == 49 * 3 + 1
    np.testing.assert_array_equal(rate.outer.owner, np.arange(50) * 3)
    # Frames 0, 1, 1, 1, 2, 2, 2, ...: the published "label of the next frame".
    np.testing.assert_array_equal(rate.outer.samples, np.ceil(np.arange(148) / 3))
    assert samples_per(1.0, Timeline.uniform(50, 30.0), rate.outer) == 90
    with pytest.raises(InputError, match="a frame rate must be a positive number"):
        at_rate(Timeline.uniform(50, 30.0), 0.0, 0.0)


def test_a_prepared_recording_at_three_times_its_rate(tmp_path: Path) -> None:
    project = load_project(pose_study(tmp_path, recordings=1))
    families = ("coordinates", "speeds")
    given = InputSettings(pose_features=families, pose_fps=3 * FPS)
    fine = prepare(project, project.recordings[0], given, ("pose",), Cache(tmp_path / "cache"))
    plain = prepare(
        project, project.recordings[0], replace(given, pose_fps=0), ("pose",), Cache(tmp_path / "cache")
    )
    assert len(fine) == 119 * 3 + 1
    np.testing.assert_array_equal(fine.table("pose")[::3, :6], plain.table("pose")[:, :6])
    np.testing.assert_array_equal(fine.target[fine.sampling.owner], plain.target)
    np.testing.assert_array_equal(fine.target[1:4], np.repeat(plain.target[1:2], 3, axis=0))
    # Speeds are per second, whatever the rate.
    assert np.nanmean(fine.table("pose")[:, 6:]) == pytest.approx(
        np.nanmean(plain.table("pose")[:, 6:]), rel=0.15
    )
    assert fine.keys["pose"] != plain.keys["pose"]


def recipe(**input_settings: object) -> Recipe:
    return Recipe(
        "small",
        model="ms_tcn_pp",
        model_settings={
            "maps": 8,
            "generator_layers": 3,
            "refinement_stages": 1,
            "refinement_layers": 3,
        },
        input=InputSettings(pose_features=("speeds", "distances"), **input_settings),  # type: ignore[arg-type]
        window=WindowSettings(frames=0),
        training=TrainingSettings(epochs=2, batch_size=2, loss="cross_entropy", optimizer="adam"),
        split=SplitSettings(validation=0.0),
    )


def test_networks_learn_at_another_rate_and_predict_the_frames_there_are(tmp_path: Path) -> None:
    study = pose_study(tmp_path, recordings=3)
    folder = train(study, recipe(pose_fps=3 * FPS))
    (path,) = predict(folder, [tmp_path / "m0_pose.csv"], tmp_path / "out", fps=FPS)
    assert len(read_prediction(path)) == 120


class Told(Silent):
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def test_another_frame_rate_than_the_networks_is_brought_to_it_and_said(
    tmp_path: Path,
) -> None:
    """The same walk filmed at twice the rate is predicted as the walk at the network's own rate."""
    study = pose_study(tmp_path, recordings=3)
    run = train(study, recipe())
    pose, _ = make_pose(120, 0)
    times = np.arange(120) / FPS
    moments = np.arange(239) / (2 * FPS)
    twice = at_times(pose, times, moments)
    write_pose(tmp_path / "twice.csv", twice)
    write_pose(tmp_path / "once.csv", pose)
    source = open_source(
        Recording("twice", pose=tmp_path / "twice.csv", fps=2 * FPS),
        recipe().input,
        ("pose",),
        learned_fps=FPS,
    )
    assert source.settings.pose_fps == FPS
    assert len(source.sampling) == 120
    same = open_source(
        Recording("once", pose=tmp_path / "once.csv", fps=FPS * 1.01),
        recipe().input,
        ("pose",),
        learned_fps=FPS,
    )
    assert same.settings.pose_fps == 0
    told = Told()
    paths = [
        predict(run, [tmp_path / f"{name}.csv"], tmp_path / "out", fps=fps, progress=told)[0]
        for name, fps in (("twice", 2 * FPS), ("once", FPS))
    ]
    (said,) = (m for m in told.messages if "brought" in m)
    assert said.startswith(
        "twice: 20 frames/s, and the network learned 10: the pose is brought to those"
    )
    found = [read_prediction(path).probabilities for path in paths]
    assert found[0].shape == (239, len(ETHOGRAM))
    np.testing.assert_allclose(found[0][::2], found[1], atol=1e-4)


def test_models_of_pictures_cannot_have_it(tmp_path: Path) -> None:
    faults = recipe_faults(replace(recipe(pose_fps=60.0), model="srs_sharing", model_settings={}))
    assert any("input.pose_fps: brings pose alone to another frame rate" in fault for fault in faults)
