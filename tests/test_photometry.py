"""Brightness and colour; day made to look like night, from the pictures of a study to a trained network's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_study import FPS, video_recipe, video_study

from murine.config import InputSettings
from murine.data.night import night_of, night_reference
from murine.data.prepare import prepare
from murine.data.source import open_source
from murine.errors import InputError
from murine.predict import predict
from murine.predict.inputs import find_jobs, open_job
from murine.predictions import read_prediction
from murine.project import Project, load_project, save_project
from murine.train.run import train
from murine.train.runs import load_run
from murine.train.study import open_study
from murine.types import Recording
from murine.video import StreamSpec, open_video, stream_chunks, write_video
from murine.video.photometry import PHOTOMETRY, Light, luminance, measure_light

FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
NIGHT = (60.0, 40.0, 20.0)
SETTINGS = InputSettings(size=(32, 32), photometry="nightify")


def test_raw_and_grey() -> None:
    assert set(PHOTOMETRY) == {"raw", "grey", "nightify"}
    stack = np.stack([FRAME, FRAME[::-1]])
    assert PHOTOMETRY["raw"](stack) is stack
    exact = stack @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luminance(stack) - exact).max() <= 0.51
    grey = PHOTOMETRY["grey"](stack)
    assert grey.shape == stack.shape
    assert np.array_equal(grey[0, ..., 2], cv2.cvtColor(FRAME, cv2.COLOR_RGB2GRAY))
    with pytest.raises(InputError, match="Did you mean 'grey'"):
        PHOTOMETRY["gray"]


def test_day_becomes_its_share_of_the_night() -> None:
    """Mean R, G, B of the night weight the [0, 1] values of the day, back to 0..255 (section 3.1)."""
    stack = np.stack([FRAME, FRAME[::-1]])
    expected = np.floor(stack / 255 * np.array(NIGHT) + 0.5)
    got = PHOTOMETRY["nightify"](stack, NIGHT)
    assert np.array_equal(got, expected)
    assert got.dtype == np.uint8
    assert PHOTOMETRY["nightify"](stack) is stack
    white = PHOTOMETRY["nightify"](np.full((1, 1, 3), 255, np.uint8), NIGHT)
    assert white.ravel().tolist() == [60, 40, 20]


def film(path: Path, colour: tuple[int, int, int], frames: int = 40) -> Path:
    """A patch that walks over a floor of one colour."""
    pictures = np.full((frames, 64, 64, 3), colour, dtype=np.uint8)
    for n in range(frames):
        pictures[n, 20:36, 4 + n % 40 : 20 + n % 40] //= 2
    write_video(path, pictures, FPS, lossless=True)
    return path


@pytest.mark.parametrize(
    ("colour", "night"),
    [((120, 120, 120), True), ((200, 180, 150), False), ((60, 20, 10), True), ((160, 163, 160), True)],
)
def test_pictures_without_colour_or_light_are_night(
    tmp_path: Path, colour: tuple[int, int, int], night: bool
) -> None:
    light = measure_light(open_video(film(tmp_path / "a.mkv", colour)))
    share = 1 - 0.5 * 16 * 16 / 64**2
    assert light.mean == pytest.approx(np.array(colour) * share, abs=1)
    assert light.colour == pytest.approx((max(colour) - min(colour)) * share, abs=1)
    assert light.is_night == night
    assert Light((39.0, 39.0, 39.0), 50.0).is_night


def study(folder: Path, cells: tuple[str, ...] = ("no", "yes", "No ", "NIGHT")) -> Project:
    """Four recordings, two of the day (orange) and two of the night (grey, of different brightness)."""
    colours = ((220, 160, 90), (80, 80, 80), (200, 150, 80), (40, 40, 44))
    recordings = tuple(
        Recording(f"r{i}", video=film(folder / f"r{i}.mkv", colour), groups={"night": cell})
        for i, (colour, cell) in enumerate(zip(colours, cells, strict=True))
    )
    save_project(
        Project(folder, "light", load_project(video_study(folder / "x", 1, 20)).ethogram, recordings)
    )
    return load_project(folder)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return study(tmp_path_factory.mktemp("light"))


def test_the_night_is_the_mean_of_the_night_recordings(light: Project) -> None:
    share = 1 - 0.5 * 16 * 16 / 64**2
    for settings in (SETTINGS, replace(SETTINGS, night="measured")):
        night = night_reference(light, settings)
        assert night == pytest.approx(np.array([60, 60, 62]) * share, abs=1)
        assert night_reference(light, settings) == night  # from the cache
    assert night_reference(light, replace(SETTINGS, photometry="grey")) is None


def test_night_recordings_stay_and_day_ones_are_weighted(light: Project) -> None:
    night = night_reference(light, SETTINGS)
    keys = set()
    for recording, is_night in zip(light.recordings, (False, True, False, True), strict=True):
        raw = prepare(light, recording, replace(SETTINGS, photometry="raw"), ("rgb", "flow"))
        dark = prepare(light, recording, SETTINGS, ("rgb", "flow"), night=night)
        assert night is not None
        expected = np.asarray(raw.streams["rgb"])
        if not is_night:
            expected = PHOTOMETRY["nightify"](expected, night)
        assert np.array_equal(dark.streams["rgb"], expected)
        other = open_source(recording, SETTINGS, ("rgb",), night=(9.0, 9.0, 9.0)).keys()["rgb"]
        assert (other == dark.keys["rgb"]) == is_night
        keys |= {raw.keys["rgb"], dark.keys["rgb"], other}
    assert len(keys) == 4 * 3 - 2


def test_flow_sees_the_night(light: Project) -> None:
    spec = StreamSpec(size=(32, 32), photometry="nightify", night=NIGHT, flow_encoding="uv")
    samples = np.arange(4)
    video = open_video(light.recordings[0].video)  # type: ignore[arg-type]
    got = next(iter(stream_chunks(video, samples, spec)))[1]
    plain = next(iter(stream_chunks(video, samples, replace(spec, photometry="raw"))))[1]
    assert np.array_equal(got["rgb"], PHOTOMETRY["nightify"](plain["rgb"], NIGHT))
    assert not np.array_equal(got["flow"], plain["flow"])


def test_a_night_that_nobody_can_tell_is_asked_for(light: Project, tmp_path: Path) -> None:
    days = replace(light, recordings=light.recordings[::2])
    with pytest.raises(InputError, match=r"none of 2 is marked so in column 'night'.*photometry=raw"):
        night_reference(days, SETTINGS)
    with pytest.raises(InputError, match="none of 2 is dark or without colour"):
        night_reference(days, replace(SETTINGS, night="measured"))
    with pytest.raises(InputError, match=r"column 'lamp' .* does not tell for r0, r1, r2 and 1 more"):
        night_reference(light, replace(SETTINGS, night="lamp"))
    odd = replace(light.recordings[1], groups={"night": "perhaps"})
    with pytest.raises(InputError, match=r"recording 'r1': .*expected yes or no, came 'perhaps'"):
        night_reference(replace(light, recordings=(light.recordings[0], odd)), SETTINGS)
    with pytest.raises(InputError, match="needs the mean colours of the night"):
        open_source(light.recordings[0], SETTINGS, ("rgb",))


def test_a_file_of_no_project_is_measured(light: Project) -> None:
    for recording, expected in zip(light.recordings, (NIGHT, None, NIGHT, None), strict=True):
        alone = replace(recording, groups={})
        videos = {"video": open_video(alone.video)}  # type: ignore[arg-type]
        assert night_of(alone, SETTINGS, videos, NIGHT) == expected
        wrong = replace(recording, groups={"night": "yes" if expected else "no"})
        assert night_of(wrong, SETTINGS, videos, NIGHT) == (None if expected else NIGHT)
        measured = replace(SETTINGS, night="measured")
        assert night_of(wrong, measured, videos, NIGHT) == expected


def test_a_trained_network_keeps_its_night(tmp_path: Path) -> None:
    """Prediction of a day video uses the night of the training study, whatever lies beside it."""
    folder = video_study(tmp_path, 3)
    day, dark = film(tmp_path / "day.mkv", (220, 160, 90)), film(tmp_path / "dark.mkv", (30, 30, 30))
    project = load_project(folder)
    recipe = video_recipe(1)
    recipe = replace(recipe, input=replace(recipe.input, photometry="nightify"))
    with pytest.raises(InputError, match=r"column 'night' of .* does not tell for v0, v1, v2"):
        open_study(folder, recipe)
    cells = ("no", "no", "yes")
    rows = (replace(r, groups={"night": c}) for r, c in zip(project.recordings, cells, strict=True))
    save_project(replace(project, recordings=tuple(rows)))
    run_folder = train(folder, recipe)
    run = load_run(run_folder)
    assert run.night == night_reference(load_project(folder), recipe.input)
    jobs = find_jobs(run, [day, dark, folder], None)
    looks = {job.recording.id: open_job(run, job).night for job in jobs}
    assert looks == {"day": run.night, "dark": None, "v0": run.night, "v1": run.night, "v2": None}
    (written,) = predict(run_folder, [day], tmp_path / "out")
    assert read_prediction(written).probabilities.shape == (40, 2)
    description = json.loads((run_folder / "model.json").read_text())
    description["extra"]["night"] = [1, 2]
    (run_folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="damaged"):
        load_run(run_folder)
