"""The settings of a recipe: each field with its default and, beside it, the values it may take.

Every setting that means a duration is in seconds. Defaults are those of the class below; a recipe names
what differs, and the resolved copy in the run folder names everything.

Names that stand for a function (a loss, an optimizer, a pose feature, a flow method, an augmentation, a
post-processing step, a model) are not listed here: whoever owns the function owns its name, and
`load_recipe(check=...)` asks there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from murine.config.convert import ValueFault, freeze, rule, value_faults
from murine.errors import ConfigError
from murine.types import VIEW_COLUMN


class _Checked:
    """A settings dataclass that refuses values outside their ranges, all faults at once."""

    def __post_init__(self) -> None:
        faults = [*value_faults(self), *self._together()]
        if faults:
            raise ConfigError(type(self).__name__, faults)

    def _together(self) -> list[str]:
        """Return the faults of settings that do not fit each other."""
        return []


@dataclass(frozen=True)
class InputSettings(_Checked):
    """What a model sees of a recording.

    `spacing_s`: time between the frames used (0: every frame). `size`: height and width after
    resizing. `cut_size`: height and width of the part of these pictures that the network sees, the middle
    one, or with the augmentation "random_crop" any (0, 0: all of them). `crop_keypoint` with `crop_size`
    (pixels of the original) cuts a window around a tracked point before resizing. `flow_encoding`:
    "hsv" (three channels, 8 bit) or "uv" (two channels, clipped at +-`flow_limit` pixels, 8 bit).
    `views`: the videos of a recording that are stacked to one picture, from top to bottom, by the names of
    their columns: "video", "video2", ... (none: "video"). `photometry`: "raw", "grey" or "nightify" (day made
    to look like night). `night`: the column that says yes for recordings made at night, or "measured".
    `pose_features`: names of families in `pose.features`; `gap_s`: longest gap filled by interpolation.
    `symmetric`: features do not depend on the order of the animals. `pose_pool`: the features of a sample
    are those of its own frame ("sample"), or the mean over all frames nearer to it than to others ("mean").
    `pose_scaling`: features of the training recordings get mean 0 and deviation 1 ("standard") or 0..1 ("range").
    `smooth_s`: positions are means over so long (0: not smoothed). `pose_fps`: frames per second that the pose is
    brought to first (0: its own). `pose_units`: what lengths are measured in; for "cm", `known_length` names two
    keypoints, or a column of recordings.csv that holds pixels, which are `known_cm` long. `arena`, `interest`:
    columns that hold the walls (left, top, right, bottom) and points of interest (x, y), in pixels. `agent`: the
    animal that comes first, by its name or the column that holds it.
    """

    spacing_s: float = rule(0.0, low=0)
    size: tuple[int, int] = rule((128, 128), low=8)
    cut_size: tuple[int, int] = rule((0, 0), low=0)
    views: tuple[str, ...] = ()
    photometry: str = "raw"
    night: str = "night"
    crop_keypoint: str = ""
    crop_size: int = rule(160, low=8)
    flow: str = "farneback"
    flow_encoding: str = "hsv"
    flow_limit: float = rule(20.0, above=0)
    pose_features: tuple[str, ...] = ("coordinates", "distances", "speeds")
    gap_s: float = rule(0.5, low=0)
    confidence: float = rule(0.0, low=0, high=1)
    symmetric: bool = False
    pose_pool: str = rule("sample", choices=("sample", "mean"))
    pose_scaling: str = rule("standard", choices=("standard", "range"))
    smooth_s: float = rule(0.0, low=0)
    pose_fps: float = rule(0.0, low=0)
    pose_units: str = rule("pixels", choices=("pixels", "body_lengths", "cm"))
    known_length: tuple[str, ...] = ()
    known_cm: float = rule(0.0, low=0)
    arena: str = ""
    interest: tuple[str, ...] = ()
    agent: str = ""

    @property
    def seen_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the network sees."""
        return self.cut_size if any(self.cut_size) else self.size

    def _together(self) -> list[str]:
        faults = []
        if any(self.cut_size) and not all(
            8 <= c <= s for c, s in zip(self.cut_size, self.size, strict=True)
        ):
            faults.append(
                f"cut_size: a part of size, which is {list(self.size)}, at least 8 (or 0, 0: all of it); came "
                f"{list(self.cut_size)}"
            )
        if any(name != "video" and not VIEW_COLUMN.fullmatch(name) for name in self.views):
            faults.append(
                f'views: expected columns "video", "video2", "video3", ...; came {list(self.views)}'
            )
        if len(set(self.views)) < len(self.views):
            faults.append(f"views: one is named twice: {list(self.views)}")
        if len(self.views) > 1 and self.size[0] % len(self.views):
            faults.append(
                f"views: {len(self.views)} of them cannot share a height of {self.size[0]} pixels equally; choose "
                f"another size, such as {[self.size[0] // len(self.views) * len(self.views), self.size[1]]}"
            )
        if len(self.views) > 1 and any(self.cut_size):
            faults.append("views: the middle part (cut_size) of several of them would lie on their seam")
        if self.views not in ((), ("video",)) and self.crop_keypoint:
            faults.append(
                "views: a point is tracked in the column 'video', so another view cannot be cut around it; leave "
                "crop_keypoint out"
            )
        if not self.night.strip():
            faults.append("night: name a column of recordings.csv, or 'measured'")
        return [*faults, *self._pose_together()]

    def _pose_together(self) -> list[str]:
        faults = []
        if self.pose_units == "cm" and not (len(self.known_length) in (1, 2) and self.known_cm):
            faults.append(
                "pose_units: 'cm' needs a known length: two keypoints, or one column of recordings.csv that holds "
                "pixels (known_length), and how many cm it is (known_cm)"
            )
        if self.pose_units != "cm" and (self.known_length or self.known_cm):
            faults.append("known_length: is used where pose_units = 'cm' only; set that or leave it out")
        if self.interest and "points" not in self.pose_features:
            faults.append(
                "interest: the family that sees points of interest, 'points', is not in pose_features"
            )
        if "points" in self.pose_features and not self.interest:
            faults.append("pose_features: 'points' of interest are named in interest, which is empty")
        return faults


