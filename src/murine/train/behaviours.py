"""A network of its own for each behaviour (`training.per_behaviour`): trained one by one, then one model.

RUN/behaviours/NAME is an ordinary run folder of a network that tells one behaviour from all else, with its
own best epoch; RUN itself holds them side by side and is predicted and judged like any other run.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from murine.files import write_text
from murine.models import create_model
from murine.models.committee import PER_BEHAVIOUR, PerBehaviour
from murine.models.contract import Model
from murine.progress import Progress
from murine.train.checkpoint import METRICS_FILE
from murine.train.runs import BEHAVIOURS_FOLDER, TrainedRun
from murine.train.study import Study

TrainOne = Callable[[Study, Path], TrainedRun]


def train_each(
    study: Study, folder: Path, identity: str, train_one: TrainOne, progress: Progress
) -> TrainedRun:
    """Train a network for each behaviour of a study, and return them as one, not yet saved.

    What is finished is only loaded, an interrupted one goes on. RUN/metrics.csv holds the epochs of all,
    with the behaviour in front.
    """
    names = study.ethogram.behaviours
    places = {name: folder / BEHAVIOURS_FOLDER / place for name, place in folders_of(names).items()}
    runs: list[TrainedRun] = []
    with progress.task("behaviours", len(names), "behaviours") as task:
        for name, place in places.items():
            task.note(name)
            runs.append(train_one(study_of(study, name), place))
            task.advance()
    _join_metrics(folder, places)
    first = runs[0]
    return TrainedRun(
        model=assemble([run.model for run in runs]),
        name=PER_BEHAVIOUR,
        ethogram=study.ethogram,
        recipe=study.recipe,
        hash="",
        identity=identity,
        pose=first.pose,
        embedding=first.embedding,
        fps=first.fps,
        night=first.night,
    )


def study_of(study: Study, behaviour: str) -> Study:
    """Return a study of one behaviour against all else, on the same recordings.

    Samples that show it are labelled 1, other annotated ones 0, also where behaviours exclude each other.
    """
    column = study.ethogram.index(behaviour)
    alone = study.ethogram.alone(behaviour)
    prepared = {
        id_: replace(p, target=p.resolved[:, [column]], ethogram=alone)
        for id_, p in study.prepared.items()
    }
    training = replace(study.recipe.training, per_behaviour=False)
    # steps after it may name other behaviours, and belong to all of them together
    recipe = replace(study.recipe, training=training, postprocess=())
    return replace(study, behaviour=behaviour, recipe=recipe, prepared=prepared, stage=None)


def assemble(models: Sequence[Model]) -> PerBehaviour:
    """Return networks of one behaviour each as one model, with their weights."""
    made = models[0].configuration
    together = create_model(
        PER_BEHAVIOUR,
        classes=len(models),
        features=made.get("features"),
        settings={"member": made["name"], "settings": made["settings"]},
    )
    assert isinstance(together, PerBehaviour)
    for index, model in enumerate(models):
        together.member(index).load_state_dict(model.state_dict())
    return together


def folders_of(behaviours: Sequence[str]) -> dict[str, str]:
    """Return a folder's name for each behaviour: its own, as far as every system allows that."""
    plain = [re.sub(r'[/\\:*?"<>|\n.]', "_", name) for name in behaviours]
    if len({name.casefold() for name in plain}) < len(plain):
        plain = [f"{index + 1}-{name}" for index, name in enumerate(plain)]
    return dict(zip(behaviours, plain, strict=True))


def _join_metrics(folder: Path, places: dict[str, Path]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for index, (name, place) in enumerate(places.items()):
        rows = list(csv.reader((place / METRICS_FILE).read_text(encoding="utf-8").splitlines()))
        if index == 0:
            table.writerow(["behaviour", *rows[0]])
        table.writerows([name, *row] for row in rows[1:])
    write_text(folder / METRICS_FILE, text.getvalue())
