"""MATLAB's label files of both kinds.

No real file of BehaviorDEPOT could be had. Those of version 7.3 are written here by h5py after what is known of that
layout; files that the package hdf5storage writes by its own knowledge of it were read alike (docs/formats.md).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import io

from murine import formats
from murine.errors import InputError
from murine.types import Timeline

Structure = dict[str, Any]


def put(group: h5py.Group, name: str, value: Any) -> None:
    """Write one value as MATLAB does: axes in the opposite order, kinds in attributes."""
    if isinstance(value, dict):
        node: Any = group.create_group(name)
        node.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, item in value.items():
            put(node, key, item)
        return
    if isinstance(value, str):
        node = group.create_dataset(name, data=np.array([[ord(c)] for c in value], np.uint16))
        node.attrs["MATLAB_class"] = np.bytes_("char")
        return
    array = np.atleast_2d(np.asarray(value))
    if array.size == 0:
        node = group.create_dataset(name, data=np.array(array.shape, np.uint64))
        node.attrs["MATLAB_empty"] = np.uint8(1)
    else:
        node = group.create_dataset(
            name, data=array.T.astype(np.uint8 if array.dtype == bool else float)
        )
    node.attrs["MATLAB_class"] = np.bytes_("logical" if array.dtype == bool else "double")


def save_new(path: Path, variables: Structure) -> Path:
    """Write a file of version 7.3: a text of 512 bytes, then HDF5."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            put(file, name, value)
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 ."
    with path.open("r+b") as handle:
        handle.write(head.ljust(116) + b" " * 8 + b"\x00\x02IM")
    return path


def save_old(path: Path, variables: Structure) -> Path:
    io.savemat(path, variables)
    return path


def behaviours() -> Structure:
    return {
        "TotalFrames": 6.0,
        "Note": "made up",
        "Freezing": {
            "Bouts": np.array([[1.0, 2], [5, 6]]),
            "Vector": np.array([[True, True, False, False, True, True]]),
        },
        "Digging": {"Bouts": np.array([[3.0, 3]]), "Count": 1.0},
        "Rearing": {"Bouts": np.zeros((0, 2)), "Vector": np.zeros((0, 0))},
    }


@pytest.mark.parametrize("save", [save_old, save_new])
@pytest.mark.parametrize("name", ["hBehavior", "Behavior"])
def test_both_versions_are_read_alike(save: Any, name: str, tmp_path: Path) -> None:
    path = save(tmp_path / "hB_x.mat", {"other": 1.0, name: behaviours()})
    assert formats.detect(path).name == "behaviordepot"
    table = formats.parse_labels(path)
    assert set(table.declared) == {"Freezing", "Digging", "Rearing"}
    assert table.annotated == {"": ((0.0, 6.0),)}
    bouts = formats.read_labels(table, Timeline.uniform(6, 10))
    assert bouts.intervals() == [(0, 2, "Freezing"), (2, 3, "Digging"), (4, 6, "Freezing")]


