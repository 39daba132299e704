"""Label files put on the frames of their video and brought to other names, for readers that must convert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from murine import formats, video
from murine.errors import InputError
from murine.types import UNLABELLED, Bouts, Ethogram, Timeline

LABEL_SUFFIXES = (".csv", ".tsv", ".txt", ".annot", ".boris", ".parquet")

_ABOUT = ("readme", "license", "licence", "changes")


@dataclass(frozen=True)
class OnFrames:
    """The bouts of a label file on the frames of its video, in the names of the file."""

    path: Path
    bouts: Bouts
    timeline: Timeline

    @property
    def names(self) -> tuple[str, ...]:
        """The behaviours that have a bout, in the order of the file."""
        used = {name for _, _, name in self.bouts.intervals()}
        return tuple(name for name in self.bouts.ethogram.behaviours if name in used)


def label_files(files: Sequence[Path]) -> list[Path]:
    """Return the files that may hold labels, by their names: tables and texts, but no README."""
    return [
        path
        for path in files
        if path.suffix.lower() in LABEL_SUFFIXES and not path.stem.casefold().startswith(_ABOUT)
    ]


def read_on_frames(path: Path, film: Path, tolerance_s: float) -> OnFrames:
    """Read a label file of any known format onto its video, which is decoded whole.

    Raises InputError as `formats.read_labels` and `video.open_video` do.
    """
    with video.open_video(film) as opened:
        timeline = opened.timeline
    bouts = formats.read_labels(path, timeline, tolerance_s=tolerance_s, media=film.name)
    return OnFrames(path, bouts, timeline)


def renamed(found: OnFrames, names: Mapping[str, str | None], ethogram: Ethogram) -> Bouts:
    """Return bouts of exclusive behaviours under new names; None drops a behaviour.

    A frame without a kept behaviour becomes *not annotated*. Raises InputError where two kept behaviours
    hold in one frame.
    """
    classes = np.full(found.bouts.n_frames, UNLABELLED, dtype=np.int64)
    for start, stop, name in found.bouts.intervals():
        new = names[name]
        if new is None:
            continue
        column = ethogram.index(new)
        part = classes[start:stop]
        clash = (part != UNLABELLED) & (part != column)
        if clash.any():
            other = ethogram.behaviours[int(part[clash.argmax()])]
            raise InputError(
                f"{found.path}: '{new}' and '{other}' hold in frame {start + int(clash.argmax())} at once; "
                "one at a time was expected"
            )
        part[:] = column
    return Bouts.from_classes(ethogram, classes)


def writer(bouts: Bouts, timeline: Timeline) -> Callable[[Path], None]:
    """Return what writes bouts as a plain table at a path."""
    return lambda path: formats.write_labels(path, bouts, timeline, "bouts")
