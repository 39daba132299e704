"""The command that tries settings: search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from murine.cli.console import Json, Quiet, SetOption, guarded, many, progress, result
from murine.cli.study import OnlyOption, Restart
from murine.columns import table
from murine.errors import InputError

if TYPE_CHECKING:
    from murine.search import Nested, Search, Searched, Trial

_ROWS = 10
"""Trials that are printed; trials.csv has all."""


@guarded
def search(
    study: Annotated[
        Path | None, typer.Argument(metavar="STUDY", help="The project folder that init wrote.")
    ] = None,
    name: Annotated[
        str, typer.Argument(metavar="SEARCH", help="A search's name (see: --list) or a TOML file.")
    ] = "",
    list_: Annotated[
        bool, typer.Option("--list", help="List the searches that come with murine.")
    ] = False,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="The recipe to vary, instead of the file's.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Default: STUDY/searches/SEARCH.")
    ] = None,
    criterion: Annotated[
        str,
        typer.Option(
            help="What is best, instead of the file's: macro_f1, pr_auc, f1@50, validation_loss, ..."
        ),
    ] = "",
    trials: Annotated[
        int, typer.Option(min=0, help="How many, instead of the file's; of a grid the first ones.")
    ] = 0,
    nested: Annotated[
        bool,
        typer.Option(
            "--nested",
            help="Search for each fold on its training recordings alone: an honest score of the whole procedure.",
        ),
    ] = False,
    changes: SetOption = None,
    only: OnlyOption = None,
    restart: Restart = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Try settings of a recipe, each cross-validated: a grid, at random, or Bayesian; goes on where it was stopped."""
    if list_:
        _list(as_json)
        return
    if study is None or not name:
        raise InputError(
            "name a study and a search, such as: murine search study embeddings/resnet50v2-lstm. See: murine search "
            "--list"
        )
    from murine.search import load_search, search_nested
    from murine.search import search as flat

    other: dict[str, Any] = {"criterion": criterion, "trials": trials, "only": only}
    given = {key: value for key, value in other.items() if value}
    plan = load_search(name, recipe=recipe, overrides=changes or (), changes=given)
    call: Any = search_nested if nested else flat
    found = call(study, plan, out=out, resume=not restart, progress=progress(quiet))
    if nested:
        _show_nested(found, as_json)
    else:
        result(found.to_dict(), as_json, _text(found))


def _list(as_json: bool) -> None:
    from dataclasses import asdict

    from murine.search import list_searches

    found = [asdict(info) for info in list_searches()]
    rows = [
        (f["name"], f["method"], f["trials"], f["seeds"], f["criterion"], f["description"], f["source"])
        for f in found
    ]
    head = ("search", "method", "trials", "seeds", "criterion", "what it is", "source")
    result(found, as_json, table(head, rows))


def _text(found: Searched) -> str:
    from murine.search.running import OPTIMISTIC

    plan, states = found.search, [trial.state for trial in found.trials]
    told = [f"{states.count(s)} {_STATES[s]}" for s in _STATES if s in states]
    lines = [
        f"{many(len(found.trials), 'trial')}: {', '.join(told)}",
        _rows(plan, found.trials),
        f"best: trial {found.best.number}, {plan.criterion} {found.best.value:.3f}",
        f"warning: {OPTIMISTIC}",
    ]
    shares = {k: v for k, v in found.results.importance.items() if v is not None}
    if shares:
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        lines.append("explained by: " + ", ".join(f"{key} {100 * share:.0f} %" for key, share in ranked))
    files = found.results.files
    lines += [
        f"all trials: {files['trials']}",
        f"pictures: {files['history']}, {files['importance']}",
        f"Next: murine train STUDY --recipe {files['best']}",
    ]
    return "\n".join(lines)


_STATES = {"finished": "finished", "pruned": "given up early", "failed": "failed"}


def _rows(plan: Search, trials: Sequence[Trial]) -> str:
    """Return the best trials as a table, the best first."""
    sign = 1.0 if plan.minimized else -1.0
    order = {state: place for place, state in enumerate(_STATES)}
    ranked = sorted(trials, key=lambda t: (order.get(t.state, 9), sign * (t.told or 0.0), t.number))
    keys = [axis.key for axis in plan.space]
    rows = [
        (
            t.number,
            _STATES.get(t.state, t.state),
            t.told,
            *([t.deviation] if plan.seeds else []),
            *(_short(t.values[key]) for key in keys),
        )
        for t in ranked[:_ROWS]
    ]
    return table(("trial", "", plan.criterion, *(["SD"] if plan.seeds else []), *keys), rows)


def _short(value: Any) -> str:
    """Return a value as a row shows it, numbers to four digits."""
    from murine.search.results import value_text

    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def _show_nested(found: Nested, as_json: bool) -> None:
    from murine.reporting import write_evaluation_report

    page = write_evaluation_report(found.folder)
    plan = found.search
    keys = [axis.key for axis in plan.space]
    rows = [
        (fold, trial.number, trial.value, *(_short(trial.values[key]) for key in keys))
        for fold, trial in found.chosen.items()
    ]
    honest = "-" if found.honest is None else f"{found.honest:.3f}"
    text = (
        f"{table(('fold', 'chosen trial', f'{plan.criterion} inside', *keys), rows)}\n"
        f"{plan.criterion} {honest} of recordings that no choice has seen; the chosen trials themselves had "
        f"{found.optimistic:.3f} on average where they were chosen\nreport: {page}"
    )
    result({**found.to_dict(), "report": str(page)}, as_json, text)


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("search", search, "murine search study embeddings/resnet50v2-lstm --set training.epochs=20"),
]
