"""What the path around a network costs: training and prediction against the network alone; peak memory.

The network is the Baseline of the dual-stream paper, the one that needs the fewest multiply-adds for a
clip: any other would hide more of what our code adds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import Figure, peak_memory, seconds_of
from murine.cache import Cache
from murine.config import InputSettings, Recipe, load_recipe
from murine.data.dataset import WindowDataset, collate
from murine.data.prepare import cached_streams
from murine.data.prepared import Prepared
from murine.data.source import Source, open_source
from murine.models import Model, create_model
from murine.predict import PreparedSource, predict, predict_recording
from murine.train.device import own_randomness, to_device
from murine.train.loop import fit
from murine.train.losses import make_loss, mean_loss
from murine.train.runs import TrainedRun, save_run
from murine.train.schedule import OPTIMIZERS
from murine.types import Ethogram, Recording
from murine.video import write_video

ETHOGRAM = Ethogram(tuple("abcdefgh"))
FPS = 30.0
AUGMENT = ("mirror", "brightness", "contrast", "phase")


@dataclass(frozen=True)
class Sizes:
    """`clips`: of the made-up recording; `side`: of its pictures; `width`: of the network; `short_s`,
    `long_s`: seconds of the two videos whose memory is compared.
    """

    clips: int
    side: int
    width: float
    short_s: float
    long_s: float


QUICK = Sizes(clips=32, side=64, width=0.25, short_s=10, long_s=60)
WHOLE = Sizes(clips=240, side=128, width=1.0, short_s=300, long_s=3600)


def main(quick: bool) -> list[Figure]:
    """Return training and prediction clips/s, and peak memory of a short and a long video."""
    sizes = QUICK if quick else WHOLE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MURINE_CACHE"] = str(folder / "cache")
        recipe = load_recipe("dual-stream/baseline-sharing-raw")
        recipe = replace(
            recipe,
            model_settings={"width": sizes.width},
            input=replace(recipe.input, size=(sizes.side, sizes.side), spacing_s=0.0),
            training=replace(recipe.training, epochs=3, seed=0),
        )
        source, prepared = make_recording(folder, recipe.input, sizes)
        return [
            *training(folder, recipe, prepared),
            *prediction(recipe, source, prepared),
            *memory(folder, recipe, sizes),
        ]


def pictures(side: int, count: int = 48) -> list[NDArray[np.uint8]]:
    """Return some frames of a bright square that moves over noise."""
    rng = np.random.default_rng(0)
    ground = rng.integers(20, 60, (side, side, 3), dtype=np.uint8)
    frames = []
    for i in range(count):
        frame = ground.copy()
        left = round((side - side // 4) * i / count)
        frame[side // 3 : side // 2, left : left + side // 4] = (210, 190, 170)
        frames.append(frame)
    return frames


def repeated(frames: list[NDArray[np.uint8]], count: int) -> Iterator[NDArray[np.uint8]]:
    """Give `count` frames, the same over and over."""
    return (frames[i % len(frames)] for i in range(count))


def make_recording(folder: Path, settings: InputSettings, sizes: Sizes) -> tuple[Source, Prepared]:
    """Write a video; return it as read from its file, and as prepared in the cache with labels."""
    path = folder / "clips.mp4"
    write_video(path, repeated(pictures(sizes.side), sizes.clips * 8), FPS)
    source = open_source(Recording("clips", video=path), settings, ("rgb", "flow"))
    streams = cached_streams(source, Cache())
    samples = len(source.sampling)
    target = np.zeros((samples, len(ETHOGRAM)), dtype=np.int8)
    target[np.arange(samples), np.arange(samples) // 8 % len(ETHOGRAM)] = 1
    return source, Prepared("clips", streams, target, source.sampling, source.timeline, ETHOGRAM)


def network(recipe: Recipe) -> Model:
    """Return the recipe's network with fresh weights."""
    settings = {**recipe.model_settings, "size": recipe.input.size}
    return create_model(recipe.model, classes=len(ETHOGRAM), settings=settings)


