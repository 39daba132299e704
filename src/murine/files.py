"""Files that are either whole or absent, and the hashes that name them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from murine.errors import InputError, StorageError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def storage_error(path: Path, error: OSError) -> StorageError:
    """Turn an operating-system error met while writing `path` into one a user can act on."""
    if error.errno in _NO_SPACE:
        return StorageError(f"{path}: the disk is full. Free some space and run the command again.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StorageError(f"{path}: cannot be written (no permission). Choose another folder.")
    if error.errno == errno.EISDIR:
        return StorageError(f"{path}: a folder is where a file is to be written. Name a file.")
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return StorageError(f"{path}: a file is where a folder is needed. Choose another folder.")
    return StorageError(f"{path}: cannot be written ({error.strerror or error}).")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` if the block succeeds.

    Whatever goes wrong, `path` is either what it was before or completely new, and no folder made for
    it stays. Raises StorageError for a full disk or a folder that cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    made: list[Path] = []
    try:
        made = _missing(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
        made = []
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _take_back(made)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file in one piece."""
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in one piece."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def make_folder(path: Path) -> Path:
    """Create a folder and prove that it can be written, before long work starts."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".murine-{uuid.uuid4().hex[:8]}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise storage_error(path, error) from error
    return path


@contextmanager
def results_folder(path: Path) -> Iterator[Path]:
    """Make a folder as `make_folder` does; if the block fails while it is empty, take it away again.

    So a command that finds nothing it can work on leaves nothing behind either.
    """
    path = Path(path)
    made: list[Path] = []
    try:
        made = _missing(path)
        make_folder(path)
        yield path
        made = []
    finally:
        _take_back(made)


def _missing(folder: Path) -> list[Path]:
    """Return a folder and its parents as far as they do not exist yet, the deepest first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def _take_back(folders: list[Path]) -> None:
    """Remove folders that are empty, the deepest first."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is a file with something in it; raises InputError that says which fault."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: {what} not found. Check the name and the folder.")
    if path.is_dir():
        raise InputError(f"{path}: a folder came where {what} was expected.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: {what} is empty (0 bytes). Copy it again from its source.")
    return path


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Return the object of a JSON file; raises InputError where it is missing, damaged or no object."""
    try:
        value = json.loads(require_file(path, what).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}). Copy it again, or make it anew.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: damaged: it does not hold {what}. Copy it again, or make it anew.")
    return value


_HASHES: dict[tuple[str, int, int], str] = {}


def file_hash(path: Path) -> str:
    """Return the content's BLAKE2b hash (32 hex digits), remembered while size and time stay."""
    path = Path(path).resolve()
    status = path.stat()
    key = (str(path), status.st_size, status.st_mtime_ns)
    if key not in _HASHES:
        digest = hashlib.blake2b(digest_size=16)
        with path.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
        _HASHES[key] = digest.hexdigest()
    return _HASHES[key]


def value_hash(value: Any) -> str:
    """Return the hash of a JSON-like value, the same whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
