"""Videos written whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import av
import numpy as np
import pytest
from video_samples import numbered, read_number

from murine.errors import InputError, StorageError
from murine.video import open_video, write_video, writer

FRAMES = numbered(12)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("fps", [25, 29.97, 15.5])
def test_h264(tmp_path: Path, suffix: str, fps: float) -> None:
    path = tmp_path / "deep" / f"a{suffix}"
    assert write_video(path, iter(FRAMES), fps) == 12
    video = open_video(path)
    frames = list(video.frames())
    assert [read_number(f) for f in frames] == list(range(12))
    assert np.abs(np.stack(frames).astype(int) - FRAMES)[:, 60:].mean() < 15
    assert video.timeline.times == pytest.approx(np.arange(12) / fps, abs=0.001)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_better_quality_is_nearer(tmp_path: Path) -> None:
    errors = []
    for quality in (5, 40):
        write_video(tmp_path / "a.mp4", FRAMES, 25, quality=quality)
        got = np.stack(list(open_video(tmp_path / "a.mp4").frames())).astype(int)
        errors.append(np.abs(got - FRAMES).mean())
    assert errors[0] < errors[1] / 2


@pytest.mark.parametrize("grey", [False, True])
def test_lossless_is_lossless(tmp_path: Path, grey: bool) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 33, 47, 3), dtype=np.uint8)
    frames = frames[..., 0] if grey else frames
    write_video(tmp_path / "a.mkv", frames, 30, lossless=True)
    video = open_video(tmp_path / "a.mkv")
    assert np.array_equal(np.stack(list(video.frames(grey=grey))), frames)
    assert video.pixel_format == ("gray" if grey else "bgr0")


@pytest.mark.parametrize(("name", "lossless"), [("a.mp4", False), ("a.mkv", True)])
def test_given_times_are_kept(tmp_path: Path, name: str, lossless: bool) -> None:
    times = np.cumsum(np.random.default_rng(2).uniform(0.01, 0.2, 12))
    write_video(tmp_path / name, FRAMES, 25, lossless=lossless, times=times)
    video = open_video(tmp_path / name)
    assert video.timeline.times == pytest.approx(times - times[0], abs=0.0011)
    assert [read_number(f) for f in video.frames()] == list(range(12))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": []}, "at least one frame"),
        ({"frames": [FRAMES[0], FRAMES[1][:50]]}, r"frame 1 is \(50, 128, 3\)"),
        ({"frames": [FRAMES[0].astype(np.float32)]}, "float32"),
        ({"fps": 0}, "frame rate"),
        ({"times": [0, 1]}, "more frames came"),
        ({"times": list(range(13))}, "12 frames came for 13 times"),
        ({"times": [0.0, 0.0, 1.0]}, "must increase"),
        ({"path": "a.gif"}, r"end in \.mp4"),
        ({"path": "a.mp4", "lossless": True}, r"end in \.mkv"),
    ],
)
def test_wrong_input_leaves_nothing(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    given = {"path": "a.mkv", "frames": FRAMES, "fps": 25, **arguments}
    path = tmp_path / str(given.pop("path"))
    with pytest.raises(InputError, match=message):
        write_video(path, given.pop("frames"), given.pop("fps"), **given)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, FRAMES, 25)

    def broken() -> object:
        yield FRAMES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, broken(), 25)  # type: ignore[arg-type]
    assert open_video(path).n_frames == 12
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("kind", [av.error.FFmpegError, OSError])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    def full(*_: object) -> int:
        raise kind(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "_write", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_video(tmp_path / "a.mp4", FRAMES, 25)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    with pytest.raises(StorageError, match="folder"):
        write_video(tmp_path / "b" / "a.mp4", FRAMES, 25)
