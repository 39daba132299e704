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
from numpy.typing import NDArray

from murine.errors import InputError
from murine.files import require_file
from murine.formats import states as shared
from murine.formats.base import FORMATS, LabelFormat, LabelRow, LabelTable
from murine.formats.matlab import Strange, is_matlab, read_variables, variables
from murine.formats.text import head_text, read_head
from murine.types import runs

_STRUCTURES = ("hBehavior", "Behavior")
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
    return _mat(path) if is_matlab(read_head(path)) else _csv(path)


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
    held = read_variables(path, _STRUCTURES)
    name = next((n for n in _STRUCTURES if isinstance(held.get(n), dict)), None)
    if name is None:
        raise InputError(
            f"{path}: no structure {' or '.join(_STRUCTURES)}; is it a file of BehaviorDEPOT?"
        )
    rows: list[LabelRow] = []
    declared, length = [], 0
    for behaviour, item in held[name].items():
        if not isinstance(item, dict):
            if behaviour == "TotalFrames" and isinstance(item, np.ndarray) and item.size == 1:
                length = int(item.item())
            continue
        declared.append(behaviour)
        vector, bouts = (_array(path, behaviour, item, key) for key in ("Vector", "Bouts"))
        rows += _structure(path, behaviour, vector, bouts)
        length = max(length, vector.size)
    if not declared:
        raise InputError(f"{path}: '{name}' holds no behaviour with Bouts or Vector.")
    annotated = {"": ((0.0, float(length)),)} if length else {}
    ordered = tuple(sorted(rows, key=lambda r: r.start))
    return LabelTable(
        "behaviordepot", path, "frames", ordered, declared=tuple(declared), annotated=annotated
    )


def _array(path: Path, behaviour: str, item: dict[str, Any], key: str) -> NDArray[np.float64]:
    """Return the numbers of a field of a behaviour, none where it has no such field."""
    value = item.get(key, np.zeros(0))
    if not isinstance(value, np.ndarray):
        kind = value.kind if isinstance(value, Strange) else "a structure or a text"
        raise InputError(f"{path}: {behaviour}.{key} is {kind}; numbers were expected.")
    return np.asarray(value, dtype=np.float64)


def _structure(
    path: Path, behaviour: str, vector: NDArray[np.float64], bouts: NDArray[np.float64]
) -> list[LabelRow]:
    """Return the bouts of a behaviour: of its vector, where there is one, else its list."""
    if vector.size:
        states = np.nan_to_num(vector.ravel()) > 0
        return [LabelRow(a, b, behaviour, where=f"frame {a}") for a, b in runs(states)]
    if bouts.size and np.atleast_2d(bouts).shape[1] != 2:
        raise InputError(
            f"{path}: {behaviour}.Bouts has {' x '.join(map(str, bouts.shape))} numbers; a row of first and last "
            "frame for each bout was expected."
        )
    found = []
    for i, pair in enumerate(bouts.reshape(-1, 2).tolist(), start=1):
        where = f"{behaviour}, bout {i}"
        if not all(float(edge).is_integer() for edge in pair):
            raise InputError(f"{path}, {where}: {pair} came where two whole frames were expected.")
        found.append(_row(path, int(pair[0]), int(pair[1]), behaviour, where))
    return found


def _sniff(path: Path, head: bytes) -> bool:
    if is_matlab(head):
        return not set(_STRUCTURES).isdisjoint(variables(path))
    _, rows = shared.first_rows(head_text(head), 2)
    return bool(rows) and _places(rows[0]) is not None


FORMATS.add(
    "behaviordepot",
    LabelFormat(
        "behaviordepot", "BehaviorDEPOT annotations, table or .mat", (".csv", ".mat"), _sniff, parse, None,
        lossy="counts, lengths and settings of the .mat file",
    ),
)  # fmt: skip
