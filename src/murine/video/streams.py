"""From videos to the 8-bit streams a network sees: decoding, cropping, photometry and flow in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Condition

import cv2
import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.types import FloatArray, IntArray
from murine.video.flow import CHANNELS, ENCODINGS, FLOW_METHODS, flow_stack, pairs_at_once, require_flow
from murine.video.geometry import crop_at, resize
from murine.video.photometry import PHOTOMETRY, Night, luminance
from murine.video.reader import Video

Pixels = NDArray[np.uint8]
Shown = tuple[Pixels, tuple[Pixels, Pixels] | None]
"""A sample's picture (H, W, 3), all views stacked, and the grey pictures of the past and the present, each
(views, H / views, W); None: there is no past."""

_TASK = 16
"""Samples that one task of the pool decodes, where no flow method wishes for another number."""


@dataclass(frozen=True)
class StreamSpec:
    """What is made of the frames.

    `size`: height and width of both streams; several views share the height. `crop_size`: side in pixels of
    the original of the window cut around the centres, None for the whole frame. `night`: mean R, G, B that
    photometry "nightify" gives to day frames; None for a recording made at night. `flow_limit`: pixels, of
    the resized picture, at which the encoding saturates.
    """

    size: tuple[int, int] = (128, 128)
    photometry: str = "raw"
    flow: str = "farneback"
    flow_encoding: str = "hsv"
    flow_limit: float = 20.0
    crop_size: int | None = None
    night: Night | None = None
    want_rgb: bool = True
    want_flow: bool = True

    def __post_init__(self) -> None:
        PHOTOMETRY[self.photometry]
        FLOW_METHODS[self.flow]
        if self.want_flow:
            require_flow(self.flow)
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
    videos: Video | Sequence[Video],
    samples: IntArray,
    spec: StreamSpec,
    *,
    centres: FloatArray | None = None,
    start: int = 0,
    chunk: int = 256,
    workers: int = 2,
) -> Iterator[tuple[int, dict[str, Pixels]]]:
    """Give (first sample, {"rgb": (n, H, W, 3), "flow": (n, H, W, 2 or 3)}) for chunk after chunk.

    `videos`: one, or several views of the same frames, stacked from top to bottom; flow is measured in each
    view by itself. `samples`: (S,) increasing frame numbers. `centres`: (T, 2) x, y per frame of the original,
    in pixels, where `spec.crop_size` is set. Flow at sample i leads from sample i - 1 to i, both seen
    through the window of sample i; sample 0 repeats the flow of sample 1 (none for a single sample).
    The values depend neither on `start` nor on `chunk`. Raises InputError as `Video.frames` does.
    """
    views = (videos,) if isinstance(videos, Video) else tuple(videos)
    samples = np.asarray(samples, dtype=np.int64)
    if (spec.crop_size is None) != (centres is None):
        raise InputError("a crop needs both crop_size and the centres of the frames")
    if chunk < 1 or workers < 1 or start < 0:
        raise ValueError("chunk and workers start at 1, start at 0")
    if len(views) > 1 and centres is not None:
        raise InputError("a crop follows a point of one view; several views are shown whole")
    if not views or spec.size[0] % len(views):
        raise InputError(f"{len(views)} views cannot share a height of {spec.size[0]} pixels equally")
    return _chunks(views, samples, spec, centres, start, chunk, workers)


def _chunks(
    videos: tuple[Video, ...],
    samples: IntArray,
    spec: StreamSpec,
    centres: FloatArray | None,
    start: int,
    chunk: int,
    workers: int,
) -> Iterator[tuple[int, dict[str, Pixels]]]:
    if start >= len(samples):
        return
    queue = _Queue(_shown(videos, samples, spec, centres, start))
    waiting: deque[tuple[int, dict[str, Pixels], list[Future[None]]]] = deque()
    tasks = 0
    task = pairs_at_once(spec.flow) if spec.want_flow else _TASK
    threads = cv2.getNumThreads()
    # OpenCV's own threads do not help these small pictures; ours work on several pictures at once.
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(workers)
    try:
        for first in range(start, len(samples), chunk):
            count = min(chunk, len(samples) - first)
            out = {name: np.empty(shape, kind) for name, (shape, kind) in spec.shapes(count).items()}
            parts = []
            for at in range(0, count, task):
                places = {name: values[at : at + task] for name, values in out.items()}
                parts.append(pool.submit(_work, queue, tasks, min(task, count - at), places, spec))
                tasks += 1
            waiting.append((first, out, parts))
            # The pool works on one chunk while whoever asked uses the one before.
            if len(waiting) > 1:
                yield _finished(waiting)
        while waiting:
            yield _finished(waiting)
    finally:
        pool.shutdown(cancel_futures=True)
        queue.close()
        cv2.setNumThreads(threads)


def _finished(
    waiting: deque[tuple[int, dict[str, Pixels], list[Future[None]]]],
) -> tuple[int, dict[str, Pixels]]:
    first, out, parts = waiting.popleft()
    for part in parts:
        part.result()
    return first, out


class _Queue:
    """What is shown of a recording, taken by tasks in the order of their numbers, by one at a time.

    So each core decodes a little and then computes flow, and there are no more threads than cores.
    """

    def __init__(self, shown: Generator[Shown]) -> None:
        self._shown = shown
        self._next = 0
        self._failed = False
        self._changed = Condition()

    def take(self, task: int, count: int) -> list[Shown]:
        """Return what the next `count` samples show, once the tasks before have theirs."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or self._next == task)
            if self._failed:
                return []
            try:
                return list(islice(self._shown, count))
            except BaseException:
                self._failed = True
                raise
            finally:
                self._next += 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let go of the videos."""
        self._shown.close()


def _work(queue: _Queue, task: int, count: int, places: dict[str, Pixels], spec: StreamSpec) -> None:
    """Take what a task's samples show and fill its places in the streams."""
    shown = queue.take(task, count)
    if "rgb" in places:
        for i, (picture, _) in enumerate(shown):
            places["rgb"][i] = picture
    if "flow" in places and shown:
        flow = np.zeros((len(shown), *spec.size, 2), dtype=np.float32)
        pairs = [pair for _, pair in shown if pair is not None]
        if pairs:
            moved = [pair is not None for _, pair in shown]
            past, present = (np.concatenate(greys) for greys in zip(*pairs, strict=True))
            flow[moved] = flow_stack(spec.flow, past, present).reshape(-1, *spec.size, 2)
        places["flow"][:] = ENCODINGS[spec.flow_encoding](flow, spec.flow_limit)


