"""A recipe: one flat TOML file that says all of an experiment, as dataclasses that check themselves.

Every setting that means a duration is in seconds. Defaults are those of the class below; a recipe names
what differs, and the resolved copy in the run folder names everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class InputSettings:
    """What a model sees of a recording.

    `spacing_s`: time between the frames used (0: every frame). `size`: height and width after
    resizing. `crop_keypoint` with `crop_size` (pixels of the original) cuts a window around a tracked
    point before resizing. `flow_encoding`: "hsv" (three channels, 8 bit) or "uv" (two channels, clipped
    at +-`flow_limit` pixels, 8 bit). `photometry`: "raw" or "grey".
    `pose_features`: names of families in `pose.features`; `gap_s`: longest gap filled by interpolation.
    `symmetric`: features do not depend on the order of the animals.
    """

    spacing_s: float = 0.0
    size: tuple[int, int] = (128, 128)
    photometry: str = "raw"
    crop_keypoint: str = ""
    crop_size: int = 160
    flow: str = "farneback"
    flow_encoding: str = "hsv"
    flow_limit: float = 20.0
    pose_features: tuple[str, ...] = ("coordinates", "distances", "speeds")
    gap_s: float = 0.5
    confidence: float = 0.0
    symmetric: bool = False


@dataclass(frozen=True)
class WindowSettings:
    """How a recording is cut: `frames` per window (0: the whole recording); strides in seconds, 0 for
    windows side by side. `label`: the rule for a clip model, "centre", "last", "majority", "unanimous".
    """

    frames: int = 8
    train_stride_s: float = 0.0
    predict_stride_s: float = 0.0
    label: str = "majority"


@dataclass(frozen=True)
class TrainingSettings:
    """How weights are learned. `loss` names one of `train.losses`; `class_weights` uses
    n / (classes x n_c); `early_stopping` is a number of epochs without a better validation loss
    (0: off); `precision`: "float32" or "bfloat16" (autocast). `augment`: names in `data.augment`.
    """

    epochs: int = 85
    batch_size: int = 8
    accumulate: int = 1
    optimizer: str = "sgd"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "plateau"
    plateau_factor: float = 0.5
    plateau_patience: int = 5
    early_stopping: int = 0
    gradient_clip: float = 0.0
    precision: str = "float32"
    channels_last: bool = False
    loss: str = "cross_entropy"
    smoothing_weight: float = 0.15
    class_weights: bool = True
    augment: tuple[str, ...] = ()
    samples_per_epoch: int = 0
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    tensorboard: bool = False


@dataclass(frozen=True)
class SplitSettings:
    """How recordings are told apart: by a column (or "recording"), into `folds` groups of groups
    (0: leave one group out). `validation` is the share of training groups kept for early stopping and
    the schedule. `pattern`: a regular expression whose first group in the id is the group, instead
    of a column. `stratify`: balance behaviours over the folds. `fixed`: explicit folds, each a list of
    group values.
    """

    by: str = "recording"
    pattern: str = ""
    folds: int = 0
    stratify: bool = False
    validation: float = 0.2
    fixed: tuple[tuple[str, ...], ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """One experiment. `model` and each step of `postprocess` are a name and that thing's own settings."""

    name: str
    description: str = ""
    source: str = ""
    model: str = "baseline_sharing"
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    input: InputSettings = InputSettings()
    window: WindowSettings = WindowSettings()
    training: TrainingSettings = TrainingSettings()
    split: SplitSettings = SplitSettings()
    postprocess: tuple[Mapping[str, Any], ...] = ()
