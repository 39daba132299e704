"""The skeleton of a Matroska or WebM file, walked to find where it is broken.

A decoder cannot tell: FFmpeg jumps over a broken stretch to the next readable block and reports
nothing, so frames vanish. Element numbers are from RFC 9559.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_VOID, _CHECKSUM = 0xEC, 0xBF
_IN_SEGMENT = {
    _CLUSTER, _VOID, _CHECKSUM, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1043A770, 0x1C53BB6B, 0x1941A469,
    0x1254C367,
}  # fmt: skip
"""Cluster, void, checksum, and: seek head, info, tracks, chapters, cues, attachments, tags."""
_IN_CLUSTER = {_VOID, _CHECKSUM, 0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0x5854, 0xAF}
"""Time, simple block, block group, previous size, position, silent tracks, encrypted block."""


def first_break(path: Path) -> int | None:
    """Return the byte at which the file stops being Matroska, or None for a whole skeleton."""
    end = path.stat().st_size
    with path.open("rb") as handle:
        at = 0
        inside = False
        cluster_end = 0
        while at < end:
            element = _element(handle, at)
            if element is None:
                return at
            name, length, body = element
            if name == _EBML:
                inside = False
            elif name in (_SEGMENT, _CLUSTER):
                inside = inside or name == _SEGMENT
                if name == _CLUSTER:
                    cluster_end = end if length is None else body + length
                at = body
                continue
            known = _IN_CLUSTER | _IN_SEGMENT if at < cluster_end else _IN_SEGMENT
            if length is None or body + length > end or (inside and name not in known):
                return at
            at = body + length
    return None


def _element(handle: BinaryIO, at: int) -> tuple[int, int | None, int] | None:
    """Return an element's number, its length (None: unknown) and where its content starts."""
    handle.seek(at)
    head = handle.read(12)
    if not head or head[0] == 0:
        return None
    name_size = 9 - head[0].bit_length()
    rest = head[name_size:]
    if name_size > 4 or not rest or rest[0] == 0:
        return None
    length_size = 9 - rest[0].bit_length()
    if len(rest) < length_size:
        return None
    mask = (1 << 7 * length_size) - 1
    length = int.from_bytes(rest[:length_size], "big") & mask
    name = int.from_bytes(head[:name_size], "big")
    return name, None if length == mask else length, at + name_size + length_size
