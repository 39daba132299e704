"""Commands on what was predicted: score, report, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from murine.cli import grouping
from murine.cli.console import Json, Quiet, guarded, many, progress, result
from murine.columns import cell, table


@guarded
def score(
    truth: Annotated[Path, typer.Argument(help="Label file, or a project folder.")],
    predicted: Annotated[
        Path, typer.Argument(help="Label file, prediction, or a folder of predictions.")
    ],
    fps: Annotated[float | None, typer.Option(help="Frames per second, where no file tells.")] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Number of frames, where no file tells.")
    ] = None,
    background: Annotated[str, typer.Option(help="The behaviour that means 'none of the others'.")] = "",
    by: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="With a project or an evaluation: intervals over what shares a value of this column of "
            "recordings.csv, such as session. Default: what an evaluation was split by, else recordings.",
        ),
    ] = "",
    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A published way to score: calms21 (frames pooled, the most probable behaviour without "
            "post-processing, mean over behaviours without the background).",
        ),
    ] = "",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score predictions against labels, or one label set against another, frame by frame and bout by bout."""
    from murine.scoring import score_paths

    scored = score_paths(
        truth,
        predicted,
        fps=fps,
        n_frames=frames,
        background=background or None,
        by=by,
        protocol=protocol,
        progress=progress(quiet),
    )
    pooled = scored["pooled"]
    rows = [
        (name, c["precision"], c["recall"], c["f1"], c["average_precision"], c["support"])
        for name, c in pooled["per_class"].items()
    ]
    text = (
        f"{many(scored['recordings'], 'recording')}, {pooled['n']:,} annotated frames: accuracy "
        f"{with_interval(scored, 'accuracy')}, macro F1 {with_interval(scored, 'macro_f1')}, "
        f"kappa {with_interval(scored, 'kappa')}"
    )
    if pooled["map"] is not None:
        text += f", mean average precision {with_interval(scored, 'map')}"
    if (cuts := scored["segments"]) is not None:
        told = {"pooled": cuts, "intervals": scored["intervals"]}
        parts = (("edit", "edit"), ("f1_10", "F1@10"), ("f1_25", "F1@25"), ("f1_50", "F1@50"))
        text += "\nsegments: " + ", ".join(f"{word} {with_interval(told, k, 1)}" for k, word in parts)
    for name, told in scored["protocols"].items():
        text += f"\n{protocol_line(name, told)}"
    text += told_over(scored["drawn"], scored["intervals"]) + "\n"
    text += table(("behaviour", "precision", "recall", "F1", "average precision", "frames"), rows)
    bouts = [
        (
            *(b[k] for k in ("behaviour", "true", "predicted", "matched", "f1", "fragmented", "merged")),
            *(b[k] for k in ("onset_error_s", "offset_error_s", "share_error")),
        )
        for b in scored["bouts"]
    ]
    text += "\n\n" + table(
        (
            *("bouts of", "true", "predicted", "matched", "F1", "in pieces", "run together"),
            *("onset off, s", "offset off, s", "time off, share"),
        ),
        bouts,
    )
    result(scored, as_json, text)


def with_interval(scored: Mapping[str, Any], name: str, places: int = 4) -> str:
    """Return a pooled score, with its interval of 95 % where there is one."""
    value = scored["pooled"][name]
    if value is None:
        return "-"
    ends = scored.get("intervals", {}).get(name)
    short = max(1, places - 1)
    told = "" if ends is None else f" ({ends[0]:.{short}f} to {ends[1]:.{short}f})"
    return f"{value:.{places}f}{told}"


def told_over(drawn: Mapping[str, Any] | None, intervals: Mapping[str, Any]) -> str:
    """Return the line that says what intervals were drawn over; nothing where there are none."""
    if drawn is None or not intervals:
        return ""
    return (
        f"\nin brackets: intervals of 95 %, over {many(drawn['count'], drawn['over'])} drawn as wholes"
    )


