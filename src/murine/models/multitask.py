"""Several tasks at once: one shared generator, a refining head for each task, annotator and new behaviour.

Source: Do Dinh, Jaakik and Khalfi (EPFL), *ML For Science: Mouse Action Segmentation*, section IV-D: the
generator of MS-TCN++ is shared, refinements are not. Their released code gives several new behaviours one head
by mistake; here each task has its own. Annotators as vectors added to shared features ("embedding") are murine's
own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.contract import Batch, Model, Output
from murine.models.factory import MODELS, ModelEntry
from murine.models.ms_tcn import (
    belief,
    check_kernel,
    dilated_stage,
    dual_layers,
    dual_view,
    pose_and_mask,
    through,
    view,
)
from murine.models.settings import Count, Natural, Share, Table

Style = Literal["head", "embedding"]


class TaskShape(NamedTuple):
    """A task as a network sees it: its columns, whether they exclude each other, and whose head it uses."""

    name: str
    columns: int
    exclusive: bool
    like: str


class Trunk(nn.Module):
    """The shared part: a 1x1 convolution in, dual dilated layers."""

    def __init__(
        self, inputs: int, maps: int, *, layers: int, kernel: int, dropout: float, causal: bool
    ) -> None:
        super().__init__()
        self.enter = nn.Conv1d(inputs, maps, 1)
        self.layers = nn.ModuleList(
            dual_layers(maps, layers=layers, kernel=kernel, dropout=dropout, causal=causal)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, maps, T), zero outside the mask."""
        return through(self.layers, self.enter(x) * mask, mask)


class TaskHead(nn.Module):
    """A first judgement of shared features, and refinements each fed with what the stage before believes.

    `styled`: a task's vector is added inside a layer of its own before the judgement, whose ReLU lets it decide
    which features count; added to the features alone it could only shift the logits.
    """

    def __init__(
        self, maps: int, columns: int, exclusive: bool, refinements: list[nn.Module], styled: bool
    ) -> None:
        super().__init__()
        self.mix = nn.Conv1d(maps, maps, 1) if styled else None
        self.leave = nn.Conv1d(maps, columns, 1)
        self.refinements = nn.ModuleList(refinements)
        self.exclusive = exclusive

    def forward(self, x: Tensor, mask: Tensor, style: Tensor | None) -> list[Tensor]:
        """(B, maps, T), style (maps,) -> logits of every stage, (B, columns, T) each, zero outside the mask."""
        if self.mix is not None and style is not None:
            x = x + F.relu(self.mix(x) + style[:, None])
        stages: list[Tensor] = [self.leave(x) * mask]
        for refinement in self.refinements:
            stages.append(refinement(belief(stages[-1], self.exclusive) * mask, mask))
        return stages


class MultiTask(Model):
    """A generator of dual dilated layers on pose features, shared by the heads of all tasks.

    `classes`, `features`: columns out and in. `maps`, `generator_layers`, `refinement_stages`,
    `refinement_layers`, `kernel`, `dropout`, `causal` as in MS-TCN++, the refinements being each head's.
    `style`: tasks that ask the same, such as one of several annotators each, have a "head" each, or share one,
    which an "embedding" of the task tells whose labels to give. `tasks` follows from the project: by name, how many
    `columns`, whether they are `exclusive`, and the first task that is `like` it; without, all columns are one
    task. `exclusive` is that one's.
    """

    streams = ("pose",)
    head_names = ("heads.", "styles.")
    predicts = "all"

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        maps: Count = 64,
        generator_layers: Count = 11,
        refinement_stages: Natural = 3,
        refinement_layers: Count = 10,
        kernel: Count = 3,
        dropout: Share = 0.5,
        causal: bool = False,
        style: Style = "head",
        exclusive: bool = True,
        tasks: Table | None = None,
    ) -> None:
        super().__init__()
        check_kernel(kernel)
        self.features = features
        self.tasks = _read_tasks(tasks, classes, exclusive, style)
        self.generator = Trunk(
            features, maps, layers=generator_layers, kernel=kernel, dropout=dropout, causal=causal
        )
        shared = [task.like for task in self.tasks]
        self.heads = nn.ModuleDict()
        for task in self.tasks:
            if task.like == task.name:
                refinements: list[nn.Module] = [
                    dilated_stage(
                        task.columns, maps, task.columns,
                        layers=refinement_layers, kernel=kernel, dropout=dropout, causal=causal,
                    )
                    for _ in range(refinement_stages)
                ]  # fmt: skip
                self.heads[_key(task.name)] = TaskHead(
                    maps, task.columns, task.exclusive, refinements, shared.count(task.name) > 1
                )
        self.styles = nn.ParameterDict(
            {
                _key(task.name): nn.Parameter(torch.randn(maps) * 0.1)
                for task in self.tasks
                if shared.count(task.like) > 1
            }
        )
        refined = refinement_stages * (2**refinement_layers - 1)
        self.reach = view(dual_view(generator_layers) + refined, kernel, causal)

    def forward(self, batch: Batch) -> Output:
        """Return logits (B, T, classes) of every frame and task, zero outside the mask."""
        x, mask = pose_and_mask(batch, self.features)
        shared = self.generator(x, mask)
        found = []
        for task in self.tasks:
            style = self.styles.get(_key(task.name))
            found.append(self.heads[_key(task.like)](shared, mask, style))
        stages = [torch.cat(level, dim=1).transpose(1, 2) for level in zip(*found, strict=True)]
        return Output(stages[-1], tuple(stages[:-1]))


def _key(name: str) -> str:
    """Return a task's name as a part of the names of its parameters."""
    return "of_" + re.sub(r"\W", "_", name)


def _read_tasks(
    tasks: Mapping[str, Any] | None, classes: int, exclusive: bool, style: Style
) -> tuple[TaskShape, ...]:
    """Return the tasks of a setting; raises InputError where they are not what a project gives."""
    if not tasks:
        return (TaskShape("all", classes, exclusive, "all"),)
    found = []
    for name, form in tasks.items():
        try:
            task = TaskShape(name, int(form["columns"]), bool(form["exclusive"]), str(form["like"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"tasks: '{name}' needs columns, exclusive and like, as a project gives them; came {form!r}"
            ) from error
        found.append(task if style == "embedding" else task._replace(like=name))
    known = {task.name: task for task in found}
    for task in found:
        model = known.get(task.like)
        if model is None or model.like != model.name or model[1:3] != task[1:3]:
            raise InputError(f"tasks: '{task.name}' is like '{task.like}', which is no such task")
    if sum(task.columns for task in found) != classes:
        raise InputError(
            f"tasks hold {sum(task.columns for task in found)} columns; there are {classes} behaviours"
        )
    if len({_key(name) for name in known}) < len(known):
        raise InputError(f"tasks: names that differ by signs alone: {', '.join(known)}. Rename one")
    return tuple(found)


MODELS.add(
    "multi_task",
    ModelEntry(
        build=MultiTask,
        streams=MultiTask.streams,
        family="multi_task",
        source="Do Dinh et al., Mouse Action Segmentation, section IV-D",
        counted={"classes": 4, "features": 28},
        tiny={
            "maps": 12,
            "generator_layers": 3,
            "refinement_stages": 1,
            "refinement_layers": 3,
            "tasks": {
                "first": {"columns": 2, "exclusive": True, "like": "first"},
                "second": {"columns": 2, "exclusive": False, "like": "second"},
            },
        },
    ),
)
