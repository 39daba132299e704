"""A sorted string table: the file of names and records that LevelDB invented and TensorFlow's `.index` is.

From its end: a footer of 48 bytes names the index block, whose records name the data blocks. A block holds
records whose names share their beginnings with the name before, then the places where nothing is shared; behind it
stand one byte (0: plain, 1: compressed by Snappy) and a checksum. Numbers are little-endian or varints (7 bits a
byte, the eighth says that more follow).
"""

from __future__ import annotations

from collections.abc import Iterator

from murine.models.inception.crc32c import masked_crc32c

FOOTER, MAGIC = 48, 0xDB4775248B80FB57
PLAIN, SNAPPY = 0, 1
TRAILER = 5
"""Bytes behind a block: how it is compressed, and its checksum."""


class Damaged(Exception):
    """The bytes are not what the format allows; the text says what is wrong."""


def is_sorted_table(tail: bytes) -> bool:
    """Return whether a file that ends with these bytes is a sorted table."""
    return len(tail) >= 8 and int.from_bytes(tail[-8:], "little") == MAGIC


def read_sorted_table(data: bytes) -> dict[bytes, bytes]:
    """Return all records of a table by their names, in order; raises Damaged."""
    if len(data) < FOOTER or not is_sorted_table(data):
        raise Damaged(
            "it does not end as a table of TensorFlow does: cut short, or another kind of file"
        )
    footer = data[-FOOTER:]
    _, at = _handle(footer, 0)  # of the block of filters, which TensorFlow leaves empty
    index, _ = _handle(footer, at)
    records: dict[bytes, bytes] = {}
    for _, handle in _records(_block(data, *index)):
        records.update(_records(_block(data, *_handle(handle, 0)[0])))
    return records


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a byte, and the byte behind it; raises Damaged."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise Damaged("a number runs over its end")


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Return the first byte and the length of a block, and the byte behind that."""
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int) -> bytes:
    """Return the content of a block, decompressed and checked."""
    end = offset + size
    if end + TRAILER > len(data):
        raise Damaged(f"a block at byte {offset} runs over the end of the file")
    stored = int.from_bytes(data[end + 1 : end + TRAILER], "little")
    if masked_crc32c(data[offset : end + 1]) != stored:
        raise Damaged(f"the checksum of the block at byte {offset} does not fit")
    kind, content = data[end], data[offset:end]
    if kind == SNAPPY:
        return decompress_snappy(content)
    if kind != PLAIN:
        raise Damaged(f"the block at byte {offset} is compressed in an unknown way ({kind})")
    return content


def _records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and value of each record of a block."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise Damaged("a block has no end")
    at, name = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(name) or at + own + size > end:
            raise Damaged("a record runs over the end of its block")
        name = name[:shared] + block[at : at + own]
        yield name, block[at + own : at + own + size]
        at += own + size


def decompress_snappy(data: bytes) -> bytes:
    """Return what Snappy packed: its length, then literal pieces and copies of what was unpacked so far.

    Raises Damaged.
    """
    length, at = read_varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind, high = tag & 3, tag >> 2
        if kind == 0:  # a literal piece; from 60 on, its length stands in the 1 to 4 bytes that follow
            extra = max(high - 59, 0)
            size = (int.from_bytes(data[at : at + extra], "little") if extra else high) + 1
            at += extra
            out += data[at : at + size]
            at += size
        else:  # a copy: 1, 2 or 4 bytes of distance, the shortest with three bits of its length in the tag
            extra = (1, 2, 4)[kind - 1]
            distance = int.from_bytes(data[at : at + extra], "little")
            size = high + 1
            if kind == 1:
                distance |= (tag >> 5) << 8
                size = (high & 7) + 4
            at += extra
            if not 0 < distance <= len(out):
                raise Damaged("a copy reaches behind the beginning of its block")
            start = len(out) - distance
            piece = bytes(out[start : start + size])
            out += (piece * (size // len(piece) + 1))[:size]
    if at != len(data) or len(out) != length:
        raise Damaged(f"a block unpacks to {len(out)} bytes; {length} were announced")
    return bytes(out)
