"""Pose in HDF5: SLEAP, JABS, NWB. Real files against h5py alone; what no sample has is made up here and says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from murine import formats
from murine.errors import InputError, MissingExtraError
from murine.formats import jabs

TEXT = h5py.string_dtype()


def test_sleap_analysis_is_read_as_it_stands(data: Path) -> None:
    path = data / "formats/sleap/two_tracks.analysis.h5"
    pose = formats.read_pose(path)
    with h5py.File(path) as file:
        tracks, names = file["tracks"][()], file["node_names"][()]
    assert pose.animals == ("track_0", "track_1")
    assert pose.keypoints == tuple(n.decode() for n in names)
    assert len(pose) == 3000
    for frame, animal, point in ((0, 0, 0), (17, 1, 12), (2999, 1, 3)):
        np.testing.assert_array_equal(
            pose.xy[frame, animal, point], tracks[animal, :, point, frame].astype(np.float32)
        )
    assert pose.missing.sum() == np.isnan(tracks).any(axis=1).sum() > 0
    assert pose.confidence is None  # the file holds no scores of points
    single = formats.read_pose(data / "formats/sleap/single.analysis.h5")
    with h5py.File(data / "formats/sleap/single.analysis.h5") as file:
        scores = file["point_scores"][()]
    assert single.confidence is not None
    assert scores.max() > 1 == single.confidence.max()
    assert single.confidence[5, 0, 3] == np.float32(min(scores[0, 3, 5], 1))
    summary = formats.describe_pose(path)
    assert (summary.format, summary.n_frames, summary.animals) == ("sleap-analysis", 3000, pose.animals)


@pytest.mark.parametrize("axes", [("frame", "track", "node", "xy"), ("frame", "node", "xy", "track")])
@pytest.mark.parametrize("told", [True, False])
def test_sleap_analysis_in_other_orders(axes: tuple[str, ...], told: bool, tmp_path: Path) -> None:
    """Made up: sleap-io's 'standard' order, and that of old files without transposition."""
    xy = np.random.default_rng(0).uniform(1, 99, (7, 3, 4, 2))  # frame, track, node, xy
    order = [("frame", "track", "node", "xy").index(a) for a in axes]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["tracks"] = xy.transpose(order)
        file["node_names"] = np.array([b"a", b"b", b"c", b"d"])
        file["track_names"] = np.array([b"m1", b"m2", b"m2"])
        if told:
            file["tracks"].attrs["dims"] = json.dumps(axes)
    pose = formats.read_pose(tmp_path / "x.h5")
    np.testing.assert_array_equal(pose.xy, xy.astype(np.float32))
    assert pose.animals == ("m1", "m2", "m2_2")  # tracks may share a name


