"""A part of the pictures: any in training, the middle elsewhere; all frames and streams at the same place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import video_recipe, video_study
from test_dataset import dataset, table

from murine.config import InputSettings, Recipe, WindowSettings
from murine.data.augment import AUGMENT, check_augment, cut_clip
from murine.data.dataset import WindowDataset, collate
from murine.data.prepared import Prepared
from murine.data.windows import plan, sample_frames
from murine.errors import ConfigError, InputError
from murine.predict import PreparedSource
from murine.predict.stream import SampleReader, predict_recording, window_batch
from murine.train.checking import recipe_faults
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.study import open_study
from murine.types import Ethogram, Timeline

HEIGHT, WIDTH = 12, 20
CUT = (8, 11)


def places() -> Prepared:
    """Pictures whose values tell row and column, in both streams."""
    rgb = np.zeros((6, HEIGHT, WIDTH, 3), np.uint8)
    rgb[..., 0] = np.arange(HEIGHT)[:, None]
    rgb[..., 1] = np.arange(WIDTH)
    rgb[..., 2] = np.arange(6)[:, None, None]
    flow = np.ascontiguousarray(rgb[..., :2])
    timeline = Timeline.uniform(6, 10.0)
    return Prepared(
        "r", {"rgb": rgb, "flow": flow}, table([0, 1, 0, 1, 2, 2]), sample_frames(timeline, 0),
        timeline, Ethogram(("a", "b", "c")),
    )  # fmt: skip


def windows(train: bool, *augment: str) -> WindowDataset:
    return dataset([places()], WindowSettings(3), train=train, augment=augment, cut_size=CUT)


def corner(item: dict[str, torch.Tensor]) -> tuple[int, int]:
    rgb, flow = item["rgb"], item["flow"]
    assert rgb.shape == (3, 3, *CUT)
    top, left = int(rgb[0, 0, 0, 0]), int(rgb[1, 0, 0, 0])
    for stream in (rgb, flow):
        assert torch.equal(stream[0], (torch.arange(CUT[0]) + top)[:, None].expand(3, *CUT))
        assert torch.equal(stream[1], (torch.arange(CUT[1]) + left).expand(3, *CUT))
    return top, left


def test_training_sees_any_part_and_all_frames_and_streams_the_same() -> None:
    data = windows(True, "random_crop")
    seen = set()
    for epoch in range(120):
        data.set_epoch(epoch)
        seen.add(corner(data[0]))
    assert {top for top, _ in seen} == set(range(HEIGHT - CUT[0] + 1))
    assert {left for _, left in seen} == set(range(WIDTH - CUT[1] + 1))
    assert len(seen) > 25
    data.set_epoch(3)
    assert corner(data[1]) == corner(data[1])


def test_without_it_and_in_evaluation_the_middle_is_seen() -> None:
    for data in (windows(True), windows(False), windows(False, "random_crop")):
        assert {corner(item) for item in data} == {(2, 4)}


def test_prediction_sees_what_validation_sees() -> None:
    prepared, items = places(), windows(False)
    expected = collate([items[i] for i in range(len(items))])
    recipe = Recipe("x", input=InputSettings(size=(HEIGHT, WIDTH), cut_size=CUT))
    reader = SampleReader(PreparedSource(prepared), 0)
    cut = plan(6, 3, 3)
    run = load_like(recipe)
    batch = window_batch(reader, cut, range(len(cut)), run)
    assert torch.equal(batch["rgb"], expected["rgb"])
    assert torch.equal(batch["flow"], expected["flow"])


def load_like(recipe: Recipe) -> object:
    class Run:
        pose = None

    run = Run()
    run.recipe = recipe  # type: ignore[attr-defined]
    return run


def test_a_part_is_drawn_from_its_generator_alone() -> None:
    clip = {name: np.asarray(values) for name, values in places().streams.items()}
    part = cut_clip(clip, CUT, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    top, left = int(rng.integers(HEIGHT - CUT[0] + 1)), int(rng.integers(WIDTH - CUT[1] + 1))
    assert np.array_equal(part["rgb"], clip["rgb"][:, top : top + CUT[0], left : left + CUT[1]])


@pytest.mark.parametrize("name", ["brightness", "contrast"])
def test_jitter_changes_all_frames_of_a_window_alike_and_no_motion(name: str) -> None:
    rng = np.random.default_rng(0)
    clip = {
        "rgb": rng.integers(60, 190, (3, 4, 5, 3), dtype=np.uint8),
        "flow": rng.integers(0, 256, (3, 4, 5, 2), dtype=np.uint8),
    }
    changed = AUGMENT[name].apply(clip, np.random.default_rng(2))
    assert np.array_equal(changed["flow"], clip["flow"])
    assert not np.array_equal(changed["rgb"], clip["rgb"])
    for level in np.unique(clip["rgb"]):
        assert len(np.unique(changed["rgb"][clip["rgb"] == level])) == 1, "frames of a window differ"


def test_a_study_trained_on_parts_predicts_on_parts(tmp_path: Path) -> None:
    study = video_study(tmp_path / "study", n=30)
    given = video_recipe(epochs=1, augment=("random_crop", "mirror"))
    given = replace(given, input=replace(given.input, size=(72, 80), cut_size=(64, 64)))
    folder = train(study, given, folder=tmp_path / "run")
    run = load_run(folder)
    assert tuple(run.model.configuration["settings"]["size"]) == (64, 64)
    prepared = open_study(study, given).prepared["v0"]
    assert prepared.streams["rgb"].shape[1:] == (72, 80, 3)
    whole = predict_recording(run, PreparedSource(prepared)).probabilities
    # the same network on a recording that was cut to the middle before
    cut = {name: np.asarray(v[:])[:, 4:68, 8:72] for name, v in prepared.streams.items()}
    plain = replace(run, recipe=replace(given, input=InputSettings(size=(64, 64))))
    middle = predict_recording(plain, PreparedSource(replace(prepared, streams=cut))).probabilities
    assert np.array_equal(whole, middle)


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a part of size, which is \[128, 128\]"):
        InputSettings(cut_size=(160, 100))
    with pytest.raises(ConfigError, match="at least 8"):
        InputSettings(cut_size=(100, 0))
    with pytest.raises(InputError, match="pose would stay as it is"):
        check_augment(["random_crop"], ["rgb", "pose"])
    given = video_recipe(augment=("random_crop",))
    assert any("its size is input.cut_size" in fault for fault in recipe_faults(given))