PAIRS = st.lists(st.integers(1, 4), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(lengths=PAIRS, gaps=st.integers(1, 3), vector=st.booleans())
def test_any_bouts_come_back(lengths: list[int], gaps: int, vector: bool) -> None:
    """Two bouts, or a first and last frame of which rows are, are never taken for columns."""
    starts = np.cumsum([gaps, *[n + gaps for n in lengths[:-1]]])
    pairs = np.stack([starts, starts + np.array(lengths) - 1], axis=1).astype(float)
    total = int(pairs[-1, 1]) + 2
    states = np.zeros((1, total))
    for first, last in pairs.astype(int):
        states[0, first - 1 : last] = 1
    item = {"Bouts": pairs, "Vector": states if vector else np.zeros((0, 0))}
    wanted = [(int(a) - 1, int(b), "dig") for a, b in pairs]
    with tempfile.TemporaryDirectory() as folder:
        for save in (save_old, save_new):
            path = save(Path(folder) / f"{save.__name__}.mat", {"Behavior": {"dig": item}})
            assert formats.read_labels(path, Timeline.uniform(total, 30)).intervals() == wanted


def test_behaviours_keep_the_order_of_the_structure(tmp_path: Path) -> None:
    path = save_new(tmp_path / "x.mat", {"Behavior": behaviours()})
    kind = h5py.vlen_dtype(np.dtype("S1"))
    with h5py.File(path, "a") as file:
        names = np.empty(5, dtype=object)
        for i, name in enumerate(behaviours()):
            names[i] = np.array([c.encode() for c in name], "S1")
        file["Behavior"].attrs.create("MATLAB_fields", names, dtype=kind)
    assert formats.parse_labels(path).declared == ("Freezing", "Digging", "Rearing")


@pytest.mark.parametrize("save", [save_old, save_new])
@pytest.mark.parametrize(
    ("item", "match"),
    [
        ({"Bouts": np.ones((2, 3))}, r"dig\.Bouts has 2 x 3 numbers; a row of first and last frame"),
        ({"Bouts": np.array([[1.0, 2.5]])}, r"dig, bout 1: \[1\.0, 2\.5\] came where two whole frames"),
        ({"Bouts": np.array([[0.0, 2.0]])}, "dig, bout 1: frames 0 to 2; they count from 1"),
        ({"Vector": "often"}, r"dig\.Vector is a structure or a text; numbers were expected"),
    ],
)
def test_values_that_are_wrong(save: Any, item: Structure, match: str, tmp_path: Path) -> None:
    path = save(tmp_path / "x.mat", {"Behavior": {"dig": item}})
    with pytest.raises(InputError, match=match) as error:
        formats.parse_labels(path)
    assert str(path) in str(error.value)


def test_kinds_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    path = save_new(tmp_path / "x.mat", {"Behavior": {"dig": {"Bouts": np.array([[1.0, 2.0]])}}})
    with h5py.File(path, "a") as file:
        cell = file.create_dataset("Behavior/dig/Vector", (1, 1), h5py.ref_dtype)
        cell[0, 0] = file["Behavior/dig/Bouts"].ref
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
    with pytest.raises(InputError, match=r"dig\.Vector is a cell array; numbers were expected"):
        formats.parse_labels(path)
    with h5py.File(path, "a") as file:
        del file["Behavior/dig/Vector"]
        sparse = file.create_group("Behavior/dig/Vector")
        sparse.attrs["MATLAB_sparse"] = np.uint64(6)
    with pytest.raises(InputError, match=r"dig\.Vector is a sparse array"):
        formats.parse_labels(path)
    cells = np.empty(2, dtype=object)
    cells[:] = ["a", "b"]
    save_old(path, {"Behavior": {"dig": {"Vector": cells}}})
    with pytest.raises(InputError, match=r"dig\.Vector is a cell array or an array of structures"):
        formats.parse_labels(path)


@pytest.mark.parametrize("save", [save_old, save_new])
def test_other_and_damaged_files_are_told(save: Any, tmp_path: Path) -> None:
    other = save(tmp_path / "other.mat", {"speed": np.ones(3), "name": "rat"})
    with pytest.raises(
        InputError, match=r"not recognised.*MATLAB file; it holds: (speed, name|name, speed)"
    ):
        formats.read_labels(other, Timeline.uniform(6, 10))
    whole = save(tmp_path / "whole.mat", {"hBehavior": behaviours()})
    cut = tmp_path / "cut.mat"
    for length in (200, 600, whole.stat().st_size // 2):
        cut.write_bytes(whole.read_bytes()[:length])
        with pytest.raises(InputError, match=r"cut\.mat"):
            formats.read_labels(cut, Timeline.uniform(6, 10))
    with pytest.raises(InputError, match=r"holds labels \(behaviordepot\) where pose was expected"):
        formats.read_pose(whole)
