"""Arrays kept on disk between runs: named by a hash, memory-mapped, whole or absent.

One folder per key, holding one `.npy` file per array and `info.json`. A folder is written beside and
renamed, so a reader, a kill or a full disk never meets half of one.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from murine.errors import InputError, StorageError
from murine.files import make_folder, storage_error, write_json

Arrays = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[tuple[int, ...], DTypeLike]]

DEFAULT_LIMIT_GB = 50.0
_FORMAT = 1
_STALE_SECONDS = 24 * 3600.0
_KEY = re.compile(r"[0-9a-f]{8,128}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def cache_folder() -> Path:
    """Return the folder of `MURINE_CACHE`, or the platform's own place for a user's caches."""
    if named := os.environ.get("MURINE_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return base / "murine" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "murine"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "murine"


def _limit_from_environment() -> int:
    text = os.environ.get("MURINE_CACHE_GB", "")
    try:
        gigabytes = float(text) if text else DEFAULT_LIMIT_GB
    except ValueError:
        gigabytes = math.nan
    if not (gigabytes > 0 and math.isfinite(gigabytes)):
        raise InputError(f"MURINE_CACHE_GB must be a positive number of gigabytes; came '{text}'")
    return int(gigabytes * 1e9)


def release(array: NDArray[Any]) -> None:
    """Let go of the memory that a mapped array takes in this process; its values stay in the file.

    For long arrays that are walked through once: what was touched would otherwise count as this
    process's until the end. Nothing happens to an array that is not mapped.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def write_rows(array: NDArray[Any], first: int, values: NDArray[Any]) -> None:
    """Write `values` into the rows of `array` from `first` on: `array[first : first + n] = values`.

    A mapped array is written as a file, which is several times cheaper than through the map, takes no
    memory of this process, and lets the disk begin at once. Raises StorageError where that fails.
    """
    last = first + len(values)
    if values.shape[1:] != array.shape[1:] or not 0 <= first <= last <= len(array):
        raise ValueError(f"rows {first} to {last} of {values.shape} do not fit into {array.shape}")
    # A slice of a map does not know where in the file it lies.
    if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap) or not array.filename:
        array[first:last] = values
        return
    rows = np.ascontiguousarray(values, dtype=array.dtype)
    start = array.offset + first * array.strides[0]
    try:
        with open(array.filename, "r+b", buffering=0) as handle:  # noqa: PTH123
            handle.seek(start)
            rest = memoryview(rows.reshape(-1).view(np.uint8).data)
            while rest:
                rest = rest[handle.write(rest) or 0 :]
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(handle.fileno(), start, rows.nbytes, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        raise storage_error(Path(array.filename), error) from error


class Cache:
    """Arrays by key under one folder, the least recently used ones leaving when room is needed.

    The limit bounds what is kept for later: an entry that this process has opened or is building is
    never thrown away, even where that takes more room than the limit.
    """

    _in_use: ClassVar[set[Path]] = set()

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder()
        self.limit_bytes = _limit_from_environment() if limit_bytes is None else int(limit_bytes)

    def get(self, key: str) -> Arrays | None:
        """Return the arrays of `key`, memory-mapped and read-only, or None where there are none.

        An entry that is damaged or of another version counts as absent, and is removed.
        """
        path = self._path(key)
        # Twice, because another process may put an entry where there was none a moment ago.
        for _ in range(2):
            try:
                info = json.loads((path / "info.json").read_text(encoding="utf-8"))
                if info["format"] != _FORMAT:
                    raise ValueError("written by another version")
                arrays = {name: _open(path / f"{name}.npy") for name in info["arrays"]}
                os.utime(path / "info.json")
            except (OSError, ValueError, KeyError, TypeError, EOFError):
                if not path.is_dir():
                    return None
            else:
                self._in_use.add(path)
                return arrays
        self.remove(key)
        return None

    @contextmanager
    def build(self, key: str, shapes: Shapes) -> Iterator[Arrays]:
        """Give writable arrays of the named shapes and types; they become `key` if the block succeeds.

        Failure of any kind leaves nothing behind. Two processes may build one key: the first to finish
        is kept. Raises StorageError for a full disk or a folder that cannot be written.
        """
        with self._writing():
            make_folder(self.folder)
        sizes = {_checked_name(name): _bytes(shape, dtype) for name, (shape, dtype) in shapes.items()}
        self.evict(self.limit_bytes - sum(sizes.values()))
        part = self._path(key).with_name(f".{key}.{uuid.uuid4().hex[:8]}.part")
        arrays: Arrays = {}
        try:
            with self._writing():
                part.mkdir()
                for name, (shape, dtype) in shapes.items():
                    arrays[name] = _create(part / f"{name}.npy", shape, np.dtype(dtype))
            yield arrays
            with self._writing():
                for array in arrays.values():
                    if isinstance(array, np.memmap):
                        array.flush()
                arrays.clear()
                info = {"format": _FORMAT, "arrays": sorted(shapes), "bytes": sum(sizes.values())}
                write_json(part / "info.json", info)
                self._move_in(part, key)
        finally:
            arrays.clear()
            shutil.rmtree(part, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, StorageError) as error:
            fault = storage_error(self.folder, error) if isinstance(error, OSError) else error
            hint = "The cache may lie elsewhere: set MURINE_CACHE to a folder on another disk."
            raise StorageError(f"{fault} {hint}") from error

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep these arrays as `key`; raises StorageError as `build` does."""
        shapes = {name: (value.shape, value.dtype) for name, value in arrays.items()}
        with self.build(key, shapes) as places:
            for name, value in arrays.items():
                if value.ndim:
                    write_rows(places[name], 0, value)
                else:
                    places[name][...] = value

    def remove(self, key: str) -> None:
        """Throw an entry away, in one step; nothing happens where it is absent or in use elsewhere."""
        path = self._path(key)
        trash = self.folder / f".{key}.{uuid.uuid4().hex[:8]}.trash"
        # Renaming first: another process sees the entry whole or not at all.
        with suppress(OSError):
            os.replace(path, trash)
        shutil.rmtree(trash, ignore_errors=True)

    def evict(self, limit_bytes: int) -> None:
        """Throw away the least recently used entries until the rest fit into `limit_bytes`."""
        self._sweep()
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= limit_bytes:
                return
            if path not in self._in_use:
                self.remove(path.name)
                total -= size

    def size(self) -> int:
        """Return the bytes of all entries."""
        return sum(size for _, size, _ in self._entries())

    def _move_in(self, part: Path, key: str) -> None:
        path = self._path(key)
        try:
            os.rename(part, path)
        except OSError:
            # Another process finished the same key first; its arrays are the same.
            if self.get(key) is None:
                os.rename(part, path)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"a cache key is a hash in hex digits; came '{key}'")
        return (self.folder / key).absolute()

    def _entries(self) -> list[tuple[float, int, Path]]:
        found = []
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                with suppress(OSError, ValueError, KeyError, TypeError):
                    if _KEY.fullmatch(path.name):
                        info = path / "info.json"
                        size = int(json.loads(info.read_text(encoding="utf-8"))["bytes"])
                        found.append((info.stat().st_mtime, size, path.absolute()))
        return found

    def _sweep(self) -> None:
        """Remove what a killed process left half-built."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.name.startswith(".") and path.suffix in {".part", ".trash"}:
                    with suppress(OSError):
                        ages = [p.stat().st_mtime for p in [path, *path.iterdir()]]
                        if time.time() - max(ages) > _STALE_SECONDS:
                            shutil.rmtree(path, ignore_errors=True)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"an array in the cache needs a plain name; came '{name}'")
    return name


def _bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


# NumPy parses a file's header with `ast`, which in Python 3.11 before 3.11.9 fails in two threads at once.
_LOADING = threading.Lock()


def _open(path: Path) -> NDArray[Any]:
    # A file without values cannot be mapped.
    array: NDArray[Any]
    with _LOADING:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError:
            array = np.load(path, allow_pickle=False)
            if array.size:
                raise
    array.setflags(write=False)
    return array


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make a `.npy` file with its room already taken, and map it.

    Without taking the room first a full disk would be met while writing into the map, where the
    operating system kills the process instead of raising an error.
    """
    if dtype.hasobject:
        raise ValueError("the cache holds numbers, not Python objects")
    size = _bytes(shape, dtype)
    with path.open("wb") as handle:
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(handle, header)
        start = handle.tell()
        handle.flush()
        if size:
            _reserve(handle.fileno(), start, size)
    if not size:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r+", offset=start, shape=shape)


def _reserve(descriptor: int, start: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, size)
        return
    os.lseek(descriptor, start, os.SEEK_SET)
    zeros = bytes(1 << 20)
    while size > 0:
        size -= os.write(descriptor, zeros[: min(size, len(zeros))])
