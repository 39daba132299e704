"""The commands on how probabilities become bouts: tune, calibrate; and the folds of an evaluation as a committee."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from murine.cli.console import Json, Quiet, guarded, many, progress, result
from murine.columns import table


@guarded
def tune(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where the tuned evaluation goes.")],
    evaluation: Annotated[
        Path, typer.Argument(metavar="EVALUATION", help="What evaluate or combine wrote.")
    ],
    metric: Annotated[
        str,
        typer.Option(
            help="What is best: macro_f1, accuracy, balanced_accuracy, f1_50 (of bouts), or macro_f1+f1_50."
        ),
    ] = "macro_f1",
    stages: Annotated[
        str,
        typer.Option(metavar="STAGE,...", help="Of smooth, decide, close, drop. Default: all four."),
    ] = "",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Choose post-processing for each fold on the other folds, and say what each step is worth."""
    from murine.ensemble import tune as call
    from murine.reporting import write_evaluation_report

    wanted = tuple(part.strip() for part in stages.split(",") if part.strip())
    tuned = call(out, evaluation, metric=metric, stages=wanted, progress=progress(quiet))
    page = write_evaluation_report(out)
    names = [n for n in tuned.worth[0] if n != "stage"]
    before = {"stage": "as evaluated", **{n: tuned.scores["before"].get(n) for n in names}}
    if tuned.scores["segments"] is not None:
        before["f1_50"] = None
    rows = [(_label(row), *(row.get(n) for n in names), _gain(row)) for row in (before, *tuned.worth)]
    lines = [
        table(("", *(n.replace("_", " ") for n in names), "gain (95 % interval)"), rows),
        f"chosen by {metric}, for each fold on the others:",
        *(f"  {fold}: {', '.join(found.values())}" for fold, found in tuned.chosen.items()),
        f"for new recordings: {out / 'recipe.toml'}, as in: murine train STUDY --recipe {out / 'recipe.toml'}",
        f"report: {page}",
    ]
    value = {"folder": str(out), "report": str(page), "scores": tuned.scores, **tuned.to_dict()}
    result(value, as_json, "\n".join(lines))


@guarded
def calibrate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where the calibrated evaluation goes.")],
    evaluation: Annotated[
        Path, typer.Argument(metavar="EVALUATION", help="What evaluate or combine wrote.")
    ],
    kind: Annotated[
        str, typer.Option("--by", help="temperature (one number), or vector (two for each behaviour).")
    ] = "temperature",
    accuracy: Annotated[
        float | None,
        typer.Option(help="Also: from which confidence on decisions are right so often, such as 0.95."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make probabilities as sure as they are right, each fold by the others; say how far to trust them."""
    from murine.ensemble import calibrate as call
    from murine.reporting import write_evaluation_report

    made = call(out, evaluation, kind=kind, accuracy=accuracy, progress=progress(quiet))
    page = write_evaluation_report(out)
    sides = (("before", made.before), ("after", made.after))
    rows = [
        (name, side.error, side.log_loss, *(side.coverage[i]["accuracy"] for i in (9, 15, 17, 19)))
        for name, side in sides
    ]
    head = (
        "",
        "calibration error",
        "log loss",
        *(f"accuracy of surest {n} %" for n in (50, 80, 90, 100)),
    )
    lines = [table(head, rows)]
    if made.abstain is not None:
        found = made.abstain
        share = "-" if found["coverage"] is None else f"{found['coverage']:.1%}"
        right = "-" if found["accuracy"] is None else f"{found['accuracy']:.1%}"
        lines.append(
            f"deciding only where {accuracy:.0%} should be right (by the other folds): {share} decided, {right} of "
            f"them right; for new recordings from confidence {found['confidence_for_new']:.3f} on"
        )
    lines += [
        f"for new recordings: {out / 'recipe.toml'}, as in: murine train STUDY --recipe {out / 'recipe.toml'}",
        f"report: {page}",
    ]
    result({"folder": str(out), "report": str(page), **made.to_dict()}, as_json, "\n".join(lines))


@guarded
def committee(
    evaluation: Annotated[Path, typer.Argument(metavar="EVALUATION", help="What evaluate wrote.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="New videos, pose files, or a project folder."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the predictions go.")],
    on: Annotated[
        str, typer.Option(help="What is averaged: probabilities or logits.")
    ] = "probabilities",
    fps: Annotated[
        float | None, typer.Option(help="Frames per second, for pose files without a video.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict new recordings by every fold's network of an evaluation, averaged."""
    from murine.ensemble import predict_committee as call

    made = call(evaluation, inputs, out, on=on, fps=fps, progress=progress(quiet))
    networks = sum(1 for _ in (out / "folds").iterdir())
    value = {"out": str(out), "networks": networks, "predictions": [str(p) for p in made.predictions]}
    result(
        value,
        as_json,
        f"{many(len(made.predictions), 'recording')} predicted by {networks} networks in {out}\n"
        f"Next: murine report {out}",
    )


def _label(row: dict[str, Any]) -> str:
    stage = str(row["stage"])
    return stage if stage in ("raw", "as evaluated") else f"+ {stage}"


def _gain(row: dict[str, Any]) -> str:
    if row.get("gain") is None:
        return ""
    interval = row["interval"]
    shown = "" if interval is None else f" ({interval[0]:+.3f} to {interval[1]:+.3f})"
    return f"{row['gain']:+.3f}{shown}"


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("tune", tune, "murine tune study/evaluations/tuned study/evaluations/ms-tcn-pp --metric macro_f1"),
    (
        "calibrate",
        calibrate,
        "murine calibrate study/evaluations/sure study/evaluations/ms-tcn-pp --accuracy 0.95",
    ),
    (
        "committee",
        committee,
        "murine committee study/evaluations/ms-tcn-pp new/*.csv -o out",
    ),
]
