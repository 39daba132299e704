"""Several videos of one recording as one picture: stacked, each with its own flow, never of other lengths."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import ETHOGRAM, FPS, draw, video_recipe, walk
from video_samples import numbered

from murine.config import InputSettings
from murine.data.prepare import prepare
from murine.data.source import open_source
from murine.data.splits import Split, check_leak
from murine.errors import ConfigError, InputError, LeakError, ProjectError
from murine.formats import write_labels
from murine.predict import predict
from murine.predict.inputs import find_jobs, open_job
from murine.predictions import read_prediction
from murine.project import Project, check, load_project, save_project
from murine.project.gather import with_columns
from murine.train.checking import recipe_faults
from murine.train.run import train
from murine.train.runs import load_run
from murine.types import Bouts, Recording, Timeline
from murine.video import StreamSpec, open_video, stream_chunks, write_video
from murine.video.flow import ENCODINGS, FLOW_METHODS
from murine.video.geometry import resize
from murine.video.photometry import PHOTOMETRY, luminance
from murine.video.views import check_same_frames

N = 24
TOP, BELOW = numbered(N, 60, 80), numbered(N, 48, 96, first=500, seed=3)[:, ::-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views")
    write_video(path / "top.mkv", TOP, FPS, lossless=True)
    write_video(path / "below.mkv", BELOW, FPS, lossless=True)
    return path


@pytest.fixture
def recording(folder: Path) -> Recording:
    return Recording("a", video=folder / "top.mkv", views={"video2": folder / "below.mkv"})


def collect(source: object, start: int = 0, chunk: int = 7) -> dict[str, np.ndarray]:
    parts = [part for _, part in source.chunks(start, chunk)]  # type: ignore[attr-defined]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize(("photometry", "method"), [("grey", "farneback"), ("raw", "tvl1_torch")])
def test_views_are_stacked_and_flow_is_of_each(
    recording: Recording, photometry: str, method: str
) -> None:
    settings = InputSettings(
        size=(48, 64), views=("video", "video2"), photometry=photometry, flow=method,
        flow_encoding="uv", flow_limit=8.0, spacing_s=0.4,
    )  # fmt: skip
    got = collect(open_source(recording, settings, ("rgb", "flow")))
    change = PHOTOMETRY[photometry]
    samples = range(0, N, 4)
    films = [
        open_video(path).frames(indices=samples, size=(24, 64)) for path in recording.videos.values()
    ]
    views = [np.stack([change(frame) for frame in film]) for film in films]
    assert np.array_equal(got["rgb"], np.concatenate(views, axis=1))
    for i in range(1, len(views[0])):
        for v, view in enumerate(views):
            flow = FLOW_METHODS[method](luminance(view[i - 1]), luminance(view[i]))
            part = got["flow"][i, 24 * v : 24 * (v + 1)]
            assert np.array_equal(part, ENCODINGS["uv"](flow, 8.0)), (i, v)
    assert np.array_equal(got["flow"][0], got["flow"][1])


def test_motion_does_not_cross_the_seam(tmp_path: Path) -> None:
    """The upper view moves, the lower one stands still: its first row must not know of it."""
    still = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mkv", numbered(8, 64, 64), FPS, lossless=True)
    write_video(tmp_path / "b.mkv", [still] * 8, FPS, lossless=True)
    recording = Recording("a", video=tmp_path / "a.mkv", views={"video2": tmp_path / "b.mkv"})
    settings = InputSettings(
        size=(64, 32), views=("video", "video2"), flow="tvl1_torch", flow_encoding="uv"
    )
    flow = collect(open_source(recording, settings, ("flow",)))["flow"]
    assert (flow[:, 32:] == 128).all()
    assert (flow[:, :32] != 128).any()
    turned = replace(settings, views=("video2", "video"))
    assert (collect(open_source(recording, turned, ("flow",)))["flow"][:, :32] == 128).all()


def test_one_of_several_views_may_be_seen_alone(recording: Recording, folder: Path) -> None:
    """One network for each camera: the same labels, another video."""
    settings = InputSettings(size=(48, 96), views=("video2",))
    got = collect(open_source(recording, settings, ("rgb",)))
    assert np.array_equal(got["rgb"], BELOW)
    alone = Recording("b", video=folder / "below.mkv")
    assert np.array_equal(
        collect(open_source(alone, replace(settings, views=()), ("rgb",)))["rgb"], BELOW
    )


def test_neither_start_nor_chunk_matter(recording: Recording) -> None:
    settings = InputSettings(size=(32, 32), views=("video", "video2"))
    source = open_source(recording, settings, ("rgb", "flow"))
    whole = collect(source, 0, 256)
    for start, chunk in ((0, 1), (5, 3), (23, 2)):
        part = collect(source, start, chunk)
        assert all(np.array_equal(part[name], whole[name][start:]) for name in whole)


def test_keys_tell_views_apart_and_leave_single_videos_alone(recording: Recording, folder: Path) -> None:
    def key(views: tuple[str, ...], of: Recording = recording) -> str:
        return open_source(of, InputSettings(views=views), ("rgb",)).keys()["rgb"]

    single = replace(recording, views={})
    assert key(()) == key((), single)
    other = replace(recording, views={"video2": folder / "top.mkv"})
    keys = [key(()), key(("video", "video2")), key(("video2", "video")), key(("video2",))]
    assert len({*keys, key(("video", "video2"), other)}) == 5


def test_views_of_other_lengths_or_times_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", TOP, 10, lossless=True)
    write_video(tmp_path / "short.mkv", TOP[:-1], 10, lossless=True)
    write_video(tmp_path / "slow.mkv", TOP, 9.5, lossless=True)
    write_video(tmp_path / "late.mkv", TOP, 10, lossless=True, times=3 + np.arange(N) / 10)
    first, short, slow, late = (
        open_video(tmp_path / f"{name}.mkv") for name in ("a", "short", "slow", "late")
    )
    check_same_frames(first, first)
    check_same_frames(first, late)  # started at another time of its own clock
    with pytest.raises(
        InputError, match=r"a\.mkv has 24 frames \(2\.40 s\) and .*short\.mkv has 23 \(2\.30 s\)"
    ):
        check_same_frames(first, short)
    with pytest.raises(InputError, match=r"slow\.mkv \(9\.5.* part by up to 0\.12 s \(frame 23\)"):
        check_same_frames(first, slow)
    recording = Recording("x", video=tmp_path / "a.mkv", views={"video2": tmp_path / "short.mkv"})
    for views in (("video", "video2"), ("video2",)):
        with pytest.raises(InputError, match=r"short\.mkv has 23"):
            open_source(recording, InputSettings(views=views), ("rgb",))
    open_source(recording, InputSettings(), ("rgb",))


def test_what_cannot_be_stacked_is_refused(recording: Recording) -> None:
    with pytest.raises(InputError, match=r"'a' has no 'video3'.*input\.views"):
        open_source(recording, InputSettings(views=("video", "video3")), ("rgb",))
    for wrong, message in (
        ({"views": ("video", "camera")}, "expected columns"),
        ({"views": ("video", "video")}, "named twice"),
        ({"views": ("video", "video2"), "size": (63, 64)}, r"share a height of 63 .* \[62, 64\]"),
        ({"views": ("video", "video2"), "cut_size": (32, 32)}, "seam"),
        ({"views": ("video2",), "crop_keypoint": "nose"}, "tracked in the column 'video'"),
    ):
        with pytest.raises(ConfigError, match=message):
            InputSettings(**wrong)  # type: ignore[arg-type]
    videos = [open_video(path) for path in recording.videos.values()]
    with pytest.raises(InputError, match="cannot share a height of 33"):
        stream_chunks(videos, np.arange(3), StreamSpec(size=(33, 32)))
    with pytest.raises(InputError, match="several views are shown whole"):
        stream_chunks(
            videos, np.arange(3), StreamSpec(size=(32, 32), crop_size=20), centres=np.ones((N, 2))
        )
    with pytest.raises(InputError, match="video2 and no video"):
        Recording("x", pose=Path("p.csv"), views=recording.views)


def test_augmentations_that_move_pictures_up_or_down_are_refused() -> None:
    recipe = video_recipe(1, augment=("mirror", "flip", "shift"))
    assert recipe_faults(recipe) == []
    views = replace(recipe, input=replace(recipe.input, views=("video", "video2")))
    assert recipe_faults(views) == [
        "training.augment: flip and shift would move one view into another's place (input.views)"
    ]
    single = replace(recipe, input=replace(recipe.input, views=("video2",)))
    assert recipe_faults(single) == []


def two_views(folder: Path, recordings: int = 2, n: int = 32) -> Path:
    """A study whose second videos show the same, mirrored, darker and larger."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(recordings):
        position, classes = walk(n, i)
        frames = draw(position)
        write_video(folder / f"v{i}.mkv", frames, FPS, lossless=True)
        write_video(folder / f"w{i}.mkv", resize(frames[:, :, ::-1] // 2, (80, 96)), FPS, lossless=True)
        labels = folder / f"v{i}.csv"
        write_labels(labels, Bouts.from_classes(ETHOGRAM, classes), Timeline.uniform(n, FPS), "bouts")
        views = {"video2": folder / f"w{i}.mkv"}
        rows.append(
            Recording(
                f"v{i}", folder / f"v{i}.mkv", labels=labels, groups={"cage": f"c{i}"}, views=views
            )
        )
    save_project(Project(folder / "study", "two", ETHOGRAM, tuple(rows)))
    return folder / "study"


def test_a_project_keeps_further_views(tmp_path: Path) -> None:
    folder = two_views(tmp_path)
    with (folder / "recordings.csv").open() as file:
        table = list(csv.DictReader(file))
    assert table[1]["video2"] == "../w1.mkv"
    project = load_project(folder)
    second = project.recordings[1]
    assert second.views == {"video2": tmp_path / "w1.mkv"}
    assert second.videos == {"video": tmp_path / "v1.mkv", "video2": tmp_path / "w1.mkv"}
    assert project.group_columns() == ("cage",)
    save_project(project)
    assert load_project(folder) == project
    report = check(folder)
    assert report.ok
    with pytest.raises(InputError, match="'video2' cannot be filled"):
        with_columns(project.recordings, r"(?P<video2>v)\d", "")


def test_check_names_views_that_do_not_fit(tmp_path: Path) -> None:
    folder = two_views(tmp_path)
    write_video(tmp_path / "w1.mkv", np.zeros((31, 64, 64, 3), np.uint8), FPS, lossless=True)
    (tmp_path / "w0.mkv").unlink()
    errors = [fault for fault in check(folder).faults if fault.severity == "error"]
    assert {fault.recordings for fault in errors} == {("v0",), ("v1",)}
    assert any("w0.mkv" in fault.text for fault in errors)
    assert any("has 31" in fault.text for fault in errors)
    (tmp_path / "w0.mkv").write_bytes((tmp_path / "v0.mkv").read_bytes())
    (tmp_path / "w1.mkv").write_bytes((tmp_path / "v0.mkv").read_bytes())
    copies = [fault.text for fault in check(folder).faults if "same content" in fault.text]
    assert copies == [text for text in copies if "w0.mkv" in text and "v0.mkv" in text]
    assert copies


def test_a_view_on_both_sides_of_a_split_is_a_leak(tmp_path: Path) -> None:
    one = Recording("one", video=tmp_path / "a.mkv", views={"video2": tmp_path / "b.mkv"})
    two = Recording("two", video=tmp_path / "b.mkv")
    split = Split("s", ("one",), (), ("two",), {"one": "one", "two": "two"})
    with pytest.raises(LeakError, match=r"b\.mkv"):
        check_leak([split], [one, two])


def test_a_network_of_two_views_from_study_to_prediction(tmp_path: Path) -> None:
    folder = two_views(tmp_path)
    recipe = video_recipe(1)
    recipe = replace(recipe, input=replace(recipe.input, views=("video", "video2")))
    run_folder = train(folder, recipe)
    run = load_run(run_folder)
    project = load_project(folder)
    prepared = prepare(project, project.recordings[0], recipe.input, ("rgb", "flow"))
    assert prepared.streams["rgb"].shape == (32, 64, 64, 3)
    (written, _) = predict(run_folder, [folder], tmp_path / "out")
    stored = read_prediction(written)
    assert stored.probabilities.shape == (32, 2)
    assert set(stored.meta["file_hashes"]) == {"video", "video2"}
    assert stored.meta["files"] == {"video": "v0.mkv", "video2": "w0.mkv"}
    source = open_job(run, find_jobs(run, [folder], None)[0])
    assert list(source.videos) == ["video", "video2"]
    with pytest.raises(InputError, match="sees the views video, video2 of a recording"):
        predict(run_folder, [tmp_path / "v0.mkv"], tmp_path / "other")
    lone = replace(project, recordings=(replace(project.recordings[0], views={}), project.recordings[1]))
    save_project(lone)
    with pytest.raises(ProjectError, match="recording 'v0' has no 'video2'"):
        train(folder, recipe, name="again")
