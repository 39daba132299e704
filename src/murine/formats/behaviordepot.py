"""Annotations of BehaviorDEPOT: tables of start frame, stop frame and label, and its .mat files.

Frames count from 1 and the last one belongs to the bout, as in the vectors that BehaviorDEPOT makes of them.
A .mat file (`hB_...mat`, `Behavior.mat`) holds a structure of behaviours, each with `Bouts` and `Vector`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from murine.errors import InputError
from murine.files import require_file
from murine.formats import states as shared
from murine.formats.base import FORMATS, LabelFormat, LabelRow, LabelTable
from murine.formats.text import head_text
from murine.types import runs

_STRUCTURES = ("hBehavior", "Behavior")
_MATLAB = b"MATLAB 5.0 MAT-file"
_COLUMNS = (
    re.compile(r"^start(ing)?frames?$"),
    re.compile(r"^(stop|end)(ing)?frames?$"),
    re.compile(r"^behavi(o|ou)r(label|name|type)?s?$|^labels?$"),
)


def _places(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return where start, stop and label stand, None where they do not."""
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in names]
    found = [[i for i, n in enumerate(plain) if column.match(n)] for column in _COLUMNS]
    # `start_frame` and `stop_frame` are murine's own table of bouts, which counts from 0.
    own = {"start_frame", "stop_frame"} <= {n.strip().lower() for n in names}
    return None if own or any(len(f) != 1 for f in found) else tuple(f[0] for f in found)


def parse(path: Path) -> LabelTable:
    """Read a table or a .mat file of annotations; raises InputError that names the file and the row."""
    path = require_file(Path(path), "label file")
    with path.open("rb") as handle:
        matlab = handle.read(len(_MATLAB)) == _MATLAB
    return _mat(path) if matlab else _csv(path)


def _csv(path: Path) -> LabelTable:
    names, content, separator = shared.load(path, "label file")
    places = _places(names)
    if places is None:
        raise InputError(
            f"{path}: columns such as StartFrame, StopFrame and Behavior were expected; came {', '.join(names)}."
        )
    rows = []
    for number, line in enumerate(content.decode().split("\n")[1:], start=1):
        cells = [cell.strip().strip('"') for cell in line.split(separator)]
        if not any(cells):
            continue
        if len(cells) != len(names):
            raise InputError(
                f"{path}, row {number}: {len(cells)} cells where the header has {len(names)}. Was it cut short?"
            )
        start, stop = (_frame(path, cells[i], number) for i in places[:2])
        if not cells[places[2]]:
            raise InputError(f"{path}, row {number}: no behaviour is named.")
        rows.append(_row(path, start, stop, cells[places[2]], f"row {number}"))
    if not rows:
        raise InputError(f"{path}: a header without a single row. Was the file cut short?")
    return LabelTable("behaviordepot", path, "frames", tuple(sorted(rows, key=lambda r: r.start)))


def _frame(path: Path, cell: str, row: int) -> int:
    try:
        value = float(cell)
        if not value.is_integer():
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(
            f"{path}, row {row}: {cell!r} came where a whole frame number was expected."
        ) from None
    return int(value)


def _row(path: Path, start: int, stop: int, name: str, where: str) -> LabelRow:
    if not 1 <= start <= stop:
        raise InputError(
            f"{path}, {where}: frames {start} to {stop}; they count from 1 and the end comes after the start."
        )
    return LabelRow(start - 1, stop, name, where=where)


def _mat(path: Path) -> LabelTable:
    from scipy import io  # a quarter of a second that few need

    try:
        held = io.loadmat(str(path), squeeze_me=True, struct_as_record=False, variable_names=_STRUCTURES)
    except Exception as error:
        # scipy raises many kinds on damaged files, among them zlib's and its own.
        raise InputError(
            f"{path}: the .mat file cannot be read ({error}). Save it again in MATLAB."
        ) from None
    name = next((n for n in _STRUCTURES if n in held), None)
    if name is None:
        raise InputError(
            f"{path}: no structure {' or '.join(_STRUCTURES)}; is it a file of BehaviorDEPOT?"
        )
    rows: list[LabelRow] = []
    declared, length = [], 0
    for behaviour in getattr(held[name], "_fieldnames", ()):
        item = getattr(held[name], behaviour)
        if not hasattr(item, "_fieldnames"):
            length = int(item) if behaviour == "TotalFrames" and np.size(item) == 1 else length
            continue
        declared.append(behaviour)
        rows += _structure(path, behaviour, item)
        length = max(length, np.size(getattr(item, "Vector", ())))
    if not declared:
        raise InputError(f"{path}: '{name}' holds no behaviour with Bouts or Vector.")
    annotated = {"": ((0.0, float(length)),)} if length else {}
    ordered = tuple(sorted(rows, key=lambda r: r.start))
    return LabelTable(
        "behaviordepot", path, "frames", ordered, declared=tuple(declared), annotated=annotated
    )


def _structure(path: Path, behaviour: str, item: Any) -> list[LabelRow]:
    """Return the bouts of a behaviour: of its vector, where there is one, else its list."""
    vector = np.atleast_1d(getattr(item, "Vector", ()))
    if vector.size:
        return [
            LabelRow(a, b, behaviour, where=f"frame {a}") for a, b in runs(np.nan_to_num(vector) > 0)
        ]
    bouts = np.asarray(getattr(item, "Bouts", ()), dtype=np.float64).reshape(-1, 2)
    return [
        _row(path, int(a), int(b), behaviour, f"{behaviour}, bout {i}")
        for i, (a, b) in enumerate(bouts.tolist(), start=1)
    ]


def _sniff(path: Path, head: bytes) -> bool:
    if head.startswith(_MATLAB):
        from scipy import io

        try:
            return any(name in _STRUCTURES for name, _, _ in io.whosmat(str(path)))
        except Exception:  # whatever scipy meets in a damaged file
            return False
    _, rows = shared.first_rows(head_text(head), 2)
    return bool(rows) and _places(rows[0]) is not None


FORMATS.add(
    "behaviordepot",
    LabelFormat(
        "behaviordepot", "BehaviorDEPOT annotations, table or .mat", (".csv", ".mat"), _sniff, parse, None,
        lossy="counts, lengths and settings of the .mat file",
    ),
)  # fmt: skip
