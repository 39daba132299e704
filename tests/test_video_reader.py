"""Frame n is frame n, the length is what decodes, times are the file's own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_samples import CODECS, encode, numbered, read_number

from murine.errors import InputError
from murine.video import Video, open_video, write_video
from murine.video.decode import Cursor

N = 70
FRAMES = numbered(N)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def lossless(folder: Path) -> Path:
    write_video(folder / "lossless.mkv", FRAMES, 25, lossless=True)
    return folder / "lossless.mkv"


@pytest.mark.parametrize("name", CODECS)
def test_every_frame_is_exact_in_sequence_and_at_random(name: str, tmp_path: Path) -> None:
    file, arguments = CODECS[name]
    video = open_video(encode(tmp_path / file, FRAMES, **arguments))  # type: ignore[arg-type]
    sequence = list(video.frames())
    assert [read_number(frame) for frame in sequence] == list(range(N))
    assert video.n_frames == len(video.timeline) == N
    assert video.timeline.times == pytest.approx(np.arange(N) / 25, abs=1e-9)
    with video:
        for n in np.random.default_rng(0).permutation(N):
            assert np.array_equal(video.frame(int(n)), sequence[n]), n


@pytest.mark.parametrize(
    "name", ["ffv1-gop", "h264-open-gop", "h264-open-gop-mp4", "mpeg4-b-avi", "mpeg2"]
)
def test_random_access_decodes_from_the_key_frame_before(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, arguments = CODECS[name]
    video = open_video(encode(tmp_path / file, FRAMES, **arguments))  # type: ignore[arg-type]
    assert video.n_frames == N
    opened = 0
    original = Cursor._open

    def counting(self: Cursor, *, strict: bool) -> None:
        nonlocal opened
        opened += 1
        original(self, strict=strict)

    steps = 0
    step = Cursor.step

    def stepping(self: Cursor) -> object:
        nonlocal steps
        steps += 1
        return step(self)

    monkeypatch.setattr(Cursor, "_open", counting)
    monkeypatch.setattr(Cursor, "step", stepping)
    assert read_number(video.frame(N - 2)) == N - 2
    assert read_number(video.frame(40)) == 40
    assert opened == 1
    assert steps < 60


def test_the_made_up_video_is_lossless(lossless: Path) -> None:
    video = open_video(lossless)
    assert np.array_equal(np.stack(list(video.frames())), FRAMES)
    assert (video.height, video.width, video.rotation, video.fps) == (96, 128, 0, pytest.approx(25))
    assert video.pixel_format == "bgr0"
    assert video.notes == ()


@settings(max_examples=15, deadline=None)
@given(start=st.integers(0, N), length=st.integers(0, N))
def test_any_interval(lossless: Path, start: int, length: int) -> None:
    stop = min(N, start + length)
    got = [read_number(frame) for frame in open_video(lossless).frames(start, stop)]
    assert got == list(range(start, stop))


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, N - 1), max_size=12))
def test_any_indices(lossless: Path, chosen: set[int]) -> None:
    video = open_video(lossless)
    assert [read_number(f) for f in video.frames(indices=sorted(chosen))] == sorted(chosen)


def test_open_ended_from_the_middle(lossless: Path) -> None:
    assert [read_number(f) for f in open_video(lossless).frames(N - 3)] == [N - 3, N - 2, N - 1]


def test_frames_past_the_end_are_refused(lossless: Path) -> None:
    video = open_video(lossless)
    for ask in (
        lambda: list(video.frames(0, N + 1)),
        lambda: list(video.frames(N + 5, N + 6)),
        lambda: list(video.frames(indices=[3, N])),
        lambda: video.frame(N),
    ):
        with pytest.raises(InputError, match=rf"lossless\.mkv: has {N} frames"):
            ask()


@pytest.mark.parametrize("indices", [[3, 3], [4, 2], [-1, 2]])
def test_indices_must_increase(lossless: Path, indices: list[int]) -> None:
    with pytest.raises(InputError, match="increasing"):
        open_video(lossless).frames(indices=indices)


def test_a_whole_reading_is_the_scan(lossless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = open_video(lossless)
    assert len(list(video.frames())) == N
    monkeypatch.setattr(Cursor, "step", None)
    assert video.n_frames == N
    assert open_video.__module__  # opening decodes the first frame, so a second Video is made below
    again = Video.__new__(Video)
    again.path, again._scan, again._cursor = lossless, None, None
    assert again.n_frames == N


def test_two_readers_of_one_video_do_not_disturb_each_other(lossless: Path) -> None:
    video = open_video(lossless)
    first, second = video.frames(), video.frames(30)
    for i in range(20):
        assert read_number(next(first)) == i
        assert read_number(next(second)) == 30 + i
        assert read_number(video.frame(N - 1 - i)) == N - 1 - i


@pytest.mark.parametrize("size", [(48, 64), (31, 47), (96, 64), (192, 256)])
def test_resizing_averages_areas(lossless: Path, size: tuple[int, int]) -> None:
    video = open_video(lossless)
    got = np.stack(list(video.frames(0, 5, size=size))).astype(int)
    how = cv2.INTER_AREA if size[0] <= 96 else cv2.INTER_LINEAR
    expected = np.stack([cv2.resize(f, size[::-1], interpolation=how) for f in FRAMES[:5]]).astype(int)
    assert got.shape == expected.shape
    texture = np.s_[:, size[0] * 5 // 8 :]
    assert np.abs(got - expected)[texture].mean() < 2.0
    assert [read_number(f) for f in got.astype(np.uint8)] == list(range(5))


def test_a_uniform_frame_stays_uniform_at_any_size(tmp_path: Path) -> None:
    frame = np.zeros((50, 70, 3), np.uint8) + np.array([200, 100, 30], np.uint8)
    write_video(tmp_path / "a.mkv", [frame], 25, lossless=True)
    for size in ((7, 9), (50, 70), (49, 13), (80, 90)):
        got = next(open_video(tmp_path / "a.mkv").frames(size=size))
        assert np.abs(got.astype(int) - frame[0, 0]).max() <= 1


def test_grey_is_the_brightness(lossless: Path) -> None:
    grey = next(open_video(lossless).frames(10, 11, grey=True))
    assert grey.shape == (96, 128)
    assert np.abs(grey.astype(int) - cv2.cvtColor(FRAMES[10], cv2.COLOR_RGB2GRAY)).max() <= 2


@pytest.mark.parametrize("angle", [90, -90, 180])
def test_rotation_is_applied_as_players_do(tmp_path: Path, angle: int) -> None:
    path = encode(tmp_path / "a.mp4", FRAMES[:6], rotation=angle)
    witness = cv2.VideoCapture(str(path))
    expected = [cv2.cvtColor(witness.read()[1], cv2.COLOR_BGR2RGB) for _ in range(6)]
    video = open_video(path)
    assert (video.height, video.width) == expected[0].shape[:2]
    got = list(video.frames())
    assert np.abs(np.stack(got).astype(int) - np.stack(expected)).max() <= 3
    assert np.array_equal(video.frame(4), got[4])
    small = next(video.frames(size=(30, 20), grey=True))
    bright = cv2.cvtColor(expected[0], cv2.COLOR_RGB2GRAY)
    expected_small = cv2.resize(bright, (20, 30), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected_small).mean() < 3
    assert video.rotation % 360 == angle % 360


def test_an_angle_that_is_no_quarter_turn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="45 degrees"):
        open_video(encode(tmp_path / "a.mp4", FRAMES[:3], rotation=45))


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix"),
    [
        ("libx264", "yuv420p10le", "mp4"),
        ("libx264", "yuv422p", "mp4"),
        ("libx264", "gray", "mp4"),
        ("ffv1", "yuv444p", "mkv"),
        ("ffv1", "yuv420p10le", "mkv"),
    ],
)
def test_colour_of_8_and_10_bits(tmp_path: Path, codec: str, pixel_format: str, suffix: str) -> None:
    path = encode(tmp_path / f"a.{suffix}", FRAMES[:8], codec, pixel_format=pixel_format)
    got = list(open_video(path).frames())
    assert [read_number(f) for f in got] == list(range(8))
    assert got[0].dtype == np.uint8
    texture = np.stack([f[60:] for f in got]).astype(int)
    if pixel_format != "gray":
        assert np.abs(texture - FRAMES[:8, 60:]).mean() < 12


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_grey_of_any_depth_becomes_8_bits(tmp_path: Path, bits: int) -> None:
    grey = FRAMES[:4, ..., 0]
    deep = list(grey) if bits == 8 else [frame.astype(np.uint16) * 257 for frame in grey]
    pixel_format = "gray" if bits == 8 else f"gray{bits}le"
    video = open_video(encode(tmp_path / "a.mkv", deep, "ffv1", pixel_format=pixel_format))
    assert video.pixel_format == pixel_format
    got = np.stack(list(video.frames())).astype(int)
    assert np.abs(got - grey[..., None]).max() <= 1
    assert np.abs(np.stack(list(video.frames(grey=True))).astype(int) - grey).max() <= 1


def test_colours_follow_the_matrix_the_file_names(tmp_path: Path) -> None:
    frame = np.zeros((32, 32, 3), np.uint8) + np.array([200, 60, 40], np.uint8)
    options = {"x264-params": "colormatrix=bt709:colorprim=bt709:transfer=bt709", "crf": "1"}
    wide = encode(
        tmp_path / "a.mp4", [frame] * 3, pixel_format="yuv444p", options=options, matrix="ITU709"
    )
    plain = encode(tmp_path / "b.mp4", [frame] * 3, pixel_format="yuv444p", options={"crf": "1"})
    for path in (wide, plain):
        assert np.abs(next(open_video(path).frames()).astype(int) - frame).max() <= 4


@pytest.mark.parametrize("shape", [(67, 101), (2, 3), (95, 128)])
def test_odd_sizes(tmp_path: Path, shape: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, *shape, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mkv", frames, 25, lossless=True)
    video = open_video(tmp_path / "a.mkv")
    assert (video.height, video.width) == shape
    assert np.array_equal(np.stack(list(video.frames())), frames)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_rate_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    ticks = np.cumsum(np.random.default_rng(1).integers(20, 90, N))
    video = open_video(encode(tmp_path / f"a.{suffix}", FRAMES, pts=ticks.tolist()))
    assert video.timeline.times == pytest.approx((ticks - ticks[0]) / 1000, abs=0.0011)
    assert video.timeline.variable
    assert [read_number(video.frame(n)) for n in (60, 3, 33)] == [60, 3, 33]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_times_count_from_the_first_frame(tmp_path: Path, suffix: str) -> None:
    path = encode(tmp_path / f"a.{suffix}", FRAMES, pts=[4000 + 40 * i for i in range(N)])
    video = open_video(path)
    assert video.timeline.times == pytest.approx(np.arange(N) / 25, abs=0.001)
    assert [read_number(video.frame(n)) for n in (50, 0, 20)] == [50, 0, 20]


def test_a_pause_in_the_recording_is_told(tmp_path: Path) -> None:
    ticks = [40 * i + (400 if i >= 30 else 0) for i in range(N)]
    video = open_video(encode(tmp_path / "a.mp4", FRAMES, pts=ticks))
    assert video.n_frames == N
    assert "first by 0.44 s after frame 29: about 10 frames" in video.notes[0]


@pytest.mark.parametrize("count", [1, 2])
def test_very_short_videos(tmp_path: Path, count: int) -> None:
    video = open_video(encode(tmp_path / "a.mp4", FRAMES[:count]))
    assert video.n_frames == count
    assert video.timeline.times == pytest.approx(np.arange(count) / 25)


def test_sound_beside_the_picture_does_not_matter(tmp_path: Path) -> None:
    video = open_video(encode(tmp_path / "a.mp4", FRAMES, sound_seconds=6))
    assert [read_number(f) for f in video.frames()] == list(range(N))


def test_a_strange_name_is_only_a_name(tmp_path: Path) -> None:
    path = tmp_path / "cage:1 [x] %d é.mp4"
    path.write_bytes(encode(tmp_path / "a.mp4", FRAMES[:3]).read_bytes())
    assert open_video(path).n_frames == 3


def test_real_recordings(data: Path) -> None:
    expected = {
        "face_washing_cage1_6_20_22_56_58616.mkv": (16, 1080, 1920),
        "grooming_cage1_6_20_22_56_23091.mkv": (16, 1080, 1920),
        "rearing_cage1_6_20_22_56_64961.mkv": (16, 1080, 1920),
    }
    for path in sorted((data / "rat-clips" / "originals").iterdir()):
        video = open_video(path)
        assert (video.n_frames, video.height, video.width) == expected[path.name]
        assert video.fps == pytest.approx(25)
    arena = open_video(data / "videos" / "round_arena_416x404_25fps.mp4")
    assert (arena.n_frames, arena.height, arena.width) == (251, 404, 416)
    sequence = list(arena.frames())
    for n in (250, 17, 100):
        assert np.array_equal(arena.frame(n), sequence[n])
