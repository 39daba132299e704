"""Every file that is no whole video is refused by name, with what is wrong and up to where it is good."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_samples import CODECS, encode, numbered, read_number

from murine.errors import InputError
from murine.video import decode, open_video, write_video
from murine.video.matroska import first_break
from murine.video.scan import ScanBuilder
from murine.video.timing import Claims

N = 60
FRAMES = numbered(N)
FAST = {"options": {"g": "15"}, "container_options": {"movflags": "faststart"}}


def sample(folder: Path, name: str = "a.mp4", **arguments: object) -> Path:
    return encode(folder / name, FRAMES, **arguments)  # type: ignore[arg-type]


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def spoil(path: Path, share: float, length: int = 300, seed: int = 0) -> Path:
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at : at + length] = np.random.default_rng(seed).bytes(length)
    path.write_bytes(content)
    return path


def text(folder: Path) -> Path:
    (folder / "a.mp4").write_text("time,behaviour\n" * 500)
    return folder / "a.mp4"


def terminal_text(folder: Path) -> Path:
    (folder / "a.txt").write_text("time,behaviour\n" * 500)
    return folder / "a.txt"


def archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.mp4", "w") as file:
        file.writestr("b", "c" * 5000)
    return folder / "a.mp4"


def zeros(folder: Path) -> Path:
    (folder / "a.mp4").write_bytes(bytes(50_000))
    return folder / "a.mp4"


def empty(folder: Path) -> Path:
    (folder / "a.mp4").touch()
    return folder / "a.mp4"


def photograph(folder: Path) -> Path:
    cv2.imwrite(str(folder / "a.png"), FRAMES[0])
    return (folder / "a.png").rename(folder / "a.mp4")


def sound(folder: Path) -> Path:
    path = folder / "a.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        block.sample_rate, block.pts = 8000, 0
        out.mux(stream.encode(block))
        out.mux(stream.encode(None))
    return path


def unknown_codec(folder: Path) -> Path:
    path = sample(folder)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"qqqq"))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "a.mp4", "not found"),
        (lambda folder: folder, "a folder came"),
        (empty, r"empty \(0 bytes\)"),
        (text, "not a video"),
        (terminal_text, "not a video"),
        (archive, "not a video"),
        (zeros, "not a video"),
        (photograph, "not a video; its content is read as 'png_pipe'"),
        (sound, "has no moving picture, only: audio"),
        (unknown_codec, "codec is unknown"),
        (lambda folder: cut(sample(folder), 0.6), r"cut short: an MP4 without its index \(moov\)"),
    ],
)
def test_what_is_no_video(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        open_video(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments", "about"),
    [
        ("a.mp4", FAST, ""),
        ("a.mkv", {"options": {"g": "15"}}, "about "),
        ("a.mkv", {"options": {"g": "15"}, "sound_seconds": 2.4}, "about "),
        ("a.mkv", {"codec": "ffv1", "pixel_format": "bgr0"}, "about "),
        ("a.webm", CODECS["vp9"][1], "about "),
        ("a.avi", {"codec": "mpeg4"}, ""),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_cut_short_tells_how_far_it_decodes(
    tmp_path: Path, name: str, arguments: dict[str, object], about: str, share: float
) -> None:
    path = sample(tmp_path, name, **arguments)
    whole = path.read_bytes()
    if name == "a.avi":  # behind the frames stands an index that nothing is lost without
        whole = whole[: whole.rfind(b"idx1")]
    path.write_bytes(whole[: int(len(whole) * share)])
    video = open_video(path)
    with pytest.raises(InputError, match=rf"up to frame \d+ of {about}{N}") as caught:
        _ = video.timeline
    good = int(str(caught.value).split("up to frame ")[1].split(" ")[0].rstrip(";"))
    assert 0 < good < N
    frames = video.frames()
    assert [read_number(next(frames)) for _ in range(good)] == list(range(good))
    with pytest.raises(InputError, match="up to frame"):
        list(frames)


def test_a_single_missing_frame_at_the_end_is_seen(tmp_path: Path) -> None:
    for ticks in (None, np.cumsum(np.random.default_rng(0).integers(20, 60, N)).tolist()):
        path = sample(tmp_path, "a.mp4", codec="mjpeg", pixel_format="yuvj420p", pts=ticks,
                      container_options={"movflags": "faststart"})  # fmt: skip
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InputError, match=f"up to frame {N - 1}"):
            _ = open_video(path).n_frames


@pytest.mark.parametrize(
    "name", ["ffv1", "h264", "h264-short", "mpeg4-avi", "mpeg4-b-avi", "mpeg2", "mjpeg", "vp9"]
)
@pytest.mark.parametrize("share", [0.4, 0.6])
def test_garbage_in_the_middle_is_refused(tmp_path: Path, name: str, share: float) -> None:
    file, arguments = CODECS[name]
    path = spoil(sample(tmp_path, file, **arguments), share)
    with pytest.raises(InputError, match=r"a\.\w+: (damaged|cut short).*frame \d+"):
        _ = open_video(path).timeline


def test_one_flipped_bit_of_a_lossless_video_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_video(path, FRAMES, 25, lossless=True)
    content = bytearray(path.read_bytes())
    for at in np.random.default_rng(0).integers(2000, len(content) - 2000, 5).tolist():
        damaged = bytearray(content)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        for _ in range(2):  # a second time too: FFmpeg does not repeat what it has said before
            with pytest.raises(InputError, match="damaged"):
                _ = open_video(path).timeline
    assert av.logging.get_level() is None


def test_lost_blocks_of_a_matroska_file_are_seen(tmp_path: Path) -> None:
    path = sample(tmp_path, "a.mkv", codec="libvpx-vp9", options={"g": "15", "deadline": "realtime"})
    assert first_break(path) is None
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + content[len(content) * 6 // 10 :])
    assert first_break(path) is not None
    with pytest.raises(InputError, match=r"Matroska structure breaks at byte|up to frame"):
        _ = open_video(path).timeline


def remux(source: Path, target: Path, keep: Callable[[int], bool]) -> Path:
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for i, packet in enumerate(old.demux(stream)):
            if packet.dts is not None and keep(i):
                packet.stream = copy
                new.mux(packet)
    return target


def test_a_recording_cut_without_a_key_frame_says_so(tmp_path: Path) -> None:
    source = sample(tmp_path, "a.mp4", options={"g": "20", "x264-params": "intra-refresh=1"})
    video = open_video(remux(source, tmp_path / "b.mp4", lambda i: i >= 5))
    numbers = [read_number(frame) for frame in video.frames()]
    assert numbers == list(range(numbers[0], N))
    assert any("first" in note and "cannot be decoded" in note for note in video.notes)
    with video:
        assert read_number(video.frame(10)) == numbers[10]


def test_a_recording_cut_at_an_open_group_is_read(tmp_path: Path) -> None:
    source = sample(tmp_path, CODECS["h264-open-gop-mp4"][0], **CODECS["h264-open-gop-mp4"][1])
    with av.open(str(source)) as container:
        keys = [i for i, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
    video = open_video(remux(source, tmp_path / "b.mp4", lambda i: i >= keys[1]))
    numbers = [read_number(frame) for frame in video.frames()]
    assert numbers == list(range(numbers[0], N))
    assert any("without a full key frame" in note for note in video.notes)
    with video:
        assert [read_number(video.frame(n)) for n in (30, 3)] == [numbers[30], numbers[3]]


def test_a_change_of_size_is_refused_with_its_frame(tmp_path: Path) -> None:
    parts = []
    for height in (96, 64):
        path = encode(
            tmp_path / f"{height}.mjpeg", numbered(10, height), "mjpeg", pixel_format="yuvj420p"
        )
        parts.append(path.read_bytes())
    (tmp_path / "a.mjpeg").write_bytes(b"".join(parts))
    with pytest.raises(InputError, match="frame 10 is 128x64 yuvj420p, the first is 128x96"):
        _ = open_video(tmp_path / "a.mjpeg").timeline


def test_an_edited_end_is_a_whole_file(tmp_path: Path) -> None:
    path = sample(tmp_path)
    content = bytearray(path.read_bytes())
    at = content.find(b"elst") + 12
    content[at : at + 4] = (1200).to_bytes(4, "big")  # the editor shows 1.2 s of 2.4 s
    path.write_bytes(content)
    video = open_video(path)
    assert video.n_frames == 30
    assert video.notes == ("the container says 60 frames; 30 decode",)


def builder(pts: list[int | None], **claims: object) -> ScanBuilder:
    said: dict[str, object] = {
        "frames": 0,
        "end": 0.0,
        "rate": 25.0,
        "tick": Fraction(1, 1000),
        **claims,
    }
    result = ScanBuilder(Path("a.mkv"), Claims(**said))  # type: ignore[arg-type]
    for stamp in pts:
        result.add(stamp, True, 40)
    return result


def test_time_that_runs_backwards_is_refused() -> None:
    stamps = [40 * i for i in range(20)] + [40 * i for i in range(10, 20)]
    with pytest.raises(
        InputError, match="time runs backwards at frame 20 \\(time stamp 400 after 760\\)"
    ):
        builder(stamps).finish()  # type: ignore[arg-type]


def test_repeated_time_stamps_are_spread_and_told() -> None:
    scan = builder([0, 40, 40, 120, 160, 160, 160, 280, None]).finish()
    assert scan.times == pytest.approx(np.array([0, 40, 80, 120, 160, 200, 240, 280, 320]) / 1000)
    assert not scan.seekable
    assert "4 frames repeat a time stamp or have none (the first is frame 2)" in scan.notes[0]


@pytest.mark.parametrize("stamp", [None, 0, 7])
def test_a_stream_without_time_stamps_is_counted_and_told(stamp: int | None) -> None:
    scan = builder([stamp] * 5).finish()
    assert scan.times == pytest.approx(np.arange(5) / 25)
    assert "no time stamps" in scan.notes[0]


def test_an_avi_with_b_frames_has_its_ticks_in_order() -> None:
    ticks: list[int | None] = [1, 3, 2, 5, 4, 6, 9, 8, 7, 30]
    scan = builder(ticks, container="avi", tick=Fraction(1, 25)).finish()
    assert scan.times * 25 == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7, 8, 29])
    assert not scan.seekable
    assert "an AVI with B-frames gives no display times" in scan.notes[0]


def test_a_program_stream_is_spaced_evenly() -> None:
    scan = builder([0, 40, 80, 160, 200, 200, 240], container="mpeg").finish()
    assert scan.times == pytest.approx(np.arange(7) / 25)
    assert "spaced evenly, 25 per second" in scan.notes[0]
    assert len(scan.notes) == 1
    paused = builder([0, 40, 80, 1000, 1040], container="mpeg").finish()
    assert paused.times == pytest.approx(np.array([0, 40, 80, 1000, 1040]) / 1000)


def test_jumps_that_lead_astray_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = open_video(sample(tmp_path, "a.mp4", options={"g": "10", "bf": "0"}))
    assert video.n_frames == N
    onward = decode._onward

    def astray(pictures: list[object], packets: object) -> object:
        frames = onward(pictures, packets)
        yield next(frames)
        next(frames)
        yield from frames

    monkeypatch.setattr(decode, "_onward", astray)
    with video:
        assert [read_number(video.frame(n)) for n in (45, 12, 58)] == [45, 12, 58]
    assert [read_number(f) for f in video.frames(indices=[15, 44])] == [15, 44]


@pytest.mark.parametrize(
    ("claims", "fault"),
    [
        ({"frames": 20, "end": 0.8}, False),
        ({"frames": 21, "end": 0.84}, True),
        ({"end": 0.84}, True),
        ({"end": 0.82}, False),
        ({"frames": 40, "end": 0.8}, False),  # two fields in a frame
        ({"frames": 21}, True),
        ({"frames": 20, "end": 0.8, "cut": True}, True),
    ],
)
def test_when_a_file_counts_as_cut(claims: dict[str, object], fault: bool) -> None:
    work = builder([40 * i for i in range(20)], **claims)
    if fault:
        with pytest.raises(InputError, match="up to frame 20 of"):
            work.finish()
    else:
        assert len(work.finish()) == 20