@pytest.mark.parametrize(
    ("shape", "names", "match"),
    [
        ((2, 2, 5, 9), 4, r"'tracks' of shape \(2, 2, 5, 9\) does not fit 4 nodes"),
        ((2, 9), 4, "does not fit"),
        ((2, 2, 4, 0), 4, "holds no frame"),
    ],
)
def test_sleap_analysis_that_does_not_fit(
    shape: tuple[int, ...], names: int, match: str, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["tracks"] = np.zeros(shape)
        file["node_names"] = np.array([f"n{i}".encode() for i in range(names)])
    with pytest.raises(InputError, match=match) as error:
        formats.read_pose(tmp_path / "x.h5")
    assert str(tmp_path / "x.h5") in str(error.value)


def test_slp_without_the_extra_names_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    path = data / "formats/sleap/single.slp"
    assert formats.pose_parts(path) == ("test2DLC_video_circular_arena.mp4",)  # by h5py alone
    with pytest.raises(MissingExtraError, match=r"single\.slp.*the extra 'sleap'"):
        formats.read_pose(path)


@pytest.mark.slow  # sleap-io takes seconds to load
def test_slp_is_read_as_its_tables_say(data: Path, tmp_path: Path) -> None:
    sleap_io = pytest.importorskip("sleap_io")
    path = data / "formats/sleap/single.slp"
    pose = formats.read_pose(path)
    with h5py.File(path) as file:
        points, frames = file["pred_points"][()], file["frames"][()]
    assert pose.animals == ("track_0",)
    assert pose.keypoints[:3] == ("Nose", "Left_ear", "Right_ear")
    assert len(pose) == frames["frame_idx"].max() + 1 == 101
    for frame in (0, 50, 100):
        np.testing.assert_allclose(
            pose.xy[frame, 0, 2], [points["x"][frame * 14 + 2], points["y"][frame * 14 + 2]]
        )
    analysis = formats.read_pose(data / "formats/sleap/single.analysis.h5")
    np.testing.assert_array_equal(analysis.xy, pose.xy)  # SLEAP's own export of the same file
    np.testing.assert_array_equal(analysis.confidence, pose.confidence)
    # Made up, by sleap-io itself: two videos in one file, and animals nobody tracked.
    skeleton = sleap_io.Skeleton(["a", "b"])
    videos = [sleap_io.Video(f"cam/{n}.mp4", open_backend=False) for n in ("one", "two")]
    tracks = [sleap_io.Track("m1"), sleap_io.Track("m2")]

    def frame(video: Any, at: int, *instances: tuple[float, Any]) -> Any:
        made = [
            sleap_io.PredictedInstance.from_numpy(
                np.full((2, 2), v), skeleton=skeleton, track=t, point_scores=[0.5, 0.5]
            )
            for v, t in instances
        ]  # fmt: skip
        return sleap_io.LabeledFrame(video=video, frame_idx=at, instances=made)

    labelled = [
        frame(videos[0], 0, (1.0, tracks[0]), (2.0, tracks[1])),
        frame(videos[1], 3, (7.0, tracks[1])),
    ]
    labels = sleap_io.Labels(labelled, videos=videos, skeletons=[skeleton], tracks=tracks)
    sleap_io.save_slp(labels, str(tmp_path / "two.slp"), embed=False, verbose=False)
    assert formats.pose_parts(tmp_path / "two.slp") == ("one.mp4", "two.mp4")
    with pytest.raises(
        InputError, match=r"holds 2 recordings: one\.mp4, two\.mp4\. Say which one is meant"
    ):
        formats.read_pose(tmp_path / "two.slp")
    second = formats.read_pose(tmp_path / "two.slp", "two.mp4")
    assert (second.animals, len(second)) == (("m2",), 4)
    assert second.xy[3, 0].tolist() == [[7, 7], [7, 7]]
    assert second.missing[:3].all()
    loose = [frame(videos[0], 0, (1.0, None), (2.0, None))]
    labels = sleap_io.Labels(loose, videos=videos[:1], skeletons=[skeleton])
    sleap_io.save_slp(labels, str(tmp_path / "loose.slp"), embed=False, verbose=False)
    with pytest.raises(
        InputError, match=r"loose\.slp: frames hold up to 2 animals without tracks.*Track them"
    ):
        formats.read_pose(tmp_path / "loose.slp")


def test_jabs_points_are_y_then_x(data: Path) -> None:
    for name in ("pose_v2.h5", "pose_v5.h5"):
        path = data / "formats/jabs" / name
        pose = formats.read_pose(path)
        with h5py.File(path) as file:
            group = {k: v[()] for k, v in file["poseest"].items()}
        assert pose.keypoints == jabs.KEYPOINTS
        assert len(pose.keypoints) == 12
        if name == "pose_v2.h5":
            assert pose.animals == ("animal",)
            np.testing.assert_array_equal(pose.xy[700, 0], group["points"][700, :, ::-1])
            continue
        assert pose.animals == ("mouse_1", "mouse_2", "mouse_3")
        there = np.argwhere(~group["id_mask"])
        for frame, place in there[:: len(there) // 50]:
            mouse = group["instance_embed_id"][frame, place] - 1
            seen = group["confidence"][frame, place] > 0
            np.testing.assert_array_equal(
                pose.xy[frame, mouse][seen], group["points"][frame, place][seen][:, ::-1]
            )
        assert int((~pose.missing).any(axis=2).sum()) == len(there)
        assert pose.confidence is not None
        assert np.nanmax(pose.confidence) == 1 < group["confidence"].max()


def test_jabs_tracks_go_to_animals_that_are_free(data: Path) -> None:
    path = data / "formats/jabs/pose_v3.h5"
    pose = formats.read_pose(path)
    with h5py.File(path) as file:
        points, count = file["poseest/points"][()], file["poseest/instance_count"][()]
        track = file["poseest/instance_track_id"][()]
    assert len(pose.animals) == count.max() == 5
    assert ((~pose.missing).any(axis=2).sum(axis=1) == count).all()
    # Track 39 lives from frame 59 to the end: one animal has all of it.
    own = {}
    for frame in (59, 900, 1799):
        place = int(np.flatnonzero(track[frame, : count[frame]] == 39)[0])
        centre = points[frame, place, 6, ::-1]
        own[frame] = [a for a in range(5) if np.array_equal(pose.xy[frame, a, 6], centre)]
    assert own[59] == own[900] == own[1799]
    assert len(own[59]) == 1


def jabs_file(path: Path, change: dict[str, Any]) -> Path:
    """Made up: version 4 with names for the mice."""
    arrays: dict[str, Any] = {
        "points": np.arange(3 * 2 * 12 * 2, dtype=np.uint16).reshape(3, 2, 12, 2) + 1,
        "confidence": np.full((3, 2, 12), 0.5, np.float32),
        "instance_embed_id": np.array([[2, 1], [1, 2], [1, 0]], np.uint32),
        "id_mask": np.array([[0, 0], [0, 0], [0, 1]], bool),
        "external_identity_mapping": np.array([b"ear", b"tail"]),
    }
    with h5py.File(path, "w") as file:
        for name, array in (arrays | change).items():
            if array is not None:
                file[f"poseest/{name}"] = array
    return path


def test_jabs_identities_of_version_four(tmp_path: Path) -> None:
    pose = formats.read_pose(jabs_file(tmp_path / "x.h5", {}))
    assert pose.animals == ("ear", "tail")
    assert pose.xy[0, 1, 0].tolist() == [2, 1]  # the first instance of frame 0 is mouse 2, y before x
    assert pose.xy[1, 0, 0].tolist() == [50, 49]
    assert pose.missing[2, 1].all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"points": np.zeros((3, 2, 5, 2))}, "12 x 2 was expected"),
        (
            {"confidence": np.ones((2, 2, 12))},
            r"'confidence' has shape \(2, 2, 12\); \(3, 2, 12\) was expected",
        ),
        ({"id_mask": np.zeros((3, 1), bool)}, "'id_mask' has shape"),
        ({"instance_embed_id": None}, "neither tracks nor identities"),
        ({"instance_embed_id": np.full((3, 2), 9)}, "identity 9 came where at most 2"),
    ],
)
def test_jabs_files_that_do_not_fit(change: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=match) as error:
        formats.read_pose(jabs_file(tmp_path / "x.h5", change))
    assert str(tmp_path / "x.h5") in str(error.value)


