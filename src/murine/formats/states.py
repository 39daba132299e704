"""Tables with a row per frame and a column of 0 and 1 per behaviour: what their formats share."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from murine.errors import InputError
from murine.formats.base import NOT_ANNOTATED, LabelRow, LabelTable, unseen
from murine.formats.text import decode, delimiter, join, read_bytes, write_bytes
from murine.types import BoolArray, Bouts

_NULLS = ["", "nan", "NaN", "NA", "None", "null"]
_TRUTH = {"true": "1", "false": "0"}


def first_rows(text: str, count: int = 20) -> tuple[str, list[list[str]]]:
    """Return the delimiter and the first whole rows of a table, as stripped cells; the header comes first."""
    lines = text.split("\n", count)
    whole = lines[:count] if len(lines) > count or len(lines) == 1 else lines[:-1]
    separator = delimiter(lines[0])
    try:
        rows = list(csv.reader(io.StringIO("\n".join(whole)), delimiter=separator))
    except csv.Error:
        return separator, []
    return separator, [[cell.strip() for cell in row] for row in rows if row]


def points(names: Sequence[str]) -> dict[str, int]:
    """Return the place of the x column of each point that has x, y and p beside each other."""
    lower = [n.lower() for n in names]
    return {
        names[i][:-2]: i
        for i in range(len(names) - 2)
        if lower[i].endswith("_x")
        and lower[i + 1] == lower[i][:-1] + "y"
        and lower[i + 2] == lower[i][:-1] + "p"
    }


def is_state(cell: str) -> bool:
    """Say whether a cell can be 0, 1, not annotated."""
    return cell.lower() in ("", "0", "1", "-1", "0.0", "1.0", "-1.0", "nan", "na", "true", "false")


def load(path: Path, what: str, skip: int = 1) -> tuple[list[str], bytes, str]:
    """Return the names of the columns, the whole text, and the delimiter; raises InputError.

    `skip` is the number of header rows; the last of them names the columns.
    """
    text = decode(read_bytes(path, what), path)
    separator, rows = first_rows(text, skip + 2)
    if len(rows) < skip:
        raise InputError(f"{path}: {what} without a header row of names. Was the file cut short?")
    return rows[skip - 1], text.encode(), separator


def numbers(
    path: Path,
    content: bytes,
    separator: str,
    names: Sequence[str],
    wanted: Sequence[int],
    skip: int = 1,
) -> NDArray[np.float64]:
    """Return the wanted columns as (rows, len(wanted)) numbers, NaN where a cell is empty.

    Raises InputError for a cell that is no number, a row cut short, and a table without rows.
    """
    keys = [str(i) for i in range(len(names))]
    chosen = [keys[i] for i in wanted]
    options = {
        "read_options": arrow_csv.ReadOptions(column_names=keys, skip_rows=skip, use_threads=False),
        "parse_options": arrow_csv.ParseOptions(delimiter=separator),
    }
    convert = arrow_csv.ConvertOptions(
        include_columns=chosen,
        column_types=dict.fromkeys(chosen, pa.float64()),
        null_values=_NULLS,
        strings_can_be_null=True,
    )
    try:
        table = arrow_csv.read_csv(io.BytesIO(content), convert_options=convert, **options)
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error) or "Could not skip" in str(error):
            raise InputError(f"{path}: a header without a single row. Was the file cut short?") from None
        raise InputError(
            f"{path}: a row does not fit the header ({_named(str(error), names)[:200]}). The file was cut short "
            "or edited; export it again."
        ) from None
    if not table.num_rows:
        raise InputError(f"{path}: a header without a single row. Was the file cut short?")
    columns = [table.column(i).to_numpy(zero_copy_only=False) for i in range(len(chosen))]
    return np.stack(columns, axis=1) if columns else np.zeros((table.num_rows, 0))


def _named(message: str, names: Sequence[str]) -> str:
    """Return a message of the reader with the name of the column, which it knows by its place."""
    head, mark, rest = message.partition("column #")
    number = rest.split(":", 1)[0]
    return (
        f"{head}column '{names[int(number)]}'{rest[len(number) :]}"
        if mark and number.isdigit()
        else message
    )


def texts_to_states(content: bytes) -> bytes:
    """Return a table whose true and false are 1 and 0."""
    head, _, body = content.partition(b"\n")
    for word, digit in _TRUTH.items():
        for form in (word, word.capitalize(), word.upper()):
            body = body.replace(form.encode(), digit.encode())
    return head + b"\n" + body


def states_of(path: Path, names: Sequence[str], values: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return 1, 0, -1 (not annotated) of numbers; raises InputError for any other."""
    wrong = ~(np.isnan(values) | np.isin(values, (-1.0, 0.0, 1.0)))
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"{path}: column '{names[column]}' holds {values[row, column]:g} in row {row + 1}; 0, 1 or -1 (not "
            "annotated) was expected. Probabilities are no labels."
        )
    return np.where(np.isnan(values), -1, values).astype(np.int8)


