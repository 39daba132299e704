"""The command that compares groups of animals: groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from murine.cli.console import Json, Quiet, guarded, many, progress, result
from murine.columns import table

_SHOWN = 30


@guarded
def groups(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY_OR_PREDICTIONS",
            help="A project (its labels), an evaluation, or a folder of predictions.",
        ),
    ],
    by: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="The column of recordings.csv that names the groups."),
    ],
    animal: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="The column that names the animals; recordings of one are averaged first. Default: animal, "
            "else each recording counts as one.",
        ),
    ] = "",
    bin_min: Annotated[
        float | None,
        typer.Option("--bin", metavar="MINUTES", help="Also compare stretches of so many minutes."),
    ] = None,
    study: Annotated[
        Path | None, typer.Option(help="With a folder of predictions: the project that has the columns.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where tables and picture go. Default: SOURCE/groups/COLUMN."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare groups of animals, such as genotypes: permutation tests, corrected, and effect sizes."""
    from murine.groups import MEASURES
    from murine.groups import compare_groups as call

    found = call(
        source, by, animal=animal, bin_min=bin_min, study=study, out=out, progress=progress(quiet)
    )
    tested = [row for row in found.rows if row.p is not None]
    first = sorted(tested, key=lambda row: (row.p_holm or 0.0, row.p or 0.0, -abs(row.g or 0.0)))
    rows = [
        (
            row.behaviour + ("" if row.bin is None else f" (bin {row.bin + 1})"),
            MEASURES[row.measure],
            f"{row.first.group} - {row.second.group}",
            row.first.mean,
            row.second.mean,
            _effect(row.g, row.g_interval),
            _p(row.p),
            _p(row.p_holm),
        )
        for row in first[:_SHOWN]
    ]
    head = ("behaviour", "measure", "groups", "mean", "mean", "Hedges' g (95 %)", "p", "p, Holm")
    sizes = ", ".join(f"{name} {len(animals)}" for name, animals in found.groups.items())
    folder = out or (source if source.is_dir() else source.parent) / "groups" / by
    lines = [
        f"animals ({found.unit}) by {by}: {sizes}",
        table(head, rows),
        *([f"{len(first) - _SHOWN} more in {folder / 'groups.csv'}"] if len(first) > _SHOWN else []),
        f"{many(len(tested), 'permutation test')}, the animal is the unit; p corrected by Holm "
        "(what follows what apart from all else)",
        *(f"note: {note}" for note in found.notes),
        f"tables and picture: {folder}",
    ]
    value: dict[str, Any] = {"folder": str(folder), **found.to_dict()}
    result(value, as_json, "\n".join(lines))


def _effect(value: float | None, ends: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:+.2f}" + ("" if ends is None else f" ({ends[0]:+.2f} to {ends[1]:+.2f})")


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("groups", groups, "murine groups study --by genotype --animal animal"),
]
