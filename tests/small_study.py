"""Studies small enough to train in a second: a dot that rests or walks, as pose, video or clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from murine.config import InputSettings, Recipe, SplitSettings, TrainingSettings, WindowSettings
from murine.formats import write_labels, write_pose
from murine.project import CLIP_COLUMN, Project, save_project
from murine.types import Bouts, Ethogram, Pose, Recording, Timeline
from murine.video import write_video

ETHOGRAM = Ethogram(("rest", "walk"))
FPS = 10.0


def walk(n: int, seed: int, size: float = 60.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return positions (n, 2) and behaviour (n,): bouts of 8 to 20 frames, 3 pixels a frame when walking."""
    rng = np.random.default_rng(seed)
    classes = np.concatenate([np.full(rng.integers(8, 20), (i + seed) % 2) for i in range(n // 8 + 2)])[
        :n
    ]
    angle = np.cumsum(rng.normal(scale=0.3, size=n))
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 3.0 * classes[:, None]
    position = np.cumsum(steps, axis=0) + rng.uniform(20, 40, 2)
    # reflected at the walls
    position = np.abs((position - 10) % (2 * (size - 20)) - (size - 20)) + 10
    return position, classes


def make_pose(n: int, seed: int) -> tuple[Pose, Bouts]:
    """Return a pose of one animal with three keypoints, and what it does."""
    position, classes = walk(n, seed)
    rng = np.random.default_rng(seed + 1000)
    offsets = np.array([[0.0, 0.0], [4.0, 0.0], [-4.0, 0.0]])
    xy = position[:, None] + offsets + rng.normal(scale=0.2, size=(n, 3, 2))
    pose = Pose(xy[:, None].astype(np.float32), ("mouse",), ("centre", "nose", "tail"))
    return pose, Bouts.from_classes(ETHOGRAM, classes)


def draw(position: NDArray[np.float64], size: int = 64) -> NDArray[np.uint8]:
    """Return frames (n, size, size, 3) with a bright square at each position."""
    frames = np.full((len(position), size, size, 3), 30, dtype=np.uint8)
    for frame, (x, y) in zip(frames, np.round(position).astype(int), strict=True):
        frame[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5] = (220, 200, 180)
    return frames


def pose_study(folder: Path, recordings: int = 4, n: int = 120, unlabelled: int = 0) -> Path:
    """Write a project with pose and labels; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    timeline = Timeline.uniform(n, FPS)
    rows = []
    for i in range(recordings + unlabelled):
        pose, bouts = make_pose(n, i)
        write_pose(folder / f"m{i}_pose.csv", pose)
        labels = None
        if i < recordings:
            labels = folder / f"m{i}_labels.csv"
            write_labels(labels, bouts, timeline, "bouts")
        rows.append(
            Recording(
                f"m{i}",
                pose=folder / f"m{i}_pose.csv",
                labels=labels,
                fps=FPS,
                groups={"animal": f"a{i}"},
            )
        )
    save_project(Project(folder / "study", "small", ETHOGRAM, tuple(rows)))
    return folder / "study"


def video_study(folder: Path, recordings: int = 2, n: int = 60) -> Path:
    """Write a project with videos of 64 x 64 pixels and labels; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(recordings):
        position, classes = walk(n, i)
        write_video(folder / f"v{i}.mkv", draw(position), FPS, lossless=True)
        labels = folder / f"v{i}.csv"
        write_labels(labels, Bouts.from_classes(ETHOGRAM, classes), Timeline.uniform(n, FPS), "bouts")
        rows.append(Recording(f"v{i}", video=folder / f"v{i}.mkv", labels=labels))
    save_project(Project(folder / "study", "small", ETHOGRAM, tuple(rows)))
    return folder / "study"


def clip_study(folder: Path, clips: int = 8, n: int = 10) -> Path:
    """Write a project of clips, one behaviour each, two clips of a session; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(clips):
        behaviour = i % 2
        start = np.random.default_rng(i).uniform(15, 30, 2)
        position = start + np.arange(n)[:, None] * np.array([3.0, 0.0]) * behaviour
        write_video(folder / f"c{i}.mkv", draw(position), FPS, lossless=True)
        groups = {CLIP_COLUMN: ETHOGRAM.behaviours[behaviour], "session": f"s{i // 2}"}
        rows.append(Recording(f"c{i}", video=folder / f"c{i}.mkv", groups=groups))
    save_project(Project(folder / "study", "clips", ETHOGRAM, tuple(rows), unit="recording"))
    return folder / "study"


def pose_recipe(epochs: int = 12, frames: int = 0, **training: object) -> Recipe:
    """Return a recipe with a tiny MS-TCN++."""
    settings: dict[str, object] = {
        "epochs": epochs, "batch_size": 2, "optimizer": "adam", "learning_rate": 0.01,
        "loss": "cross_entropy_smoothing", "schedule": "constant", "device": "cpu",
    }  # fmt: skip
    return Recipe(
        "test/tiny-pose",
        model="ms_tcn_pp",
        model_settings={
            "maps": 8, "generator_layers": 3, "refinement_stages": 1, "refinement_layers": 2, "dropout": 0.1,
        },
        input=InputSettings(pose_features=("speeds",)),
        window=WindowSettings(frames=frames),
        training=TrainingSettings(**(settings | training)),  # type: ignore[arg-type]
        split=SplitSettings(by="recording", folds=2, validation=0.25),
        postprocess=({"name": "median", "seconds": 0.3},),
    )  # fmt: skip


def video_recipe(epochs: int = 3, **training: object) -> Recipe:
    """Return a recipe with a tiny dual-stream Baseline."""
    settings: dict[str, object] = {
        "epochs": epochs, "batch_size": 4, "optimizer": "adam", "learning_rate": 0.003, "device": "cpu",
    }  # fmt: skip
    return Recipe(
        "test/tiny-video",
        model="baseline_sharing",
        model_settings={"width": 0.25, "head_units": (16,)},
        input=InputSettings(size=(64, 64)),
        window=WindowSettings(frames=4, train_stride_s=0.2, predict_stride_s=0.2),
        training=TrainingSettings(**(settings | training)),  # type: ignore[arg-type]
        split=SplitSettings(by="recording", folds=2, validation=0.0),
    )