@dataclass(frozen=True)
class WindowSettings(_Checked):
    """How a recording is cut: `frames` per window (0: the whole recording); strides in seconds, 0 for
    windows side by side. `label`: the rule for a clip model, "centre", "last", "majority", "unanimous".
    `tail`: what a recording's last, incomplete window is to training, "keep" (moved back to fit) or "drop".
    """

    frames: int = rule(8, low=0)
    train_stride_s: float = rule(0.0, low=0)
    predict_stride_s: float = rule(0.0, low=0)
    label: str = rule("majority", choices=("centre", "last", "majority", "unanimous"))
    tail: str = rule("keep", choices=("keep", "drop"))


@dataclass(frozen=True)
class EmbeddingSettings(_Checked):
    """Where the stream "embedding" comes from: a row of numbers per sample, computed once and cached.

    Either `backbone`, a network of single pictures (`models.backbones`), with `weights` (a file; "": the
    backbone's own file in the weights folder; "random": fresh ones), or `recipe`: the network that this
    recipe trains on the same training recordings first, its window laid around each sample (with `weights`,
    the folder of one that it trained elsewhere: that, as it is). `size`: height and width of the pictures,
    (0, 0) for those the network is built for; crop and photometry are those of the input. `normalise`: rows
    have length 1.
    """

    backbone: str = ""
    weights: str = ""
    recipe: str = ""
    size: tuple[int, int] = rule((0, 0), low=0)
    normalise: bool = False
    batch_size: int = rule(32, low=1)
    precision: str = rule("float32", choices=("float32", "bfloat16"))

    def _together(self) -> list[str]:
        faults = []
        if self.backbone and self.recipe:
            faults.append(
                "backbone: an embedding comes from a backbone or from a recipe; name one of them"
            )
        if self.weights and not self.backbone and not self.recipe:
            faults.append("weights: of which backbone? Name it (embedding.backbone)")
        if self.weights == "random" and self.recipe:
            faults.append(
                "weights: 'random' is for a backbone; of a recipe name the folder of a network that it trained, "
                "or leave it out: then it is trained first"
            )
        if 0 in self.size and any(self.size):
            faults.append("size: height and width above 0, or 0, 0 for the network's own")
        return faults


