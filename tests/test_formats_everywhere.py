"""New formats on the way through a project: short files, init, check, export; NWB intervals and movement."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from project_samples import FPS, FRAMES, make_labels, make_video
from test_formats_h5 import nwb_new

from murine import api, formats
from murine.errors import InputError, MissingExtraError
from murine.export import ALIASES, export
from murine.formats import FORMATS, LabelFormat
from murine.project import check, init, load_bouts, load_pose, load_project
from murine.types import Bouts, Ethogram, LabelChoice, Pose, Timeline

TEXT = h5py.string_dtype()
SAMPLES = (
    "boris/e3v813a_events.csv", "boris/project.boris", "calms21/mouse083_pose_only.csv", "deeplabcut/single.csv",
    "deeplabcut/single.h5", "jabs/pose_v2.h5", "jabs/pose_v5.h5", "nwb/pose.nwb", "raters/open_field_three_raters.csv",
    "simba/crim13_targets_inserted.csv", "sleap/single.slp", "sleap/single.analysis.h5",
)  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("length", [10, 600])
def test_files_of_a_few_bytes(name: str, length: int, data: Path, tmp_path: Path) -> None:
    path = tmp_path / Path(name).name
    path.write_bytes((data / "formats" / name).read_bytes()[:length])
    for read in (formats.read_pose, formats.parse_labels):
        if length > 10 and "raters" in name and read is formats.parse_labels:
            continue  # whole lines of a table are a table
        with pytest.raises(InputError) as error:
            read(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("sample", "animals"),
    [
        ("sleap/two_tracks.analysis.h5", ("track_0", "track_1")),
        ("jabs/pose_v5.h5", ("mouse_1", "mouse_2", "mouse_3")),
        ("nwb/pose.nwb", ("ind1",)),
        ("simba/crim13_targets_inserted.csv", ("Animal_1", "Animal_2")),
        ("calms21/mouse083_pose_only.csv", ("Resident", "Intruder")),
    ],
)
def test_init_and_check_take_every_pose(
    sample: str, animals: tuple[str, ...], data: Path, tmp_path: Path
) -> None:
    pose = data / "formats" / sample
    frames = formats.describe_pose(pose).n_frames
    labels = make_labels(
        tmp_path / "labels" / f"{pose.stem}.csv", [(0, 5, "dig"), (7, 9, "rest")], frames
    )
    init(tmp_path / "study", poses=[str(pose)], labels=[str(labels)], fps=30)
    report = check(tmp_path / "study")
    assert [f.text for f in report.faults if f.severity == "error"] == []
    project = load_project(tmp_path / "study")
    loaded = load_pose(project, project.recordings[0])
    assert (loaded.animals, len(loaded)) == (animals, frames)
    assert load_bouts(project, project.recordings[0]).n_frames == frames


@pytest.mark.parametrize("format", ["deepethogram", "simba", "bento", "nwb-intervals"])
def test_init_and_check_take_labels_of_every_writer(format: str, tmp_path: Path) -> None:
    for i in (1, 2):
        make_video(tmp_path / "videos" / f"m{i}.mp4", seed=i)
        path = tmp_path / "labels" / f"m{i}{FORMATS[format].suffixes[0]}"
        make_labels(path, [(0, 10, "dig"), (20, 25, "rest")], format=format)
    init(tmp_path / "study", videos=[str(tmp_path / "videos")], labels=[str(tmp_path / "labels")])
    project = load_project(tmp_path / "study")
    assert set(project.ethogram.behaviours) == {"dig", "rest", "background"}
    assert [f.text for f in check(tmp_path / "study").faults if f.severity == "error"] == []
    bouts = load_bouts(project, project.recordings[0])
    assert bouts.intervals() == [(0, 10, "dig"), (20, 25, "rest")]


def test_init_takes_a_rater_of_many(data: Path, tmp_path: Path) -> None:
    source = data / "formats/raters/open_field_three_raters.csv"
    lines = source.read_text().splitlines()
    rows = [lines[0], *(line for line in lines if '"OFT_11"' in line or '"OFT_6"' in line)]
    (tmp_path / "raters.csv").write_text("\n".join(rows) + "\n")
    table = formats.parse_labels(tmp_path / "raters.csv")
    for observation in table.observations:
        # Pose of the name the table gives, ten minutes of it made up.
        name = table.media[observation][0].name
        xy = np.random.default_rng(0).uniform(1, 99, ((602 * 5), 1, 2, 2))
        formats.write_pose(tmp_path / "pose" / name, Pose(xy, ("animal",), ("nose", "tail")))
    init(
        tmp_path / "study", poses=[str(tmp_path / "pose")], labels=[str(tmp_path / "raters.csv")], fps=5,
        stream="Oliver", tolerance_s=2,
    )  # fmt: skip
    project = load_project(tmp_path / "study")
    assert {r.choice.observation for r in project.recordings} == {"OFT_11", "OFT_6"}
    assert {r.choice.stream for r in project.recordings} == {"Oliver"}
    assert [f.text for f in check(tmp_path / "study").faults if f.severity == "error"] == []


@pytest.mark.parametrize("to", ["deepethogram", "simba", "bento", "nwb"])
def test_export_writes_every_format(to: str, tmp_path: Path) -> None:
    make_video(tmp_path / "videos/m1.mp4")
    make_labels(tmp_path / "labels/m1.csv", [(0, 10, "dig"), (20, 25, "rest")], subject="rat 7")
    init(tmp_path / "study", videos=[str(tmp_path / "videos")], labels=[str(tmp_path / "labels")])
    project = load_project(tmp_path / "study")
    written = export(tmp_path / "study", to)
    name = ALIASES.get(to, to)
    assert [p.name for p in written] == [f"m1{FORMATS[name].suffixes[0]}"]
    assert formats.detect(written[0], "labels").name == name
    timeline = Timeline.uniform(FRAMES, FPS)
    back = formats.align(formats.read_labels(written[0], timeline), project.ethogram)
    human = load_bouts(project, project.recordings[0])
    np.testing.assert_array_equal(back.frames(), human.frames())


def test_every_writer_can_be_exported_by_name(tmp_path: Path) -> None:
    able = {n for n, f in FORMATS.items() if isinstance(f, LabelFormat) and f.write}
    assert {
        "boris-tabular", "boris-aggregated", "boris-project", "deepethogram", "simba", "caltech", "bento", "bouts",
        "frames", "nwb-intervals",
    } <= able  # fmt: skip
    with pytest.raises(InputError, match="labels cannot be written as 'raters'"):
        export(tmp_path, "raters")


def intervals(
    path: Path, tables: dict[str, list[tuple[float, float, str]]], column: str = "label"
) -> Path:
    """Made up: an NWB file's tables of intervals, without a library."""
    with h5py.File(path, "w") as file:
        file["session_description"] = "made up"
        for name, rows in tables.items():
            group = file.create_group(f"intervals/{name}")
            group.attrs["neurodata_type"] = "TimeIntervals"
            group["start_time"] = np.array([r[0] for r in rows])
            group["stop_time"] = np.array([r[1] for r in rows])
            group.create_dataset(column, data=[r[2] for r in rows], dtype=TEXT)
    return path


