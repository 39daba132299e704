"""The command `murine`: each command parses, calls one public function, prints where the result lies."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import murine
from murine.cli import combining, deciding, listing, making, reproducing, results, searching, study
from murine.cli.console import fail

# What the parser raises for words it does not understand; the library itself has no public name for it.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


@contextmanager
def _told_as_json(words: Sequence[str]) -> Iterator[None]:
    """Print what is wrong with the words of a command line as one JSON object, where they ask for JSON."""
    try:
        yield
    except _UsageError as error:
        if "--json" not in words:
            raise
        fail(error.format_message(), "UsageError", True)  # type: ignore[attr-defined]


class _Commands(TyperGroup):
    """All commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words before the command."""
        with _told_as_json(list(args)):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is meant."""
        with _told_as_json(list(args)):
            return super().resolve_command(ctx, args)


class _Command(TyperCommand):
    """One command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        with _told_as_json(list(args)):
            return super().parse_args(ctx, args)


app = typer.Typer(
    name="murine",
    cls=_Commands,
    help="Video and pose of mice and rats into audited ethograms.",
    epilog="Begin with: murine demo. Then: murine init STUDY --videos 'videos/*.mp4' --labels 'labels/*.csv'",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"murine {murine.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Video and pose of mice and rats into audited ethograms."""


class _Patterns(_Command):
    """A command of many files: says what to do where the shell has put them in the pattern's place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        with _told_as_json(list(args)):
            try:
                return TyperCommand.parse_args(self, ctx, args)
            except _UsageError as error:
                if "unexpected extra argument" in str(getattr(error, "message", "")):
                    hint = "Put quotes around a pattern, such as --videos 'videos/*.mp4'."
                    error.message += f". {hint}"  # type: ignore[attr-defined]
                raise


for group, panel in (
    ([*study.COMMANDS, *searching.COMMANDS], "A study"),
    ([*results.COMMANDS, *combining.COMMANDS, *deciding.COMMANDS, *reproducing.COMMANDS], "Results"),
    (making.COMMANDS, "Made-up data"),
    (listing.COMMANDS, "What there is"),
):
    for name, function, example in group:
        kind = _Patterns if name == "init" else _Command
        app.command(name, cls=kind, rich_help_panel=panel, epilog=f"Example: {example}")(function)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a letter that a Windows console does not have must not end the program
            stream.reconfigure(errors="replace")
    # Windows: patterns are for the commands to expand; an option takes one word, not all files found
    app(windows_expand_args=False)
