"""A made-up study whose truth is known exactly: rendered mice with pose, labels and pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.files import results_folder
from murine.formats import write_labels, write_pose
from murine.progress import SILENT, Progress
from murine.simulate.behaviours import BEHAVIOURS, draw_bouts, labels_of, movement
from murine.simulate.body import Animal, points
from murine.simulate.render import KEYPOINTS, Camera, Renderer, keypoints
from murine.types import Bouts, Ethogram, Pose, Timeline
from murine.video.writer import write_video

__all__ = ["BEHAVIOURS", "KEYPOINTS", "simulate"]

SHORTEST_S = 10.0
LONGEST_S = 24 * 3600.0


def simulate(
    folder: Path | str,
    *,
    animals: int = 4,
    recordings: int = 1,
    seconds: float = 60.0,
    fps: float = 15.0,
    size: tuple[int, int] = (128, 128),
    view: str = "side",
    night: bool = False,
    unlabelled: int = 1,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Path:
    """Render a study of `animals` x `recordings` videos and return its folder.

    Writes `videos/<id>.mp4`, `pose/<id>.csv` (DeepLabCut) and `labels/<id>.csv` (BORIS tabular events);
    ids are `animal1_day1` and so on. The recordings of the last `unlabelled` animals get no label file: their
    truth goes to `truth/<id>.csv`. `size` is (height, width) in pixels. The same seed gives the same
    files. Raises InputError for settings that cannot be drawn, StorageError where nothing can be written.
    """
    _check(animals, recordings, seconds, fps, size, view, unlabelled, seed)
    n_frames = round(seconds * fps)
    timeline = Timeline.uniform(n_frames, fps)
    ethogram = Ethogram(BEHAVIOURS)
    with (
        results_folder(Path(folder)) as root,
        progress.task("simulating", animals * recordings * n_frames, "frames") as task,
    ):
        for a in range(animals):
            animal = Animal.draw(np.random.default_rng([seed, a]))
            for r in range(recordings):
                rng = np.random.default_rng([seed, a, r + 1])
                name = f"animal{a + 1}_day{r + 1}"
                bouts = draw_bouts(rng, n_frames, fps, animal.length)
                body = points(movement(rng, bouts, n_frames, fps, animal.length), animal)
                camera = Camera(view, size, night)
                renderer = Renderer(camera, animal, rng)

                def frames(
                    renderer: Renderer = renderer, body: dict[str, NDArray[np.floating]] = body
                ) -> Iterator[NDArray[np.uint8]]:
                    for t in range(n_frames):
                        yield renderer.frame(body, t, fps)
                        task.advance()

                task.note(name)
                write_video(root / "videos" / f"{name}.mp4", frames(), fps)
                xy, confidence = keypoints(camera, body)
                pose = Pose(
                    xy[:, None].astype(np.float32),
                    ("mouse",),
                    tuple(KEYPOINTS),
                    confidence[:, None].astype(np.float32),
                )
                write_pose(root / "pose" / f"{name}.csv", pose, "deeplabcut-csv")
                truth = Bouts.from_classes(ethogram, labels_of(bouts, n_frames))
                place = "labels" if a < animals - unlabelled else "truth"
                write_labels(root / place / f"{name}.csv", truth, timeline, "boris-tabular")
    return root


def _check(
    animals: int,
    recordings: int,
    seconds: float,
    fps: float,
    size: tuple[int, int],
    view: str,
    unlabelled: int,
    seed: int,
) -> None:
    faults = []
    if animals < 1 or recordings < 1:
        faults.append(f"animals and recordings must be at least 1; came {animals} and {recordings}")
    if not 0 <= unlabelled < max(animals, 1):
        faults.append(f"unlabelled must be from 0 to animals - 1 ({animals - 1}); came {unlabelled}")
    if not SHORTEST_S <= seconds <= LONGEST_S:
        faults.append(f"seconds must be from {SHORTEST_S:.0f} to {LONGEST_S:.0f}; came {seconds}")
    if not 5 <= fps <= 240:
        faults.append(f"fps must be from 5 to 240; came {fps}")
    if min(size) < 64 or max(size) > 2048 or any(s % 2 for s in size):
        faults.append(f"size must be two even numbers from 64 to 2048; came {size[0]} x {size[1]}")
    if seed < 0:
        faults.append(f"seed must be 0 or more; came {seed}")
    if view not in {"side", "top"}:
        faults.append(f"view must be 'side' or 'top'; came '{view}'")
    if faults:
        raise InputError("cannot simulate this study: " + "; ".join(faults))
