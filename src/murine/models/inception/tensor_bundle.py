"""TensorFlow's checkpoints of version 2: `NAME.index` says what there is, `NAME.data-00000-of-00001` holds it.

The index is a sorted table. Its first record, with an empty name, says how many data files there are; each other
record is a protocol buffer that says type, shape and place of one variable. Source: the field numbers of
BundleHeaderProto, BundleEntryProto and TensorShapeProto in TensorFlow's tensor_bundle.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.files import require_file
from murine.models.inception.crc32c import masked_crc32c
from murine.models.inception.sorted_table import Damaged, is_sorted_table, read_sorted_table, read_varint

Fields = dict[int, list[int | bytes]]

TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 19: "<f2"}
"""TensorFlow's numbers of the types that a checkpoint of weights holds."""


@dataclass(frozen=True)
class Entry:
    """Where a variable lies: type by TensorFlow's number, data file, first byte, bytes, checksum (None: none)."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int | None
    sliced: bool


def find_index(path: Path) -> Path | None:
    """Return the index of the checkpoint that a path means: the index, a data or meta file, or the bare name."""
    path = Path(path)
    name = path.name
    if path.is_file() and not (name.endswith((".index", ".meta")) or ".data-" in name):
        return None
    if ".data-" in name:
        name = name.partition(".data-")[0]
    index = path.with_name(name.removesuffix(".meta").removesuffix(".index") + ".index")
    if not index.is_file():
        return None
    with index.open("rb") as handle:
        handle.seek(-min(8, index.stat().st_size), 2)
        return index if is_sorted_table(handle.read()) else None


def read_bundle(index: Path) -> dict[str, NDArray[np.generic]]:
    """Return every numeric variable of a checkpoint by its name; each is held against its checksum.

    Texts and other objects that TensorFlow keeps beside the weights are left out. Raises InputError for a
    missing data file and for damage.
    """
    try:
        records = read_sorted_table(require_file(index, "a TensorFlow checkpoint's index").read_bytes())
        shards = _number(_fields(records.pop(b"", b"")), 1, 1)
        entries = {name.decode(): _entry(value) for name, value in records.items()}
    except (Damaged, UnicodeDecodeError) as fault:
        raise InputError(f"{index}: damaged: {fault}. Copy it again from its source") from fault
    base = index.name.removesuffix(".index")
    files = [index.with_name(f"{base}.data-{n:05d}-of-{shards:05d}") for n in range(shards)]
    contents: dict[int, NDArray[np.uint8]] = {}
    for shard, file in enumerate(files):
        require_file(file, f"the weights that belong to {index.name}")
        contents[shard] = np.memmap(file, dtype=np.uint8, mode="r")
    found = {}
    for name, entry in entries.items():
        if entry.kind in TYPES:
            found[name] = _tensor(name, entry, contents.get(entry.shard), index)
    return found


def _tensor(
    name: str, entry: Entry, content: NDArray[np.uint8] | None, index: Path
) -> NDArray[np.generic]:
    kind = np.dtype(TYPES[entry.kind])
    fault = ""
    if entry.sliced:
        fault = "is stored in slices, which murine does not read; save it whole with TensorFlow"
    elif content is None or entry.offset + entry.size > len(content):
        fault = "lies beyond the end of its data file, which is cut short. Copy it again from its source"
    elif entry.size != kind.itemsize * int(np.prod(entry.shape)):
        fault = f"has {entry.size} bytes, which does not fit its shape {entry.shape}. Copy it again"
    if fault or content is None:
        raise InputError(f"{index}: '{name}' {fault}")
    data = content[entry.offset : entry.offset + entry.size].tobytes()
    if entry.checksum is not None and masked_crc32c(data) != entry.checksum:
        raise InputError(
            f"{index}: the checksum of '{name}' does not fit its data: damaged. Copy the files again from their "
            "source"
        )
    return np.frombuffer(data, dtype=kind).reshape(entry.shape)


def _entry(data: bytes) -> Entry:
    fields = _fields(data)
    shape = _fields(_text(fields, 2)).get(2, [])
    sizes = tuple(_number(_fields(dimension), 1) for dimension in shape if isinstance(dimension, bytes))
    checksum = _text(fields, 6)
    return Entry(
        kind=_number(fields, 1),
        shape=sizes,
        shard=_number(fields, 3),
        offset=_number(fields, 4),
        size=_number(fields, 5),
        checksum=int.from_bytes(checksum, "little") if checksum else None,
        sliced=7 in fields,
    )


def _fields(data: bytes) -> Fields:
    """Return the fields of a protocol buffer by number: varints as numbers, all others as bytes."""
    found: Fields = {}
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = read_varint(data, at)
            found.setdefault(number, []).append(value)
            continue
        if wire == 2:
            size, at = read_varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Damaged(f"a record has a field of unknown kind {wire}")
        if at + size > len(data):
            raise Damaged("a field runs over the end of its record")
        found.setdefault(number, []).append(data[at : at + size])
        at += size
    return found


def _number(fields: Fields, number: int, default: int = 0) -> int:
    value = fields.get(number, [default])[-1]
    if not isinstance(value, int):
        raise Damaged(f"field {number} of a record is no number")
    return value


def _text(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise Damaged(f"field {number} of a record is a number")
    return value
