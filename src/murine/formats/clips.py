"""Folders of clips: a folder per class, or names as in the MIT mouse set, `<video>_<label>_<n>.mpg`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from murine.errors import InputError, suggest

SUFFIXES = frozenset(
    [
        ".avi",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpg",
        ".mpeg",
        ".m4v",
        ".webm",
        ".wmv",
        ".mts",
        ".ts",
        ".ogv",
        ".flv",
    ]
)

MIT_LABELS: Mapping[str, str] = {
    "d": "drink", "drink": "drink",
    "e": "eat", "eat": "eat",
    "g": "groom", "gb": "groom", "groom": "groom", "groomback": "groom",
    "ha": "hang", "hang": "hang",
    "he": "micromovement", "head": "micromovement", "micromovement": "micromovement",
    "r": "rear", "rear": "rear",
    "rs": "rest", "rest": "rest",
    "w": "walk", "walk": "walk",
}  # fmt: skip
"""The short and long labels in MIT clip names."""

_MIT = re.compile(r"^(?P<video>.+)_(?P<label>[A-Za-z]+)_(?P<n>\d+)$")


@dataclass(frozen=True)
class Clip:
    """A video file that shows one behaviour from beginning to end; `groups` is what its name tells."""

    path: Path
    behaviour: str
    groups: Mapping[str, str] = field(default_factory=dict)


def find_clips(folder: Path) -> list[Clip]:
    """Return the clips of a folder, ordered by behaviour and name.

    Clips in sub-folders take their behaviour from the first folder below `folder`; clips that lie in
    `folder` itself must carry MIT names, whose video becomes the group "video". Files that are no videos
    and hidden files are passed over. Raises InputError for a missing or empty folder, for clips in both
    places, and for a name without a known label.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: a folder of clips was expected; there is none.")
    videos = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in SUFFIXES
        and p.is_file()
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
    loose = [p for p in videos if p.parent == folder]
    if not videos:
        raise InputError(
            f"{folder}: no video found. Expected one folder per behaviour with clips in it "
            f"({', '.join(sorted(SUFFIXES))})."
        )
    if loose and len(loose) < len(videos):
        raise InputError(
            f"{folder}: {len(loose)} clips lie beside the folders of behaviours (first: {loose[0].name}). Move "
            "them into the folder of their behaviour."
        )
    if loose:
        return sorted((mit_clip(p) for p in loose), key=lambda c: (c.behaviour, c.path))
    return [Clip(p, p.relative_to(folder).parts[0]) for p in videos]


def mit_clip(path: Path) -> Clip:
    """Return what a MIT name tells of a clip; raises InputError for a name or a label that is none."""
    match = _MIT.match(path.stem)
    if not match:
        raise InputError(
            f"{path}: the name does not tell the behaviour. Put clips into one folder per behaviour, or name "
            "them <video>_<label>_<number>."
        )
    label = match["label"].lower()
    if label not in MIT_LABELS:
        raise InputError(f"{path}: unknown label '{label}' in the name.{suggest(label, MIT_LABELS)}")
    return Clip(path, MIT_LABELS[label], {"video": match["video"]})
