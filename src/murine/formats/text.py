"""Text files from many programs: encodings, gzip, delimiters, cells."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

from murine.errors import InputError
from murine.files import replacing, require_file

HEAD_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"


def read_bytes(path: Path, what: str) -> bytes:
    """Return a file's content, decompressed if it is gzip; raises InputError for a broken file."""
    content = require_file(path, what).read_bytes()
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"{path}: the gzip file is cut short or damaged ({error}). Copy it again from its source."
        ) from None


def read_head(path: Path) -> bytes:
    """Return up to 64 KiB from the beginning of a file, decompressed if it is gzip."""
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return head


def decode(content: bytes, path: Path | str = "") -> str:
    """Return bytes as text (UTF-8, UTF-16 with a mark, else Windows-1252), line ends as newlines.

    Raises InputError where zero bytes show that this is no text.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    else:
        if b"\0" in content:
            raise InputError(f"{path}: not a text file (it holds zero bytes). Is it the right file?")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path, what: str) -> str:
    """Return a text file's content; raises InputError when it is missing, empty, damaged, no text."""
    text = decode(read_bytes(path, what), path)
    if not text.strip():
        raise InputError(f"{path}: {what} is blank. Export it again.")
    return text


def head_text(head: bytes) -> str:
    """Return the beginning of a file as text for sniffing; empty if it is no text."""
    # A head that ends inside a character must not look like another encoding.
    try:
        return decode(head.decode("utf-8", errors="ignore").encode() if head[:1] != b"\xff" else head)
    except InputError:
        return ""


def delimiter(line: str) -> str:
    """Return the delimiter of a header line: the most frequent of tab, comma and semicolon."""
    return max("\t,;", key=line.count)


def cells(text: str, separator: str) -> list[list[str]]:
    """Return the lines of a delimited text as stripped cells; row i is line i + 1 of the text."""
    if '"' not in text:
        return [[cell.strip() for cell in line.split(separator)] for line in text.split("\n")]
    # A quoted cell may hold a line break; blank rows keep the line numbers of messages right.
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    rows: list[list[str]] = []
    for row in reader:
        rows += [[""]] * (reader.line_num - 1 - len(rows))
        rows.append([cell.strip() for cell in row])
    return rows


def join(rows: Sequence[Sequence[str]], separator: str, end: str = "\n") -> str:
    """Return rows of cells as delimited text, quoted only where needed."""
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=end).writerows(rows)
    return out.getvalue()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one piece, compressed if its name ends in .gz."""
    if path.suffix.lower() == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    with replacing(path) as part:
        part.write_bytes(content)
