"""What a decoder writes into FFmpeg's log, whose settings belong to the whole process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import av

Message = tuple[int, str, str]
"""Level, name of the part of FFmpeg that speaks, text."""


class _Log:
    """FFmpeg's log, switched to errors while anyone listens and back after the last.

    Switched on, every thread of every decoder stops for the interpreter to say something; nobody may leave it
    on. Two listeners that each put back what they found would: the second finds what the first switched on.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners = 0
        self._before: tuple[int | None, bool] = (None, True)

    def open(self) -> None:
        with self._lock:
            if self._listeners == 0:
                self._before = (av.logging.get_level(), av.logging.get_skip_repeated())
                av.logging.set_level(av.logging.ERROR)
                av.logging.set_skip_repeated(False)
            self._listeners += 1

    def close(self) -> None:
        with self._lock:
            self._listeners -= 1
            if self._listeners == 0:
                level, skips = self._before
                av.logging.set_level(level)
                av.logging.set_skip_repeated(skips)


_LOG = _Log()


@contextmanager
def errors_said() -> Iterator[list[Message]]:
    """Give a list that fills with the errors FFmpeg reports from this thread, until the block ends."""
    _LOG.open()
    try:
        with av.logging.Capture() as said:
            yield said
    finally:
        _LOG.close()
