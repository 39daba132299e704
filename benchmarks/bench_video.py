"""Speed and memory of the way from a video file to cached streams, each beside its floor.

Run: python benchmarks/bench_video.py [VIDEO]. Without a video one of 640x480 is made.
Rates are by the clock; where other work shares the machine, `load` (CPU seconds of this process per
second and core) is below what it could be, and the rate "by CPU time" tells more.
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
import psutil

from murine.cache import Cache, release
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

    @property
    def load(self) -> float:
        """CPU seconds used per second and core."""
        return self.clock / self.cpu / CORES


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
                arrays[name][first : first + len(values)] = values
                release(arrays[name])
    cache.remove("be0c4ca5")
    return len(samples)


def main(path: Path | None = None) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "made.mp4"
            write_video(path, scene(600), 30)
        os.environ["MURINE_CACHE"] = folder
        video = open_video(path)
        size = f"{video.width}x{video.height}"
        print(
            f"video: {path.name}, {size}, {video.n_frames} frames, {CORES} cores, OpenCV {cv2.__version__}"
        )
        process = psutil.Process()
        memory = process.memory_info().rss

        def show(what: str, rate: Rate, floor: float, floor_name: str) -> None:
            print(
                f"{what:<42}{rate.clock:8.0f} frames/s   floor {floor:8.0f} ({floor_name})"
                f"   ratio {rate.clock / floor:4.2f}   load {rate.load:4.2f}"
            )

        decoding = measure(lambda: bare_decoding(path))
        show("decoding", decoding, decoding.clock, "itself")
        resized = measure(lambda: sum(1 for _ in video.frames(size=SIZE)))
        show(f"decoding + resizing to {SIZE[0]}x{SIZE[1]}", resized, decoding.clock, "decoding")

        greys = [
            frame.copy() for frame in video.frames(0, min(300, video.n_frames), size=SIZE, grey=True)
        ]
        single = measure(lambda: flow_alone(greys, 1))
        show(f"Farneback {SIZE[0]}x{SIZE[1]}, 1 core", single, single.clock, "itself")
        all_cores = measure(lambda: flow_alone(greys, CORES))
        show(f"Farneback, {CORES} cores", all_cores, CORES * single.clock, f"{CORES} x 1 core")

        floor = min(decoding.clock, CORES * single.clock)
        whole = measure(lambda: into_cache(video, Cache(Path(folder))), repeats=2)
        show("decode + resize + flow + cache", whole, floor, "decoding or Farneback")
        floor_by_cpu = min(decoding.cpu, single.cpu) * CORES
        print(
            f"{'  by CPU time':<42}{whole.cpu * CORES:8.0f} frames/s   floor {floor_by_cpu:8.0f} "
            f"(Farneback or decoding)   ratio {whole.cpu * CORES / floor_by_cpu:4.2f}"
        )
        shared = CORES / (1 / decoding.cpu + 1 / single.cpu)
        print(
            f"{'  ':<42}{'':8}              floor {shared:8.0f} (both on the same cores)"
            f"   ratio {whole.cpu * CORES / shared:4.2f}"
        )
        peak = process.memory_info().rss
        with_peak = getattr(process.memory_info(), "peak_wset", 0) or _peak()
        print(
            f"memory: {memory / 1e6:.0f} MB before, {peak / 1e6:.0f} MB after, {with_peak / 1e6:.0f} MB at most"
        )


def _peak() -> int:
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path, nargs="?")
    main(parser.parse_args().video)
