"""The networks of an evaluation's folds, heard together on new recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from murine.ensemble.folders import Combined, combine
from murine.errors import InputError
from murine.predict import predict
from murine.progress import SILENT, Progress
from murine.train.crossval import load_scores, read_splits
from murine.train.runs import MODEL_FILE

FOLDS = "folds"
"""Within OUT: what each fold's network predicts."""


def predict_committee(
    evaluation: Path,
    inputs: Sequence[Path],
    out: Path,
    *,
    on: str = "probabilities",
    fps: float | None = None,
    only: Sequence[str] = (),
    resume: bool = True,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Combined:
    """Predict recordings by every fold's network of an evaluation, and average what they say.

    For new recordings: those of the evaluation were seen in training by most of the networks. OUT/folds/NAME keeps what
    each predicts; what is finished is not predicted again. `inputs`, `fps`, `only`, `resume`, `device`: as `predict`;
    `on`: as `combine`. Raises what those raise, and InputError for an evaluation of fewer than two trained folds.
    """
    evaluation, out = Path(evaluation), Path(out)
    load_scores(evaluation)
    runs = [evaluation / "folds" / split.name for split in read_splits(evaluation)]
    runs = [run for run in runs if (run / MODEL_FILE).exists()]
    if len(runs) < 2:
        raise InputError(
            f"{evaluation}: {len(runs)} of its folds hold a trained network, and a committee takes two. Give the "
            "evaluation that trained them, not a combined one."
        )
    folders = []
    with progress.task("committee", len(runs), "networks") as task:
        for run in runs:
            task.note(run.name)
            folder = out / FOLDS / run.name
            predict(
                run, inputs, folder, fps=fps, only=only, resume=resume, device=device, progress=progress
            )
            folders.append(folder)
            task.advance()
    return combine(out, folders, on=on, progress=progress)
