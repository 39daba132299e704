"""What an interrupted prediction has done so far: rows of probabilities, and whose they are."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from murine.errors import StorageError
from murine.files import make_folder, storage_error, write_json
from murine.predictions import ROWS
from murine.types import IntArray

ROWS_FILE = "rows.f32"
STATE_FILE = "state.json"

EVERY_S = 2.0
"""Seconds of work that a kill may cost."""


class Partial:
    """Rows (S, C) float32 in a folder, added in order.

    `key` says what the rows are of (model, input, settings); rows of another key are thrown away, and
    all rows where `resume` is False. Rows count once they are committed: whatever comes after them in
    the file is written over.
    """

    def __init__(self, folder: Path, key: str, classes: int, *, resume: bool = True) -> None:
        self.folder = make_folder(folder)
        self.rows = 0
        self._key = key
        self._classes = classes
        self._path = self.folder / ROWS_FILE
        self._committed_at = time.monotonic()
        state = self.folder / STATE_FILE
        if resume and state.exists() and self._path.exists():
            with suppress(ValueError, KeyError, TypeError):  # a damaged state is as good as none
                known = json.loads(state.read_text(encoding="utf-8"))
                rows = int(known["rows"])
                if known["key"] == key and self._path.stat().st_size >= rows * classes * 4:
                    self.rows = rows
        try:
            if self.rows == 0:
                state.unlink(missing_ok=True)
                self._path.write_bytes(b"")
            self._file = self._path.open("r+b")
            self._file.truncate(self.rows * classes * 4)
            self._file.seek(self.rows * classes * 4)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def add(self, start: int, values: NDArray[np.float32]) -> None:
        """Add the rows from sample `start` on, which must follow the last ones."""
        if start != self.rows:
            raise ValueError(f"rows from {self.rows} on were expected, {start} came")
        try:
            self._file.write(np.ascontiguousarray(values, dtype="<f4").tobytes())
        except OSError as error:
            raise storage_error(self._path, error) from error
        self.rows += len(values)
        if time.monotonic() - self._committed_at > EVERY_S:
            self.commit()

    def commit(self) -> None:
        """Make the rows so far count."""
        self._flush()
        write_json(self.folder / STATE_FILE, {"key": self._key, "rows": self.rows})
        self._committed_at = time.monotonic()

    def pieces(self, owner: IntArray) -> Iterator[NDArray[np.float32]]:
        """Give the rows (n, C) of frames that belong to the samples `owner` (T,), which never decrease."""
        self._flush()
        classes = self._classes
        for at in range(0, len(owner), ROWS):
            own = owner[at : at + ROWS]
            first, count = int(own[0]), int(own[-1] - own[0]) + 1
            rows = np.fromfile(self._path, "<f4", count * classes, offset=first * classes * 4)
            yield rows.reshape(-1, classes)[own - first]

    def close(self) -> None:
        """Let go of the file; the rows that count stay for the next time."""
        self._file.close()

    def stop(self) -> bool:
        """Keep the rows so far, as far as the disk takes them; return whether there is any to go on from."""
        with suppress(StorageError):
            self.commit()
        with suppress(OSError):
            self.close()
        return self.rows > 0 and (self.folder / STATE_FILE).exists()

    def remove(self) -> None:
        """Take the folder away: the prediction is finished."""
        with suppress(OSError):  # a full disk, met again
            self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise storage_error(self._path, error) from error
