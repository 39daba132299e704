"""The command `murine`: each command parses, calls one public function, prints where the result lies."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

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


for group, panel in (
    (study.COMMANDS, "A study"),
    (results.COMMANDS, "Results"),
    (making.COMMANDS, "Made-up data"),
    (listing.COMMANDS, "What there is"),
):
    for name, function, example in group:
        app.command(name, rich_help_panel=panel, epilog=f"Example: {example}")(function)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a letter that a Windows console does not have must not end the program
            stream.reconfigure(errors="replace")
    # Windows: patterns are for the commands to expand; an option takes one word, not all files found
    app(windows_expand_args=False)
