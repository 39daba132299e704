"""Commands on what was predicted: score, report, export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from murine.cli.console import Json, Quiet, guarded, many, progress, result
from murine.columns import table


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
    kappa = "-" if pooled["kappa"] is None else f"{pooled['kappa']:.4f}"
    text = (
        f"{many(scored['recordings'], 'recording')}, {pooled['n']:,} annotated frames: accuracy "
        f"{pooled['accuracy']:.4f}, macro F1 {pooled['macro_f1']:.4f}, kappa {kappa}\n"
    ) + table(("behaviour", "precision", "recall", "F1", "frames"), rows)
    result(scored, as_json, text)


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
    ("report", report, "murine report study out"),
    ("export", export, "murine export out --to boris"),
]