def _shown(
    videos: tuple[Video, ...],
    samples: IntArray,
    spec: StreamSpec,
    centres: FloatArray | None,
    start: int,
) -> Generator[Shown]:
    """Give each sample's picture, and the grey pictures between which its flow is measured.

    The first sample has no past of its own and is given the flow of the second.
    """
    whole = centres is None
    lead = 1 if spec.want_flow and start > 0 else 0
    wanted = samples[start - lead :]
    size = (spec.size[0] // len(videos), spec.size[1])
    # Where flow keeps the cores busy, threads of the decoder only cost.
    frames = [
        video.frames(indices=wanted, size=size if whole else None, threads=1 if spec.want_flow else 0)
        for video in videos
    ]
    before: Pixels | None = None
    first: Pixels | None = None
    for i, (n, *views) in enumerate(zip(wanted, *frames, strict=True)):
        frame = views[0] if len(views) == 1 else np.concatenate(views)
        picture = _changed(frame if centres is None else _window(frame, centres[n], spec), spec)
        if not spec.want_flow:
            yield picture, None
            continue
        # Views above each other are pictures of their own: nothing moves from one into the next.
        present = luminance(picture).reshape(-1, *size)
        if before is not None:
            past = before
            if centres is not None:
                past = luminance(_changed(_window(before, centres[n], spec), spec))[None]
            if first is not None:
                yield first, (past, present)
            yield picture, (past, present)
        first = picture if i == 0 and not lead else None
        before = present if whole else frame
    if first is not None:
        yield first, None


def _changed(frame: Pixels, spec: StreamSpec) -> Pixels:
    return PHOTOMETRY[spec.photometry](frame, spec.night)


def _window(frame: Pixels, centre: FloatArray, spec: StreamSpec) -> Pixels:
    assert spec.crop_size is not None
    return resize(crop_at(frame, centre, spec.crop_size), spec.size)
