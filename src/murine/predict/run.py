"""Predict many recordings: one Parquet file and one table of bouts each, resumable within and between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from murine import __version__, formats
from murine.config import recipe_to_dict
from murine.data.embedding import Embedder
from murine.errors import InputError, suggest
from murine.files import results_folder, value_hash
from murine.postprocess import Step, apply_pieces, make_steps
from murine.predict.describe import run_embedder
from murine.predict.inputs import Job, find_jobs, open_job
from murine.predict.partial import Partial
from murine.predict.runtime import choose_runtime
from murine.predict.stream import Judge, predict_into
from murine.predictions import StoredPrediction, open_prediction, read_header, write_pieces
from murine.progress import SILENT, Progress
from murine.train.runs import TrainedRun, load_run
from murine.types import Recording

PARTIAL_FOLDER = ".unfinished"
PRECISIONS = ("float32", "bfloat16")


def predict(
    run_folder: Path,
    inputs: Sequence[Path],
    out: Path,
    *,
    fps: float | None = None,
    only: Sequence[str] = (),
    resume: bool = True,
    device: str = "auto",
    runtime: str = "torch",
    precision: str = "",
    progress: Progress = SILENT,
) -> list[Path]:
    """Predict recordings with a trained network; return the Parquet files, one per recording.

    `inputs`: videos, pose files (at `fps` frames per second, by default those of the training
    recordings), or a project folder, of which `only` may choose ("camera=left"). Beside OUT/ID.parquet lies
    OUT/ID.bouts.csv, after the recipe's post-processing. A recording that is finished for the same network,
    files and settings is skipped, an unfinished one goes on where it was; `resume` False begins anew. A
    recording that cannot be predicted does not stop the others: InputError names all of those in the end.

    `runtime` "openvino" (an extra) computes networks of pictures faster on many processors; `precision`:
    "float32" or "bfloat16", by default the recipe's; embeddings keep that of theirs. Raises MissingExtraError.
    """
    converter = choose_runtime(runtime, device, progress)
    device = device if converter is None else "cpu"
    run = load_run(run_folder)
    if precision == run.recipe.training.precision:
        precision = ""
    if precision:
        run = with_precision(run, precision)
    jobs = find_jobs(run, inputs, fps, only)
    steps = make_steps(run.recipe.postprocess)
    embedder = run_embedder(run, device, converter)
    judge, told = None, {"precision": precision} if precision else {}
    if converter is not None:
        judge = converter.judge(run.model, run.name, run.recipe.training.precision)
        told["runtime"] = converter.version
    computing = Computing(device, judge, told)
    written: list[Path] = []
    faults: list[str] = []
    with results_folder(Path(out)) as out, progress.task("predicting", len(jobs), "recordings") as task:
        for job in jobs:
            task.note(job.recording.id)
            try:
                written.append(_predict_one(run, embedder, job, out, steps, resume, computing, progress))
            except InputError as error:
                if len(jobs) == 1:
                    raise
                faults.append(f"{job.recording.id}: {error}")
            task.advance()
        if (
            written
            and fps is None
            and any(j.recording.video is None and j.project is None for j in jobs)
        ):
            progress.message(f"no frame rate given: {run.fps:g} frames/s, as in the training recordings")
        if faults:
            done = f"; the other {len(written)} are in {out}" if written else ""
            raise InputError(
                f"{len(faults)} of {len(jobs)} recordings could not be predicted{done}:\n"
                + "\n".join(f"  - {fault}" for fault in faults)
            )
    return written


@dataclass(frozen=True)
class Computing:
    """Where and by what a network is computed; `told`: what is not as the network's own recipe has it."""

    device: str
    judge: Judge | None
    told: Mapping[str, str]


def with_precision(run: TrainedRun, precision: str) -> TrainedRun:
    """Return a trained network that predicts in another precision. Raises InputError for an unknown one."""
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'.{suggest(precision, PRECISIONS)}")
    training = replace(run.recipe.training, precision=precision)
    return replace(run, recipe=replace(run.recipe, training=training))


def _predict_one(
    run: TrainedRun,
    embedder: Embedder | None,
    job: Job,
    out: Path,
    steps: Sequence[Step],
    resume: bool,
    computing: Computing,
    progress: Progress,
) -> Path:
    source = open_job(run, job, embedder)
    key = value_hash([__version__, run.hash, source.keys(), job.recording.fps, *computing.told.values()])
    name = job.recording.id
    if source.settings.pose_fps != run.recipe.input.pose_fps:
        progress.message(
            f"{name}: {source.timeline.fps:g} frames/s, and the network learned {run.fps:g}: the pose is brought to "
            "those, and every frame takes the probabilities of the nearest"
        )
    samples, wanted = len(source.sampling), run.recipe.window.frames
    if samples < wanted:
        progress.message(
            f"{name}: {samples} samples are shorter than the network's window of {wanted}; the last picture is repeated"
        )
    path = out / f"{name}.parquet"
    if not (resume and _is_finished(path, key)):
        partial = Partial(out / PARTIAL_FOLDER / name, key, len(run.ethogram), resume=resume)
        try:
            with progress.task(name, len(source.sampling), "frames") as task:
                predict_into(
                    partial, run, source,
                    device=computing.device, judge=computing.judge, task=task, progress=progress,
                )  # fmt: skip
            meta = {"key": key, **history(run, job.recording, source.hashes), **computing.told}
            times, owner = source.timeline, source.sampling.owner
            del source  # what the video's frames take is not needed while they are written
            rows = partial.pieces(owner)
            write_pieces(path, rows, recording=name, ethogram=run.ethogram, timeline=times, meta=meta)
            del times, owner, rows
        except InputError:
            _drop(partial, out)  # the same files would meet the same fault again
            raise
        except BaseException:
            # whatever stopped it (Ctrl-C, a full disk), what is done counts the next time
            if not partial.stop():
                _drop(partial, out)
            raise
        _drop(partial, out)
    write_bouts(out / f"{name}.bouts.csv", open_prediction(path), steps)
    return path


def _drop(partial: Partial, out: Path) -> None:
    partial.remove()
    with suppress(OSError):  # another prediction into this folder may still need it
        (out / PARTIAL_FOLDER).rmdir()


def write_bouts(path: Path, prediction: StoredPrediction, steps: Sequence[Step]) -> None:
    """Write what a prediction comes to after post-processing as a plain table of bouts."""
    times = prediction.timeline
    bouts = apply_pieces(prediction.pieces(), times, prediction.ethogram, steps)
    formats.write_labels(path, bouts, times, "bouts", recording=prediction.recording)


def _is_finished(path: Path, key: str) -> bool:
    """Return whether the prediction is there already, whole, of this network, these files and settings."""
    if not path.exists():
        return False
    try:
        if read_header(path)["meta"].get("key") != key:
            return False
        stored = open_prediction(path)
        return sum(len(piece) for piece in stored.pieces()) == len(stored.timeline)
    except InputError:
        return False


def history(run: TrainedRun, recording: Recording, file_hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return what a prediction's `meta` says of its network, files and settings."""
    recipe = recipe_to_dict(run.recipe)
    files = {**recording.videos, "pose": recording.pose}
    return {
        "model": run.name,
        "model_hash": run.hash,
        "run": "" if run.folder is None else run.folder.resolve().name,
        "files": {what: path.name for what, path in files.items() if path is not None},
        "file_hashes": dict(file_hashes),
        "recipe": recipe["name"],
        "settings": {"input": recipe["input"], "window": recipe["window"]},
        "postprocess": recipe["postprocess"],
        "murine_version": __version__,
    }
