"""Made-up folders of the shape in which publishers give their data sets away; every number in them is chosen."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from video_samples import encode

from murine.formats import write_pose
from murine.types import Pose

_SEED = iter(range(1_000_000))


def film(path: Path, frames: int = 30) -> Path:
    """Write a film of noise of 32 x 48 pixels at 25 frames a second, no two alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = {".mpg": "mpeg1video", ".avi": "mpeg4"}.get(path.suffix, "libx264")
    pixels = np.random.default_rng(next(_SEED)).integers(0, 255, (frames, 32, 48, 3), dtype=np.uint8)
    return encode(path, pixels, codec, options={"g": "12"})


def text(path: Path, *lines: str) -> Path:
    """Write lines to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def mit_clipped(folder: Path) -> Path:
    """Nine clips of two films in folders of their own, with long and short labels."""
    for name in ("drink_1", "e_2", "gb_3", "groom_4", "ha_5", "he_6", "walk_7"):
        film(folder / "20080421153635" / f"20080421153635_{name}.mpg", 8)
    for name in ("r_1", "rs_2"):
        film(folder / "agoutivideo320080229" / f"agoutivideo320080229_{name}.mpg", 8)
    text(folder / "readme.txt", "please cite")
    return folder


def mit_full(folder: Path) -> Path:
    """Three recordings of 30 frames; the second group scored a part of one of them."""
    for name in ("20080421153635", "20080421170000", "agoutivideo320080229A"):
        film(folder / f"{name}.mpg")
    one, two = folder / "Annotator_group_1", folder / "Annotator_group_2"
    text(one / "20080421153635.txt", "frame: 1-10 eat", "frame: 11-20 groom", "frame: 21-30 head")
    # frame 12 ends one line and begins the next
    text(one / "20080421170000.txt", "frame: 1-12\trest", "frame: 12-30\twalk")
    text(one / "agoutivideo320080229A.txt", "frame: 1-25 micro-movement", "frame: 26-30 hang")
    text(two / "20080421153635.txt", "frame: 6-15 eat", "frame: 16-18 groom")
    return folder


def ucf101(folder: Path, *, lists: bool = True, flat: bool = False) -> Path:
    """Two classes, groups 1, 8, 17 and 25 of each, two clips of each group; one class has two spellings."""
    official: dict[str, list[str]] = {"train": [], "test": []}
    for action, spelled in (
        ("ApplyEyeMakeup", "ApplyEyeMakeup"),
        ("HandstandPushups", "HandStandPushups"),
    ):
        for group in (1, 8, 17, 25):
            for clip in (1, 2):
                name = f"v_{spelled}_g{group:02d}_c{clip:02d}.avi"
                film(folder / "UCF-101" / name if flat else folder / "UCF-101" / action / name, 6)
                official["test" if group <= 7 else "train"].append(f"{action}/{name}")
    if lists:
        place = folder / "ucfTrainTestlist"
        text(place / "classInd.txt", "1 HandstandPushups", "2 ApplyEyeMakeup", "3 YoYo")
        text(
            place / "trainlist01.txt",
            *(f"{line} 1" for line in official["train"]),
            "YoYo/v_YoYo_g08_c01.avi 3",
        )
        text(place / "testlist01.txt", *official["test"])
    return folder


def sheet(path: Path, rows: Sequence[Sequence[str | float | None]]) -> Path:
    """Write an Excel workbook as Excel does: shared texts, numbers, empty cells and rows left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = list(dict.fromkeys(c for row in rows for c in row if isinstance(c, str)))
    lines = []
    for r, row in enumerate(rows, start=1):
        cells = []
        for c, value in enumerate(row):
            place = f"{chr(ord('A') + c)}{r}"
            if isinstance(value, str):
                cells.append(f'<c r="{place}" t="s"><v>{words.index(value)}</v></c>')
            elif value is not None:
                cells.append(f'<c r="{place}"><v>{value}</v></c>')
        if cells:
            lines.append(f'<row r="{r}">{"".join(cells)}</row>')
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    link = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    strings = "".join(f"<si><t>{escape(word)}</t></si>" for word in words)
    parts: Mapping[str, str] = {
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{link}"><sheets>'
        '<sheet name="Full1" sheetId="1" r:id="rId7"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="rId7" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{strings}</sst>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{content}')
    return path


def marks(frames: int, marked: Mapping[int, Iterable[int]]) -> list[list[str | float | None]]:
    """Rows of a sheet as published: headings in row 1, two more rows of headings, x in columns E, F, G."""
    rows: list[list[str | float | None]] = [
        ["scorer", "midbody", "midbody", None, "Grooming", "Rearing mig", "Rearing paret"],
        ["bodyparts", "x", "y"],
        ["coords"],
    ]
    for frame in range(frames):
        row: list[str | float | None] = [frame, 100.5, 80.25, None]
        row += ["x" if frame in marked.get(column, ()) else None for column in range(3)]
        rows.append(row)
    return rows


