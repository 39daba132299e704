"""SCORHE, a cage seen from two ends: labels merged and dropped as in the dual-stream paper, two videos a cage."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from murine.errors import InputError, ProjectError
from murine.project.datasets.base import DATASETS, Content, Dataset, Request, shorten, some
from murine.project.datasets.converting import OnFrames, label_files, read_on_frames, renamed, writer
from murine.project.gather import unique_ids
from murine.project.pairing import tokens
from murine.types import Ethogram, Recording

DROPPED = frozenset(("ignore", "other", "discrepancy", "rotating"))
"""Ambiguous and very rare labels, left out (Nwokedi et al., section 4.4.1); without the prefix `behav_`."""

BEHAVIOURS = 8
"""So many are left of 13 (the same section)."""

_PREFIX = re.compile(r"^behav(?:iou?r)?[_\- ]+", re.IGNORECASE)
_REAR = re.compile(r"rear", re.IGNORECASE)
_SUPPORT = re.compile(r"support", re.IGNORECASE)

_ENDS = (
    ("front", "rear|back"),
    ("left", "right"),
    ("top", "bottom"),
    (r"(?:cam(?:era)?|view)[ _\-]?0?1", r"(?:cam(?:era)?|view)[ _\-]?0?2"),
    (r"(?:cam(?:era)?|view)[ _\-]?0", r"(?:cam(?:era)?|view)[ _\-]?1"),
    ("a", "b"),
    ("1", "2"),
)
"""How names may tell the two ends apart: the words of the first, which becomes the upper picture, and second."""


@dataclass(frozen=True)
class Cage:
    """The two videos of a cage, named by what their names share."""

    name: str
    first: Path
    second: Path


def read(request: Request) -> Content:
    """Return the cages, both videos of each; the first is decoded, to lay the labels on its frames.

    Raises InputError for a wrong folder or videos that are no pairs, ProjectError for label files that
    cannot be read or fit no cage.
    """
    labels = label_files(request.files)
    missing = [
        what for what, found in (("no video", request.videos), ("no label file", labels)) if not found
    ]
    if missing:
        raise SCORHE.wrong_folder(request, [f"{what} in it" for what in missing])
    cages = _cages(request)
    labels_of = _labels_of(request, cages, labels)
    found: dict[str, OnFrames] = {}
    faults: list[str] = []
    with request.progress.task("videos", len(cages), "cages") as task:
        for cage in cages:
            try:
                path = labels_of[cage.name]
                found[cage.name] = read_on_frames(path, cage.first, request.tolerance_s)
            except InputError as error:
                faults.append(str(error))
            task.advance()
    if faults:
        raise ProjectError(request.source, faults)
    return _content(request, cages, found)


def _cages(request: Request) -> list[Cage]:
    """Return the pairs of videos, by the first way of naming ends that pairs every video."""
    best: tuple[int, list[str]] | None = None
    for ends in _ENDS:
        cages, single = _pairs(request, ends)
        if cages and not single:
            return cages
        if best is None or len(single) < best[0]:
            best = (len(single), [request.place(path) for path in single])
    assert best is not None
    raise SCORHE.wrong_folder(
        request,
        [f"{place}: no video of the other end of its cage" for place in shorten(best[1])],
    )


def _pairs(request: Request, ends: tuple[str, str]) -> tuple[list[Cage], list[Path]]:
    sides: dict[str, dict[int, list[Path]]] = {}
    single = []
    for path in request.videos:
        side, name = _side(request.place(path), ends)
        if side is None:
            single.append(path)
        else:
            sides.setdefault(name, {}).setdefault(side, []).append(path)
    cages = []
    for name, found in sides.items():
        if len(found) == 2 and all(len(paths) == 1 for paths in found.values()):
            cages.append(Cage(name, found[0][0], found[1][0]))
        else:
            single += [path for paths in found.values() for path in paths]
    return cages, single


def _side(place: str, ends: tuple[str, str]) -> tuple[int | None, str]:
    """Return which end a video shows, None where its name does not say, and the name without that word."""
    bare = place.rsplit(".", 1)[0]
    for side, words in enumerate(ends):
        pattern = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE)
        if pattern.search(bare):
            parts = [part.strip("_-. ") for part in pattern.sub("", bare).split("/")]
            return side, "/".join(part for part in parts if part)
    return None, bare


def _labels_of(request: Request, cages: list[Cage], labels: list[Path]) -> dict[str, Path]:
    """Return the label file of each cage: named after it, after one of its videos, or in its folder."""
    found: dict[str, Path] = {}
    faults = []
    for path in labels:
        fitting = [cage for cage in cages if _fits(request, cage, path)]
        if len(fitting) != 1:
            what = "fits no cage" if not fitting else f"fits {some(cage.name for cage in fitting)}"
            faults.append(f"{request.place(path)}: {what}")
        elif fitting[0].name in found:
            other = request.place(found[fitting[0].name])
            faults.append(f"{request.place(path)}: {other} holds labels of the same cage")
        else:
            found[fitting[0].name] = path
    bare = [cage.name for cage in cages if cage.name not in found]
    if bare and not faults:
        faults.append(f"no label file for {some(bare)}")
    if faults:
        raise SCORHE.wrong_folder(request, shorten(faults))
    return found


def _fits(request: Request, cage: Cage, path: Path) -> bool:
    name = tokens(path.stem)
    own = tokens(cage.name.rsplit("/", 1)[-1])
    videos = (tokens(cage.first.stem), tokens(cage.second.stem))
    if name in (own, *videos):
        return True
    # A folder for each cage: whatever the label file in it is called.
    return (
        path.parent == cage.first.parent == cage.second.parent
        and len([film for film in request.videos if film.parent == path.parent]) == 2
    )


def plain_name(label: str) -> str | None:
    """Return the behaviour a published label becomes; None for one that is dropped."""
    name = _PREFIX.sub("", label).strip()
    if name.casefold() in DROPPED:
        return None
    return "rear" if _REAR.search(name) and _SUPPORT.search(name) else name


def _content(request: Request, cages: list[Cage], found: Mapping[str, OnFrames]) -> Content:
    names = dict.fromkeys(name for item in found.values() for name in item.names)
    new_names = {name: plain_name(name) for name in names}
    ethogram_names = sorted({new for new in new_names.values() if new is not None})
    if not ethogram_names:
        raise InputError(
            f"{request.source}: the label files name nothing but {some(names)}, all of it dropped"
        )
    ethogram = Ethogram(tuple(ethogram_names))
    files: dict[str, Callable[[Path], None]] = {}
    recordings = []
    faults = []
    paths = [cage.first for cage in cages]
    ids = unique_ids([cage.name.rsplit("/", 1)[-1] for cage in cages], paths, request.source)
    for id_, cage in zip(ids, cages, strict=True):
        item, place = found[cage.name], f"labels/{id_}.csv"
        try:
            bouts = renamed(item, {name: new_names[name] for name in item.names}, ethogram)
            files[place] = writer(bouts, item.timeline)
        except InputError as error:
            faults.append(str(error))
        views = {"video2": cage.second}
        recordings.append(Recording(id_, video=cage.first, labels=request.study / place, views=views))
    if faults:
        raise ProjectError(request.source, faults)
    return Content(ethogram, tuple(recordings), files=files, notes=_notes(new_names, ethogram))


def _notes(new_names: Mapping[str, str | None], ethogram: Ethogram) -> tuple[str, ...]:
    notes = []
    if dropped := [name for name, new in new_names.items() if new is None]:
        notes.append(f"not annotated from now on: {', '.join(dropped)}")
    for name in ethogram.behaviours:
        merged = [old for old, new in new_names.items() if new == name and old != name]
        if merged:
            notes.append(f"{name}: {', '.join(merged)}")
    if len(ethogram) != BEHAVIOURS:
        notes.append(
            f"{len(ethogram)} behaviours are left; the paper has {BEHAVIOURS}. Look at them in project.toml"
        )
    return tuple(notes)


SCORHE = DATASETS.add(
    "scorhe",
    Dataset(
        name="scorhe",
        summary="the annotated SCORHE recordings, two videos a cage",
        source="Salem et al. 2015, Behavior Research Methods 47:235-250; classes of Nwokedi et al., section 4.4.1",
        url="not known",
        licence="not known",
        size="not known",
        tree="""
scorhe/
  videos/
    cage1_front.avi                   (both ends of a cage; front/rear, left/right, top/bottom,
    cage1_rear.avi                     cam1/cam2, view1/view2, a/b or 1/2, in the name or a folder)
  annotations/
    cage1.csv                         (named after the cage or a video of it; any form murine reads)
""",
        read=read,
    ),
)
