"""The command that hears several networks together: combine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from murine.cli.console import Json, Quiet, guarded, many, progress, result
from murine.columns import table
from murine.errors import InputError


@guarded
def combine(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where the result goes.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B ...", help="Folders of predictions, or evaluations with the same folds."
        ),
    ],
    on: Annotated[
        str, typer.Option(help="What is averaged: probabilities or logits.")
    ] = "probabilities",
    weights: Annotated[
        str, typer.Option(metavar="W,W,...", help="One for each, such as 0.3,0.7. Default: all equal.")
    ] = "",
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Of two evaluations: scores at weights 0, 0.1, ... 1 of the second; each fold is judged at "
            "the weight that was best on the others.",
        ),
    ] = False,
    learn: Annotated[
        bool,
        typer.Option(
            "--learn",
            help="Of evaluations: each fold at the weights with the least log loss on the other folds.",
        ),
    ] = False,
    metric: Annotated[
        str,
        typer.Option(
            help="With --sweep and --learn, what is best: accuracy, balanced_accuracy or macro_f1."
        ),
    ] = "accuracy",
    by: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="A column of recordings.csv, such as scene: recordings that share its value are one scene "
            "seen by several cameras, and count once.",
        ),
    ] = "",
    study: Annotated[
        Path | None,
        typer.Option(help="With --by and folders of predictions: the project of their recordings."),
    ] = None,
    tolerance_s: Annotated[
        float | None,
        typer.Option(
            "--tolerance", min=0.0, help="With --by: seconds by which cameras may differ in length."
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Average several networks, or the cameras of one scene; find the best ratio of two honestly."""
    if learn:
        if sweep or weights or study is not None:
            raise InputError(
                "--learn finds weights by itself: give --learn or --sweep, and leave --weights out."
            )
        _learn(out, inputs, on, metric, by, tolerance_s, quiet, as_json)
        return
    if sweep:
        _sweep(out, inputs, on, weights, metric, by, study, tolerance_s, quiet, as_json)
        return
    from murine.ensemble import combine as call
    from murine.reporting import write_evaluation_report

    combined = call(
        out,
        inputs,
        on=on,
        weights=_numbers(weights),
        by=by,
        study=study,
        tolerance_s=tolerance_s,
        progress=progress(quiet),
    )
    value: dict[str, Any] = {
        "folder": str(combined.folder),
        "predictions": [str(path) for path in combined.predictions],
    }
    count = many(len(combined.predictions), by or "recording")
    if combined.scores is None:
        text = f"{count} combined in {out}\nNext: murine report {out}"
    else:
        page = write_evaluation_report(out)
        value |= {"report": str(page), "scores": combined.scores, "before": combined.before}
        rows = [_row(name, scores) for name, scores in (combined.before or {}).items()]
        rows.append(_row("combined", combined.scores["pooled"]))
        notes = "".join(f"note: {note}\n" for note in combined.notes)
        text = (
            f"{table(('', 'accuracy', 'balanced', 'macro F1'), rows)}\n{notes}"
            f"{count}, none of them seen in training\nreport: {page}"
        )
    result(value, as_json, text)


def _sweep(
    out: Path,
    inputs: list[Path],
    on: str,
    weights: str,
    metric: str,
    by: str,
    study: Path | None,
    tolerance_s: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    from murine.ensemble import sweep as call
    from murine.reporting import write_evaluation_report

    if len(inputs) != 2:
        raise InputError(f"--sweep fuses two evaluations; {len(inputs)} came.")
    if weights or study is not None:
        odd = "--weights" if weights else "--study"
        raise InputError(f"--sweep tries all weights of two evaluations; leave {odd} out.")
    fusion = call(
        out, *inputs, on=on, metric=metric, by=by, tolerance_s=tolerance_s, progress=progress(quiet)
    )
    page = write_evaluation_report(out)
    rows = [_row(f"{row['weight_of_second']:.1f}", row) for row in fusion.table]
    rows.append(_row("chosen on the other folds", fusion.nested))
    rows.append(_row("best on all (too good)", fusion.optimistic))
    best = fusion.optimistic["weight_of_second"]
    text = (
        f"{table((f'weight of {fusion.second}', 'accuracy', 'balanced', 'macro F1'), rows)}\n"
        f"For new recordings: --weights {1 - best:.1f},{best:.1f}. Expect of it what stands beside "
        f"'chosen on the other folds'.\nreport: {page}"
    )
    value = {"folder": str(out), "report": str(page), **fusion.to_dict()}
    result(value, as_json, text)


def _learn(
    out: Path,
    inputs: list[Path],
    on: str,
    metric: str,
    by: str,
    tolerance_s: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    from murine.ensemble import weigh as call
    from murine.reporting import write_evaluation_report

    weighed = call(
        out, inputs, on=on, metric=metric, by=by, tolerance_s=tolerance_s, progress=progress(quiet)
    )
    page = write_evaluation_report(out)
    rows = [(*_row(row["what"], row), row["log_loss"]) for row in weighed.table]
    each = [(fold, *weights) for fold, weights in weighed.weights.items()]
    text = (
        f"{table(('', 'accuracy', 'balanced', 'macro F1', 'log loss'), rows)}\n\n"
        f"{table(('weights of', *weighed.members), each)}\n"
        f"For new recordings: --weights {','.join(f'{w:.3f}' for w in weighed.new)}. Expect of it what stands "
        f"beside 'learned on the other folds'.\nreport: {page}"
    )
    result({"folder": str(out), "report": str(page), **weighed.to_dict()}, as_json, text)


def _row(name: str, scores: Mapping[str, Any]) -> tuple[Any, ...]:
    return (name, scores["accuracy"], scores["balanced_accuracy"], scores["macro_f1"])


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise InputError(
            f"--weights takes numbers with commas, such as 0.3,0.7; came '{text}'"
        ) from None


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    (
        "combine",
        combine,
        "murine combine study/evaluations/both study/evaluations/rgb study/evaluations/flow --sweep",
    ),
]
