"""The command `murine`: each command parses, calls one public function, prints where the result lies."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

import murine
from murine.cli import listing, making, results, study

app = typer.Typer(
    name="murine",
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


class _Patterns(TyperCommand):
    """A command of many files: says what to do where the shell has put them in the pattern's place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if "unexpected extra argument" in str(getattr(error, "message", "")):
                hint = "Put quotes around a pattern, such as --videos 'videos/*.mp4'."
                error.message += f". {hint}"  # type: ignore[attr-defined]
            raise


for group, panel in (
    (study.COMMANDS, "A study"),
    (results.COMMANDS, "Results"),
    (making.COMMANDS, "Made-up data"),
    (listing.COMMANDS, "What there is"),
):
    for name, function, example in group:
        kind = _Patterns if name == "init" else TyperCommand
        app.command(name, cls=kind, rich_help_panel=panel, epilog=f"Example: {example}")(function)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a letter that a Windows console does not have must not end the program
            stream.reconfigure(errors="replace")
    # Windows: patterns are for the commands to expand; an option takes one word, not all files found
    app(windows_expand_args=False)
