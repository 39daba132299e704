"""Streams are the same however they are cut, and are what their parts say."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from video_samples import numbered, read_number

from murine.cache import Cache
from murine.errors import InputError
from murine.video import StreamSpec, Video, open_video, stream_chunks, write_video
from murine.video.flow import DECODINGS, ENCODINGS, FLOW_METHODS
from murine.video.geometry import crop_at, resize
from murine.video.photometry import luminance

N = 40
FRAMES = numbered(N, 72, 96)
SMALL = StreamSpec(size=(36, 48))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = tmp_path_factory.mktemp("streams") / "a.mkv"
    write_video(path, FRAMES, 25, lossless=True)
    return open_video(path)


def collect(
    video: Video, samples: object, spec: StreamSpec, **arguments: object
) -> dict[str, NDArray[np.uint8]]:
    parts = list(stream_chunks(video, np.asarray(samples), spec, **arguments))  # type: ignore[arg-type]
    starts = [first for first, _ in parts]
    lengths = [len(next(iter(part.values()))) for _, part in parts]
    assert starts == [starts[0] + sum(lengths[:i]) for i in range(len(parts))]
    return {name: np.concatenate([part[name] for _, part in parts]) for name in parts[0][1]}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_streams_are_what_their_parts_say(video: Video, encoding: str) -> None:
    samples = np.arange(0, N, 3)
    got = collect(video, samples, StreamSpec(size=(36, 48), flow_encoding=encoding, flow_limit=5.0))
    pictures = list(video.frames(indices=samples, size=(36, 48)))
    assert np.array_equal(got["rgb"], np.stack(pictures))
    assert [read_number(picture) for picture in got["rgb"]] == samples.tolist()
    for i in range(1, len(samples)):
        flow = FLOW_METHODS["farneback"](luminance(pictures[i - 1]), luminance(pictures[i]))
        assert np.array_equal(got["flow"][i], ENCODINGS[encoding](flow, 5.0))
    assert np.array_equal(got["flow"][0], got["flow"][1])


@pytest.mark.parametrize("crop", [None, 40])
def test_neither_start_nor_chunk_nor_workers_matter(video: Video, crop: int | None) -> None:
    spec = StreamSpec(size=(24, 24), crop_size=crop)
    centres = None if crop is None else np.stack([np.linspace(0, 96, N), np.linspace(60, 10, N)], axis=1)
    samples = np.arange(0, N, 2)
    whole = collect(video, samples, spec, centres=centres)
    for start, chunk, workers in ((0, 1, 1), (0, 7, 2), (1, 3, 2), (13, 256, 1), (19, 1, 3), (0, 20, 2)):
        part = collect(video, samples, spec, centres=centres, start=start, chunk=chunk, workers=workers)
        for name in ("rgb", "flow"):
            assert np.array_equal(part[name], whole[name][start:]), (name, start, chunk)


@settings(max_examples=10, deadline=None)
@given(
    samples=st.sets(st.integers(0, N - 1), min_size=1, max_size=9),
    start=st.integers(0, 8),
    chunk=st.integers(1, 10),
)
def test_any_samples_in_any_cut(video: Video, samples: set[int], start: int, chunk: int) -> None:
    chosen = np.array(sorted(samples))
    start = min(start, len(chosen) - 1)
    whole = collect(video, chosen, SMALL)
    part = collect(video, chosen, SMALL, start=start, chunk=chunk)
    assert all(np.array_equal(part[name], whole[name][start:]) for name in ("rgb", "flow"))
    assert [read_number(picture) for picture in whole["rgb"]] == chosen.tolist()


@pytest.mark.parametrize(("encoding", "nothing"), [("hsv", 0), ("uv", 128)])
def test_a_single_sample_has_no_flow(video: Video, encoding: str, nothing: int) -> None:
    got = collect(video, [7], StreamSpec(size=(36, 48), flow_encoding=encoding))
    assert (got["flow"] == nothing).all()


def test_nothing_left_gives_nothing(video: Video) -> None:
    assert list(stream_chunks(video, np.arange(5), SMALL, start=5)) == []
    assert list(stream_chunks(video, np.arange(0), SMALL)) == []


def test_only_what_is_wanted(video: Video) -> None:
    both = collect(video, np.arange(9), SMALL)
    rgb = collect(video, np.arange(9), StreamSpec(size=(36, 48), want_flow=False), start=2, chunk=4)
    flow = collect(video, np.arange(9), StreamSpec(size=(36, 48), want_rgb=False), start=2, chunk=4)
    assert list(rgb) == ["rgb"]
    assert list(flow) == ["flow"]
    assert np.array_equal(rgb["rgb"], both["rgb"][2:])
    assert np.array_equal(flow["flow"], both["flow"][2:])


def test_photometry_comes_before_flow(video: Video) -> None:
    got = collect(video, np.arange(4), StreamSpec(size=(36, 48), photometry="grey"))
    expected = np.stack([luminance(f) for f in video.frames(0, 4, size=(36, 48))])
    assert np.array_equal(got["rgb"], np.repeat(expected[..., None], 3, axis=-1))


def test_a_window_follows_its_point(video: Video) -> None:
    centres = np.stack([np.linspace(20, 70, N), np.linspace(50, 20, N)], axis=1)
    spec = StreamSpec(size=(30, 30), crop_size=40, flow_encoding="uv", flow_limit=8.0)
    samples = np.arange(0, N, 5)
    got = collect(video, samples, spec, centres=centres)
    for i, n in enumerate(samples):
        assert np.array_equal(got["rgb"][i], resize(crop_at(FRAMES[n], centres[n], 40), (30, 30)))
    n, m = samples[2], samples[3]
    before, after = (luminance(resize(crop_at(FRAMES[k], centres[m], 40), (30, 30))) for k in (n, m))
    expected = ENCODINGS["uv"](FLOW_METHODS["farneback"](before, after), 8.0)
    assert np.array_equal(got["flow"][3], expected)


def test_a_moving_window_over_a_still_scene_shows_no_flow(tmp_path: Path) -> None:
    still = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8), (0, 0), 2
    )
    write_video(tmp_path / "a.mkv", [still] * 8, 25, lossless=True)
    centres = np.stack([np.linspace(30, 90, 8), np.full(8, 45.0)], axis=1)
    spec = StreamSpec(size=(40, 40), crop_size=40, flow_encoding="uv", flow_limit=4.0)
    got = collect(open_video(tmp_path / "a.mkv"), np.arange(8), spec, centres=centres)
    assert np.abs(DECODINGS["uv"](got["flow"], 4.0)).max() <= 4 / 255 * 1.01


def test_a_crop_needs_centres_and_centres_a_crop(video: Video) -> None:
    centres = np.full((N, 2), 30.0)
    with pytest.raises(InputError, match="both crop_size and the centres"):
        stream_chunks(video, np.arange(3), StreamSpec(crop_size=20))
    with pytest.raises(InputError, match="both crop_size and the centres"):
        stream_chunks(video, np.arange(3), StreamSpec(), centres=centres)
    centres[2] = np.nan
    with pytest.raises(InputError, match="missing"):
        list(stream_chunks(video, np.arange(3), StreamSpec(crop_size=20), centres=centres))
    with pytest.raises(InputError, match="does not fit"):
        list(stream_chunks(video, np.arange(2), StreamSpec(crop_size=80), centres=centres))


@pytest.mark.parametrize(
    "wrong",
    [{"photometry": "gray"}, {"flow": "farnebck"}, {"flow_encoding": "rgb"}, {"flow_limit": 0.0}],
)
def test_a_wrong_setting_is_named_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        StreamSpec(**wrong)  # type: ignore[arg-type]


def test_a_fault_in_the_middle_comes_through_and_no_thread_stays(video: Video, tmp_path: Path) -> None:
    threads = threading.active_count()
    path = tmp_path / "a.mp4"
    write_video(path, FRAMES, 25)
    content = bytearray(path.read_bytes())
    at = content.find(b"mdat") + (len(content) - content.find(b"mdat")) // 2
    content[at : at + 800] = np.random.default_rng(0).bytes(800)
    path.write_bytes(content)
    with pytest.raises(InputError, match="frame"):
        list(stream_chunks(open_video(path), np.arange(N), SMALL, chunk=4))
    stopped = stream_chunks(video, np.arange(N), SMALL, chunk=4)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads


def test_open_cv_keeps_its_number_of_threads(video: Video) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    collect(video, np.arange(3), SMALL)
    assert cv2.getNumThreads() == 2
    cv2.setNumThreads(before)


def test_streams_go_into_the_cache(video: Video, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    samples = np.arange(0, N, 4)
    with cache.build("ab12cd34", SMALL.shapes(len(samples))) as arrays:
        for first, part in stream_chunks(video, samples, SMALL, chunk=3):
            for name, values in part.items():
                arrays[name][first : first + len(values)] = values
    kept = cache.get("ab12cd34")
    expected = collect(video, samples, SMALL)
    assert kept is not None
    assert all(np.array_equal(kept[name], expected[name]) for name in ("rgb", "flow"))
