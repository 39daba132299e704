"""CalMS21: json as published, and npy as the publisher's converter writes it.

`{group: {sequence: {keypoints, scores, annotations, metadata}}}`. The group is an annotator (tasks 1 and 2) or a
behaviour (task 3), the stream of its sequences here; each sequence is a recording. keypoints are (frames,
2 mice, x and y, 7 points), scores (frames, 2, 7); `metadata.vocab` gives the number of each behaviour.
The json is hundreds of megabytes, so it is never parsed as a whole: see `json_index`. Nothing in the npy is
unpickled but arrays, dictionaries and texts, so a file cannot run code.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from murine.errors import InputError, suggest
from murine.files import require_file
from murine.formats.base import FORMATS, LabelFormat, LabelRow, LabelTable, PoseFormat, PoseSummary
from murine.formats.hdf5 import make_pose
from murine.formats.json_index import Extent, index_of, read_extent
from murine.formats.parts import pick_part
from murine.types import Pose, runs

ANIMALS = ("resident", "intruder")
KEYPOINTS = ("nose", "left_ear", "right_ear", "neck", "left_hip", "right_hip", "tail_base")
"""The order of the published arrays (Sun et al. 2021)."""

FPS = 30.0
_NPY = b"\x93NUMPY"
_BAD = (ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError)

_SAFE = {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"),
}  # fmt: skip

Sequences = Mapping[tuple[str, str], Mapping[str, Any]]
"""(group, sequence) -> its values: arrays, or where they stand in the json."""


class _Plain(pickle.Unpickler):
    """An unpickler that makes arrays and plain containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _SAFE:
            raise ValueError(f"it holds {module}.{name}, which no CalMS21 file does")
        return super().find_class(module, name)


def _npy(path: Path) -> Sequences:
    status = path.stat()
    return _unpickled(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1)
def _unpickled(path: Path, size: int, changed: int) -> Sequences:
    """Return what the file holds; the last one is kept, for all its sequences are asked for in turn."""
    try:
        with path.open("rb") as handle:
            version = npy.read_magic(handle)
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, kind = reader(handle)
            if shape != () or kind.kind != "O":
                raise ValueError(f"an array of shape {shape} and type {kind}, not a dictionary")
            held = _Plain(handle).load()
        held = held.item() if isinstance(held, np.ndarray) else held
        found = {
            (str(g), str(s)): dict(values) for g, group in held.items() for s, values in group.items()
        }
    except (*_BAD, pickle.UnpicklingError, OSError, ImportError) as error:
        raise InputError(
            f"{path}: cannot be read as CalMS21's npy ({error}). It is another array, cut short or damaged; "
            "convert the published json again."
        ) from None
    return found


def _sequences(path: Path) -> tuple[Sequences, bool]:
    """Return the sequences of a file, and whether it is json; raises InputError."""
    path = require_file(Path(path), "CalMS21 file")
    with path.open("rb") as handle:
        is_json = handle.read(len(_NPY)) != _NPY
    found: Sequences = index_of(path) if is_json else _npy(path)
    kept = {
        key: values for key, values in found.items() if "keypoints" in values or "annotations" in values
    }
    if not kept:
        raise InputError(
            f"{path}: no sequence with keypoints or annotations. Expected {{annotator: {{sequence: {{keypoints, "
            "scores, annotations, metadata}}}; is it a file of CalMS21?"
        )
    return kept, is_json


def _value(path: Path, values: Mapping[str, Any], name: str) -> Any:
    """Return a value of a sequence, out of the json where it still stands there."""
    value = values[name]
    return read_extent(path, value) if isinstance(value, Extent) else value


def _array(path: Path, sequence: str, values: Mapping[str, Any], name: str) -> NDArray[Any]:
    try:
        array = np.asarray(_value(path, values, name))
        if array.dtype == object:
            raise ValueError("rows of unequal length")
    except _BAD as error:
        raise InputError(
            f"{path}: '{name}' of '{sequence}' cannot be read ({error}). Was it cut short?"
        ) from None
    return array


def parts(path: Path) -> tuple[str, ...]:
    """Return the names of the sequences that have pose; raises InputError."""
    found = [s for (_, s), values in _sequences(path)[0].items() if "keypoints" in values]
    return tuple(dict.fromkeys(found))


def sequences(path: Path) -> tuple[tuple[str, str, bool], ...]:
    """Return group, name and whether there are labels of each sequence that has pose; raises InputError."""
    found = _sequences(path)[0]
    return tuple((g, s, "annotations" in v) for (g, s), v in found.items() if "keypoints" in v)


def read(path: Path) -> Pose:
    """Read the pose of a file of one sequence; raises InputError."""
    return read_part(path, pick_part(Path(path), parts(path)))


