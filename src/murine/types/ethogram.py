"""The behaviours of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError


@dataclass(frozen=True)
class Task:
    """Behaviours that are labelled together: by one annotator, in one stream of a file, for one question.

    `exclusive` and `background` as those of an ethogram, among the task's own behaviours.
    """

    name: str
    behaviours: tuple[str, ...]
    exclusive: bool = True
    background: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        if not self.name.strip():
            raise InputError("a task needs a name")
        Ethogram(self.behaviours, self.exclusive, self.background)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form; `Task(**form)` gives the task back."""
        form = Ethogram(self.behaviours, self.exclusive, self.background).to_dict()
        return {"name": self.name, **form}

    @property
    def plain(self) -> tuple[str, ...]:
        """The behaviours' names without the task's own in front."""
        return tuple(name.removeprefix(f"{self.name}/") for name in self.behaviours)


@dataclass(frozen=True)
class Ethogram:
    """Ordered behaviour names; `exclusive` means that at most one of them holds in a frame.

    `background` names the behaviour, one of `behaviours`, that stands for "annotated as none of the
    others" in an exclusive ethogram; None where every annotated frame carries a behaviour. `tasks`: the
    same behaviours in the same order, parted into tasks, each exclusive or not by itself; the whole is not.
    """

    behaviours: tuple[str, ...]
    exclusive: bool = True
    background: str | None = None
    tasks: tuple[Task, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        tasks = tuple(Task(**t) if isinstance(t, Mapping) else t for t in self.tasks)
        object.__setattr__(self, "tasks", tasks)
        if not self.behaviours:
            raise InputError("an ethogram needs at least one behaviour; none came")
        if len(set(self.behaviours)) != len(self.behaviours):
            twice = sorted({b for b in self.behaviours if self.behaviours.count(b) > 1})
            raise InputError(f"behaviour names must differ; named twice: {', '.join(twice)}")
        if any(not b or b != b.strip() for b in self.behaviours):
            raise InputError(f"a behaviour name is empty or padded with spaces: {self.behaviours}")
        if self.background is not None and self.background not in self.behaviours:
            raise InputError(
                f"background '{self.background}' is not a behaviour: {', '.join(self.behaviours)}"
            )
        if self.background is not None and not self.exclusive:
            raise InputError("only an exclusive ethogram has a background; take it out")
        if tasks and (self.exclusive or self.behaviours != tuple(chain(*(t.behaviours for t in tasks)))):
            raise InputError(
                "tasks must hold all behaviours in their order, each in one task, and the whole is not exclusive"
            )
        if len({t.name for t in tasks}) < len(tasks):
            raise InputError(f"tasks must differ in name; came {', '.join(t.name for t in tasks)}")

    @classmethod
    def of_tasks(cls, tasks: Sequence[Task]) -> Ethogram:
        """Return the ethogram of several tasks, whose behaviours are called TASK/BEHAVIOUR."""
        named = tuple(
            Task(
                t.name,
                tuple(f"{t.name}/{b}" for b in t.plain),
                t.exclusive,
                None if t.background is None else f"{t.name}/{t.background.removeprefix(t.name + '/')}",
            )
            for t in tasks
        )
        return cls(tuple(chain(*(t.behaviours for t in named))), exclusive=False, tasks=named)

    def __len__(self) -> int:
        return len(self.behaviours)

    def index(self, name: str) -> int:
        """Return the column of a behaviour; raises InputError that lists the names."""
        if name not in self.behaviours:
            raise InputError(f"unknown behaviour '{name}'; known: {', '.join(self.behaviours)}")
        return self.behaviours.index(name)

    def alone(self, name: str) -> Ethogram:
        """Return the ethogram of one of the behaviours against all else; raises InputError."""
        return Ethogram((self.behaviours[self.index(name)],), exclusive=False)

    def plain_decision(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return what holds by probabilities (N, C): the largest where behaviours exclude each other, in all or
        in a task; else those of at least 0.5.
        """
        if self.exclusive:
            return np.asarray(values.argmax(axis=1)[:, None] == np.arange(len(self)))
        decided = np.asarray(values >= 0.5)
        for columns in (self.columns(task) for task in self.tasks if task.exclusive):
            part = values[:, columns]
            decided[:, columns] = part.argmax(axis=1)[:, None] == np.arange(part.shape[1])
        return decided

    def columns(self, task: Task) -> slice:
        """Return the columns of one of its tasks."""
        first = self.behaviours.index(task.behaviours[0])
        return slice(first, first + len(task.behaviours))

    @property
    def background_index(self) -> int | None:
        """The background's column, or None."""
        return None if self.background is None else self.behaviours.index(self.background)

    @property
    def foreground(self) -> tuple[int, ...]:
        """The columns of all behaviours but the background."""
        return tuple(i for i, b in enumerate(self.behaviours) if b != self.background)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form; `Ethogram(**form)` gives the ethogram back."""
        form: dict[str, Any] = {
            "behaviours": list(self.behaviours),
            "exclusive": self.exclusive,
            "background": self.background,
        }
        return {**form, "tasks": [t.to_dict() for t in self.tasks]} if self.tasks else form
