"""An hour of two animals' pose, from a DeepLabCut file to an ethogram: `murine predict` as a user runs it.

The whole process by the clock: start, imports, reading, cleaning, features, MS-TCN++ in its published size,
post-processing, writing. The network has learned for one epoch on made-up recordings; what it believes is no matter.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import Figure, seconds_of
from benchmarks.bench_models import best_rate, multiply_adds
from benchmarks.bench_pose import FPS, encounter
from murine.formats import write_labels, write_pose
from murine.models.saved import load_model
from murine.types import Bouts, Ethogram, Timeline

BEHAVIOURS = ("base", "social", "nonsocial", "aggression")
RECORDINGS = 4
LEARNED = 600
"""Frames of each recording learned from."""

RECIPE = "pose/ms-tcn-pp"


def main(quick: bool) -> list[Figure]:
    """Return the seconds of predicting an hour at 30 frames per second."""
    frames = 1_000 if quick else 108_000
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = train(folder)
        write_pose(folder / "hour.csv", encounter(frames))

        def predict() -> None:
            murine("predict", str(model), str(folder / "hour.csv"), "--fps", f"{FPS:g}", "-o", str(folder / "out"),
                   "--restart", "--quiet")  # fmt: skip

        seconds = seconds_of(predict, 1 if quick else 3)
        table = (folder / "out" / "hour.bouts.csv").read_text(encoding="utf-8").splitlines()
        if len(table) < 2:
            raise RuntimeError("the ethogram holds no bout")
        network = load_model(model).model
        columns = network.configuration["features"]
        work = multiply_adds(network, {"pose": torch.zeros(1, 100, columns)}) / 100
    rate = best_rate(quick, mixed=False)
    return [
        Figure(
            f"{frames:,} frames of two animals, file to ethogram",
            seconds,
            "s",
            frames * work / rate,
            f"the network's {work / 1e6:.2f} M multiply-adds a frame at {rate / 1e9:,.0f} G/s, and nothing else",
            lower=True,
        )
    ]


def murine(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "murine", *arguments],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    if done.returncode != 0:
        raise RuntimeError(f"murine {arguments[0]}: {done.stderr.strip()[-500:]}")


def train(folder: Path) -> Path:
    """Make a study of made-up recordings, train for an epoch, and return the model's folder."""
    ethogram, rng = Ethogram(BEHAVIOURS), np.random.default_rng(0)
    for name in ("pose", "labels"):
        (folder / name).mkdir()
    for i in range(RECORDINGS):
        write_pose(folder / f"pose/r{i}.csv", encounter(LEARNED))
        edges = [0, *sorted(rng.choice(np.arange(1, LEARNED), 11, replace=False).tolist()), LEARNED]
        bouts = [
            (a, b, BEHAVIOURS[k % 4]) for k, (a, b) in enumerate(zip(edges, edges[1:], strict=False))
        ]
        whole = Bouts.build(ethogram, LEARNED, bouts)
        write_labels(folder / f"labels/r{i}.csv", whole, Timeline.uniform(LEARNED, FPS), "bouts")
    study = str(folder / "study")
    murine(
        "init",
        study,
        "--poses",
        str(folder / "pose"),
        "--labels",
        str(folder / "labels"),
        "--fps",
        f"{FPS:g}",
    )
    murine("train", study, "-r", RECIPE, "--set", "training.epochs=1", "--name", "tiny", "--quiet")
    return folder / "study" / "models" / "tiny"