def protocol_line(name: str, told: Mapping[str, Any]) -> str:
    """Return what a protocol reports, in one line."""
    scored = {"pooled": told, "intervals": told["intervals"]}
    text = f"{name}: F1 {with_interval(scored, 'macro_f1')}"
    return text if told["map"] is None else f"{text}, MAP {with_interval(scored, 'map')}"


_COMPARED = {
    "macro_f1": "macro F1",
    "macro_f1_foreground": "macro F1 without background",
    "macro_f1_foreground_without_background_frames": "macro F1 without background frames",
    "accuracy": "accuracy",
    "kappa": "kappa",
    "map": "mean average precision",
    "edit": "segmental edit",
    "f1_10": "segmental F1@10",
    "f1_25": "segmental F1@25",
    "f1_50": "segmental F1@50",
}


@guarded
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An evaluation, or predictions.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another of the same recordings.")],
    study: Annotated[
        Path | None, typer.Option(help="The project with the labels, where A and B do not tell.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="What is drawn as a whole, such as session. Default: what A was split by.",
        ),
    ] = "",
    task: Annotated[str, typer.Option(help="Of several tasks: only this one.")] = "",
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="Decided by a published protocol: calms21.")
    ] = "",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Is B better than A? Differences of all scores on the same recordings, with intervals, paired."""
    from murine.comparing import compare_paths

    found = compare_paths(
        first, second, study=study, by=by, task=task, protocol=protocol, progress=progress(quiet)
    )
    text = f"{many(found['recordings'], 'recording')}; A: {first}, B: {second}\n"
    text += _differences(found["scores"])
    for name, scores in found["tasks"].items():
        text += f"\n\ntask {name}\n{_differences(scores)}"
    for where, path in (("only_in_first", first), ("only_in_second", second)):
        if found[where]:
            text += f"\nleft out, only in {path}: {', '.join(found[where][:5])}"
            text += ", ..." if len(found[where]) > 5 else ""
    drawn = found["drawn"]
    if drawn["count"] > 1:
        text += f"\nintervals of 95 %, paired: {many(drawn['count'], drawn['over'])} drawn as wholes"
    else:
        text += f"\nno intervals: there is only one {drawn['over']}"
    result(found, as_json, text)


def _differences(scores: Mapping[str, Any]) -> str:
    """Return the table of the scores that people ask for; --json has all."""
    titles = {key: title for key, title in _COMPARED.items() if key in scores}
    if (whole := scores.get("macro_f1_foreground")) == scores.get("macro_f1") and whole is not None:
        titles = {key: title for key, title in titles.items() if "foreground" not in key}
    titles |= {key: key.replace("f1 ", "F1 of ", 1) for key in scores if key.startswith("f1 ")}
    rows = []
    for key, title in titles.items():
        row, places = scores[key], 1 if key in ("edit", "f1_10", "f1_25", "f1_50") else 4
        ends = row["interval"]
        rows.append(
            (
                title,
                f"{row['first']:.{places}f}",
                f"{row['second']:.{places}f}",
                f"{row['difference']:+.{places}f}",
                "-" if ends is None else f"{ends[0]:+.{places}f} to {ends[1]:+.{places}f}",
            )
        )
    return table(("", "A", "B", "B - A", "95 % interval"), rows)


@guarded
def agree(
    labels: Annotated[
        list[Path],
        typer.Argument(
            metavar="LABELS...",
            help="One table that names its raters, or a label file (or folder of them) of each rater.",
        ),
    ],
    fps: Annotated[float | None, typer.Option(help="Frames per second, where no file tells.")] = None,
    raters: Annotated[
        str, typer.Option(metavar="A,B,...", help="Which raters, in this order. Default: all.")
    ] = "",
    background: Annotated[str, typer.Option(help="The behaviour that means 'none of the others'.")] = "",
    leave_out: Annotated[
        str, typer.Option(metavar="A,B,...", help="Behaviours that count as none.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Compare two or more people's labels: the ceiling beside which a model is judged."""
    from murine.rating import agree_paths

    chosen, without = (
        [name.strip() for name in given.split(",") if name.strip()] for given in (raters, leave_out)
    )
    rated = agree_paths(labels, fps=fps, raters=chosen, background=background or None, leave_out=without)
    found = rated.agreement
    value = {
        "recordings": list(rated.recordings),
        "left_out": list(rated.left_out),
        **found.to_dict(),
    }
    rows = [
        (f"{a} - {b}", s.frames.kappa, s.frames.macro_f1_foreground, s.frames.n)
        for (a, b), s in found.pairs.items()
    ]
    rows += [
        (f"{rater} - most others", s.frames.kappa, s.frames.macro_f1_foreground, s.frames.n)
        for rater, s in found.against_majority.items()
    ]
    each = [(name, fleiss, *found.f1(name)) for name, fleiss in found.fleiss.items()]
    text = (
        f"{many(len(rated.recordings), 'recording')}, {many(len(found.raters), 'rater')}: kappa "
        f"{cell(found.kappa)}, macro F1 {cell(found.macro_f1)} (means over pairs)\n"
        + table(("raters", "kappa", "macro F1", "frames"), rows)
        + "\n\n"
        + table(("behaviour", "Fleiss' kappa", "F1, mean", "F1, least"), each)
    )
    if rated.left_out:
        text += f"\nleft out, not labelled by all: {', '.join(rated.left_out)}"
    result(value, as_json, text)


