"""What a person at a terminal sees: progress with time left, one clear message when something is wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from murine.errors import MurineError
from murine.files import storage_error
from murine.progress import SILENT, Progress, Task

P = ParamSpec("P")
R = TypeVar("R")

EXIT_USER = 2
EXIT_BUG = 1

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON value for machines; nothing else on stdout.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one recipe setting, such as training.epochs=5. Repeatable.",
    ),
]

errors = Console(stderr=True, soft_wrap=True, highlight=False)


class _BarTask:
    def __init__(self, bars: Bars, number: Any) -> None:
        self._bars, self._number = bars, number

    def advance(self, amount: float = 1) -> None:
        self._bars.advance(self._number, amount)

    def note(self, text: str) -> None:
        self._bars.update(self._number, note=text)


class Terminal:
    """Draw each task as a bar with the time left; plain lines where the output is no terminal."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._depth = 0

    def task(self, name: str, total: float | None, unit: str = "") -> AbstractContextManager[Task]:
        """Show a bar for the length of the block."""
        return self._bar(name, total, unit)

    @contextmanager
    def _bar(self, name: str, total: float | None, unit: str) -> Iterator[Task]:
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=errors,
                transient=True,
                refresh_per_second=4,
            )
            self._bars.start()
        self._depth += 1
        number = self._bars.add_task("  " * (self._depth - 1) + name, total=total, unit=unit, note="")
        try:
            yield _BarTask(self._bars, number)
        finally:
            self._depth -= 1
            self._bars.remove_task(number)
            if self._depth == 0:
                self._bars.stop()
                self._bars = None

    def message(self, text: str) -> None:
        """Show one line that stays."""
        errors.print(text, markup=False)


def progress(quiet: bool) -> Progress:
    """Return where a command reports to."""
    return SILENT if quiet else Terminal()


def show(text: str) -> None:
    """Print a result to stdout."""
    typer.echo(text)


def result(value: Any, as_json: bool, text: str) -> None:
    """Print a command's result: `value` as JSON for machines, or `text` for people."""
    show(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) if as_json else text)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn every fault a user can meet into one message and exit code 2.

    A fault of murine itself exits with 1 and says how to see and report the whole of it.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        as_json = bool(kwargs.get("as_json", False))
        try:
            return function(*args, **kwargs)
        except MurineError as error:
            _fail(str(error), type(error).__name__, as_json)
        except KeyboardInterrupt:
            _fail(
                "stopped. What was finished is kept; run the same command again to go on.",
                "Stopped",
                as_json,
            )
        except OSError as error:
            if error.errno is None or error.filename is None:
                raise
            _fail(str(storage_error(Path(str(error.filename)), error)), "StorageError", as_json)
        except Exception as error:
            if os.environ.get("MURINE_DEBUG"):
                raise
            errors.print(
                f"murine met a fault of its own: {type(error).__name__}: {error}\n"
                "Run the command again with the environment variable MURINE_DEBUG=1 to see where, "
                "and please report it.",
                markup=False,
                style="red",
            )
            raise typer.Exit(EXIT_BUG) from error
        raise AssertionError("unreachable")

    return run


def _fail(message: str, kind: str, as_json: bool) -> None:
    if as_json:
        show(json.dumps({"error": {"kind": kind, "message": message}}, ensure_ascii=False))
    else:
        errors.print(message, markup=False, style="red" if sys.stderr.isatty() else "")
    raise typer.Exit(EXIT_USER)
