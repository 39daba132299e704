"""Preparing: files to streams and labels, through the cache, whole or in pieces, the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine import formats
from murine.cache import Cache
from murine.config import InputSettings, WindowSettings
from murine.data import source as source_module
from murine.data.dataset import WindowDataset
from murine.data.pooling import MeanPool
from murine.data.posed import Posed
from murine.data.prepare import cached_streams, pose_names, prepare
from murine.data.prepared import StoredArray
from murine.data.source import Source, arrange_pose, open_source
from murine.data.windows import sample_frames
from murine.errors import InputError, StorageError
from murine.pose import feature_table
from murine.project import Project
from murine.types import Bouts, Ethogram, LabelChoice, Pose, Recording, Timeline
from murine.video import write_video
from murine.video.flow import DECODINGS

FRAMES, FPS = 40, 20.0
SIZE = InputSettings(size=(24, 32), pose_features=("speeds", "distances"))
ETHOGRAM = Ethogram(("rest", "walk"))


def pictures() -> np.ndarray:
    """Return (40, 48, 64, 3): red tells the frame, a bright square moves right by a pixel per frame."""
    frames = np.full((FRAMES, 48, 64, 3), 60, np.uint8)
    frames[..., 0] = 5 * np.arange(FRAMES)[:, None, None]
    texture = np.random.default_rng(0).integers(120, 255, (16, 16), dtype=np.uint8)
    for n in range(FRAMES):
        frames[n, 16:32, 4 + n : 20 + n, 1] = texture
        frames[n, 16:32, 4 + n : 20 + n, 2] = texture
    return frames


def tracks(frames: int = FRAMES) -> Pose:
    """Return the square's centre and a point 10 pixels behind it."""
    x = 4 + np.arange(frames) + 7.5
    head = np.stack([x, np.full(frames, 23.5)], -1)
    xy = np.stack([head, head - [10, 0]], axis=1)[:, None]
    return Pose(xy.astype(np.float32), ("mouse",), ("head", "tail"), np.ones((frames, 1, 2), np.float32))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("study")
    write_video(folder / "a.mkv", pictures(), FPS, lossless=True)
    formats.write_pose(folder / "a.csv", tracks())
    bouts = Bouts.build(ETHOGRAM, FRAMES, [(0, 15, "rest"), (15, 40, "walk")])
    formats.write_labels(folder / "a_labels.csv", bouts, Timeline.uniform(FRAMES, FPS), "bouts")
    whole = Recording("a", folder / "a.mkv", folder / "a.csv", folder / "a_labels.csv")
    blind = Recording("b", None, folder / "a.csv", fps=FPS)
    return Project(folder, "study", ETHOGRAM, (whole, blind))


def rows(values: object, start: int = 0, stop: int | None = None) -> np.ndarray:
    assert isinstance(values, StoredArray | np.ndarray)
    return np.asarray(values[start:stop])


def test_streams_and_labels_are_those_of_the_samples(study: Project) -> None:
    settings = replace(SIZE, spacing_s=0.15, size=(48, 64))
    p = prepare(study, study.recordings[0], settings, ("rgb", "flow", "pose"))
    samples = np.arange(0, FRAMES, 3)
    assert p.sampling.samples.tolist() == samples.tolist()
    assert np.array_equal(rows(p.streams["rgb"]), pictures()[samples])
    assert p.target.tolist() == [[1, 0]] * 5 + [[0, 1]] * 9
    assert p.classes.tolist() == [0] * 5 + [1] * 9
    expected = feature_table(tracks(), Timeline.uniform(FRAMES, FPS), settings.pose_features)
    assert np.array_equal(p.table("pose"), expected.values[samples], equal_nan=True)
    # Three frames apart the square moves three pixels to the right.
    flow = DECODINGS["hsv"](rows(p.streams["flow"], 5, 6)[0], settings.flow_limit)
    assert np.median(flow[20:28, 22:32], axis=(0, 1)) == pytest.approx([3, 0], abs=0.3)