@guarded
def report(
    source: Annotated[
        Path, typer.Argument(help="A project, an evaluation, or a folder of predictions.")
    ],
    predictions: Annotated[
        Path | None, typer.Argument(help="With a project: a folder of predictions of its recordings.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The HTML file. Default: report.html in the last folder named."
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Also compare the groups of animals that this column of recordings.csv makes.",
        ),
    ] = "",
    animal: Annotated[
        str, typer.Option(metavar="COLUMN", help="With --by: the column that names the animals.")
    ] = "",
    bin_min: Annotated[
        float | None,
        typer.Option("--bin", metavar="MINUTES", help="With --by: also stretches of so many minutes."),
    ] = None,
    files: Annotated[
        bool,
        typer.Option(
            "--files",
            help="Also every figure as PNG, SVG and PDF and every table as CSV, in REPORT_files beside the page.",
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page: ethograms, scores, time budgets, settings, hashes."""
    from murine.reporting import report as call

    page = call(
        source,
        predictions,
        out=out,
        by=by,
        animal=animal,
        bin_min=bin_min,
        files=files,
        progress=progress(quiet),
    )
    value, text = {"report": str(page)}, f"report: {page}"
    if files:
        value["files"] = str(page.with_name(f"{page.stem}_files"))
        text += f"\nfigures and tables: {value['files']}"
    result(value, as_json, text)


@guarded
def export(
    predictions: Annotated[Path, typer.Argument(help="A folder of predictions, or a project's labels.")],
    to: Annotated[str, typer.Option("--to", help="boris, caltech, ... (see: murine formats).")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: PREDICTIONS/FORMAT.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write predicted bouts as label files other programs read."""
    from murine.export import export as call

    written = call(predictions, to, out, progress=progress(quiet))
    value = {"written": [str(path) for path in written]}
    result(value, as_json, f"{many(len(written), 'file')} in {written[0].parent}")


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("score", score, "murine score labels/mouse1.csv out/mouse1.parquet"),
    ("compare", compare, "murine compare study/evaluations/small study/evaluations/large"),
    ("agree", agree, "murine agree anna.csv ben.csv --fps 25"),
    *grouping.COMMANDS,
    ("report", report, "murine report study out"),
    ("export", export, "murine export out --to boris"),
]