@dataclass(frozen=True)
class TrainingSettings(_Checked):
    """How weights are learned. `loss` names one of `train.losses`, to which `boundary_weight` adds one of
    boundaries; `class_weights` uses n / (classes x n_c), or with `class_weights_beta` below 1 the effective
    number of frames, (1 - beta^n_c) / (1 - beta), in place of n_c; `task_weights`: of the tasks' losses, in
    order; `early_stopping` is a number of epochs without a better validation loss (0: off);
    `precision`: "float32" or "bfloat16" (autocast). `augment`: names in `data.augment`.

    `initial`: a trained model's folder, or a file of published weights that the network can read, to begin
    from; what does not fit the new head begins anew. `freeze`: parts of the network (beginnings of names of
    its parameters, or "all but head") that stay as they are for `freeze_epochs` (0: throughout); then
    everything learns, at `thaw_factor` times the rate. `watch`: what tells the best epoch, "loss" or "pr_auc"
    of the validation recordings. `balance`: how rare behaviours come to weigh more, beside `class_weights`:
    "none"; "draw" (windows drawn so that each comes equally often); "overlap" (rarer ones cut into windows
    that overlap more); "duplicate" (windows of rarer ones repeated); "tasks" (a window of each task by
    turns). `per_behaviour`: a network of its own for each behaviour, which only tells it from everything
    else. `compile`: torch.compile.
    """

    epochs: int = rule(85, low=1)
    batch_size: int = rule(8, low=1)
    accumulate: int = rule(1, low=1)
    optimizer: str = "sgd"
    learning_rate: float = rule(1e-3, above=0)
    momentum: float = rule(0.0, low=0, below=1)
    weight_decay: float = rule(0.0, low=0)
    schedule: str = "plateau"
    plateau_factor: float = rule(0.5, above=0, below=1)
    plateau_patience: int = rule(5, low=0)
    final_rate: float = rule(0.0, low=0)
    early_stopping: int = rule(0, low=0)
    gradient_clip: float = rule(0.0, low=0)
    precision: str = rule("float32", choices=("float32", "bfloat16"))
    channels_last: bool = False
    loss: str = "cross_entropy"
    smoothing_weight: float = rule(0.15, low=0)
    focal_gamma: float = rule(2.0, low=0)
    boundary_weight: float = rule(0.0, low=0)
    class_weights: bool = True
    class_weights_beta: float = rule(1.0, low=0, high=1)
    task_weights: tuple[float, ...] = rule((), above=0)
    augment: tuple[str, ...] = ()
    samples_per_epoch: int = rule(0, low=0)
    seed: int = rule(0, low=0)
    device: str = "auto"
    workers: int = rule(0, low=0)
    tensorboard: bool = False
    initial: str = ""
    freeze: tuple[str, ...] = ()
    freeze_epochs: int = rule(0, low=0)
    thaw_factor: float = rule(1.0, above=0)
    watch: str = rule("loss", choices=("loss", "pr_auc"))
    balance: str = rule("none", choices=("none", "draw", "overlap", "duplicate", "tasks"))
    per_behaviour: bool = False
    compile: bool = False

    def _together(self) -> list[str]:
        faults = []
        if self.freeze_epochs and not self.freeze:
            faults.append('freeze_epochs: of which part? Name it, such as freeze = ["all but head"]')
        if self.final_rate > self.learning_rate:
            faults.append(
                f"final_rate: above learning_rate ({self.learning_rate:g}), and rates only fall"
            )
        return faults


@dataclass(frozen=True)
class SplitSettings(_Checked):
    """How recordings are told apart: by a column (or "recording"), into `folds` groups of groups
    (0: leave one group out). `validation` is the share of training groups kept for early stopping and
    the schedule. `pattern`: a regular expression whose first group in the id is the group, instead
    of a column. `stratify`: balance behaviours over the folds. `fixed`: explicit folds, each a list of
    group values. `train_share`: how many of the training recordings are used, for learning curves.
    """

    by: str = "recording"
    pattern: str = ""
    folds: int = rule(0, low=0)
    stratify: bool = False
    validation: float = rule(0.2, low=0, below=1)
    fixed: tuple[tuple[str, ...], ...] = ()
    train_share: float = rule(1.0, above=0, high=1)
    seed: int = rule(0, low=0)

    def _together(self) -> list[str]:
        faults = []
        try:
            groups = re.compile(self.pattern).groups if self.pattern else 1
        except re.error as error:
            faults.append(f"pattern: not a regular expression ({error}): {self.pattern}")
        else:
            if groups < 1:
                faults.append(
                    f"pattern: needs a part in brackets that is the group, such as '(cage\\d)_'; "
                    f"came '{self.pattern}'"
                )
        if self.folds == 1:
            faults.append("folds: one fold leaves nothing to learn from; 2 or more, or 0: one group out")
        if self.fixed and self.folds not in (0, len(self.fixed)):
            faults.append(
                f"fixed: names {len(self.fixed)} folds and folds says {self.folds}; leave folds out"
            )
        values = [value for fold in self.fixed for value in fold]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            faults.append(f"fixed: a group belongs to one fold; named twice: {', '.join(twice)}")
        if any(not fold for fold in self.fixed):
            faults.append("fixed: a fold is empty; take it out")
        return faults


@dataclass(frozen=True)
class Recipe(_Checked):
    """One experiment. `model` and each step of `postprocess`: a name and that thing's own settings."""

    name: str
    description: str = ""
    source: str = ""
    model: str = "baseline_sharing"
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    input: InputSettings = InputSettings()
    window: WindowSettings = WindowSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    training: TrainingSettings = TrainingSettings()
    split: SplitSettings = SplitSettings()
    postprocess: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        # Lists become tuples, so that a recipe equals the one read back from its own file.
        try:
            object.__setattr__(self, "model_settings", freeze(self.model_settings))
            object.__setattr__(self, "postprocess", freeze(self.postprocess))
        except ValueFault as fault:
            raise ConfigError("Recipe", [f"model_settings or postprocess: expected {fault}"]) from None
        super().__post_init__()

    def _together(self) -> list[str]:
        return [f"{what}: empty" for what in ("name", "model") if not getattr(self, what).strip()]
