"""Speed and memory of the way from a video file to cached streams, each beside its floor.

`python -m benchmarks video` makes a video of 640x480; `python -m benchmarks.bench_video VIDEO` takes yours.
Rates are by the clock; where other work shares the machine, the rate by CPU time tells more.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks import Figure, peak_memory
from murine.cache import Cache, write_rows
from murine.video import StreamSpec, Video, open_video, stream_chunks, write_video
from murine.video.flow import farneback

SIZE = (128, 128)
SPEC = StreamSpec(size=SIZE)
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Rate:
    """Frames per second by the clock, and per second of CPU time."""

    clock: float
    cpu: float


def measure(work: Callable[[], int], repeats: int = 3) -> Rate:
    """The best of some runs of a function that returns how many frames it did."""
    best = Rate(0.0, 1.0)
    for _ in range(repeats):
        clock, cpu = time.perf_counter(), time.process_time()
        count = work()
        rate = Rate(count / (time.perf_counter() - clock), count / (time.process_time() - cpu))
        best = max(best, rate, key=lambda r: r.clock)
    return best


def scene(count: int, height: int = 480, width: int = 640) -> Iterator[np.ndarray]:
    """A bright floor with three dark ellipses that walk and turn, and a little sensor noise."""
    rng = np.random.default_rng(0)
    floor = cv2.GaussianBlur(rng.integers(120, 200, (height, width, 3)).astype(np.uint8), (0, 0), 3)
    noise = rng.normal(0, 2, (8, height, width, 3)).astype(np.int8)
    for i in range(count):
        frame = floor.copy()
        for k in range(3):
            x = int(width / 2 + width * 0.4 * np.sin(i * 0.03 * (k + 1) + k))
            y = int(height / 2 + height * 0.4 * np.cos(i * 0.02 * (k + 1) + 2 * k))
            cv2.ellipse(frame, (x, y), (45, 22), i * 3 % 360, 0, 360, (40 + 30 * k, 40, 40), -1)
        yield np.clip(frame + noise[i % 8].astype(np.int16), 0, 255).astype(np.uint8)


def bare_decoding(path: Path) -> int:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return sum(1 for _ in container.decode(stream))


def flow_alone(greys: list[np.ndarray], workers: int) -> int:
    pairs = list(zip(greys, greys[1:], strict=False))
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda pair: farneback(*pair), pairs):
            pass
    return len(pairs)


def into_cache(video: Video, cache: Cache) -> int:
    samples = np.arange(video.n_frames)
    with cache.build("be0c4ca5", SPEC.shapes(len(samples))) as arrays:
        for first, part in stream_chunks(video, samples, SPEC, workers=CORES):
            for name, values in part.items():
                write_rows(arrays[name], first, values)
    cache.remove("be0c4ca5")
    return len(samples)


def main(quick: bool) -> list[Figure]:
    """Return the figures of a made-up video."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.mp4"
        write_video(path, scene(120 if quick else 600), 30)
        return figures(path, repeats=1 if quick else 3)


def figures(path: Path, repeats: int) -> list[Figure]:
    """Return rates of decoding, flow and all of it together, and the memory all of it takes."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MURINE_CACHE"] = folder
        video = open_video(path)
        frames = video.n_frames
        before = peak_memory()
        whole = measure(lambda: into_cache(video, Cache(Path(folder))), repeats)
        after = peak_memory()
        decoding = measure(lambda: bare_decoding(path), repeats)
        resized = measure(lambda: sum(1 for _ in video.frames(size=SIZE)), repeats)
        pictures = video.frames(0, min(300, frames), size=SIZE, grey=True)
        greys = [frame.copy() for frame in pictures]
    one = measure(lambda: flow_alone(greys, 1), repeats)
    every = measure(lambda: flow_alone(greys, CORES), repeats)
    size = f"{video.width}x{video.height}"
    both = 1 / (1 / decoding.cpu + 1 / one.cpu)
    return [
        Figure(
            f"{size} decoded and resized to {SIZE[1]}x{SIZE[0]}", resized.clock, "frames/s", decoding.clock,
            "bare decoding of the same file",
        ),
        Figure(
            f"Farneback {SIZE[1]}x{SIZE[0]}, {CORES} cores", every.clock, "frames/s", CORES * one.clock,
            f"{CORES} x the rate of one core, {one.clock:,.0f}",
        ),
        Figure(
            "decoded, resized, flow, kept in the cache", whole.clock, "frames/s",
            min(decoding.clock, CORES * one.clock),
            f"the slower of bare decoding and Farneback alone on {CORES} cores",
        ),
        Figure(
            "the same by CPU time", whole.cpu, "frames/CPU s", both,
            "bare decoding and Farneback alone, one after the other",
        ),
        Figure(
            f"the same, memory of {frames} frames", after, "MiB", before,
            "before the first frame: program and libraries", lower=True,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    for figure in figures(parser.parse_args().video, repeats=3):
        print(
            f"{figure.name}: {figure.measured:,.0f} {figure.unit}, floor {figure.floor:,.0f} "
            f"({figure.floor_is}), {figure.ratio:.2f}"
        )