def test_nwb_intervals_of_others(tmp_path: Path) -> None:
    timeline = Timeline.uniform(20, 10)
    path = intervals(tmp_path / "x.nwb", {"epochs": [(0.0, 0.5, "dig"), (1.0, 2.0, "rest")]}, "behavior")
    assert formats.detect(path).name == "nwb-intervals"
    assert formats.read_labels(path, timeline).intervals() == [(0, 5, "dig"), (10, 20, "rest")]
    two = intervals(tmp_path / "two.nwb", {"a": [(0.0, 0.5, "dig")], "b": [(0.2, 0.4, "dig")]})
    with pytest.raises(InputError, match=r"two\.nwb: holds 2 tables: a, b\. Say which one"):
        formats.read_labels(two, timeline)
    assert formats.read_labels(two, timeline, LabelChoice(stream="b")).intervals() == [(2, 4, "dig")]
    with pytest.raises(InputError, match=r"late\.nwb: labels run 10 frames"):
        formats.read_labels(intervals(tmp_path / "late.nwb", {"a": [(0.0, 3.0, "dig")]}), timeline)
    with pytest.raises(InputError, match=r"back\.nwb, table 'a', row 0: 'dig' runs from 2 to 1 s"):
        formats.parse_labels(intervals(tmp_path / "back.nwb", {"a": [(2.0, 1.0, "dig")]}))
    with pytest.raises(InputError, match=r"trials\.nwb: the format was not recognised.*intervals"):
        formats.parse_labels(
            intervals(tmp_path / "trials.nwb", {"trials": [(0.0, 1.0, "x")]}, "stimulus")
        )
    with h5py.File(tmp_path / "series.nwb", "w") as file:
        file["session_description"] = "made up"
        group = file.create_group("processing/behavior/BehavioralEpochs/dig")
        group.attrs["neurodata_type"] = "IntervalSeries"
        group["data"], group["timestamps"] = [1, -1, 1, -1], [0.0, 0.3, 1.0, 1.5]
    assert formats.read_labels(tmp_path / "series.nwb", timeline).intervals() == [
        (0, 3, "dig"),
        (10, 15, "dig"),
    ]


def test_nwb_intervals_are_what_pynwb_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pynwb = pytest.importorskip("pynwb")
    bouts = Bouts.build(Ethogram(("dig", "rest")), 20, [(0, 5, "dig"), (7, 9, "rest")], [[0, 18]])
    timeline = Timeline(np.cumsum(np.linspace(0.05, 0.15, 20)))
    path = tmp_path / "x.nwb"
    formats.write_labels(path, bouts, timeline, "nwb-intervals", subject="rat 7", recording="r1")
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        file = io.read()
        table = file.intervals["behaviours"].to_dataframe()
        assert (file.subject.subject_id, file.identifier) == ("rat 7", "r1")
        assert table["label"].tolist() == ["dig", "rest", "not annotated"]
        assert table["start_time"].tolist() == [timeline.times[0], timeline.times[7], timeline.times[18]]
        assert table["stop_time"].tolist() == [timeline.times[5], timeline.times[9], timeline.end]
        assert pynwb.validate(io=io) == []
    assert formats.describe_labels(path).subjects == ("rat 7",)
    np.testing.assert_array_equal(formats.read_labels(path, timeline).frames(), bouts.frames())
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(MissingExtraError, match=r"y\.nwb: writing NWB needs the extra 'nwb'"):
        formats.write_labels(tmp_path / "y.nwb", bouts, timeline, "nwb-intervals")
    assert not (tmp_path / "y.nwb").exists()
    assert formats.read_labels(path, timeline).n_frames == 20  # reading needs no extra


