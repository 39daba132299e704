"""The last, incomplete window of a recording, and recordings shorter than a window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import clip_study, video_recipe
from test_dataset import dataset, recording, table

from murine.config import WindowSettings
from murine.data.windows import plan
from murine.errors import InputError
from murine.predict import predict
from murine.predictions import read_prediction
from murine.progress import Silent
from murine.train.run import train
from murine.train.study import open_study


def starts(lengths: list[int], window: WindowSettings, **arguments: object) -> list[tuple[int, int]]:
    data = dataset([recording(table([0] * n)) for n in lengths], window, **arguments)
    return [(int(item["recording"]), int(item["start"])) for item in data]


KEEP, DROP = WindowSettings(4), WindowSettings(4, tail="drop")


def test_the_incomplete_window_at_the_end_is_moved_back_or_dropped() -> None:
    assert starts([10, 8], KEEP, train=True) == [(0, 0), (0, 4), (0, 6), (1, 0), (1, 4)]
    assert starts([10, 8], DROP, train=True) == [(0, 0), (0, 4), (1, 0), (1, 4)]
    overlapping = replace(DROP, train_stride_s=0.3)
    assert starts([12], replace(overlapping, tail="keep"), train=True) == [
        (0, 0),
        (0, 3),
        (0, 6),
        (0, 8),
    ]
    assert starts([12], overlapping, train=True) == [(0, 0), (0, 3), (0, 6)]
    assert starts([7], WindowSettings(0, tail="drop"), train=True) == [(0, 0)]


def test_validation_and_prediction_keep_every_sample() -> None:
    assert starts([10, 3], DROP) == [(0, 0), (0, 4), (0, 6), (1, 0)]


def test_a_recording_shorter_than_a_window_is_padded_or_left_out() -> None:
    data = dataset([recording(table([0, 1, 1])), recording(table([2] * 6))], KEEP, train=True)
    item = data[0]
    assert item["mask"].tolist() == [True, True, True, False]
    assert item["target"].tolist() == [0, 1, 1, -1]
    assert item["rgb"][0, :, 0, 0].tolist() == [0, 1, 2, 2]
    assert item["pose"][3].tolist() == [0, 0]
    assert starts([3, 6], DROP, train=True) == [(1, 0)]
    message = r"none of 2 training recordings is as long as a window of 4 .* longest has 3.*tail"
    with pytest.raises(InputError, match=message):
        dataset([recording(table([0] * n)) for n in (2, 3)], DROP, train=True)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), size=st.integers(1, 12), stride=st.integers(1, 12))
def test_what_is_left_are_the_whole_windows_of_the_plan(n: int, size: int, stride: int) -> None:
    stride = min(stride, size)
    window = WindowSettings(size, train_stride_s=stride / 10, tail="drop")
    expected = [
        (0, int(start))
        for start, stop in zip(*(getattr(plan(n, size, stride), side) for side in ("start", "stop")), strict=True)
        if stop <= n and start % stride == 0
    ]  # fmt: skip
    if not expected:
        with pytest.raises(InputError, match="as long as a window"):
            starts([n], window, train=True)
    else:
        assert starts([n], window, train=True) == expected


@pytest.mark.parametrize("balance", ["overlap", "duplicate", "draw"])
def test_balancing_adds_no_incomplete_window(balance: str) -> None:
    data = dataset(
        [recording(table([0] * 30 + [1] * 6 + [0] * 3)), recording(table([1, 1, 1]))],
        DROP, train=True, balance=balance,
    )  # fmt: skip
    for item in data:
        assert item["mask"].all()
        assert int(item["recording"]) == 0


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(
    ("tail", "done"), [("keep", "their last picture is repeated"), ("drop", "left out of training")]
)
def test_a_study_says_which_recordings_are_short(tmp_path: Path, tail: str, done: str) -> None:
    folder = clip_study(tmp_path, 4, 10)
    recipe = video_recipe(1)
    heard = Heard()
    open_study(folder, recipe, progress=heard)
    assert not any("shorter" in text for text in heard.said)
    long = replace(recipe, window=WindowSettings(frames=12, tail=tail))
    open_study(folder, long, progress=heard)
    (said,) = [text for text in heard.said if "shorter" in text]
    assert said.startswith(
        "4 of 4 recordings are shorter than a window of 12 samples (10 samples: c0, c1, c2 and 1 more)"
    )
    assert done in said


def test_a_network_of_short_clips_is_trained_or_refused(tmp_path: Path) -> None:
    folder = clip_study(tmp_path, 4, 3)
    recipe = video_recipe(1)
    dropping = replace(recipe, window=replace(recipe.window, tail="drop"))
    with pytest.raises(InputError, match=r"none of 4 training recordings is as long as a window of 4"):
        train(folder, dropping, name="none")
    assert not (folder / "models" / "none").exists()
    run_folder = train(folder, recipe, name="padded")
    heard = Heard()
    (written,) = predict(run_folder, [tmp_path / "c1.mkv"], tmp_path / "out", progress=heard)
    assert read_prediction(written).probabilities.shape == (3, 2)
    assert [text for text in heard.said if text.startswith("c1: 3 samples are shorter")]
    assert np.isfinite(read_prediction(written).probabilities).all()
