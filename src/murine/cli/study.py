"""The commands of the user's minute: init, check, evaluate, train, predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from murine.cli.console import Json, Quiet, SetOption, guarded, many, progress, result
from murine.cli.projects import named_tasks, tell_project
from murine.cli.results import protocol_line, told_over, with_interval
from murine.cli.seeding import tell_seeds
from murine.errors import InputError

Study = Annotated[Path, typer.Argument(metavar="STUDY", help="The project folder that init wrote.")]
RecipeOption = Annotated[
    str, typer.Option("--recipe", "-r", help="A recipe's name (see: murine recipes) or a TOML file.")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="COLUMN=VALUE",
        help="Only recordings with this value in this column of recordings.csv, such as camera=left. "
        "Repeatable: all columns must fit, of one column any value.",
    ),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Begin anew instead of going on where it was stopped.")
]


@guarded
def init(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="STUDY", help="The project folder to write. With --dataset by default its name."
        ),
    ] = None,
    videos: Annotated[
        list[str] | None,
        typer.Option("--videos", "-v", help="Video files: a pattern in quotes, or repeat."),
    ] = None,
    poses: Annotated[
        list[str] | None, typer.Option("--poses", "-p", help="Pose files (DeepLabCut csv or h5).")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", "-l", help="Label files (BORIS, Caltech text, tables)."),
    ] = None,
    tasks: Annotated[
        str,
        typer.Option(
            metavar="streams",
            help="'streams': each stream of the label files is a task, labelled and learned by itself.",
        ),
    ] = "",
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILES",
            help="Instead of --labels: the label files of one task (an annotator, a question), such as "
            "anna='labels/anna/*.csv'. Repeat for each.",
        ),
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option("--clips", help="Instead: a folder with one folder of clips per behaviour."),
    ] = None,
    dataset: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            "--dataset",
            metavar="NAME PATH",
            help="Instead: a published data set and its publisher's folder, as in: murine init study --dataset "
            "mit-clipped clipped_database. Others: mit-full, scorhe, ucf101, open-field, forced-swim, "
            "calms21.",
        ),
    ] = None,
    part: Annotated[
        str, typer.Option(help="With --dataset: a part of it, such as fd-star of mit-full.")
    ] = "",
    stream: Annotated[str, typer.Option(help="The stream of Caltech files, such as S1.")] = "",
    subject: Annotated[
        str, typer.Option(help="The subject whose bouts count, where a file has several.")
    ] = "",
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave this behaviour out. Repeatable.")
    ] = None,
    background: Annotated[str, typer.Option(help="The behaviour that means 'none of the others'.")] = "",
    fps: Annotated[float | None, typer.Option(help="Frames per second where there is no video.")] = None,
    pattern: Annotated[
        str,
        typer.Option(
            "--pattern",
            help=r"A regular expression with named groups, found in each file's name; each group becomes a "
            r"column, as in 'animal(?P<animal>\d+)'.",
        ),
    ] = "",
    tolerance_s: Annotated[
        float,
        typer.Option(
            "--tolerance", help="Seconds by which video, pose and labels may differ in length."
        ),
    ] = 0.0,
    force: Annotated[bool, typer.Option(help="Write over a project that is there.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Pair videos, poses and labels, and write project.toml and recordings.csv."""
    from murine.project import init as call
    from murine.project import init_dataset

    if dataset is not None:
        others = {
            "--videos": videos,
            "--poses": poses,
            "--labels": labels,
            "--tasks": tasks,
            "--task": task,
            "--clips": clips,
            "--stream": stream,
            "--subject": subject,
            "--exclude": exclude,
            "--background": background,
            "--fps": fps,
        }
        if given := [option for option, value in others.items() if value]:
            raise InputError(f"--dataset knows its own files and labels; leave {', '.join(given)} out")
        name, source = dataset
        folder = folder or Path(name)
        made = init_dataset(
            folder,
            name,
            source,
            part=part or None,
            id_pattern=pattern or None,
            tolerance_s=tolerance_s,
            force=force,
            progress=progress(quiet),
        )
        tell_project(folder, made.project, made.notes, as_json)
        return
    if folder is None:
        raise InputError(
            "Missing argument 'STUDY': the project folder to write. See: murine init --help"
        )
    if part:
        raise InputError(f"--part {part} is a part of a data set; name that with --dataset NAME PATH")
    project = call(
        folder,
        videos=videos or (),
        poses=poses or (),
        labels=labels or (),
        tasks=tasks,
        task_labels=named_tasks(task or ()),
        clips=clips,
        stream=stream or None,
        subject=subject or None,
        exclude=exclude or (),
        background=background or None,
        fps=fps,
        id_pattern=pattern or None,
        tolerance_s=tolerance_s,
        force=force,
        progress=progress(quiet),
    )
    tell_project(folder, project, (), as_json)


@guarded
def check(study: Study, quiet: Quiet = False, as_json: Json = False) -> None:
    """Decode every frame, align labels and pose, count the classes; all faults in one list."""
    from murine.project import check as call
    from murine.project import render_check

    report = call(study, progress=progress(quiet))
    result(report.to_dict(), as_json, render_check(report))
    if not report.ok:
        raise typer.Exit(2)


