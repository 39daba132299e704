"""A run folder: everything that training decided, so that prediction needs nothing else.

config.toml (all settings), model.json + weights.safetensors (the network, and what was learned from the
training recordings besides: feature scaling, keypoints, frame rate), metrics.csv, splits.json,
environment.json. state.safetensors is the run's memory while it trains.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from murine import __version__
from murine.config import Recipe, recipe_from_dict, recipe_to_dict
from murine.errors import InputError
from murine.files import write_json
from murine.models import load_model, save_model
from murine.models.committee import PER_BEHAVIOUR
from murine.models.contract import Model
from murine.models.saved import DESCRIPTION, WEIGHTS
from murine.pose.scaler import Scaler
from murine.train.checking import recipe_faults
from murine.train.checkpoint import STATE_FILE, load_state
from murine.types import Ethogram
from murine.video.photometry import Night

MODEL_FILE = DESCRIPTION
WEIGHTS_FILE = WEIGHTS
CONFIG_FILE = "config.toml"
SPLITS_FILE = "splits.json"
ENVIRONMENT_FILE = "environment.json"
BACKBONE_FILE = "backbone.safetensors"
BEHAVIOURS_FOLDER = "behaviours"
"""Within a run folder, where each behaviour has a network of its own: a run folder for each."""
STAGE_FOLDER = "stage"
"""Within a run folder, where the network sees an embedding: what makes it."""


@dataclass(frozen=True, eq=False)
class PoseLayout:
    """What a model expects of a pose: names in their order, and how its features were scaled."""

    animals: tuple[str, ...]
    keypoints: tuple[str, ...]
    scaler: Scaler

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form; `PoseLayout.from_dict` gives the layout back."""
        names = {"animals": list(self.animals), "keypoints": list(self.keypoints)}
        return {**names, "scaler": self.scaler.to_dict()}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> PoseLayout:
        """Return the layout that `to_dict` described."""
        scaler = Scaler.from_dict(form["scaler"])
        return cls(tuple(form["animals"]), tuple(form["keypoints"]), scaler)


@dataclass(frozen=True)
class EmbeddingLayout:
    """What a model's embedding is made of: `key` of its maker, the streams that one `sees`, and whether it
    `tracks` (needs a pose, to see or to crop).
    """

    key: str
    sees: tuple[str, ...]
    tracks: bool

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return {"key": self.key, "sees": list(self.sees), "tracks": self.tracks}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> EmbeddingLayout:
        """Return the layout that `to_dict` described."""
        return cls(str(form["key"]), tuple(form["sees"]), bool(form["tracks"]))


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A trained network and how to feed it. `pose`, `embedding` are None for a network that sees none; `fps`
    is the frame rate of the training recordings if they agree; `night` is what day is made to look like
    (photometry "nightify"); `hash` is of the weights and their description, `identity` of what they were
    learned from and how.
    """

    model: Model
    name: str
    ethogram: Ethogram
    recipe: Recipe
    hash: str
    identity: str = ""
    pose: PoseLayout | None = None
    embedding: EmbeddingLayout | None = None
    fps: float | None = None
    night: Night | None = None
    folder: Path | None = None

    @property
    def softmax(self) -> bool:
        """True if a frame's probabilities add up to 1: behaviours exclude each other, and one network judges."""
        return self.ethogram.exclusive and self.name != PER_BEHAVIOUR

    @property
    def parted(self) -> Ethogram | None:
        """The ethogram whose exclusive tasks' probabilities add up to 1; None where each behaviour is judged
        by a network of its own.
        """
        return None if self.name == PER_BEHAVIOUR else self.ethogram

    @property
    def sees(self) -> tuple[str, ...]:
        """The streams of a recording's files that it takes, an embedding's instead of the embedding."""
        own = tuple(name for name in self.model.streams if name != "embedding")
        made = () if self.embedding is None else self.embedding.sees
        return tuple(dict.fromkeys((*own, *made)))

    @property
    def tracks(self) -> bool:
        """True if it needs a recording's pose: to see it, or to crop by it."""
        pictures = bool({"rgb", "flow"} & set(self.model.streams))
        crops = pictures and bool(self.recipe.input.crop_keypoint)
        described = self.embedding is not None and self.embedding.tracks
        return "pose" in self.model.streams or crops or described


def save_run(folder: Path, run: TrainedRun) -> None:
    """Write model.json and weights.safetensors, which make a run folder a finished one."""
    extra = {
        "recipe": recipe_to_dict(run.recipe),
        "pose": None if run.pose is None else run.pose.to_dict(),
        "embedding": None if run.embedding is None else run.embedding.to_dict(),
        "fps": run.fps,
        "night": run.night,
        "identity": run.identity,
    }
    save_model(run.name, run.model, folder, run.ethogram, extra)


def load_run(folder: Path) -> TrainedRun:
    """Return the network of a finished run folder.

    Raises InputError for a folder that is none or whose training is not finished, VersionError for one
    of a later murine.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "not found"
        raise InputError(
            f"{folder}: {what}. Give the folder of a trained model (murine train makes it)."
        )
    if not (folder / MODEL_FILE).exists():
        state = load_state(folder) if (folder / STATE_FILE).exists() else None
        if state is not None:
            raise InputError(
                f"{folder}: training was stopped after {state.numbers.epoch} epochs. Run the same "
                "'murine train' command again; it goes on from there."
            )
        if (folder / BEHAVIOURS_FOLDER).is_dir():
            raise InputError(
                f"{folder}: training was stopped before every behaviour had its network. Run the same 'murine "
                "train' command again; it goes on from there."
            )
        raise InputError(
            f"{folder}: holds no trained model ({MODEL_FILE}). Give a folder that 'murine train' made, "
            "such as STUDY/models/NAME."
        )
    loaded = load_model(folder)
    extra = loaded.extra
    if "recipe" not in extra:
        raise InputError(
            f"{folder}: its {MODEL_FILE} does not say how to prepare recordings ('recipe' is missing)."
        )
    recipe = recipe_from_dict(extra["recipe"], source=folder / MODEL_FILE, check=recipe_faults)
    try:
        pose = None if extra.get("pose") is None else PoseLayout.from_dict(extra["pose"])
        made = extra.get("embedding")
        embedding = None if made is None else EmbeddingLayout.from_dict(made)
        night = None if extra.get("night") is None else _colours(extra["night"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / MODEL_FILE}: damaged (pose, embedding or night: {type(error).__name__} {error}). Copy the "
            "folder again from its source."
        ) from error
    return TrainedRun(
        model=loaded.model,
        name=loaded.name,
        ethogram=loaded.ethogram,
        recipe=recipe,
        hash=loaded.hash,
        identity=extra.get("identity", ""),
        pose=pose,
        embedding=embedding,
        fps=extra.get("fps"),
        night=night,
        folder=folder,
    )


def _colours(form: Sequence[float]) -> Night:
    red, green, blue = (float(value) for value in form)
    return red, green, blue


def write_environment(folder: Path) -> None:
    """Write environment.json: the versions and the machine a run was made with."""
    write_json(
        folder / ENVIRONMENT_FILE,
        {
            "murine": __version__,
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "numpy": np.__version__,
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
