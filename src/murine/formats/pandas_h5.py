"""Tables that pandas wrote to HDF5, read by h5py alone.

Two layouts exist (attribute `pandas_type`): "frame" ('fixed'), where column labels are arrays of codes
into arrays of levels, and "frame_table" ('table'), where column labels are pickled lists of tuples in
attributes. Nothing is unpickled here: `_listing` walks the opcodes and understands only lists, tuples,
dictionaries, texts and numbers, so a file cannot run code.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.files import require_file
from murine.formats.hdf5 import DAMAGE, SIGNATURE

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_VALUES = {
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "SHORT_BINSTRING", "INT", "LONG",
    "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT",
}  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """One table: `columns` holds a tuple of labels per column, one label per level."""

    level_names: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    values: NDArray[np.floating[Any]]
    index: NDArray[np.float64] | None


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _attribute(node: Any, name: str) -> str:
    value = node.attrs.get(name, b"")
    return "" if isinstance(value, h5py.Empty) else _text(value)


def _listing(content: bytes) -> Any:
    """Return the value of a pickle made of plain containers; raises ValueError for anything else."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def popped() -> list[Any]:
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    operations: Iterator[tuple[Any, Any, Any]] = pickletools.genops(content)
    for opcode, argument, _ in operations:
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("LIST", "TUPLE"):
            items = popped()
            stack.append(items if name == "LIST" else tuple(items))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            items = stack[-count:]
            del stack[-count:]
            stack.append(tuple(items))
        elif name == "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        elif name == "APPENDS":
            items = popped()
            stack[-1].extend(items)
        elif name == "DICT":
            items = popped()
            stack.append(dict(zip(items[::2], items[1::2], strict=True)))
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            stack[-1][key] = value
        elif name == "SETITEMS":
            items = popped()
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"column labels of an unknown kind ({name})")
    raise ValueError("column labels cut short")


def _groups(file: Any) -> list[Any]:
    """Return every group that holds a pandas table."""
    found: list[Any] = []

    def visit(_: str, node: Any) -> None:
        if isinstance(node, h5py.Group) and _attribute(node, "pandas_type") in ("frame", "frame_table"):
            found.append(node)

    file.visititems(visit)
    return found


def _fixed(group: Any) -> Frame:
    blocks: list[NDArray[Any]] = []
    columns: list[tuple[str, ...]] = []
    names: list[str] = []
    for b in range(int(group.attrs["nblocks"])):
        prefix = f"block{b}_items"
        if _attribute(group, f"{prefix}_variety") != "multi":
            raise ValueError("columns have one header row; a DeepLabCut table has three or four")
        parts, names = [], []
        for level in range(int(group.attrs[f"{prefix}_nlevels"])):
            node = group[f"{prefix}_level{level}"]
            labels = np.array([_text(v) for v in node[()]], dtype=object)
            parts.append(labels[group[f"{prefix}_label{level}"][()]])
            names.append(_attribute(node, "name"))
        columns += list(zip(*parts, strict=True))
        blocks.append(group[f"block{b}_values"][()])
    values = np.concatenate([np.asarray(v, dtype=np.float64) for v in blocks], axis=1)
    index = group["axis1"][()] if "axis1" in group else None
    return Frame(tuple(names), tuple(columns), values, _index(index))


def _table(group: Any) -> Frame:
    table = group["table"]
    content = table[()]
    blocks: list[NDArray[Any]] = []
    columns: list[tuple[str, ...]] = []
    for field in content.dtype.names:
        if field == "index":
            continue
        kind = table.attrs[f"{field}_kind"]
        labels = _listing(bytes(kind))
        if not all(isinstance(label, tuple) for label in labels):
            raise ValueError("columns have one header row; a DeepLabCut table has three or four")
        columns += [tuple(str(part) for part in label) for label in labels]
        blocks.append(np.asarray(content[field], dtype=np.float64).reshape(len(content), -1))
    info = _listing(bytes(group.attrs["info"])) if "info" in group.attrs else {}
    names = info.get(1, {}).get("names") or [""] * len(columns[0])
    index = content["index"] if "index" in content.dtype.names else None
    level_names = tuple("" if name is None else str(name) for name in names)
    return Frame(level_names, tuple(columns), np.concatenate(blocks, axis=1), _index(index))


def _index(index: NDArray[Any] | None) -> NDArray[np.float64] | None:
    if index is not None and index.dtype.kind not in "iuf":
        raise ValueError("rows are named by image files: these are training images, not a tracked video")
    return None if index is None else index.astype(np.float64)


def is_pandas_h5(path: Path, head: bytes) -> bool:
    """Say whether a file is HDF5 with a pandas table in it."""
    if not head.startswith(SIGNATURE):
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(_groups(file))
    except DAMAGE:
        return False


def read_frame(path: Path) -> Frame:
    """Read the only pandas table of an HDF5 file.

    Raises InputError when the file is missing, damaged or no such table, naming what was found.
    """
    path = require_file(path, "pose file")
    try:
        with h5py.File(path, "r") as file:
            groups = _groups(file)
            if len(groups) != 1:
                found = ", ".join(g.name for g in groups) or "none"
                raise InputError(f"{path}: one pandas table was expected in the file; found: {found}.")
            fixed = _attribute(groups[0], "pandas_type") == "frame"
            return _fixed(groups[0]) if fixed else _table(groups[0])
    except DAMAGE as error:
        raise InputError(
            f"{path}: cannot be read as a DeepLabCut h5 ({error}). It may be cut short; copy it again, "
            "or use the csv that DeepLabCut wrote beside it."
        ) from None