def training(folder: Path, recipe: Recipe, prepared: Prepared) -> list[Figure]:
    """Return clips/s of the training loop, without and with augmentation, against steps on ready tensors."""
    plain = WindowDataset([prepared], recipe.window, "centre", train=True)
    ready = [collate([plain[i] for i in range(at, at + 8)]) for at in range(0, len(plain) - 7, 8)]
    clips = 8 * len(ready)
    model, settings = network(recipe), recipe.training
    optimizer = OPTIMIZERS[settings.optimizer](model.parameters(), settings)
    loss = make_loss(settings, exclusive=True)

    def steps() -> None:
        for batch in ready:
            batch = to_device(batch, torch.device("cpu"), channels_last=False)
            optimizer.zero_grad(set_to_none=True)
            sums = loss.sums(model(batch), batch["target"], batch["mask"])
            torch.autograd.backward(mean_loss(sums, loss.counts(batch["target"], batch["mask"])))
            optimizer.step()

    model.train()
    with own_randomness(torch.device("cpu")):
        steps()  # memory and kernels are found the first time
        floor = clips / seconds_of(steps, 2)
    floor_is = (
        "forward, loss, backward and step of the same network on the same batches, ready in memory"
    )
    figures = []
    for name, augment in (("training", ()), ("training, augmented", AUGMENT)):
        data = WindowDataset([prepared], recipe.window, "centre", train=True, augment=augment)
        rate = clips_per_second(folder / name, recipe, data)
        figures.append(Figure(name, rate, "clips/s", floor, floor_is))
    return figures


def clips_per_second(folder: Path, recipe: Recipe, data: WindowDataset) -> float:
    """Return the better rate of the second and third epoch, from end to end, checkpoint included."""
    folder.mkdir()
    ends: list[float] = []
    fit(
        network(recipe), replace(recipe, training=replace(recipe.training, device="cpu")), data, None, folder,
        ethogram=ETHOGRAM, log=lambda row: ends.append(time.perf_counter()),
    )  # fmt: skip
    return len(data) / min(ends[1] - ends[0], ends[2] - ends[1])


def prediction(recipe: Recipe, source: Source, prepared: Prepared) -> list[Figure]:
    """Return clips/s of predicting a recording from the cache and from its file, against their parts."""
    run = TrainedRun(network(recipe), recipe.model, ETHOGRAM, recipe, hash="")
    data = WindowDataset([prepared], recipe.window, "centre", train=False)
    size = recipe.training.batch_size
    ready = [collate(list(batch)) for batch in batches(data, size)]
    model = run.model.eval()

    def forward() -> None:
        with torch.inference_mode():
            for batch in ready:
                model(batch)

    forward()
    alone = seconds_of(forward, 2)
    kept = PreparedSource(prepared)
    from_cache = seconds_of(lambda: predict_recording(run, kept, device="cpu"), 2)
    streams = seconds_of(lambda: [None for _ in source.chunks()], 2)
    from_file = seconds_of(lambda: predict_recording(run, source, device="cpu"), 2)
    clips = len(data)
    return [
        Figure(
            "prediction from the cache", clips / from_cache, "clips/s", clips / alone,
            "forward of the same network on the same batches, ready in memory",
        ),
        Figure(
            "prediction from the video", clips / from_file, "clips/s", clips / (alone + streams),
            "the same forward, and decoding with optical flow, one after the other: each keeps all cores busy",
        ),
    ]  # fmt: skip


def batches(data: WindowDataset, size: int) -> Iterator[list[Any]]:
    """Give the items of a data set, `size` at a time."""
    items = iter(data)
    while batch := list(islice(items, size)):
        yield batch


def memory(folder: Path, recipe: Recipe, sizes: Sizes) -> list[Figure]:
    """Return the peak memory of predicting a long video, against that of a short one."""
    # Small pictures and a small network: what grows with length shows the more beside them.
    settings = replace(recipe.input, size=(32, 32), spacing_s=1 / 6)
    recipe = replace(recipe, input=settings, model_settings={"width": 0.1, "head_units": (16,)})
    run = TrainedRun(network(recipe), recipe.model, ETHOGRAM, recipe, hash="")
    save_run(folder / "run", run)
    peaks = []
    for seconds in (sizes.short_s, sizes.long_s):
        video = folder / f"{seconds:g}s.mp4"
        write_video(video, repeated(pictures(64), round(seconds * FPS)), FPS, quality=40)
        command = [
            sys.executable,
            "-m",
            "benchmarks.bench_training",
            folder / "run",
            video,
            folder / "out",
        ]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks.append(float(json.loads(told)))
    words = [spoken(s) for s in (sizes.short_s, sizes.long_s)]
    floor_is = f"the same for a video of {words[0]}: program, network and one stretch of video"
    return [Figure(f"peak memory, video of {words[1]}", peaks[1], "MiB", peaks[0], floor_is, lower=True)]


def spoken(seconds: float) -> str:
    """Return a length in words."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


def one_prediction(run: Path, video: Path, out: Path) -> None:
    """Predict one video and print this process's peak memory in MiB."""
    predict(run, [video], out, device="cpu")
    print(json.dumps(peak_memory()))


if __name__ == "__main__":
    one_prediction(*map(Path, sys.argv[1:4]))
