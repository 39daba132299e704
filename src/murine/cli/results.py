"""Commands on what was predicted: score, report, export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

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
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare two label sets, or predictions with labels, frame by frame and bout by bout."""
    from murine.scoring import score_paths

    scored = score_paths(
        truth,
        predicted,
        fps=fps,
        n_frames=frames,
        background=background or None,
        progress=progress(quiet),
    )
    pooled = scored["pooled"]
    rows = [
        (name, c["precision"], c["recall"], c["f1"], c["support"])
        for name, c in pooled["per_class"].items()
    ]
    text = (
        f"{many(scored['recordings'], 'recording')}, {pooled['n']:,} annotated frames: accuracy "
        f"{_with_interval(scored, 'accuracy')}, macro F1 {_with_interval(scored, 'macro_f1')}, "
        f"kappa {_with_interval(scored, 'kappa')}\n"
    ) + table(("behaviour", "precision", "recall", "F1", "frames"), rows)
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


def _with_interval(scored: dict[str, Any], name: str) -> str:
    """Return a pooled score, with its 95 % interval over recordings where there is one."""
    value = scored["pooled"][name]
    if value is None:
        return "-"
    ends = scored["intervals"].get(name)
    return f"{value:.4f}" if ends is None else f"{value:.4f} ({ends[0]:.3f} to {ends[1]:.3f})"


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
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page: ethograms, scores, time budgets, settings, hashes."""
    from murine.reporting import report as call

    page = call(source, predictions, out=out, progress=progress(quiet))
    result({"report": str(page)}, as_json, f"report: {page}")


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
    ("agree", agree, "murine agree anna.csv ben.csv --fps 25"),
    ("report", report, "murine report study out"),
    ("export", export, "murine export out --to boris"),
]
