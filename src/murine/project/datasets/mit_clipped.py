"""The clipped database of the MIT home cage: thousands of clips whose names tell film and behaviour."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from murine.errors import InputError
from murine.formats.clips import MIT_LABELS, Clip, mit_clip
from murine.project.datasets.base import DATASETS, Content, Dataset, Request, shorten
from murine.project.datasets.mit import BEHAVIOURS, LICENCE, PAGE, PAPER, plain_label, session_of
from murine.project.gather import unique_ids
from murine.project.values import CLIP_COLUMN
from murine.types import Ethogram, Recording

CLIPS = 4200
"""So many clips the database has (Le & Murari 2019, section 4.1; Nguyen et al. 2019, section 2.2)."""

# Folders that hold everything, and so tell nothing of the film a clip was cut from.
_GENERAL = frozenset(("video", "videos", "clip", "clips", "mpg", "clipped", "clipped_database", "data"))


def read(request: Request) -> Content:
    """Return the clips at any depth below the folder; raises InputError for names that tell no behaviour."""
    if not request.videos:
        raise MIT_CLIPPED.wrong_folder(request, ["no video in it"])
    clips: list[Clip] = []
    faults: list[str] = []
    for path in request.videos:
        try:
            clips.append(_clip(request, path))
        except InputError as error:
            faults.append(str(error).replace(str(path), request.place(path), 1))
    if faults:
        raise MIT_CLIPPED.wrong_folder(request, shorten(faults))
    recordings = []
    ids = unique_ids([clip.path.stem for clip in clips], [clip.path for clip in clips], request.source)
    for id_, clip in zip(ids, clips, strict=True):
        film = _film(request, clip)
        groups = {CLIP_COLUMN: clip.behaviour, "source": film, "session": session_of(film)}
        recordings.append(Recording(id_, video=clip.path, groups=groups))
    count = Counter(clip.behaviour for clip in clips)
    there = tuple(name for name in BEHAVIOURS if count[name])
    notes = []
    if len(clips) != CLIPS:
        notes.append(f"{len(clips)} clips; the published database has {CLIPS:,}")
    if missing := [name for name in BEHAVIOURS if not count[name]]:
        notes.append(f"no clip of {', '.join(missing)}: left out of the behaviours")
    return Content(Ethogram(there), tuple(recordings), "recording", notes=tuple(notes))


def _clip(request: Request, path: Path) -> Clip:
    clip = mit_clip(path)
    for folder in request.folders(path):
        sorted_as = plain_label(folder) if folder.casefold() in MIT_LABELS else None
        if sorted_as not in (None, clip.behaviour):
            raise InputError(f"{path}: the name says {clip.behaviour} and the folder {sorted_as}")
    return clip


def _film(request: Request, clip: Clip) -> str:
    """Return the film a clip was cut from: the folder it lies in where that names one, else its name's."""
    folders = [
        name
        for name in request.folders(clip.path)
        if name.casefold() not in _GENERAL and name.casefold() not in MIT_LABELS
    ]
    return folders[-1] if folders else clip.groups["video"]


MIT_CLIPPED = DATASETS.add(
    "mit-clipped",
    Dataset(
        name="mit-clipped",
        summary="the clipped database of the MIT home cage",
        source=PAPER,
        url=PAGE,
        licence=LICENCE,
        size="4,200 clips, 262,360 frames, about 2.5 h",
        tree="""
clipped_database/
  20080421153635/                     (a folder for each film; or all clips in one folder)
    20080421153635_drink_1.mpg        <film>_<label>_<number>.mpg
    20080421153635_gb_12.mpg          short labels too: d e g gb ha he r rs w
  agoutivideo320080229/
    agoutivideo320080229_walk_3.mpg
""",
        read=read,
    ),
)
