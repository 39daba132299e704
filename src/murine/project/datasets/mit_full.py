"""The full database of the MIT home cage: long recordings scored by one group of people, in part by two."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from murine.errors import InputError, ProjectError
from murine.files import write_text
from murine.formats import mit as text_format
from murine.project.datasets.base import DATASETS, Content, Dataset, Request, shorten, some
from murine.project.datasets.mit import BEHAVIOURS, LICENCE, PAGE, PAPER, plain_label, session_of
from murine.project.gather import unique_ids
from murine.project.pairing import plain_stem
from murine.types import Ethogram, Recording, runs

VIDEOS = 12
"""So many recordings the database has (Le & Murari 2019, section 3)."""

FD_STAR = "fd-star"

Interval = tuple[int, int, str]
Scored = tuple[Interval, ...]

_GROUP = re.compile(r"(?:annotat\w*|group)[ _\-]*(?:group)?[ _\-]*(?P<number>[12])$", re.IGNORECASE)


def read(request: Request) -> Content:
    """Return the recordings with the labels of group 1, and those of group 2 as files to score against.

    Part "fd-star": only recordings both groups scored, and of them only the frames both scored.
    Raises InputError for a wrong folder, ProjectError for lines and labels that cannot be placed.
    """
    found = {number: _texts(request, number) for number in ("1", "2")}
    videos = {path.stem.casefold(): path for path in request.videos}
    twice = [request.place(path) for path in request.videos if path not in videos.values()]
    if twice:
        raise ProjectError(request.source, [f"{place}: a second video of that name" for place in twice])
    _check_folder(request, videos, found)
    faults: list[str] = []
    notes: list[str] = []
    bouts = {
        number: {
            stem: _bouts(request, path, faults, notes) for stem, path in texts.items() if stem in videos
        }
        for number, texts in found.items()
    }
    if faults:
        raise ProjectError(request.source, faults)
    first, second = bouts["1"], bouts["2"]
    if request.part == FD_STAR:
        videos = {stem: path for stem, path in videos.items() if stem in second}
        both = {stem: _common(first[stem], second[stem]) for stem in videos}
        if empty := [videos[stem].name for stem in videos if not both[stem][0]]:
            raise InputError(f"{request.source}: no frame is scored by both groups in {some(empty)}")
        first, second = ({stem: pair[side] for stem, pair in both.items()} for side in (0, 1))
    return _content(request, videos, first, second, [*_missing(videos, found, request), *notes])


def _texts(request: Request, number: str) -> dict[str, Path]:
    """Return the label files of one group of annotators, by the name of the video in small letters."""
    found = {}
    for path in request.files:
        if path.suffix.lower() != ".txt":
            continue
        groups = [match["number"] for name in request.folders(path) if (match := _GROUP.search(name))]
        if groups and groups[-1] == number:
            found[plain_stem(path).casefold()] = path
    return found


def _check_folder(
    request: Request, videos: Mapping[str, Path], found: Mapping[str, Mapping[str, Path]]
) -> None:
    faults = []
    if not videos:
        faults.append("no video in it")
    if not found["1"]:
        faults.append("no label file (.txt) in a folder Annotator_group_1")
    elif bare := [path.name for stem, path in videos.items() if stem not in found["1"]]:
        faults.append(f"no labels of group 1 for {some(bare)}; group 1 scored every recording")
    if not found["2"] and request.part == FD_STAR:
        faults.append("no label file (.txt) in a folder Annotator_group_2, and FD* is what both scored")
    if faults:
        raise MIT_FULL.wrong_folder(request, faults)
    if request.part == FD_STAR and not set(videos) & set(found["2"]):
        names = some(path.name for path in found["2"].values())
        raise InputError(f"{request.source}: no video is here of those that group 2 scored: {names}")


def _bouts(request: Request, path: Path, faults: list[str], notes: list[str]) -> Scored:
    """Return the bouts of a label file in the database's long names.

    A frame that ends one line and begins the next goes to the earlier one, and a note counts such frames;
    lines that overlap by more, and unknown labels, are faults.
    """
    place = request.place(path)
    try:
        table = text_format.parse(path)
    except InputError as error:
        faults.append(str(error).replace(str(path), place, 1))
        return ()
    rows: list[Interval] = []
    wrong: list[str] = []
    shared = 0
    for row in table.rows:
        name = plain_label(row.behaviour)
        start, stop = int(row.start), int(row.stop)
        if name is None:
            wrong.append(f"{place}, {row.where}: unknown label '{row.behaviour}'")
            continue
        if rows and start < rows[-1][1]:
            if start < rows[-1][1] - 1 or stop <= rows[-1][1]:
                wrong.append(
                    f"{place}, {row.where}: begins in frame {start + 1}, before the line above ends"
                )
                continue
            start, shared = start + 1, shared + 1
        rows.append((start, stop, name))
    faults += shorten(wrong)
    if shared:
        notes.append(
            f"{place}: {shared} x a frame ends one line and begins the next; it goes to the earlier"
        )
    return tuple(rows)


def _common(first: Scored, second: Scored) -> tuple[Scored, Scored]:
    """Return both groups' bouts cut to the frames that both scored."""
    length = max((stop for _, stop, _ in (*first, *second)), default=0)
    seen = np.ones(length, dtype=bool)
    for bouts in (first, second):
        own = np.zeros(length, dtype=bool)
        for start, stop, _ in bouts:
            own[start:stop] = True
        seen &= own
    spans = runs(seen)
    return _cut(first, spans), _cut(second, spans)