def test_a_second_time_nothing_is_decoded(study: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, cache = study.recordings[0], Cache()
    first = prepare(study, recording, SIZE, ("rgb", "flow", "pose"), cache)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(source_module, "stream_chunks", refuse)
    monkeypatch.setattr(Posed, "rows", refuse)
    second = prepare(study, recording, SIZE, ("pose", "rgb", "flow"), cache)
    for name in first.streams:
        assert np.array_equal(rows(first.streams[name]), rows(second.streams[name]), equal_nan=True)
    with pytest.raises(AssertionError, match="made again"):
        prepare(study, recording, replace(SIZE, flow_limit=5.0), ("rgb", "flow"), cache)


def test_a_stream_that_is_there_is_kept(study: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, cache = study.recordings[0], Cache()
    alone = prepare(study, recording, SIZE, ("rgb",), cache)
    asked = []
    true = Source.chunks

    def chunks(self: Source, start: int = 0, chunk: int = 256) -> Iterator[object]:
        asked.append(self.streams)
        return true(self, start, chunk)

    monkeypatch.setattr(Source, "chunks", chunks)
    both = prepare(study, recording, SIZE, ("rgb", "flow"), cache)
    assert asked == [("flow",)]
    assert np.array_equal(rows(alone.streams["rgb"]), rows(both.streams["rgb"]))


def test_each_setting_changes_the_streams_it_touches_and_no_other(study: Project) -> None:
    def keys(settings: InputSettings) -> dict[str, str]:
        return open_source(study.recordings[0], settings, ("rgb", "flow", "pose")).keys()

    base = keys(SIZE)
    assert len(set(base.values())) == 3
    assert keys(replace(SIZE)) == base
    touches = {
        "spacing_s": (0.1, {"rgb", "flow", "pose"}),
        "size": ((32, 32), {"rgb", "flow"}),
        "photometry": ("grey", {"rgb", "flow"}),
        "flow_encoding": ("uv", {"flow"}),
        "flow_limit": (5.0, {"flow"}),
        "pose_features": (("speeds",), {"pose"}),
        "symmetric": (True, {"pose"}),
        "gap_s": (0.1, {"pose"}),
        "confidence": (0.5, {"pose"}),
        "crop_keypoint": ("head", {"rgb", "flow"}),
        "crop_size": (30, set()),
    }
    for name, (value, expected) in touches.items():
        now = keys(replace(SIZE, **{name: value}))
        assert {s for s in base if now[s] != base[s]} == expected, name
    cropped = replace(SIZE, crop_keypoint="head")
    for change in ({"crop_size": 30}, {"confidence": 0.5}, {"gap_s": 0.1}):
        assert keys(replace(cropped, **change))["rgb"] != keys(cropped)["rgb"]


def test_pieces_from_anywhere_are_slices_of_the_whole(study: Project) -> None:
    settings = replace(SIZE, spacing_s=0.1)
    for streams in (("rgb",), ("flow", "pose"), ("rgb", "flow", "pose"), ("pose",)):
        source = open_source(study.recordings[0], settings, streams)
        whole = cached_streams(source)
        for start, chunk in ((0, 256), (0, 7), (5, 4), (13, 1), (19, 3)):
            at = start
            for first, piece in source.chunks(start, chunk):
                assert first == at
                assert set(piece) == set(streams)
                lengths = {len(values) for values in piece.values()}
                assert len(lengths) == 1
                at += lengths.pop()
                for name, values in piece.items():
                    assert np.array_equal(values, rows(whole[name], first, at), equal_nan=True)
            assert at == 20


def test_long_pose_comes_in_blocks(tmp_path: Path) -> None:
    n = 10_000
    xy = np.random.default_rng(0).normal(size=(n, 1, 2, 2)).cumsum(axis=0).astype(np.float32)
    pose = Pose(xy, ("m",), ("a", "b"))
    formats.write_pose(tmp_path / "p.csv", pose)
    recording = Recording("long", pose=tmp_path / "p.csv", fps=30.0)
    settings = InputSettings(spacing_s=0.1, pose_features=("speeds",))
    source = open_source(recording, settings, ("pose",), pose=pose)
    pieces = list(source.chunks(100))
    assert len(pieces) == 3
    assert [first for first, _ in pieces] == [
        100,
        *np.searchsorted(source.sampling.samples, [4096, 8192]),
    ]
    expected = feature_table(pose, 30.0, ("speeds",)).values[source.sampling.samples]
    got = np.concatenate([piece["pose"] for _, piece in pieces])
    assert np.array_equal(got, expected[100:], equal_nan=True)


def test_a_crop_follows_its_keypoint(study: Project) -> None:
    settings = replace(SIZE, crop_keypoint="head", crop_size=16, size=(16, 16))
    p = prepare(study, study.recordings[0], settings, ("rgb", "flow"))
    texture = pictures()[0, 16:32, 4:20, 1]
    rgb = rows(p.streams["rgb"])
    # The square fills every crop; seen through a window that moves with it, it stands still.
    assert all(np.array_equal(rgb[n, ..., 1], texture) for n in range(FRAMES))
    assert rgb[:, 0, 0, 0].tolist() == (5 * np.arange(FRAMES)).tolist()


def test_a_crop_point_that_is_gone_is_filled_up_to_a_limit(study: Project) -> None:
    """The head moves evenly, so a gap that is filled gives the very crops that it gave before."""
    recording, pose = study.recordings[0], tracks()
    xy = pose.xy.copy()
    xy[10:15, :, pose.keypoints.index("head")] = np.nan
    gone = replace(pose, xy=xy)
    settings = replace(SIZE, crop_keypoint="head", crop_size=16, size=(16, 16), gap_s=5 / FPS)
    whole, filled = (
        open_source(recording, settings, ("rgb",), pose=given, timeline=Timeline.uniform(FRAMES, FPS))
        for given in (pose, gone)
    )
    for (_, before), (_, after) in zip(whole.chunks(), filled.chunks(), strict=True):
        assert np.array_equal(before["rgb"], after["rgb"])
    short = replace(settings, gap_s=4 / FPS)
    message = r"recording 'a', keypoint 'head': frames 10 to 14 have no point .*at most 4 frames.*gap_s"
    with pytest.raises(InputError, match=message):
        list(open_source(recording, short, ("rgb",), pose=gone).chunks())


def test_recordings_without_labels_or_video(study: Project) -> None:
    p = prepare(study, study.recordings[1], SIZE, ("pose",))
    assert (p.target == -1).all()
    assert len(p) == FRAMES
    assert p.timeline.fps == pytest.approx(FPS)
    with pytest.raises(InputError, match="'b' has pose alone"):
        prepare(study, study.recordings[1], SIZE, ("rgb",))
    both = [prepare(study, recording, SIZE, ("pose",)) for recording in study.recordings]
    assert pose_names(study.recordings[0]) == (("mouse",), ("head", "tail"))
    assert np.array_equal(both[0].table("pose"), both[1].table("pose"), equal_nan=True)
    data = WindowDataset(both, WindowSettings(8, 0.4), train=True)
    assert {int(item["recording"]) for item in data} == {0}


def test_a_clip_is_labelled_throughout(study: Project) -> None:
    clip = replace(study.recordings[0], labels=None, groups={"behaviour": "walk"})
    clips = Project(study.root, "clips", ETHOGRAM, (clip,), unit="recording")
    assert prepare(clips, clip, SIZE, ("rgb",)).classes.tolist() == [1] * FRAMES


def test_failure_leaves_nothing_in_the_cache(study: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache()
    true = source_module.stream_chunks

    def broken(*args: object, **kwargs: object) -> Iterator[object]:
        yield next(true(*args, **kwargs))  # type: ignore[call-overload]
        raise InputError("decodes only up to frame 20 of 40")

    monkeypatch.setattr(source_module, "stream_chunks", broken)
    source = open_source(study.recordings[0], SIZE, ("rgb", "flow"))
    before = {path.name for path in cache.folder.iterdir()}
    with pytest.raises(InputError, match="frame 20 of 40"):
        cached_streams(source, cache)
    assert {path.name for path in cache.folder.iterdir()} == before
    monkeypatch.setattr(Cache, "get", lambda self, key: None)
    monkeypatch.setattr(source_module, "stream_chunks", true)
    with pytest.raises(StorageError, match="vanished"):
        cached_streams(source, cache)


# What does not fit


def test_files_that_do_not_fit_are_refused_by_name(study: Project, tmp_path: Path) -> None:
    recording = study.recordings[0]
    with pytest.raises(
        InputError, match=r"streams rgb, flow, pose and embedding; asked for: \['sound'\]"
    ):
        open_source(recording, SIZE, ("sound",))
    with pytest.raises(InputError, match="no pose file, and this model crops around 'head'"):
        open_source(replace(recording, pose=None), replace(SIZE, crop_keypoint="head"), ("rgb",))
    with pytest.raises(InputError, match="no pose file, and this model sees pose"):
        open_source(replace(recording, pose=None), SIZE, ("pose",))
    with pytest.raises(InputError, match="pose has 30 frames and the video 40"):
        open_source(recording, SIZE, ("pose",), pose=tracks(30))
    with pytest.raises(InputError, match="frames per second"):
        open_source(Recording("x", pose=recording.pose), SIZE, ("pose",))
    with pytest.raises(InputError, match=r"no keypoint 'haed'.*Did you mean 'head'"):
        cached_streams(open_source(recording, replace(SIZE, crop_keypoint="haed"), ("rgb",)))
    with pytest.raises(InputError, match="'x' has no pose file"):
        pose_names(Recording("x", video=tmp_path / "v.mp4"))


def two_animals() -> Pose:
    xy = np.arange(40 * 2 * 3 * 2, dtype=np.float32).reshape(40, 2, 3, 2)
    return Pose(xy, ("one", "two"), ("nose", "body", "tail"), xy[..., 0] / 500)


def test_a_crop_among_several_animals_needs_one_of_them(study: Project, tmp_path: Path) -> None:
    pose = two_animals()
    formats.write_pose(tmp_path / "p.csv", pose)
    pair = replace(study.recordings[0], pose=tmp_path / "p.csv")
    with pytest.raises(InputError, match=r"tracks 2 animals: name one .* 'one\.body'"):
        list(open_source(pair, replace(SIZE, crop_keypoint="body"), ("rgb",)).chunks())
    source = open_source(pair, replace(SIZE, crop_keypoint="two.body"), ("rgb",), pose=pose)
    assert np.array_equal(source.centres(), pose.xy[:, 1, 1])
    lost = replace(pose, xy=np.full_like(pose.xy, np.nan))
    chosen = replace(SIZE, crop_keypoint="two.body", gap_s=0.15)
    with pytest.raises(InputError, match=r"recording 'a', keypoint 'two\.body': no frame has a point"):
        open_source(pair, chosen, ("rgb",), pose=lost)
    hidden = pose.xy.copy()
    hidden[10:14, 1, 1] = np.nan
    message = (
        r"frames 10 to 13 have no point to crop around \(4 frames\).* at most 3 .*gap_s, now 0\.15 s"
    )
    with pytest.raises(InputError, match=message):
        open_source(pair, chosen, ("rgb",), pose=replace(pose, xy=hidden))
    open_source(pair, chosen, ("pose",), pose=replace(pose, xy=hidden))
    filled = open_source(pair, replace(chosen, gap_s=0.2), ("rgb",), pose=replace(pose, xy=hidden))
    assert filled.centres() == pytest.approx(pose.xy[:, 1, 1])


def test_poses_are_brought_into_the_order_a_network_knows() -> None:
    pose = two_animals()
    swapped = arrange_pose(pose, ("two", "one"), ("tail", "nose"), "p.csv")
    assert np.array_equal(swapped.xy[:, 0, 0], pose.xy[:, 1, 2])
    assert np.array_equal(swapped.xy[:, 1, 1], pose.xy[:, 0, 0])
    assert pose.confidence is not None
    assert swapped.confidence is not None
    assert np.array_equal(swapped.confidence[:, 0, 1], pose.confidence[:, 1, 0])
    other = arrange_pose(pose, ("rat3", "rat4"), pose.keypoints, "p.csv")
    assert other.animals == ("rat3", "rat4")
    assert np.array_equal(other.xy, pose.xy)
    with pytest.raises(InputError, match=r"p\.csv: has no keypoint nosee, .* Did you mean 'nose'"):
        arrange_pose(pose, ("one", "two"), ("nosee",), "p.csv")
    with pytest.raises(InputError, match=r"tracks 2 animals \(one, two\), and the model needs 1 \(m\)"):
        arrange_pose(pose, ("m",), ("nose",), "p.csv")


# Real recordings


def test_a_session_of_two_rats(data: Path, tmp_path: Path) -> None:
    folder = data / "rat-social"
    names = ("base", "social", "nonsocial", "aggression")
    pose = next((folder / "pose").glob("10DLC*"))
    recording = Recording(
        "10",
        pose=pose,
        labels=folder / "annotations" / "10_annot.txt",
        fps=30.0,
        choice=LabelChoice("S1"),
    )
    study = Project(tmp_path, "rats", Ethogram(names), (recording,), tolerance_s=2.0)
    settings = InputSettings(spacing_s=0.2, pose_features=("centre", "between"), symmetric=True)
    prepared = prepare(study, recording, settings, ("pose",))
    assert prepared.sampling.samples[:4].tolist() == [0, 6, 12, 18]
    assert (prepared.classes >= 0).all()
    assert np.isfinite(prepared.table("pose")).mean() > 0.4
    batch = WindowDataset([prepared], WindowSettings(0), train=False)[0]
    assert np.isfinite(batch["pose"].numpy()).all()
    assert batch["target"].numpy().tolist() == prepared.classes.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.floats(0.0, 1.3), st.integers(1, 25), st.integers(0, 2**31))
def test_pooling_is_the_mean_over_the_frames_of_a_sample(
    n: int, spacing: float, block: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sampling = sample_frames(Timeline(np.cumsum(rng.uniform(0.05, 0.2, n))), spacing)
    rows = rng.normal(size=(n, 3)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.4] = np.nan
    pool = MeanPool(sampling)
    parts = [pool.add(rows[i : i + block]) for i in range(0, n, block)]
    firsts = [first for first, means in parts if len(means)]
    assert firsts == np.cumsum([0, *(len(m) for _, m in parts if len(m))])[:-1].tolist()
    for sample, means in enumerate(np.concatenate([m for _, m in parts])):
        for column in range(3):
            values = rows[sampling.owner == sample, column]
            known = values[~np.isnan(values)]
            expected = known.mean() if len(known) else np.nan
            assert means[column] == pytest.approx(expected, abs=1e-5, nan_ok=True)