def test_nwb_of_the_old_extension(data: Path) -> None:
    path = data / "formats/nwb/pose.nwb"
    pose = formats.read_pose(path)
    with h5py.File(path) as file:
        group = file["processing/behavior/PoseEstimation"]
        nose = group["ind1_snout"]["data"][()]
        sure = group["ind1_tailbase"]["confidence"][()]
    assert (pose.animals, pose.keypoints) == (("ind1",), ("snout", "leftear", "rightear", "tailbase"))
    assert len(pose) == 2330
    np.testing.assert_array_equal(pose.xy[:, 0, 0], nose.astype(np.float32))
    assert pose.confidence is not None
    np.testing.assert_array_equal(pose.confidence[:, 0, 3], sure.astype(np.float32))
    assert formats.describe_pose(path).format == "nwb-pose"


def nwb_series(group: Any, name: str, data: np.ndarray, confidence: np.ndarray | None = None) -> None:
    series = group.create_group(name)
    series.attrs["neurodata_type"] = "PoseEstimationSeries"
    series["data"] = data
    series["data"].attrs["conversion"] = 1.0
    series["timestamps"] = np.arange(len(data)) / 30
    if confidence is not None:
        series["confidence"] = confidence


def nwb_new(path: Path, videos: tuple[str, ...] = ("top.avi",)) -> Path:
    """Made up after ndx-pose 0.2: a container per animal, its points named by a linked skeleton."""
    with h5py.File(path, "w") as file:
        file["session_description"] = "made up"
        module = file.create_group("processing/behavior")
        for s, animal in enumerate(("m1", "m2")):
            skeleton = module.create_group(f"Skeletons/skeleton_{animal}")
            skeleton.create_dataset("nodes", data=["nose", "tail base"], dtype=TEXT)
            skeleton.create_group("subject")["subject_id"] = animal
            for video in videos:
                group = module.create_group(f"PoseEstimation_{animal}_{video}")
                group.attrs["neurodata_type"] = "PoseEstimation"
                group["skeleton"] = h5py.SoftLink(skeleton.name)
                group.create_dataset("original_videos", data=[f"D:\\films\\{video}"], dtype=TEXT)
                points = np.arange(10.0).reshape(5, 2) + 100 * s + 1000 * videos.index(video)
                nwb_series(group, "PoseEstimationSeries_tail base", points + 0.5)
                nwb_series(group, "nose", points, np.linspace(0, 1, 5))
    return path


