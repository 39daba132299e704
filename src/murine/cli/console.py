"""What a person at a terminal sees: progress with time left, one clear message when something is wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

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

_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|unable to allocate", re.IGNORECASE)

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


LINE_EVERY_S = 60.0


class _LineTask:
    """Now and then a line for a log file, where no bar can be drawn."""

    def __init__(self, name: str, total: float | None, unit: str) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._done, self._note, self._said = 0.0, "", time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if time.monotonic() - self._said >= LINE_EVERY_S:
            self._said = time.monotonic()
            total = "" if self._total is None else f" of {self._total:,.0f}"
            text = f"{self._name}: {self._done:,.0f}{total} {self._unit} {self._note}"
            errors.print(text.rstrip(), markup=False)

    def note(self, text: str) -> None:
        self._note = text


class Terminal:
    """Draw each task as a bar with the time left; a plain line a minute where the output is no terminal."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._depth = 0

    def task(self, name: str, total: float | None, unit: str = "") -> AbstractContextManager[Task]:
        """Show a bar for the length of the block."""
        if not errors.is_terminal:
            return nullcontext(_LineTask(name, total, unit))
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


def many(number: int, noun: str) -> str:
    """Return a number with its noun: 1 recording, 2 recordings."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def show(text: str) -> None:
    """Print a result to stdout."""
    typer.echo(text)


def result(value: Any, as_json: bool, text: str) -> None:
    """Print a command's result: `value` as JSON for machines, or `text` for people."""
    show(_json(value) if as_json else text)


def _json(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a Windows pipe, for example
        text = json.dumps(value, indent=2, allow_nan=False, default=_plain)
    return text


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
        except typer.Exit:
            raise
        except MurineError as error:
            fail(str(error), type(error).__name__, as_json)
        except KeyboardInterrupt:
            # Where the interrupt came through code made from text (dataclasses make theirs so), Python
            # would still end by the signal and not by our exit code; running any such code forgets it.
            exec("")
            fail(
                "stopped. What was finished is kept; run the same command again to go on.",
                "Stopped",
                as_json,
            )
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # whoever read our output has enough of it (murine models | head)
            if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
                fail(_system_message(error), type(error).__name__, as_json)
            if os.environ.get("MURINE_DEBUG"):
                raise
            if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
                text = (
                    "the memory is not enough. Close other programs, or take smaller batches, windows or "
                    "pictures (--set training.batch_size=..., window.frames, input.size)."
                )
                fail(text, "MemoryError", as_json)
            text = (
                f"murine met a fault of its own: {type(error).__name__}: {error}\n"
                "Run the command again with the environment variable MURINE_DEBUG=1 to see where, "
                "and please report it."
            )
            fail(text, "Bug", as_json, EXIT_BUG)

    return run


def _system_message(error: OSError) -> str:
    """Return what the operating system refused, where no command could say it better."""
    path = Path(os.fsdecode(error.filename))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return str(storage_error(path, error))
    return f"{path}: {error.strerror}. Check the path, and that you may read and write there."


def fail(message: str, kind: str, as_json: bool, code: int = EXIT_USER) -> NoReturn:
    """Print one message, or one JSON object for machines, and end with an exit code."""
    if as_json:
        show(_json({"error": {"kind": kind, "message": message}}))
    else:
        errors.print(message, markup=False, style="red" if sys.stderr.isatty() else "")
    raise typer.Exit(code) from None
