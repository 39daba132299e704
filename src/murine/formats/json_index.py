"""Where the values of a large json lie: two levels of names, then values, found without parsing them.

A file of `{group: {name: {key: value}}}` may have hundreds of megabytes of numbers. One pass over the bytes
stops only at braces and at keys; each value is parsed when it is asked for.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from murine.errors import InputError

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"(\s*:)?|[{}]')
_LEVELS = 3


@dataclass(frozen=True)
class Extent:
    """The bytes of one value, half-open."""

    start: int
    stop: int


def index_of(path: Path) -> Mapping[tuple[str, str], Mapping[str, Extent]]:
    """Return (group, name) -> key -> where its value lies; raises InputError for a file of another shape."""
    status = path.stat()
    return _index(str(path.resolve()), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _index(path: str, size: int, changed: int) -> Mapping[tuple[str, str], Mapping[str, Extent]]:
    with Path(path).open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found: dict[tuple[str, str], dict[str, Extent]] = {}
        names = [""] * _LEVELS
        depth, begin = 0, -1

        def close(stop: int) -> None:
            nonlocal begin
            if begin >= 0:
                found.setdefault((names[0], names[1]), {})[names[2]] = Extent(begin, stop)
            begin = -1

        for token in _TOKEN.finditer(data):
            text = token[0]
            if text == b"{":
                depth += 1
            elif text == b"}":
                if depth == _LEVELS:
                    close(token.start())
                depth -= 1
                if depth < 0:
                    break
            elif token[1] and 1 <= depth <= _LEVELS:
                if depth == _LEVELS:
                    close(token.start())
                    begin = token.end()
                names[depth - 1] = str(json.loads(text[: len(text) - len(token[1])]))
        if depth != 0:
            raise InputError(
                f"{path}: the json ends before it is closed. Was it cut short? Copy it again."
            )
    return found


def read_extent(path: Path, extent: Extent) -> Any:
    """Return a value of the file; raises ValueError where it is no json."""
    with path.open("rb") as handle:
        handle.seek(extent.start)
        return json.loads(handle.read(extent.stop - extent.start).strip().rstrip(b",").rstrip())
