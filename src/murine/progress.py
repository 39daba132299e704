"""What long work tells whoever waits: the library reports, the command line draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, amount: float = 1) -> None:
        """Say that `amount` more units are done."""

    def note(self, text: str) -> None:
        """Replace the short text beside the bar, such as the current loss."""


class Progress(Protocol):
    """Where long work reports to. Tasks may be nested."""

    def task(self, name: str, total: float | None, unit: str = "") -> AbstractContextManager[Task]:
        """Open a task of `total` units (None: not known) for the length of a `with` block."""

    def message(self, text: str) -> None:
        """Show one line that stays."""


class _SilentTask:
    def advance(self, amount: float = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Silent:
    """Report nothing: the default of every library function."""

    @contextmanager
    def task(self, name: str, total: float | None, unit: str = "") -> Iterator[Task]:
        """Do nothing for the length of the block."""
        yield _SilentTask()

    def message(self, text: str) -> None:
        """Show nothing."""


SILENT: Progress = Silent()