def open_field(
    folder: Path, ids: Sequence[str] = ("HD_ChR2_480A", "HD_YFP_037A"), frames: int = 20
) -> Path:
    """Animals with a video, a DeepLabCut table and a sheet, in three folders; marks differ by animal."""
    rng = np.random.default_rng(0)
    for i, name in enumerate(ids):
        film(folder / "videos" / f"{name}.mp4", frames)
        (folder / "csvs").mkdir(parents=True, exist_ok=True)
        xy = rng.uniform(5, 30, (frames, 1, 2, 2)).astype(np.float32)
        pose = Pose(xy, ("animal",), ("snout", "midbody"), np.ones((frames, 1, 2), np.float32))
        write_pose(folder / "csvs" / f"{name}DLC_resnet50_test.csv", pose)
        marked = {0: range(i, i + 5), 1: range(3, 6), 2: range(15, frames)}
        sheet(folder / "excels" / f"{name}.xlsx", marks(frames, marked))
    return folder


SCORHE_LABELS = (
    "behaviour,start,stop", "behav_drink,0,4", "behav_rear_supported,4,8", "behav_rear_unsupported,8,10",
    "behav_ignore,10,12", "discrepancy,12,13", "climbing,13,20", "rotating,20,22", "behav_other,22,24",
    "groom,24,30",
)  # fmt: skip


def scorhe(
    folder: Path, cages: Sequence[str] = ("cage1", "cage2"), ends: Sequence[str] = ("front", "rear")
) -> Path:
    """Cages with two videos and a table of bouts that holds all kinds of labels."""
    for cage in cages:
        for end in ends:
            film(folder / "videos" / f"{cage}_{end}.avi")
        text(folder / "annotations" / f"{cage}.csv", *SCORHE_LABELS)
    return folder


def forced_swim(folder: Path, *, top: bool = False) -> Path:
    """Two videos from the side, and one from above on request, with bouts in seconds."""
    for name in ("mouse1", "mouse2"):
        film(folder / "videos" / f"{name}.mp4")
        rows = ("Swimming,0.2,0.4", "struggle,0.4,0.6", "float,0.8,1.2")
        text(folder / "labels" / f"{name}.csv", "behaviour,start_s,stop_s", *rows)
    if top:
        film(folder / "videos" / "above1.mp4")
        text(
            folder / "labels" / "above1.csv",
            "behaviour,start_s,stop_s",
            "mobile,0,0.6",
            "immobility,0.6,1.2",
        )
    return folder


def _mice(frames: int, labels: Sequence[int], vocab: Mapping[str, int]) -> dict[str, object]:
    """A sequence of CalMS21: two mice of seven points that walk, made up."""
    rng = np.random.default_rng(next(_SEED))
    centres = 300 + rng.normal(0, 3, (frames, 2, 2, 1)).cumsum(axis=0)
    return {
        "keypoints": (centres + rng.normal(0, 20, (1, 2, 2, 7))).round(2).tolist(),
        "scores": rng.uniform(0.5, 1, (frames, 2, 7)).round(3).tolist(),
        "annotations": list(labels),
        "metadata": {"fps": 30.0, "vocab": dict(vocab)},
    }


def calms21(folder: Path, tasks: Iterable[int] = (1,), frames: int = 48) -> Path:
    """CalMS21's json of some tasks: two training sequences and a test one of each annotator or new behaviour.

    Task 1 has annotator 0, task 2 annotators 1 and 2, task 3 the behaviours approach and wrestling. Mice are
    numbered anew in each task.
    """
    folder.mkdir(parents=True, exist_ok=True)
    social = {"attack": 0, "investigation": 1, "mount": 2, "other": 3}
    quarter = frames // 4
    four = np.repeat(range(4), quarter)
    for task in tasks:
        groups = {
            1: ["annotator-id_0"],
            2: ["annotator-id_1", "annotator-id_2"],
            3: ["approach", "wrestling"],
        }
        for side, mice in (("train", (1, 2)), ("test", (3,))):
            made: dict[str, dict[str, object]] = {}
            for group in groups[task]:
                vocab = {group: 1, "other": 0} if task == 3 else social
                for mouse in mice:
                    labels = [int(n) for n in np.roll(four, 5 * mouse)]
                    if task == 3:
                        labels = [int(n > 2) for n in labels]
                    who = group.replace("-id_", "")
                    name = f"task{task}/{side}/mouse{mouse:03d}_task{task}_{who}"
                    made.setdefault(group, {})[name] = _mice(4 * quarter, labels, vocab)
            path = folder / f"calms21_task{task}_{side}.json"
            path.write_text(json.dumps(made), encoding="utf-8")
    return folder