def test_nwb_of_the_new_extension(tmp_path: Path) -> None:
    pose = formats.read_pose(nwb_new(tmp_path / "x.nwb"))
    assert (pose.animals, pose.keypoints) == (("m1", "m2"), ("nose", "tail base"))
    assert pose.xy[3, 1].tolist() == [[106, 107], [106.5, 107.5]]
    assert pose.confidence is not None
    assert pose.confidence[2, 0, 0] == 0.5
    assert np.isnan(pose.confidence[:, :, 1]).all()


def test_nwb_of_two_cameras_is_two_recordings(tmp_path: Path) -> None:
    path = nwb_new(tmp_path / "x.nwb", ("top.avi", "side.avi"))
    assert sorted(formats.pose_parts(path)) == ["side.avi", "top.avi"]
    with pytest.raises(InputError, match=r"x\.nwb: holds 2 recordings.*column 'observation'"):
        formats.read_pose(path)
    with pytest.raises(InputError, match=r"no recording 'side\.mp4'\. Did you mean 'side\.avi'"):
        formats.read_pose(path, "side.mp4")
    assert formats.read_pose(path, "side.avi").xy[0, 1, 0].tolist() == [1100, 1101]
    assert formats.describe_pose(path, "top.avi").animals == ("m1", "m2")


@pytest.mark.slow  # pynwb takes seconds to load
def test_nwb_that_ndx_pose_wrote(tmp_path: Path) -> None:
    pynwb, ndx_pose = pytest.importorskip("pynwb"), pytest.importorskip("ndx_pose")
    from datetime import UTC, datetime

    file = pynwb.NWBFile("made up", "x", datetime(2024, 1, 1, tzinfo=UTC))
    skeleton = ndx_pose.Skeleton(name="mouse", nodes=["nose", "tail"])
    film = pynwb.image.ImageSeries(
        name="film",
        external_file=["films/a.mp4"],
        format="external",
        rate=25.0,
        starting_frame=[0],
        num_samples=6,
    )
    file.add_acquisition(film)
    points = np.random.default_rng(0).uniform(0, 99, (2, 6, 2))
    series = [
        ndx_pose.PoseEstimationSeries(
            name=n, description=n, data=p, unit="pixels", reference_frame="top left", rate=25.0,
            starting_time=0.0, confidence=np.full(6, 0.25), confidence_definition="softmax",
        )
        for n, p in zip(("nose", "tail"), points, strict=True)
    ]  # fmt: skip
    estimation = ndx_pose.PoseEstimation(
        name="PoseEstimation", pose_estimation_series=series, skeleton=skeleton, source_video=film, scorer="s",
        source_software="DeepLabCut",
    )  # fmt: skip
    module = file.create_processing_module("behavior", "made up")
    module.add(ndx_pose.Skeletons(skeletons=[skeleton]))
    module.add(estimation)
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as io:
        io.write(file)
    assert formats.pose_parts(tmp_path / "x.nwb") == ("a.mp4",)
    pose = formats.read_pose(tmp_path / "x.nwb")
    assert (pose.animals, pose.keypoints) == (("animal",), ("nose", "tail"))
    np.testing.assert_array_equal(pose.xy[:, 0], points.transpose(1, 0, 2).astype(np.float32))
    assert pose.confidence is not None
    assert (pose.confidence == 0.25).all()


def test_nwb_points_that_do_not_fit(tmp_path: Path) -> None:
    path = nwb_new(tmp_path / "x.nwb")
    with h5py.File(path, "a") as file:
        group = file["processing/behavior/PoseEstimation_m1_top.avi"]
        nwb_series(group, "extra", np.zeros((4, 2)))
    with pytest.raises(InputError, match=r"x\.nwb: its points have 4 to 5 frames"):
        formats.read_pose(path)
    with h5py.File(path, "a") as file:
        nwb_series(file["processing/behavior/PoseEstimation_m1_top.avi"], "deep", np.zeros((5, 3)))
    deep = (
        r"x\.nwb: 'deep' has shape \(5, 3\); two coordinates.*three dimensions.*Save the two coordinates"
    )
    for look in (formats.read_pose, formats.describe_pose):
        with pytest.raises(InputError, match=deep):
            look(path)


def test_h5_that_is_no_pose_is_told_with_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["weights"], file["bias"] = np.zeros(3), np.zeros(3)
    with pytest.raises(
        InputError,
        match=r"x\.h5: .*HDF5 file of another program; it holds: bias, weights\. Known:.*sleap",
    ):
        formats.read_pose(tmp_path / "x.h5")
