"""Every registered post-processing step keeps the promises of all steps."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import numpy as np
import pytest

from murine.errors import InputError
from murine.postprocess import STEPS, apply, decide
from murine.postprocess.base import ORDER
from murine.types import Ethogram, Prediction, Task, Timeline

ETHOGRAMS = (
    Ethogram(("groom", "rear", "rest")),
    Ethogram(("groom", "rear", "rest"), background="rest"),
    Ethogram(("groom", "rear", "rest"), exclusive=False),
    Ethogram(("groom",)),
    Ethogram(("groom",), exclusive=False),
    Ethogram.of_tasks(
        [
            Task("pose", ("groom", "rear", "rest"), background="rest"),
            Task("more", ("sniff",), exclusive=False),
        ]
    ),
)
TIMELINES = (
    Timeline.uniform(1, 25.0),
    Timeline.uniform(2, 25.0),
    Timeline.uniform(200, 25.0),
    Timeline(np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, 150))),
)


WITHOUT_DURATION = {"thresholds": ("margin", (0.01, 0.3, 0.9)), "scaling": ("temperature", (0.5, 2.0))}
"""Steps that have none: the setting that makes them do something, and values of it."""


def duration(name: str) -> str:
    """The step's setting that means a duration, or what it has instead."""
    if name in WITHOUT_DURATION:
        return WITHOUT_DURATION[name][0]
    (found,) = (f.name for f in fields(STEPS[name]) if f.name in {"seconds", "mean_bout_s"})
    return found


def tried(name: str) -> tuple[float, ...]:
    return WITHOUT_DURATION[name][1] if name in WITHOUT_DURATION else (0.01, 0.3, 2.0, 1000.0)


def probabilities(ethogram: Ethogram, timeline: Timeline) -> np.ndarray:
    rng = np.random.default_rng(7)
    if ethogram.tasks:
        whole = rng.random((len(timeline), len(ethogram)))
        for part in (ethogram.columns(task) for task in ethogram.tasks if task.exclusive):
            whole[:, part] /= whole[:, part].sum(axis=1, keepdims=True)
        return whole.astype(np.float32)
    if ethogram.exclusive:
        return rng.dirichlet(np.ones(len(ethogram)), len(timeline)).astype(np.float32)
    return rng.random((len(timeline), len(ethogram))).astype(np.float32)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("ethogram", ETHOGRAMS)
@pytest.mark.parametrize("timeline", TIMELINES, ids=len)
def test_a_step_at_nothing_does_nothing_and_at_any_duration_stays_valid(name, ethogram, timeline):
    values = probabilities(ethogram, timeline)
    prediction = Prediction("r", ethogram, values, timeline)
    plain = apply(prediction)
    assert apply(prediction, [STEPS[name]()]).intervals() == plain.intervals()
    on_bouts = STEPS[name].kind == "bouts"
    for seconds in tried(name):
        step = STEPS[name](**{duration(name): seconds})
        given = decide(values, ethogram) if on_bouts else values
        before = given.copy()
        result = step(given, timeline, ethogram)
        assert np.array_equal(given, before)
        assert result.shape == values.shape
        assert np.isfinite(result).all()
        assert result.min() >= 0
        assert result.max() <= 1
        if step.kind != "probabilities":
            assert result.dtype == bool
            if ethogram.exclusive:
                assert (result.sum(axis=1) == 1).all()
            for part in (ethogram.columns(task) for task in ethogram.tasks if task.exclusive):
                assert (result[:, part].sum(axis=1) == 1).all()
        bouts = apply(prediction, [step])
        assert bouts.n_frames == len(timeline)
        assert bouts.annotated.tolist() == [[0, len(timeline)]]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_frozen_named_and_checks_its_durations(name):
    step = STEPS[name]()
    assert is_dataclass(step)
    assert step.kind in ORDER
    assert type(step).__doc__
    with pytest.raises(FrozenInstanceError):
        setattr(step, duration(name), 1.0)
    for wrong in (-0.1, float("nan"), float("inf"), "1", None, True):
        with pytest.raises(InputError, match=duration(name)):
            STEPS[name](**{duration(name): wrong})
