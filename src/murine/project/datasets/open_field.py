"""The open-field set of de Juan's thesis: video, DeepLabCut table, and a sheet with an x in marked frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from murine import formats
from murine.errors import InputError, ProjectError
from murine.files import write_text
from murine.project.datasets.base import DATASETS, Content, Dataset, Request, shorten, some
from murine.project.datasets.sheet import Rows, read_sheet
from murine.project.pairing import contained, stem, tokens
from murine.types import Ethogram, Recording

BEHAVIOURS = ("grooming", "mid rearing", "wall rearing")

TEST = ("HD_YFP_037A", "WT_ChR2_087A", "WT_ChR2_635A", "WT_ChR2_654A", "WT_YFP_741A")
TRAIN = (
    "HD_ChR2_480A", "HD_ChR2_510A", "HD_ChR2_586A", "HD_YFP_443A", "HD_YFP_463A", "WT_ChR2_400A",
    "WT_ChR2_425A", "WT_YFP_154A", "WT_YFP_435A", "WT_YFP_535A", "WT_YFP_602A", "WT_YFP_792",
)  # fmt: skip
"""Appendix A of the thesis, and HD_ChR2_510A, which the appendix forgets (its code has 12 and 5)."""

_COLUMNS = {
    "grooming": "grooming", "groom": "grooming", "g": "grooming",
    "mid rearing": "mid rearing", "rearing mig": "mid rearing", "mr": "mid rearing",
    "wall rearing": "wall rearing", "rearing paret": "wall rearing", "wr": "wall rearing",
}  # fmt: skip
_MARKS = {"x": 1, "1": 1, "1.0": 1, "": 0, "0": 0, "0.0": 0}
_HEADING_ROWS = 5  # the row that names the behaviours is one of the first
_SUBHEADINGS = 2  # the published code skips two rows below it

_VIDEO, _POSE, _SHEET = "video", "DeepLabCut table", "sheet of marks"


@dataclass(frozen=True)
class _Animal:
    """What the folder holds of one of the seventeen."""

    id: str
    video: Path
    pose: Path
    sheet: Path


def read(request: Request) -> Content:
    """Return the recordings with pose; each sheet becomes a table of frames in the project.

    Raises InputError for a wrong folder or files that belong to none of the seventeen animals,
    ProjectError for sheets that cannot be read or do not fit their pose.
    """
    animals, missing = _animals(request)
    faults: list[str] = []
    files: dict[str, Callable[[Path], None]] = {}
    recordings = []
    with request.progress.task("sheets", len(animals), "recordings") as task:
        for animal in animals:
            place = f"labels/{animal.id}.csv"
            try:
                n_frames = formats.describe_pose(animal.pose).n_frames
                files[place] = _writer(_marks(animal.sheet, n_frames))
            except InputError as error:
                faults.append(str(error))
            recordings.append(_recording(animal, request.study / place))
            task.advance()
    if faults:
        raise ProjectError(request.source, faults)
    notes = [f"not here: {some(missing)}"] if missing else []
    return Content(
        Ethogram(BEHAVIOURS, exclusive=False), tuple(recordings), files=files, notes=tuple(notes)
    )


def _recording(animal: _Animal, labels: Path) -> Recording:
    genotype, virus, number = animal.id.split("_")
    groups = {"animal": number, "genotype": genotype, "virus": virus}
    groups["split"] = "test" if animal.id in TEST else "train"
    return Recording(animal.id, video=animal.video, pose=animal.pose, labels=labels, groups=groups)


def _animals(request: Request) -> tuple[list[_Animal], list[str]]:
    """Return the animals whose three files are there, and the ids of those that are wholly absent."""
    ids = sorted((*TRAIN, *TEST))
    found: dict[str, dict[str, Path]] = {id_: {} for id_ in ids}
    faults: list[str] = []
    strange = []
    for path in request.files:
        kind = _kind(path)
        if kind is None:
            continue
        name = tokens(stem(path))
        fitting = [id_ for id_ in ids if contained(tokens(id_), name) == len(tokens(id_))]
        owner = fitting[0] if fitting else None
        if owner is None:
            strange.append(f"{request.place(path)}: not one of the seventeen animals")
        elif kind in found[owner]:
            other = request.place(found[owner][kind])
            faults.append(f"{request.place(path)}: a second {kind} of {owner} beside {other}")
        else:
            found[owner][kind] = path
    for id_, files in found.items():
        lacking = [kind for kind in (_VIDEO, _POSE, _SHEET) if kind not in files]
        if files and lacking:
            faults.append(f"{id_}: no {' and no '.join(lacking)}")
    if not any(found.values()) and not strange:
        faults.append("no video, no DeepLabCut table and no sheet in it")
    if faults or strange:
        raise OPEN_FIELD.wrong_folder(request, [*shorten(strange), *shorten(faults)])
    animals = [
        _Animal(id_, files[_VIDEO], files[_POSE], files[_SHEET]) for id_, files in found.items() if files
    ]
    return animals, [id_ for id_, files in found.items() if not files]


def _kind(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in (".mp4", ".avi", ".mkv", ".mov"):
        return _VIDEO
    if suffix == ".xlsx":
        return _SHEET
    if suffix == ".h5":
        return _POSE
    if suffix != ".csv":
        return None
    try:
        pose = formats.detect(path).kind == "pose"
    except InputError:
        pose = False
    # A sheet saved as csv keeps DeepLabCut's words in its first column.
    return _POSE if pose and _heading(read_sheet(path)) is None else _SHEET


def _marks(path: Path, n_frames: int) -> list[tuple[int, list[int]]]:
    """Return (frame, marks of the three behaviours) for every frame the sheet tells of.

    Where the first column counts the frames, from 0 or (all of them) from 1, it says which they are; else
    there must be a row for each frame of the pose, below two rows of headings that may be there or not.
    """
    rows = read_sheet(path)
    heading, columns = _needed_heading(path, rows)
    body = list(enumerate(rows[heading + 1 :], start=heading + 2))
    while body and not any(cell.strip() for cell in body[-1][1]):
        body.pop()
    numbers = [_whole(row[0]) if row else None for _, row in body]
    counted = next((i for i, number in enumerate(numbers) if number is not None), len(body))
    if counted <= _SUBHEADINGS and None not in numbers[counted:] and 0 not in columns and body[counted:]:
        frames = [number for number in numbers[counted:] if number is not None]
        if frames == list(range(1, n_frames + 1)):
            frames = list(range(n_frames))
        _check_frames(path, frames, n_frames)
        return list(zip(frames, _cells(path, body[counted:], columns), strict=True))
    surplus = len(body) - n_frames
    if surplus not in (0, _SUBHEADINGS):
        raise InputError(
            f"{path}: {len(body)} rows below the headings came for {n_frames} frames of the pose; expected "
            f"{n_frames}, or {n_frames + _SUBHEADINGS} with two rows of headings. Is it the sheet of this animal?"
        )
    return list(enumerate(_cells(path, body[surplus:], columns)))


def _heading(rows: Rows) -> tuple[int, list[int]] | None:
    """Return the row that names the behaviours and the column of each; None where no row does."""
    for number, row in enumerate(rows[:_HEADING_ROWS]):
        names = [_COLUMNS.get(" ".join(cell.casefold().replace("_", " ").split())) for cell in row]
        if all(names.count(behaviour) == 1 for behaviour in BEHAVIOURS):
            return number, [names.index(behaviour) for behaviour in BEHAVIOURS]
    return None


def _needed_heading(path: Path, rows: Rows) -> tuple[int, list[int]]:
    if (found := _heading(rows)) is not None:
        return found
    shown = some(cell for row in rows[:1] for cell in row if cell.strip())
    raise InputError(
        f"{path}: no row names Grooming, Rearing mig (or Mid rearing) and Rearing paret (or Wall rearing) once "
        f"each; the first row holds: {shown or 'nothing'}."
    )


def _whole(cell: str) -> int | None:
    text = cell.strip().removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() else None


def _check_frames(path: Path, frames: Sequence[int], n_frames: int) -> None:
    if any(later <= earlier for earlier, later in zip(frames, frames[1:], strict=False)):
        raise InputError(f"{path}: the first column does not count the frames up. Was the sheet sorted?")
    if frames[-1] >= n_frames:
        raise InputError(
            f"{path}: frame {frames[-1]} came, and the pose has {n_frames} frames (0 to {n_frames - 1}). Is it "
            "the sheet of this animal?"
        )


def _cells(
    path: Path, body: Sequence[tuple[int, Sequence[str]]], columns: Sequence[int]
) -> list[list[int]]:
    marks = []
    for number, row in body:
        values = []
        for column, behaviour in zip(columns, BEHAVIOURS, strict=True):
            cell = row[column].strip() if column < len(row) else ""
            if cell.casefold() not in _MARKS:
                raise InputError(
                    f"{path}, row {number}: {cell!r} came under {behaviour}; x or nothing was expected."
                )
            values.append(_MARKS[cell.casefold()])
        marks.append(values)
    return marks


def _writer(marks: Sequence[tuple[int, Sequence[int]]]) -> Callable[[Path], None]:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["frame", *BEHAVIOURS])
    table.writerows([frame, *values] for frame, values in marks)
    return lambda path: write_text(path, text.getvalue())


OPEN_FIELD = DATASETS.add(
    "open-field",
    Dataset(
        name="open-field",
        summary="the open-field set of de Juan's thesis",
        source="de Juan 2022, MSc thesis, Universitat de Barcelona",
        url="not published: ask the Institute of Neurosciences, Universitat de Barcelona (group of M. Masana)",
        licence="not known",
        size="17 recordings of 11 min at 10 frames/s, 112,200 frames",
        tree="""
raw/
  videos/
    HD_ChR2_480A.mp4                  (17 animals: names of appendix A of the thesis)
  csvs/
    HD_ChR2_480ADLC_resnet50.csv      DeepLabCut, with a point 'midbody'
  excels/
    HD_ChR2_480A.xlsx                 a row for each frame, x under Grooming, Rearing mig, Rearing paret
                                      (or csv; Mid rearing and Wall rearing are understood)
""",
        read=read,
    ),
)
