"""Optical flow at 128x128, pairs of pictures per second, all methods on the same pictures.

`python -m benchmarks flow` takes made-up pictures; `python -m benchmarks.bench_flow VIDEO...` takes yours. Of
one core, rates are by CPU time: another load on the machine then spoils them less.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import Figure, seconds_of
from benchmarks.bench_video import scene
from murine.video import open_video
from murine.video.flow import FLOW_METHODS, Flow, Grey, flow_stack, tvl1

SIZE = (128, 128)
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
BATCH = 16
ERROR = "TV-L1 by torch, end-point error against OpenCV's"


def main(quick: bool) -> list[Figure]:
    """Return the figures of made-up pictures: three animals that walk and turn, with sensor noise."""
    frames = [
        cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_AREA)
        for frame in scene(9 if quick else BATCH * 4 + 1)
    ]
    greys = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    return figures(greys[:-1], greys[1:], repeats=1 if quick else 3)


def of_videos(paths: Sequence[Path], pairs: int = 16) -> tuple[Grey, Grey]:
    """Return pairs of neighbouring frames, from each video so many, evenly spread."""
    past, present = [], []
    for path in paths:
        video = open_video(path)
        first = np.unique(np.linspace(0, video.n_frames - 2, pairs).astype(int))
        frames = dict(
            zip(wanted := np.union1d(first, first + 1), video.frames(indices=wanted, size=SIZE, grey=True), strict=True)
        )  # fmt: skip
        past += [frames[n] for n in first]
        present += [frames[n + 1] for n in first]
    return np.stack(past), np.stack(present)


def figures(past: Grey, present: Grey, repeats: int) -> list[Figure]:
    """Return the rate of each method on one core, of TV-L1 by torch on all and on a GPU, and its error."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    touched = per_cpu_second(past, lambda: _touch(past, present), repeats)
    result = []
    flows: dict[str, Flow] = {}
    rates: dict[str, float] = {}
    with on_device("cpu"):
        for name in FLOW_METHODS:
            flows[name] = in_batches(name, past, present)
            rates[name] = per_cpu_second(
                past, lambda name=name: in_batches(name, past, present), repeats
            )
            floor, why = touched, "both pictures read and a flow written once, nothing else"
            if name == "tvl1_torch":
                floor, why = rates["tvl1"], "no floor but a peer: OpenCV's TV-L1 on the same pictures"
            result.append(Figure(f"{name}, one core", rates[name], "pairs/CPU s", floor, why))
        with ThreadPoolExecutor(CORES) as pool:
            seconds = seconds_of(lambda: in_batches("tvl1_torch", past, present, pool), repeats)
    one = rates["tvl1_torch"]
    result.append(
        Figure(
            f"tvl1_torch, {CORES} cores", len(past) / seconds, "pairs/s", CORES * one,
            f"{CORES} x the rate of one core, {one:,.1f}",
        )
    )  # fmt: skip
    if torch.cuda.is_available():
        flow_stack("tvl1_torch", past, present)
        seconds = seconds_of(lambda: flow_stack("tvl1_torch", past, present), repeats)
        name, why = torch.cuda.get_device_name(), "no floor but a peer: OpenCV's TV-L1, one core"
        result.append(Figure(f"tvl1_torch, {name}", len(past) / seconds, "pairs/s", rates["tvl1"], why))
    error = float(np.linalg.norm(flows["tvl1_torch"] - flows["tvl1"], axis=-1).mean())
    why = "the change in one iteration at which both stop (root mean square)"
    result.append(Figure(ERROR, max(error, 1e-9), "px", tvl1.EPSILON, why, lower=True))
    return result


def in_batches(name: str, past: Grey, present: Grey, pool: ThreadPoolExecutor | None = None) -> Flow:
    """Return all flows, so many pairs at a time as the streams of a video come in."""
    parts = [slice(at, at + BATCH) for at in range(0, len(past), BATCH)]
    run = map if pool is None else pool.map
    return np.concatenate(list(run(lambda part: flow_stack(name, past[part], present[part]), parts)))


def per_cpu_second(past: Grey, work: Callable[[], object], repeats: int) -> float:
    """Return pairs per second of CPU time, the best of some runs after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return len(past) / max(min(times), 1e-9)


def _touch(past: Grey, present: Grey) -> Flow:
    flow = np.empty((*past.shape, 2), dtype=np.float32)
    np.subtract(present, past, out=flow[..., 0], casting="unsafe")
    flow[..., 1] = flow[..., 0]
    return flow


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Let TV-L1 by torch work on this device for a while."""
    before, tvl1._device = tvl1._device, lambda: torch.device(name)
    try:
        yield
    finally:
        tvl1._device = before


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path, nargs="+")
    for figure in figures(*of_videos(parser.parse_args().videos), repeats=3):
        print(
            f"{figure.name}: {figure.measured:,.3g} {figure.unit}, beside {figure.floor:,.3g} "
            f"({figure.floor_is}), {figure.ratio:.2f}"
        )