def frame_numbers(path: Path, index: NDArray[np.float64] | None, count: int) -> NDArray[np.int64]:
    """Return the frame of each row: its index, where there is one; raises InputError unless it grows from 0."""
    if index is None:
        return np.arange(count)
    wrong = ~np.isfinite(index) | (index < 0) | (index != np.floor(index))
    wrong[1:] |= np.diff(index) <= 0
    if wrong.any():
        at = int(wrong.argmax())
        raise InputError(
            f"{path}: the frame number of row {at + 1} is {index[at]:g}; whole numbers that grow from 0 were "
            "expected. Export the table again."
        )
    return index.astype(np.int64)


def stretches(frames: NDArray[np.int64], mask: BoolArray) -> list[tuple[int, int]]:
    """Return half-open stretches of consecutive frame numbers where the mask is true."""
    wanted = frames[np.asarray(mask, dtype=bool)]
    breaks = np.flatnonzero(np.diff(wanted) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(wanted, breaks) if len(part)]


def label_table(
    format: str,
    path: Path,
    names: Sequence[str],
    states: NDArray[np.int8],
    frames: NDArray[np.int64],
    seen: BoolArray | None = None,
) -> LabelTable:
    """Return the label table of (rows, behaviours) states; a row without any state is not annotated.

    A column with the reserved name `not annotated` marks such rows too. Raises InputError for two columns
    of one name.
    """
    if twice := sorted({n for n in names if list(names).count(n) > 1}):
        raise InputError(f"{path}: two columns are called '{twice[0]}'. Rename one.")
    looked = (states >= 0).any(axis=1) if seen is None else seen
    if NOT_ANNOTATED in names:
        looked = looked & (states[:, list(names).index(NOT_ANNOTATED)] != 1)
    kept = [(i, n) for i, n in enumerate(names) if n != NOT_ANNOTATED]
    rows = [
        LabelRow(start, stop, name, where=f"frame {start}")
        for i, name in kept
        for start, stop in stretches(frames, (states[:, i] == 1) & looked)
    ]
    spans = tuple((float(a), float(b)) for a, b in stretches(frames, np.asarray(looked, dtype=bool)))
    return LabelTable(
        format, path, "frames", tuple(sorted(rows, key=lambda r: r.start)),
        declared=tuple(n for _, n in kept), annotated={"": spans}, length=float(frames.max(initial=-1) + 1),
    )  # fmt: skip


def write_states(path: Path, index: str, columns: dict[str, NDArray[Any]]) -> None:
    """Write a table of whole numbers with the row's number in front, under the name `index`."""
    matrix = np.stack(list(columns.values()), axis=1).astype(np.int64)
    rows = [[str(i), *map(str, row)] for i, row in enumerate(matrix.tolist())]
    write_bytes(path, join([[index, *columns], *rows], ",").encode())


def zero_one(bouts: Bouts) -> dict[str, NDArray[Any]]:
    """Return 0 and 1 of each behaviour; where frames are not annotated, also the column that says so."""
    states = bouts.frames()
    columns: dict[str, NDArray[Any]] = {
        name: (states[:, i] == 1).astype(np.int64) for i, name in enumerate(bouts.ethogram.behaviours)
    }
    nobody = unseen(bouts)
    return columns | ({NOT_ANNOTATED: nobody.astype(np.int64)} if nobody.any() else {})