def read_part(path: Path, part: str) -> Pose:
    """Read the pose of one sequence; raises InputError."""
    path = Path(path)
    found = _sequences(path)[0]
    values = next((v for (_, s), v in found.items() if s == part and "keypoints" in v), None)
    if values is None:
        raise InputError(f"{path}: no sequence '{part}'.{suggest(part, (s for _, s in found))}")
    points = _array(path, part, values, "keypoints")
    if points.ndim != 4 or points.shape[1:] != (len(ANIMALS), 2, len(KEYPOINTS)):
        raise InputError(
            f"{path}: keypoints of '{part}' have shape {points.shape}; frames x 2 mice x 2 x 7 was expected."
        )
    scores = _array(path, part, values, "scores") if "scores" in values else None
    if scores is not None and scores.shape != (len(points), len(ANIMALS), len(KEYPOINTS)):
        raise InputError(
            f"{path}: scores of '{part}' have shape {scores.shape}, for {len(points)} frames."
        )
    return make_pose(path, points.transpose(0, 1, 3, 2), ANIMALS, KEYPOINTS, scores)


def describe(path: Path) -> PoseSummary:
    """Return animals, keypoints and length of a file of one sequence."""
    pose = read(path)
    return PoseSummary.of("calms21-pose", pose)


def parse(path: Path) -> LabelTable:
    """Read the annotations of all sequences; raises InputError that names the sequence."""
    path = require_file(Path(path), "CalMS21 file")
    status = path.stat()
    return _parsed(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _parsed(path: Path, size: int, changed: int) -> LabelTable:
    """Return the labels of a file; kept, for each of its many recordings asks for them."""
    found, _ = _sequences(path)
    rows: list[LabelRow] = []
    declared: dict[str, None] = {}
    labelled = {key: v for key, v in found.items() if "annotations" in v}
    if not labelled:
        raise InputError(f"{path}: its sequences have no annotations (an unlabelled or test set).")
    for (group, sequence), values in labelled.items():
        names = _vocabulary(path, sequence, values)
        declared.update(dict.fromkeys(names.values()))
        rows += _rows(path, group, sequence, values, names)
    behaviours = {name for name in declared if name != "other"}
    word = "behaviour" if {g for g, _ in labelled} <= behaviours else "annotator"
    return LabelTable(
        "calms21", path, "frames", tuple(rows), tuple(dict.fromkeys(s for _, s in labelled)),
        declared=tuple(declared), fps=FPS, tiled=True, stream_word=word,
    )  # fmt: skip


def _vocabulary(path: Path, sequence: str, values: Mapping[str, Any]) -> dict[int, str]:
    """Return number -> behaviour of a sequence; raises InputError where it is not told."""
    try:
        told = _value(path, values, "metadata")["vocab"]
        pairs = told.items() if isinstance(told, Mapping) else ((n, i) for i, n in enumerate(told))
        return {int(number): str(name) for name, number in sorted(pairs, key=lambda p: int(p[1]))}
    except _BAD:
        raise InputError(
            f"{path}: '{sequence}' has annotations and no metadata.vocab, which names the behaviours."
        ) from None


def _rows(
    path: Path, group: str, sequence: str, values: Mapping[str, Any], names: Mapping[int, str]
) -> Iterator[LabelRow]:
    numbers = _array(path, sequence, values, "annotations")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        raise InputError(f"{path}: annotations of '{sequence}' are not one number per frame.")
    unknown = sorted({int(n) for n in np.unique(numbers)} - set(names) - {-1})
    if unknown:
        told = ", ".join(f"{n} {name}" for n, name in names.items())
        raise InputError(
            f"{path}: '{sequence}' holds behaviour {unknown[0]}; metadata.vocab knows {told}."
        )
    for number, name in names.items():
        for start, stop in runs(numbers == number):
            where = f"'{sequence}', frame {start}"
            yield LabelRow(start, stop, name, "", group, sequence, where=where)


def _sniff(path: Path, head: bytes) -> bool:
    if head.startswith(_NPY):
        return b"'|O'" in head[:128] or b"|O" in head[:128]
    text = head.lstrip()
    return (
        text.startswith(b"{")
        and any(f'"{name}"'.encode() in text for name in ("keypoints", "annotations"))
        and b'"observations"' not in text
    )


def _sniff_labels(path: Path, head: bytes) -> bool:
    if not _sniff(path, head):
        return False
    try:
        return any("annotations" in values for values in _sequences(path)[0].values())
    except InputError:
        return True  # for the reader to tell


FORMATS.add(
    "calms21-pose",
    PoseFormat(
        "calms21-pose", "pose of CalMS21 (json, npy)", (".json", ".npy"), _sniff, read, describe, None,
        lossy="features of the converter; nothing of the pose", parts=parts, read_part=read_part,
    ),
)  # fmt: skip
FORMATS.add(
    "calms21",
    LabelFormat(
        "calms21", "annotations of CalMS21 (json, npy), tasks 1 to 3", (".json", ".npy"), _sniff_labels, parse, None,
        lossy="metadata but the names of behaviours",
    ),
)  # fmt: skip
