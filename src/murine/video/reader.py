"""A video as exact frames: frame n is frame n, the length is what decodes, times are the file's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError
from murine.types import IntArray, Timeline
from murine.video.container import orientation_of
from murine.video.decode import Converter, Cursor
from murine.video.scan import Scan, recall, remember

Pixels = NDArray[np.uint8]

VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".mkv", ".mov", ".mpg", ".mpeg", ".m4v", ".wmv", ".webm", ".ts", ".mts", ".flv",
)  # fmt: skip
"""Names of files that are usually videos, for globs; what a file is, its content decides."""


def open_video(path: Path) -> Video:
    """Open a video; raises InputError for a file that is missing, empty, no video, or undecodable."""
    return Video(Path(path))


class Video:
    """A video file. Frames count from 0 in the order they are shown, and are upright 8-bit pictures.

    `height`, `width`: as shown, after the rotation that the file asks for. `rotation`: degrees
    counter-clockwise by which stored pixels are turned. `pixel_format`: as stored, such as
    "yuv420p" or "gray10le". Pixels that are not square stay as stored.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._scan: Scan | None = None
        self._cursor: Cursor | None = None
        cursor = Cursor(self.path, threads=1)
        try:
            first = cursor.step()
            if first is None:
                raise InputError(f"{self.path}: the video has no frame that can be decoded")
            self._orientation = orientation_of(self.path, first)
            self.pixel_format = str(first.format.name)
            self.height, self.width = int(first.height), int(first.width)
        finally:
            cursor.close()
        if self._orientation.quarter_turns % 2:
            self.height, self.width = self.width, self.height
        self.rotation = 90 * self._orientation.quarter_turns

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the video can still be used and opens it again."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    @property
    def timeline(self) -> Timeline:
        """The time of each frame in seconds after the first, by decoding the whole file once.

        Remembered in the cache by the file's content. Raises InputError for a file that is damaged or
        cut short, with the frame up to which it decodes.
        """
        return self._scanned().timeline

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of a file that was read all the same (repeated time stamps, ...)."""
        return self._scanned().notes

    @property
    def n_frames(self) -> int:
        """How many frames decode."""
        return len(self._scanned())

    @property
    def fps(self) -> float:
        """Frames per second: the reciprocal of the median interval."""
        return self.timeline.fps

    def frames(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        size: tuple[int, int] | None = None,
        grey: bool = False,
        indices: ArrayLike | None = None,
        threads: int = 0,
    ) -> Iterator[Pixels]:
        """Give frames `start` to `stop` (the end), or those at `indices`, which must increase.

        Each is a new (H, W, 3) RGB array, or (H, W) with `grey`, resized to `size` (height, width)
        by averaging areas. Frames between wanted ones are decoded but not converted, or jumped over
        where a key frame allows. `threads` of the decoder: 0 for as many as it likes. Raises
        InputError past the end and where the file is damaged.
        """
        if indices is None:
            if start < 0 or (stop is not None and stop < start):
                raise InputError(f"{self.path}: frames [{start}, {stop}) are no interval")
            wanted = range(start, stop) if stop is not None else start
            return self._run(wanted, size, grey, threads)
        chosen = np.asarray(indices, dtype=np.int64)
        if start or stop is not None:
            raise ValueError("give either indices, or start and stop")
        if chosen.ndim != 1 or (len(chosen) and (chosen[0] < 0 or (np.diff(chosen) <= 0).any())):
            raise InputError(f"{self.path}: the frames asked for must be increasing numbers from 0")
        return self._run(chosen, size, grey, threads)

    def frame(self, n: int, *, size: tuple[int, int] | None = None, grey: bool = False) -> Pixels:
        """Return frame `n` exactly, wherever the reader stands; raises InputError past the end."""
        scan = self._scanned()
        if not 0 <= n < len(scan):
            raise InputError(f"{self.path}: has {len(scan)} frames; frame {n} was asked for")
        if self._cursor is None:
            self._cursor = Cursor(self.path, scan)
        return Converter(self._orientation, size, grey)(self._cursor.go(n))

    def _run(
        self, wanted: range | int | IntArray, size: tuple[int, int] | None, grey: bool, threads: int
    ) -> Iterator[Pixels]:
        first = wanted if isinstance(wanted, int) else (int(wanted[0]) if len(wanted) else 0)
        if first > 0:
            self._scanned()  # To enter in the middle one must know the frames before.
        convert = Converter(self._orientation, size, grey)
        cursor = Cursor(self.path, self._scan, threads)
        try:
            if isinstance(wanted, int):
                if wanted:
                    yield convert(cursor.go(wanted))
                while (picture := cursor.step()) is not None:
                    yield convert(picture)
                self._keep(cursor)
            else:
                for n in wanted:
                    yield convert(cursor.go(int(n)))
        finally:
            cursor.close()

    def _scanned(self) -> Scan:
        if self._scan is None:
            self._scan = recall(self.path)
        if self._scan is None:
            cursor = Cursor(self.path)
            try:
                while cursor.step() is not None:
                    pass
            finally:
                cursor.close()
            self._keep(cursor)
        assert self._scan is not None
        return self._scan

    def _keep(self, cursor: Cursor) -> None:
        if self._scan is None and cursor.scan is not None:
            self._scan = cursor.scan
            remember(self.path, cursor.scan)