def _cut(bouts: Scored, spans: Sequence[tuple[int, int]]) -> Scored:
    pieces = ((max(start, a), min(stop, b), name) for start, stop, name in bouts for a, b in spans)
    return tuple(piece for piece in pieces if piece[0] < piece[1])


def _missing(
    videos: Mapping[str, Path], found: Mapping[str, Mapping[str, Path]], request: Request
) -> list[str]:
    notes = []
    if request.part is None and len(videos) != VIDEOS:
        notes.append(f"{len(videos)} recordings; the published database has {VIDEOS}")
    for number in ("1", "2"):
        bare = [path.name for stem, path in found[number].items() if stem not in videos]
        if bare and not (request.part == FD_STAR and number == "1"):
            notes.append(f"labels of group {number} without their video: {some(bare)}")
    if not found["2"]:
        notes.append("no labels of group 2 (a folder Annotator_group_2): people cannot be compared")
    return notes


def _content(
    request: Request,
    videos: Mapping[str, Path],
    first: Mapping[str, Scored],
    second: Mapping[str, Scored],
    notes: Iterable[str],
) -> Content:
    stems = list(videos)
    ids = unique_ids([videos[s].stem for s in stems], [videos[s] for s in stems], request.source)
    files: dict[str, Callable[[Path], None]] = {}
    recordings = []
    for id_, stem in zip(ids, stems, strict=True):
        place = f"labels/group-1/{id_}.txt"
        files[place] = _writer(first[stem])
        if stem in second:
            files[f"labels/group-2/{id_}.txt"] = _writer(second[stem])
        groups = {
            "session": session_of(videos[stem].stem),
            "annotators": "1+2" if stem in second else "1",
        }
        recordings.append(
            Recording(id_, video=videos[stem], labels=request.study / place, groups=groups)
        )
    used = {name for bouts in first.values() for _, _, name in bouts}
    unused = [name for name in BEHAVIOURS if name not in used]
    told = [f"group 1 never saw {', '.join(unused)}: left out of the behaviours"] if unused else []
    ethogram = Ethogram(tuple(name for name in BEHAVIOURS if name in used))
    return Content(ethogram, tuple(recordings), files=files, notes=(*notes, *told))


def _writer(bouts: Scored) -> Callable[[Path], None]:
    joined: list[Interval] = []
    for start, stop, name in bouts:
        if joined and joined[-1][1:] == (start, name):
            joined[-1] = (joined[-1][0], stop, name)
        else:
            joined.append((start, stop, name))
    text = "".join(f"{text_format.line_of(*bout)}\n" for bout in joined)
    return lambda path: write_text(path, text)


MIT_FULL = DATASETS.add(
    "mit-full",
    Dataset(
        name="mit-full",
        summary="the full database of the MIT home cage",
        source=PAPER,
        url=PAGE,
        licence=LICENCE,
        size="12 recordings, over 10 h",
        tree="""
full_database/
  20080421153635.mpg                  (12 recordings)
  agoutivideo320080229A.mpg
  Annotator_group_1/                  (a text for each recording)
    20080421153635.txt                lines such as 'frame: 1-253 eat'
    agoutivideo320080229A.txt
  Annotator_group_2/                  (of what the second group scored too)
    20080421153635.txt
""",
        read=read,
        parts={FD_STAR: "FD*, the frames that both groups of annotators scored"},
    ),
)
