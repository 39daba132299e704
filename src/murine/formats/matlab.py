"""MATLAB's .mat files as plain dictionaries: the older ones by scipy, those saved with `-v7.3` by h5py.

A file of version 7.3 is HDF5 behind 512 bytes of text. A structure is a group, an array a dataset whose axes come
in the opposite order, an empty array a dataset that holds its own size, and `MATLAB_class` tells the kind.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from murine.errors import InputError
from murine.formats.hdf5 import opened, text

_OLDER = b"MATLAB 5.0 MAT-file"
_NEWER = b"MATLAB 7.3 MAT-file"
_NUMBERS = ("double", "single", "logical", *(f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64)))


def is_matlab(head: bytes) -> bool:
    """Say whether a file that begins with `head` is a .mat file that can be read."""
    return head.startswith((_OLDER, _NEWER))


def variables(path: Path) -> tuple[str, ...]:
    """Return the names of the variables in a .mat file; () where it is damaged."""
    try:
        if _is_newer(path):
            with h5py.File(path, "r") as file:
                return tuple(name for name in file if not name.startswith("#"))
        from scipy import io  # a quarter of a second that few need

        return tuple(name for name, _, _ in io.whosmat(str(path)))
    except Exception:  # whatever scipy meets in a damaged file
        return ()


def read_variables(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Return those of the named variables that a .mat file holds.

    A structure is a dictionary, an array of numbers has the rows and columns it has in MATLAB (those of length 1
    may be missing), a text is a text. Anything else is a `Strange`. Raises InputError for a damaged file.
    """
    if _is_newer(path):
        with opened(path, "a .mat file saved with -v7.3", "label file") as file:
            return {name: _of_hdf5(file[name]) for name in file if name in names}
    from scipy import io

    try:
        held = io.loadmat(str(path), squeeze_me=True, struct_as_record=False, variable_names=list(names))
    except Exception as error:
        # scipy raises many kinds on damaged files, among them zlib's and its own.
        raise InputError(
            f"{path}: the .mat file cannot be read ({error}). Save it again in MATLAB."
        ) from None
    return {name: _of_scipy(value) for name, value in held.items() if name in names}


class Strange:
    """A value of a .mat file that is no structure, no array of numbers and no text; `kind` says what it is."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def _is_newer(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(_NEWER)) == _NEWER


def _of_hdf5(node: Any) -> Any:
    kind = text(node.attrs.get("MATLAB_class", ""))
    if isinstance(node, h5py.Group):
        if "MATLAB_sparse" in node.attrs:
            return Strange("a sparse array")
        told = [b"".join(name).decode() for name in node.attrs.get("MATLAB_fields", ())]
        order = told if sorted(told) == sorted(node) else list(node)
        return {name: _of_hdf5(node[name]) for name in order}
    if node.attrs.get("MATLAB_empty", 0):
        sizes = [int(size) for size in np.ravel(node[()])]
        return "" if kind == "char" else np.zeros(sizes if 0 in sizes else 0)
    if kind == "char":
        return "".join(chr(code) for code in np.ravel(node[()]))
    if kind in _NUMBERS and node.dtype.kind in "biuf":
        return node[()].T
    return Strange({"cell": "a cell array", "": "an array of structures"}.get(kind, f"of class {kind}"))


def _of_scipy(value: Any) -> Any:
    if hasattr(value, "_fieldnames"):
        return {name: _of_scipy(getattr(value, name)) for name in value._fieldnames}
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray | np.generic | int | float):
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            return array
        if array.dtype.kind == "U" and array.size <= 1:
            return str(array) if array.size else ""
        return Strange("a cell array or an array of structures")
    return Strange("a sparse array" if hasattr(value, "tocsc") else f"of class {type(value).__name__}")