def random_pose(animals: int = 2) -> Pose:
    rng = np.random.default_rng(0)
    xy = rng.uniform(1, 99, (6, animals, 3, 2)).astype(np.float32)
    xy[2, 0] = np.nan
    sure = np.where(np.isnan(xy[..., 0]), np.nan, 0.5).astype(np.float32)
    return Pose(xy, tuple(f"m{i}" for i in range(animals)), ("nose", "neck", "tail"), sure)


@pytest.mark.parametrize("spelling", ["plural", "singular"])
@pytest.mark.parametrize("fps", [None, 25.0])
def test_movement_to_and_fro(spelling: Any, fps: float | None) -> None:
    pytest.importorskip("xarray")
    pose = random_pose()
    dataset = api.pose_to_movement(pose, fps, spelling=spelling)
    point, animal = ("keypoints", "individuals") if spelling == "plural" else ("keypoint", "individual")
    assert dataset["position"].dims == ("time", "space", point, animal)  # as movement has them
    picked = dataset["position"].sel({point: "tail", animal: "m1", "space": "y"}).values
    np.testing.assert_array_equal(picked, pose.xy[:, 1, 2, 1])
    assert dataset.attrs["ds_type"] == "poses"
    assert dataset["time"].values[-1] == (5 / 25 if fps else 5)
    assert None not in dataset.attrs.values()  # a netCDF file has no place for it
    assert ("fps" in dataset.attrs) == (fps is not None)
    # Whatever the order of its dimensions and of space.
    for turned in (dataset, dataset.transpose(animal, "time", point, "space").sel(space=["y", "x"])):
        back, rate = api.pose_from_movement(turned)
        assert (back.animals, back.keypoints, rate) == (pose.animals, pose.keypoints, fps)
        np.testing.assert_array_equal(back.xy, pose.xy)
        np.testing.assert_array_equal(back.confidence, pose.confidence)


def test_movement_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    xarray = pytest.importorskip("xarray")
    dataset = api.pose_to_movement(random_pose(), 25)
    one, _ = api.pose_from_movement(dataset.sel(individuals="m1", drop=True).drop_vars("confidence"))
    assert (one.animals, one.confidence) == (("animal",), None)
    timed = dataset.assign_attrs(fps=None)
    assert api.pose_from_movement(timed)[1] == pytest.approx(25)
    boxes = dataset.isel(keypoints=0, drop=True)
    with pytest.raises(
        InputError, match=r"came dimensions time, space, individuals\. Bounding boxes are no pose"
    ):
        api.pose_from_movement(boxes)
    deep = xarray.concat(
        [dataset, dataset.sel(space=["x"]).assign_coords(space=["z"])], "space", data_vars="all"
    )
    with pytest.raises(InputError, match="in the plane was expected, space x and y; came x, y, z"):
        api.pose_from_movement(deep)
    views = dataset.expand_dims(view=["top"])
    with pytest.raises(InputError, match="has the dimension 'view' besides; choose one"):
        api.pose_from_movement(views)
    with pytest.raises(InputError, match="the variable 'position' was expected; came dict"):
        api.pose_from_movement({})
    with pytest.raises(InputError, match="frames per second must be a positive number; came -1"):
        api.pose_to_movement(random_pose(), -1)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtraError, match="needs the extra 'movement'"):
        api.pose_to_movement(random_pose())
    assert len(api.pose_from_movement(dataset)[0]) == 6  # reading needs no extra


def test_videos_share_a_pose_file(tmp_path: Path) -> None:
    """Each video takes its part of an NWB file of two cameras, by its name."""
    (tmp_path / "pose").mkdir()
    nwb_new(tmp_path / "pose/session.nwb", ("top.mp4", "side.mp4"))
    for i, name in enumerate(("top", "side")):
        make_video(tmp_path / f"videos/{name}.mp4", frames=5, seed=i)
        make_labels(tmp_path / f"labels/{name}.csv", [(0, 2, "dig"), (3, 4, "rest")], 5)
    init(
        tmp_path / "study", videos=[str(tmp_path / "videos")], poses=[str(tmp_path / "pose")],
        labels=[str(tmp_path / "labels")],
    )  # fmt: skip
    project = load_project(tmp_path / "study")
    first = {r.id: load_pose(project, r).xy[0, 1, 0].tolist() for r in project.recordings}
    assert first == {"top": [100, 101], "side": [1100, 1101]}
