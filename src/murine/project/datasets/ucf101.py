"""UCF101: clips of 101 actions, 25 groups of each; the official splits and shares of 0.64, 0.16 and 0.20."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from murine.errors import InputError
from murine.formats.text import read_text
from murine.project.datasets.base import DATASETS, Content, Dataset, Request, shorten, some
from murine.project.gather import unique_ids
from murine.project.values import CLIP_COLUMN
from murine.types import Ethogram, Recording

CLASSES, CLIPS, GROUPS = 101, 13_320, 25
"""Soomro et al. 2012, section 2."""

SHARES: Mapping[str, range] = {"train": range(1, 17), "validation": range(17, 21), "test": range(21, 26)}
"""Groups of each side: 16, 4 and 5 of 25 are the shares 0.64, 0.16 and 0.20 of the dual-stream paper.

The paper does not tell which clips it took; whole groups, so that clips of one film stay together.
"""

_NAME = re.compile(r"^v_(?P<action>[A-Za-z0-9]+)_g(?P<group>\d\d)_c(?P<clip>\d\d)$")
_LIST = re.compile(r"^(?P<side>train|test)list0?(?P<number>[123])\.txt$", re.IGNORECASE)


@dataclass(frozen=True)
class _Clip:
    path: Path
    action: str
    group: str


def read(request: Request) -> Content:
    """Return the clips; official splits become columns where their lists lie in the folder too.

    Raises InputError for names that are none of UCF101, or lists that contradict the clips.
    """
    if not request.videos:
        raise UCF101.wrong_folder(request, ["no video in it"])
    faults: list[str] = []
    order = _class_list(request, faults)
    clips = _clips(request, order, faults)
    notes: list[str] = []
    sides = _splits(request, clips, faults, notes)
    if faults:
        raise UCF101.wrong_folder(request, faults)
    there = {clip.action for clip in clips}
    actions = [name for name in order if name in there] or sorted(there)
    if len(clips) != CLIPS:
        notes.append(
            f"{len(clips):,} clips of {len(there)} classes; the whole set has {CLIPS:,} of {CLASSES}"
        )
    ids = unique_ids([clip.path.stem for clip in clips], [clip.path for clip in clips], request.source)
    recordings = []
    for id_, clip in zip(ids, clips, strict=True):
        groups = {CLIP_COLUMN: clip.action, "group": clip.group, "split": _share(clip.group)}
        groups |= {f"split{number}": table[_key(clip.path)] for number, table in sides.items()}
        recordings.append(Recording(id_, video=clip.path, groups=groups))
    return Content(Ethogram(tuple(actions)), tuple(recordings), "recording", notes=tuple(notes))


def _share(group: str) -> str:
    number = int(group.removeprefix("g"))
    return next(side for side, groups in SHARES.items() if number in groups)


def _key(path: Path) -> str:
    # One class is spelled HandstandPushups in folders and HandStandPushups in names of clips.
    return path.stem.casefold()


def _class_list(request: Request, faults: list[str]) -> list[str]:
    """Return the classes in their official order, [] where classInd.txt is not there."""
    found = [path for path in request.files if path.name.casefold() == "classind.txt"]
    if not found:
        return []
    names = []
    for number, line in enumerate(read_text(found[0], "list of classes").split("\n"), start=1):
        words = line.split()
        if len(words) == 2 and words[0].isdigit():
            names.append(words[1])
        elif words:
            faults.append(
                f"{request.place(found[0])}, line {number}: {line.strip()!r} is no number and class"
            )
    return names


def _clips(request: Request, order: Sequence[str], faults: list[str]) -> list[_Clip]:
    """Return the clips, each in the class of its folder, or, all in one folder, of its name."""
    official = {name.casefold(): name for name in order}
    clips, wrong = [], []
    for path in request.videos:
        match = _NAME.match(path.stem)
        if match is None or not 1 <= int(match["group"]) <= GROUPS:
            wrong.append(f"{request.place(path)}: not called v_CLASS_gNN_cNN (groups 01 to {GROUPS})")
            continue
        action = match["action"]
        if path.parent.name.casefold() == action.casefold():
            action = path.parent.name
        elif path.parent.name.casefold() in official:
            wrong.append(
                f"{request.place(path)}: a clip of {action} in the folder of {path.parent.name}"
            )
            continue
        if official and action.casefold() not in official:
            wrong.append(f"{request.place(path)}: classInd.txt has no class {action}")
            continue
        clips.append(_Clip(path, official.get(action.casefold(), action), f"g{match['group']}"))
    faults += shorten(wrong)
    return clips


def _splits(
    request: Request, clips: Sequence[_Clip], faults: list[str], notes: list[str]
) -> dict[str, dict[str, str]]:
    """Return the side of every clip in each official split whose two lists are there."""
    lists: dict[str, dict[str, Path]] = {}
    for path in request.files:
        if match := _LIST.match(path.name):
            lists.setdefault(match["number"], {})[match["side"].casefold()] = path
    if not lists:
        notes.append("no official lists (ucfTrainTestlist): columns split1, split2, split3 are not made")
    own = {_key(clip.path): clip for clip in clips}
    tables: dict[str, dict[str, str]] = {}
    for number, found in sorted(lists.items()):
        if len(found) != 2:
            missing = next(side for side in ("train", "test") if side not in found)
            faults.append(
                f"{missing}list0{number}.txt is missing beside {next(iter(found.values())).name}"
            )
            continue
        table = {}
        for side, path in found.items():
            for line in read_text(path, "list of clips").split("\n"):
                if line.strip():
                    table[Path(line.split()[0].replace("\\", "/")).stem.casefold()] = side
        if bare := [clip.path.name for key, clip in own.items() if key not in table]:
            faults.append(f"the lists of split {number} do not name {some(bare)}")
            continue
        if absent := [name for name in table if name not in own]:
            notes.append(
                f"split {number}: {len(absent)} of {len(table)} listed clips are not here: {some(absent)}"
            )
        _check_groups(number, table, clips)
        tables[number] = table
    return tables


def _check_groups(number: str, table: Mapping[str, str], clips: Sequence[_Clip]) -> None:
    """Raise InputError where a split parts the clips of one film."""
    side_of: dict[tuple[str, str], str] = {}
    for clip in clips:
        side = table[_key(clip.path)]
        if side_of.setdefault((clip.action, clip.group), side) != side:
            raise InputError(
                f"split {number} puts {clip.action} {clip.group} on both sides, and its clips are cut from one film. "
                "Copy the official lists again"
            )


UCF101 = DATASETS.add(
    "ucf101",
    Dataset(
        name="ucf101",
        summary="UCF101 with its lists",
        source="Soomro et al. 2012, arXiv:1212.0402",
        url="https://www.crcv.ucf.edu/data/UCF101.php",
        licence="not known; films of YouTube, called research use only by others",
        size="13,320 clips, 27 h, 6.9 GB",
        tree="""
ucf101/
  UCF-101/
    ApplyEyeMakeup/                   (a folder for each class; or all clips in one folder)
      v_ApplyEyeMakeup_g01_c01.avi    v_<class>_g<group>_c<clip>.avi
    YoYo/
      v_YoYo_g25_c05.avi
  ucfTrainTestlist/                   (for the official splits)
    classInd.txt
    trainlist01.txt  testlist01.txt   and 02, 03
""",
        read=read,
    ),
)
