"""From a video to the 8-bit streams a network sees: decoding, cropping, photometry and flow in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.types import FloatArray, IntArray
from murine.video.flow import CHANNELS, ENCODINGS, FLOW_METHODS
from murine.video.geometry import crop_at, resize
from murine.video.photometry import PHOTOMETRY, luminance
from murine.video.reader import Video

Pixels = NDArray[np.uint8]
Pair = tuple[Pixels, Pixels] | None
"""The grey pictures of the past and the present, or None where there is no past."""

_TASK = 16
"""Flows computed by one task of the pool."""


@dataclass(frozen=True)
class StreamSpec:
    """What is made of the frames.

    `size`: height and width of both streams. `crop_size`: side in pixels of the original of the
    window cut around the centres, None for the whole frame. `flow_limit`: pixels, of the resized
    picture, at which the encoding saturates.
    """

    size: tuple[int, int] = (128, 128)
    photometry: str = "raw"
    flow: str = "farneback"
    flow_encoding: str = "hsv"
    flow_limit: float = 20.0
    crop_size: int | None = None
    want_rgb: bool = True
    want_flow: bool = True

    def __post_init__(self) -> None:
        PHOTOMETRY[self.photometry]
        FLOW_METHODS[self.flow]
        ENCODINGS[self.flow_encoding]
        if not self.flow_limit > 0:
            raise InputError(f"flow_limit must be a positive number of pixels; came {self.flow_limit}")

    def shapes(self, samples: int) -> dict[str, tuple[tuple[int, ...], type[np.uint8]]]:
        """Return the shape and type of each stream, as `Cache.build` wants them."""
        result: dict[str, tuple[tuple[int, ...], type[np.uint8]]] = {}
        if self.want_rgb:
            result["rgb"] = ((samples, *self.size, 3), np.uint8)
        if self.want_flow:
            result["flow"] = ((samples, *self.size, CHANNELS[self.flow_encoding]), np.uint8)
        return result


def stream_chunks(
    video: Video,
    samples: IntArray,
    spec: StreamSpec,
    *,
    centres: FloatArray | None = None,
    start: int = 0,
    chunk: int = 256,
    workers: int = 2,
) -> Iterator[tuple[int, dict[str, Pixels]]]:
    """Give (first sample, {"rgb": (n, H, W, 3), "flow": (n, H, W, 2 or 3)}) for chunk after chunk.

    `samples`: (S,) increasing frame numbers. `centres`: (T, 2) x, y per frame of the original, in
    pixels, where `spec.crop_size` is set. Flow at sample i leads from sample i - 1 to i, both seen
    through the window of sample i; sample 0 repeats the flow of sample 1 (none for a single sample).
    The values depend neither on `start` nor on `chunk`. Raises InputError as `Video.frames` does.
    """
    samples = np.asarray(samples, dtype=np.int64)
    if (spec.crop_size is None) != (centres is None):
        raise InputError("a crop needs both crop_size and the centres of the frames")
    if chunk < 1 or workers < 1 or start < 0:
        raise ValueError("chunk and workers start at 1, start at 0")
    return _chunks(video, samples, spec, centres, start, chunk, workers)


def _chunks(
    video: Video,
    samples: IntArray,
    spec: StreamSpec,
    centres: FloatArray | None,
    start: int,
    chunk: int,
    workers: int,
) -> Iterator[tuple[int, dict[str, Pixels]]]:
    if start >= len(samples):
        return
    views = _views(video, samples, spec, centres, start)
    waiting: deque[tuple[int, dict[str, Pixels], list[Future[None]]]] = deque()
    threads = cv2.getNumThreads()
    # OpenCV's own threads do not help these small pictures; ours work on several pictures at once.
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(workers)
    try:
        if start == 0 and spec.want_flow:
            views = _repeat_second_flow(views)
        for first in range(start, len(samples), chunk):
            count = min(chunk, len(samples) - first)
            out = {name: np.empty(shape, kind) for name, (shape, kind) in spec.shapes(count).items()}
            tasks = []
            pairs: list[Pair] = []
            for i, (picture, pair) in enumerate(islice(views, count)):
                if spec.want_rgb:
                    out["rgb"][i] = picture
                if spec.want_flow:
                    pairs.append(pair)
                    if len(pairs) == _TASK or i == count - 1:
                        place = out["flow"][i + 1 - len(pairs) : i + 1]
                        tasks.append(pool.submit(_fill_flow, place, pairs, spec))
                        pairs = []
            waiting.append((first, out, tasks))
            # One chunk's flow is computed while the next is decoded.
            if len(waiting) > 1:
                yield _finished(waiting)
        while waiting:
            yield _finished(waiting)
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


def _finished(
    waiting: deque[tuple[int, dict[str, Pixels], list[Future[None]]]],
) -> tuple[int, dict[str, Pixels]]:
    first, out, tasks = waiting.popleft()
    for task in tasks:
        task.result()
    return first, out


def _fill_flow(place: Pixels, pairs: list[Pair], spec: StreamSpec) -> None:
    method, encode = FLOW_METHODS[spec.flow], ENCODINGS[spec.flow_encoding]
    for i, pair in enumerate(pairs):
        still = np.zeros((*spec.size, 2), dtype=np.float32)
        place[i] = encode(still if pair is None else method(*pair), spec.flow_limit)


def _views(
    video: Video, samples: IntArray, spec: StreamSpec, centres: FloatArray | None, start: int
) -> Iterator[tuple[Pixels, Pair]]:
    """Give each sample's picture, and the two grey pictures between which its flow is measured."""
    change = PHOTOMETRY[spec.photometry]
    lead = 1 if spec.want_flow and start > 0 else 0
    wanted = samples[start - lead :]
    whole = centres is None
    before: Pixels | None = None
    for n, frame in zip(
        wanted, video.frames(indices=wanted, size=spec.size if whole else None), strict=True
    ):
        picture = change(frame if centres is None else _window(frame, centres[n], spec))
        grey = luminance(picture) if spec.want_flow else picture
        if lead:
            lead -= 1
        elif before is None or not spec.want_flow:
            yield picture, None
        else:
            past = before if centres is None else luminance(change(_window(before, centres[n], spec)))
            yield picture, (past, grey)
        before = grey if whole else frame


def _window(frame: Pixels, centre: FloatArray, spec: StreamSpec) -> Pixels:
    assert spec.crop_size is not None
    return resize(crop_at(frame, centre, spec.crop_size), spec.size)


def _repeat_second_flow(views: Iterator[tuple[Pixels, Pair]]) -> Iterator[tuple[Pixels, Pair]]:
    """Give the first sample the flow of the second: it has no past of its own."""
    first = next(views)
    second = next(views, None)
    if second is None:
        yield first
        return
    yield first[0], second[1]
    yield second
    yield from views
