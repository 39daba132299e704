"""DeepLabCut tables: csv (also .gz) and, through `pandas_h5`, h5.

The header is read by its words, not by its place: a row of individuals (or animals) is optional, a row
of bodyparts (or keypoints) and one of coords (or coord) are needed, an index column in front of the
words is passed over. Where no row names individuals, two things can still tell animals apart: several
scorers with the same keypoints (CalMS21 writes its mice there), and name prefixes such as `B_Nose`,
`W_Nose` (see `prefixes`). The cell (0, 0), whatever its likelihood, means *missing*: DeepLabCut and
its filters write it so, and no tracker puts a point exactly on the corner of the picture.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from murine.errors import InputError
from murine.formats.base import FORMATS, PoseFormat, PoseSummary
from murine.formats.pandas_h5 import is_pandas_h5, read_frame
from murine.formats.text import decode, delimiter, head_text, join, read_bytes, write_bytes
from murine.types import Pose

SINGLE = "animal"
"""The name of the only animal in a file that names none."""

_WORDS = {
    "scorer": "scorer",
    "individual": "individual", "individuals": "individual", "animal": "individual", "animals": "individual",
    "bodypart": "keypoint", "bodyparts": "keypoint", "keypoint": "keypoint", "keypoints": "keypoint",
    "coord": "coordinate", "coords": "coordinate",
}  # fmt: skip
_COORDINATES = {"x": 0, "y": 1, "likelihood": 2}
_SIDES = frozenset(
    ["left", "right", "l", "r", "front", "back", "fore", "hind", "top", "bottom", "upper", "lower", "middle",
     "mid", "inner", "outer", "near", "far", "base", "tip", "start", "end", "centre", "center"]
)  # fmt: skip
_FIXED_POINTS = "single"  # how DeepLabCut calls the "individual" that holds the arena's own points
_NULLS = ["", "nan", "NaN", "NA", "None", "inf", "-inf"]


@dataclass(frozen=True)
class _Column:
    individual: str
    keypoint: str
    coordinate: str


@dataclass(frozen=True)
class _Layout:
    """Where each value goes: `place` (n, 3) are animal, keypoint and coordinate of used columns."""

    animals: tuple[str, ...]
    keypoints: tuple[str, ...]
    used: NDArray[np.int64]
    place: NDArray[np.int64]
    left_out: tuple[str, ...]


def prefixes(names: Sequence[str]) -> dict[str, dict[str, str]] | None:
    """Return animal -> {keypoint: full name} where names tell animals apart by prefix, else None.

    Decided by content: every name must have a prefix, at least two prefixes must occur, and each must
    carry the same three or more keypoints. Sides of a body (`left_ear`, `ear_left`) and numbered points
    (`tail_1`, `spine_1`) are no animals.
    """
    for parts in (1, 2):
        split = [re.split(r"[_\-. ]", name, maxsplit=parts) for name in names]
        if any(len(piece) != parts + 1 or not all(piece) for piece in split):
            return None
        animals: dict[str, dict[str, str]] = {}
        for name, piece in zip(names, split, strict=True):
            animal = name[: len(name) - len(piece[-1]) - 1]
            animals.setdefault(animal, {})[piece[-1]] = name
        first = next(iter(animals.values()))
        alike = all(set(points) == set(first) for points in animals.values())
        ordinary = all(p.lower() in _SIDES or p.isdigit() for p in first)
        if len(animals) > 1 and alike and len(first) >= 3 and not ordinary:
            return None if {a.lower() for a in animals} <= _SIDES else animals
    return None


def _layout(path: Path, columns: Sequence[_Column]) -> _Layout:
    unknown = sorted({c.coordinate for c in columns} - set(_COORDINATES))
    if unknown:
        raise InputError(
            f"{path}: coordinates {', '.join(unknown)} came where x, y and likelihood were expected. "
            "Export a two-dimensional DeepLabCut table."
        )
    points: dict[str, set[str]] = {}
    for c in columns:
        points.setdefault(c.individual, set()).add(c.keypoint)
    others = set().union(*(p for a, p in points.items() if a != _FIXED_POINTS))
    fixed = _FIXED_POINTS in points and len(points) > 1 and not points[_FIXED_POINTS] & others
    kept = [i for i, c in enumerate(columns) if not (fixed and c.individual == _FIXED_POINTS)]
    left_out = tuple(sorted(points[_FIXED_POINTS])) if fixed else ()
    animals = tuple(dict.fromkeys(columns[i].individual for i in kept))
    keypoints = tuple(dict.fromkeys(columns[i].keypoint for i in kept))
    place = np.array(
        [
            (animals.index(c.individual), keypoints.index(c.keypoint), _COORDINATES[c.coordinate])
            for c in (columns[i] for i in kept)
        ],
        dtype=np.int64,
    ).reshape(-1, 3)
    seen = {tuple(row) for row in place.tolist()}
    if len(seen) != len(place):
        raise InputError(f"{path}: two columns hold the same coordinate of the same keypoint.")
    for animal, keypoint in {(a, k) for a, k, _ in seen}:
        if not {(animal, keypoint, 0), (animal, keypoint, 1)} <= seen:
            raise InputError(
                f"{path}: keypoint '{keypoints[keypoint]}' of '{animals[animal]}' lacks its x or y column. "
                "Was the header cut short? Export the table again."
            )
    if not len(place):
        raise InputError(f"{path}: no keypoint columns found in the header.")
    return _Layout(animals, keypoints, np.array(kept), place, left_out)


def _columns(path: Path, header: dict[str, list[str]]) -> list[_Column]:
    """Return the columns of a header given as word -> one value per column."""
    for word in ("keypoint", "coordinate"):
        if word not in header:
            shown = "bodyparts" if word == "keypoint" else "coords"
            raise InputError(f"{path}: no header row '{shown}'; this is not a DeepLabCut table.")
    names, coordinates = header["keypoint"], [c.lower() for c in header["coordinate"]]
    if not len(names) == len(coordinates):
        raise InputError(f"{path}: the header rows differ in length. Was the file cut short?")
    individuals = header.get("individual")
    if individuals is None:
        scorers = [re.sub(r"\.\d+$", "", s) for s in header.get("scorer", [])]
        sets = {s: {n for n, t in zip(names, scorers, strict=True) if t == s} for s in scorers}
        by_prefix = prefixes(list(dict.fromkeys(names)))
        if len(sets) > 1 and len({frozenset(s) for s in sets.values()}) == 1:
            individuals = scorers
        elif by_prefix:
            known = {full: (a, k) for a, kps in by_prefix.items() for k, full in kps.items()}
            individuals = [known[n][0] for n in names]
            names = [known[n][1] for n in names]
        else:
            individuals = [SINGLE] * len(names)
    return [_Column(*c) for c in zip(individuals, names, coordinates, strict=True)]


def _csv_header(path: Path, text: str) -> tuple[dict[str, list[str]], int, int, str]:
    """Return the header (word -> values), its number of rows, the index column and the delimiter."""
    lines = text.split("\n", 8)[:8]
    separator = delimiter(lines[0])
    rows = list(csv.reader(io.StringIO("\n".join(lines[:6])), delimiter=separator))
    for column in (0, 1):
        header: dict[str, list[str]] = {}
        for count, row in enumerate(rows):
            word = _WORDS.get(row[column].strip().lower()) if len(row) > column + 1 else None
            if word is None:
                break
            header[word] = [cell.strip() for cell in row[column + 1 :]]
            if word == "coordinate":
                lengths = {len(values) for values in header.values()}
                if len(lengths) != 1:
                    raise InputError(
                        f"{path}: the header rows differ in length. Was the file cut short?"
                    )
                return header, count + 1, column, separator
    raise InputError(
        f"{path}: no DeepLabCut header. Expected rows that begin with scorer, (individuals,) bodyparts, "
        f"coords; the file begins with {lines[0][:60]!r}."
    )


def _assemble(
    path: Path, layout: _Layout, values: NDArray[np.floating], index: NDArray[np.floating] | None
) -> Pose:
    """Return the pose of (T, columns) values; rows go where the index, the frame number, says."""
    rows = np.arange(len(values))
    if index is not None and not np.array_equal(index, rows):
        wrong = ~np.isfinite(index) | (index < 0) | (index != np.floor(index))
        wrong[1:] |= np.diff(index) <= 0
        if wrong.any() or index[-1] > 10 * len(values) + 1000:
            at = int(wrong.argmax()) if wrong.any() else len(values) - 1
            raise InputError(
                f"{path}: the frame number of row {at} is {index[at]:g}; whole numbers that grow from "
                "0 were expected. Export the table again."
            )
        rows = index.astype(np.int64)
    n_frames = int(rows[-1]) + 1 if len(rows) else 0
    if n_frames == 0:
        raise InputError(f"{path}: a header without a single frame. Was the file cut short?")
    shape = (n_frames, len(layout.animals), len(layout.keypoints), 3)
    table = np.full(shape, np.nan, dtype=np.float32)
    animal, keypoint, coordinate = layout.place.T
    with np.errstate(over="ignore"):
        table[rows[:, None], animal, keypoint, coordinate] = values[:, layout.used]
    xy, confidence = table[..., :2], table[..., 2]
    missing = ~np.isfinite(xy).all(axis=-1) | (xy == 0).all(axis=-1)
    xy[missing] = np.nan
    confidence[missing] = np.nan
    has_confidence = (coordinate == 2).any()
    return Pose(xy, layout.animals, layout.keypoints, confidence if has_confidence else None)


def _read_csv(path: Path) -> tuple[_Layout, NDArray[np.float32], NDArray[np.float64]]:
    content = read_bytes(path, "pose file")
    head = decode(content[: 1 << 20] if b"\0" not in content[:4096] else content[:4096], path)
    header, skipped, column, separator = _csv_header(path, head)
    if re.search(r"^labeled-data\b|\.(png|jpe?g)\b", [*head.split("\n", skipped + 1), ""][skipped]):
        raise InputError(
            f"{path}: these are training images, not a tracked video. Analyse a video first."
        )
    width = column + 1 + len(next(iter(header.values())))
    names = [str(i) for i in range(width)]
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(content),
            read_options=arrow_csv.ReadOptions(skip_rows=skipped, column_names=names, use_threads=False),
            parse_options=arrow_csv.ParseOptions(delimiter=separator),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.float64()),
                null_values=_NULLS,
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error) or "Could not skip" in str(error):
            raise InputError(
                f"{path}: a header without a single frame. Was the file cut short?"
            ) from None
        raise InputError(
            f"{path}: a row does not fit the header ({str(error)[:160]}). The file was cut short or "
            "edited; export it again."
        ) from None
    frames = table.column(column).to_numpy(zero_copy_only=False)
    values = np.empty((table.num_rows, width - column - 1), dtype=np.float32)
    for i in range(values.shape[1]):
        # A number too large for a picture overflows to infinity, which is missing.
        with np.errstate(over="ignore"):
            values[:, i] = table.column(i + column + 1).to_numpy(zero_copy_only=False)
    return _layout(path, _columns(path, header)), values, frames


def read_csv(path: Path) -> Pose:
    """Read a DeepLabCut csv or csv.gz; raises InputError that names the file and the fault."""
    layout, values, frames = _read_csv(path)
    return _assemble(path, layout, values, frames)


def describe_csv(path: Path) -> PoseSummary:
    """Return animals, keypoints and length of a csv."""
    layout, _, frames = _read_csv(path)
    n_frames = int(np.nanmax(frames)) + 1 if len(frames) else 0
    return PoseSummary("deeplabcut-csv", layout.animals, layout.keypoints, n_frames, layout.left_out)


def write_csv(path: Path, pose: Pose, scorer: str) -> None:
    """Write a DeepLabCut csv: three header rows for one unnamed animal, else four; missing = empty."""
    coordinates = ["x", "y"] if pose.confidence is None else ["x", "y", "likelihood"]
    columns = [(a, k, c) for a in pose.animals for k in pose.keypoints for c in coordinates]
    header = [["scorer", *[scorer] * len(columns)]]
    if pose.animals != (SINGLE,) or prefixes(pose.keypoints):
        header.append(["individuals", *(c[0] for c in columns)])
    header.append(["bodyparts", *(c[1] for c in columns)])
    header.append(["coords", *(c[2] for c in columns)])
    parts = [pose.xy] if pose.confidence is None else [pose.xy, pose.confidence[..., None]]
    values = np.concatenate(parts, axis=-1).reshape(len(pose), -1)
    arrays = [pa.array(np.arange(len(pose)))]
    arrays += [pa.array(values[:, i], from_pandas=True) for i in range(values.shape[1])]
    out = io.BytesIO(join(header, ",").encode())
    out.seek(0, io.SEEK_END)
    table = pa.table(arrays, names=[str(i) for i in range(len(arrays))])
    arrow_csv.write_csv(table, out, arrow_csv.WriteOptions(include_header=False, quoting_style="none"))
    write_bytes(path, out.getvalue())


def _sniff_csv(path: Path, head: bytes) -> bool:
    text = head_text(head)
    if not text or "IMPORTED_POSE" in text.split("\n", 1)[0]:  # SimBA's own use of three header rows
        return False
    try:
        _csv_header(path, text)
    except (InputError, csv.Error):
        # A header cut short, or with a wrong row, is still this format: the reader names the fault. Other
        # tables begin with "scorer" too, but have numbers below it.
        first, second = [*(re.split(r"[,;\t]", line) for line in text.split("\n", 2)[:2]), [""]][:2]
        known = any(cell.strip().lower() in _WORDS for cell in first[:2])
        return known and not any(cell.strip().isdigit() for cell in second[:1] if first[0].strip())
    return True


def _h5(path: Path) -> tuple[_Layout, NDArray[np.floating], NDArray[np.floating] | None]:
    frame = read_frame(path)
    header: dict[str, list[str]] = {}
    for position, name in enumerate(frame.level_names):
        word = _WORDS.get(name.lower())
        # Files that lost their level names keep the order scorer, (individuals,) bodyparts, coords.
        word = (
            word
            or ["coordinate", "keypoint", "individual", "scorer"][len(frame.level_names) - 1 - position]
        )
        header[word] = [str(column[position]) for column in frame.columns]
    return _layout(path, _columns(path, header)), frame.values, frame.index


def read_h5(path: Path) -> Pose:
    """Read a DeepLabCut h5, pandas layouts 'fixed' and 'table'; raises InputError."""
    return _assemble(path, *_h5(path))


def describe_h5(path: Path) -> PoseSummary:
    """Return animals, keypoints and length of an h5."""
    layout, values, index = _h5(path)
    n_frames = len(values) if index is None else int(np.nanmax(index)) + 1
    return PoseSummary("deeplabcut-h5", layout.animals, layout.keypoints, n_frames, layout.left_out)


_ZERO = "a point at exactly (0, 0) is taken for missing; the likelihood of missing points is not kept"

FORMATS.add(
    "deeplabcut-csv",
    PoseFormat(
        "deeplabcut-csv", "DeepLabCut table, one or several animals", (".csv", ".csv.gz"),
        _sniff_csv, read_csv, describe_csv, write_csv, _ZERO,
    ),
)  # fmt: skip
FORMATS.add(
    "deeplabcut-h5",
    PoseFormat(
        "deeplabcut-h5", "DeepLabCut table as pandas h5", (".h5", ".hdf5"),
        lambda path, head: is_pandas_h5(path, head), read_h5, describe_h5, None, _ZERO,
    ),
)  # fmt: skip
