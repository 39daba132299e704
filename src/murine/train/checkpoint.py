"""The state of a training run on disk: one file, replaced in one step after every epoch, no pickle.

Weights, best weights, the optimizer's tensors and all numbers go into one safetensors file (the numbers
as JSON in its header). One file, because two could be parted by a kill between them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from murine.errors import InputError, VersionError
from murine.files import replacing, write_text

STATE_FILE = "state.safetensors"
METRICS_FILE = "metrics.csv"
FORMAT = 1

Row = dict[str, float | int | None]
"""One epoch of metrics.csv; None where a number does not exist (no validation recordings)."""


@dataclass
class Numbers:
    """All of a run's state that is not a tensor.

    `identity`: hash of everything that decides the result; `epoch`: epochs done; `best_epoch`: 0 before
    the first; `waited`: epochs since the best; `schedule`: the learning rate's memory.
    """

    identity: str
    epoch: int = 0
    best_epoch: int = 0
    best_value: float | None = None
    waited: int = 0
    finished: bool = False
    schedule: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


@dataclass
class State:
    """A run after a whole number of epochs. `best` is empty where no validation chooses weights."""

    numbers: Numbers
    model: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Any]


def save_state(folder: Path, state: State) -> None:
    """Write the state in one piece; whatever interrupts it, the state before stays whole.

    Raises StorageError for a full disk or a folder that cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for part, values in (("model", state.model), ("best", state.best)):
        tensors |= {f"{part}/{name}": whole(value) for name, value in values.items()}
    plain: dict[str, dict[str, Any]] = {}
    for index, slots in state.optimizer["state"].items():
        plain[str(index)] = {}
        for name, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = whole(value)
            else:
                plain[str(index)][name] = value
    header = {
        "format": FORMAT,
        "numbers": asdict(state.numbers),
        "groups": state.optimizer["param_groups"],
        "plain": plain,
    }
    with replacing(Path(folder) / STATE_FILE) as part_path:
        try:
            safetensors.torch.save_file(tensors, part_path, {"murine": json.dumps(header)})
        except safetensors.SafetensorError as error:
            # the library hides the operating system's reason (a full disk) in its own kind of error
            raise OSError(_errno(error), str(error)) from error


def load_state(folder: Path) -> State | None:
    """Return the saved state, None where there is none.

    Raises InputError for a damaged file, VersionError for one of a later murine.
    """
    path = Path(folder) / STATE_FILE
    if not path.exists():
        return None
    data = path.read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["murine"])
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: the state of training is damaged ({error}). Delete the run's folder and train again."
        ) from error
    if header["format"] != FORMAT:
        raise VersionError(
            f"{path}: saved in layout {header['format']}, and this version reads layout {FORMAT}. Finish the "
            "run with the version that began it, or delete its folder and train again."
        )
    slots: dict[int, dict[str, Any]] = {int(i): dict(values) for i, values in header["plain"].items()}
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}}
    for key, value in tensors.items():
        part, name = key.split("/", 1)
        if part == "optimizer":
            index, slot = name.split("/", 1)
            slots[int(index)][slot] = value
        else:
            parts[part][name] = value
    optimizer = {"state": slots, "param_groups": header["groups"]}
    return State(Numbers(**header["numbers"]), parts["model"], parts["best"], optimizer)


def drop_leftovers(folder: Path) -> None:
    """Remove half-written files that a killed run left in its folder."""
    for path in Path(folder).glob(".*.part"):
        with suppress(OSError):
            path.unlink()


def whole(tensor: Tensor) -> Tensor:
    """Return a copy that can be saved and that later steps do not touch: on the CPU, in plain order."""
    return torch.empty_like(tensor, device="cpu", memory_format=torch.contiguous_format).copy_(
        tensor.detach()
    )


def snapshot(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of all tensors of a state dictionary."""
    return {name: whole(value) for name, value in tensors.items()}


def write_metrics(folder: Path, rows: list[Row]) -> None:
    """Write metrics.csv, a row per epoch; an empty cell where a number does not exist."""
    names = list(rows[0]) if rows else []
    lines = [",".join(names)]
    lines += [",".join("" if row[n] is None else repr(row[n]) for n in names) for row in rows]
    write_text(Path(folder) / METRICS_FILE, "\n".join(lines) + "\n")


def _errno(error: Exception) -> int:
    """Return the operating system's error number that a message ends with, 0 where it has none."""
    _, found, rest = str(error).partition("os error ")
    digits = rest.split(",")[0].rstrip(") }")
    return int(digits) if found and digits.isdigit() else 0
