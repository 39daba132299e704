"""The command that does a published table again: reproduce."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from murine.cli.console import Json, Quiet, guarded, progress, result
from murine.columns import table
from murine.errors import InputError

if TYPE_CHECKING:
    from murine.reproduce import EntryInfo


@guarded
def reproduce(
    document: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT", help="dual-stream, thesis, c3d-lstm, two-stream-i3d or epfl."
        ),
    ] = "",
    entry: Annotated[
        str, typer.Argument(metavar="TABLE", help="A table or figure, such as table-5 (see: --list).")
    ] = "",
    list_: Annotated[
        bool,
        typer.Option("--list", help="List every table and figure, what it needs and how long it takes."),
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="[NAME=]PATH",
            help="The publisher's folder, a folder of several, or NAME=PATH for each. Repeatable.",
        ),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="full, or small: simulated recordings and narrow networks, in minutes.")
    ] = "full",
    seeds: Annotated[int, typer.Option(min=0, help="How many, instead of as published.")] = 0,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where everything goes and is found again.")
    ] = Path("reproduced"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Do a published table or figure again and print ours beside theirs; goes on where it was stopped."""
    if list_:
        from murine.reproduce import list_reproductions

        found = list_reproductions(document)
        result([info.to_dict() for info in found], as_json, _listed(found))
        return
    if not document or not entry:
        raise InputError(
            "name a document and a table, such as: murine reproduce thesis table-5.1. See: murine reproduce --list"
        )
    from murine.reproduce import reproduce as call

    outcome = call(
        document, entry, data=data or (), scale=scale, out=out, seeds=seeds, progress=progress(quiet)
    )
    result(outcome.to_dict(), as_json, outcome.text())


def _listed(found: list[EntryInfo]) -> str:
    rows = [
        (
            info.document,
            _names((info.entry, *info.also)),
            info.title,
            ", ".join(info.data) or "none",
            info.trainings,
            _hours(info.cpu_hours),
            _hours(info.gpu_hours),
            "-" if info.small_minutes is None else f"{info.small_minutes:.1f} min",
        )
        for info in found
    ]
    head = ("document", "table", "what it is", "data", "networks", "CPU", "GPU", "small")
    told = (
        "CPU and GPU: estimated, of the whole at full scale. small: of --scale small on a CPU, measured"
    )
    return f"{table(head, rows)}\n{told}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]}, {names[1]} to {names[-1]}"


def _hours(hours: float) -> str:
    return "seconds" if not hours else f"{60 * hours:.0f} min" if hours < 1 else f"{hours:,.0f} h"


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("reproduce", reproduce, "murine reproduce dual-stream table-5 --data mit --scale full"),
]
