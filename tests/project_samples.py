"""Small studies made for tests: videos, poses and labels that belong together, or on purpose do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from murine import formats
from murine.types import Bouts, Ethogram, Pose, Timeline
from murine.video import write_video

FPS = 20.0
FRAMES = 40

Interval = tuple[int, int, str]


def make_video(
    path: Path, frames: int = FRAMES, *, seed: int = 0, times: np.ndarray | None = None
) -> Path:
    """A film of noise, so that no two seeds give the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (frames, 16, 24), dtype=np.uint8)
    write_video(path, pixels, FPS, lossless=path.suffix == ".mkv", times=times)
    return path


def make_pose(
    path: Path,
    frames: int = FRAMES,
    animals: Sequence[str] = ("one", "two"),
    keypoints: Sequence[str] = ("nose", "tail"),
    *,
    gone: Iterable[tuple[int | slice, int | slice, int | slice]] = (),
    seed: int = 0,
) -> Path:
    """A random pose; `gone`: (frames, animals, keypoints) without a position."""
    path.parent.mkdir(parents=True, exist_ok=True)
    xy = np.random.default_rng(seed).uniform(0, 100, (frames, len(animals), len(keypoints), 2))
    xy = xy.astype(np.float32)
    for where in gone:
        xy[where] = np.nan
    confidence = np.where(np.isnan(xy[..., 0]), np.nan, 0.9).astype(np.float32)
    formats.write_pose(path, Pose(xy, tuple(animals), tuple(keypoints), confidence))
    return path


def make_labels(
    path: Path,
    intervals: Sequence[Interval],
    frames: int = FRAMES,
    *,
    fps: float = FPS,
    format: str = "bouts",
    media: str = "",
    subject: str = "",
) -> Path:
    """A label file whose bouts may overlap."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = tuple(dict.fromkeys(b for _, _, b in intervals))
    bouts = Bouts.build(Ethogram(names, exclusive=False), frames, intervals)
    formats.write_labels(
        path,
        bouts,
        Timeline.uniform(frames, fps),
        format,
        recording=path.stem,
        media=media,
        subject=subject,
    )
    return path


TWO: tuple[tuple[Interval, ...], ...] = (
    ((0, 10, "eat"), (10, 25, "walk")),
    ((5, 20, "walk"), (30, 40, "eat")),
)


def make_study(folder: Path, recordings: int = 2, *, videos: bool = True, poses: bool = False) -> Path:
    """Recordings m1, m2, ... labelled with eat and walk; FRAMES frames at FPS."""
    for i in range(recordings):
        if videos:
            make_video(folder / "videos" / f"m{i + 1}.mp4", seed=i)
        if poses:
            make_pose(folder / "pose" / f"m{i + 1}.csv", seed=i)
        make_labels(folder / "labels" / f"m{i + 1}.csv", TWO[i % 2])
    return folder