@guarded
def evaluate(
    study: Study,
    recipe: RecipeOption = "dual-stream/srs-sharing-raw",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Default: STUDY/evaluations/RECIPE.")
    ] = None,
    changes: SetOption = None,
    only: OnlyOption = None,
    restart: Restart = False,
    seeds: Annotated[
        str,
        typer.Option(metavar="N|A,B,...", help="So many training seeds, or these; tells mean and SD."),
    ] = "",
    allow_leak: Annotated[
        bool,
        typer.Option(
            "--allow-leak",
            help="Go on where tested recordings share an animal or footage with others; marks every result.",
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train on some recordings and judge on the others, fold by fold; goes on where it was stopped."""
    from murine.config import load_recipe
    from murine.reporting import write_evaluation_report
    from murine.train.checking import recipe_faults
    from murine.train.crossval import evaluate as call

    wanted = load_recipe(recipe, changes or (), check=recipe_faults)
    if seeds:
        tell_seeds(
            study, wanted, seeds, out, only or (),
            resume=not restart, allow_leak=allow_leak, quiet=quiet, as_json=as_json,
        )  # fmt: skip
        return
    evaluation = call(
        study,
        wanted,
        out=out,
        only=only or (),
        resume=not restart,
        allow_leak=allow_leak,
        progress=progress(quiet),
    )
    page = write_evaluation_report(evaluation.folder)
    scores, baseline = evaluation.scores["pooled"], evaluation.scores["baseline"]
    leaks = evaluation.scores.get("leaks", ())
    text = "".join(f"{note}\n" for note in evaluation.scores["notes"][: 1 if leaks else 0]) + (
        f"macro F1 {with_interval(evaluation.scores, 'macro_f1', 3)}, accuracy "
        f"{with_interval(evaluation.scores, 'accuracy', 3)} over {scores['n']:,} {evaluation.scores['unit']}s of "
        f"{len(evaluation.predictions)} recordings, none of them seen in training"
        f"{told_over(evaluation.scores['drawn'], evaluation.scores['intervals'])}\n"
        f"always the commonest behaviour: macro F1 {baseline['macro_f1']:.3f}, accuracy {baseline['accuracy']:.3f}\n"
    )
    for protocol, told in evaluation.scores["protocols"].items():
        if wanted.input.pose_features:  # what is published by it is of pose
            text += f"{protocol_line(protocol, told)}\n"
    text += f"report: {page}"
    value = {"folder": str(evaluation.folder), "report": str(page), "scores": evaluation.scores}
    result(value, as_json, text)


@guarded
def train(
    study: Study,
    recipe: RecipeOption = "dual-stream/srs-sharing-raw",
    name: Annotated[str, typer.Option(help="The model's name. Default: the recipe's.")] = "",
    changes: SetOption = None,
    only: OnlyOption = None,
    restart: Restart = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train one model on every labelled recording; writes STUDY/models/NAME, goes on where it was stopped."""
    from murine.config import load_recipe
    from murine.train.checking import recipe_faults
    from murine.train.run import train as call

    wanted = load_recipe(recipe, changes or (), check=recipe_faults)
    folder = call(
        study,
        wanted,
        name=name or None,
        only=only or (),
        resume=not restart,
        progress=progress(quiet),
    )
    result(
        {"model": str(folder)},
        as_json,
        f"model: {folder}\nNext: murine predict {folder} VIDEO ... -o out",
    )


@guarded
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The folder that train wrote.")],
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Videos, pose files, or a project folder.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the predictions go.")],
    fps: Annotated[
        float | None, typer.Option(help="Frames per second, for pose files without a video.")
    ] = None,
    only: OnlyOption = None,
    runtime: Annotated[
        str,
        typer.Option(
            metavar="torch|openvino",
            help="What computes the network. openvino, an extra, is faster on many processors.",
        ),
    ] = "torch",
    precision: Annotated[
        str,
        typer.Option(
            metavar="float32|bfloat16",
            help="Of the network's numbers; bfloat16 is less exact and faster. Default: the recipe's.",
        ),
    ] = "",
    restart: Restart = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict whole recordings: one Parquet file each, and its bouts; memory does not grow with length."""
    from murine.predict import predict as call

    written = call(
        model,
        inputs,
        out,
        fps=fps,
        only=only or (),
        resume=not restart,
        runtime=runtime,
        precision=precision,
        progress=progress(quiet),
    )
    value = {"out": str(out), "predictions": [str(path) for path in written]}
    result(
        value,
        as_json,
        f"{many(len(written), 'recording')} predicted in {out}\nNext: murine report {out}",
    )


COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("init", init, "murine init study --videos 'videos/*.mp4' --labels 'labels/*.csv'"),
    ("check", check, "murine check study"),
    ("evaluate", evaluate, "murine evaluate study --recipe dual-stream/srs-sharing-raw"),
    ("train", train, "murine train study --recipe dual-stream/srs-sharing-raw --set training.epochs=20"),
    ("predict", predict, "murine predict study/models/srs-sharing-raw videos/*.mp4 -o out"),
]
