"""Windows of prepared recordings as samples for a network.

An item is a slice of what the cache holds, uint8 where it was uint8: scaling to floats is the network's
first step, on its own device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from murine.config import WindowSettings
from murine.data.augment import (
    CROP,
    PHASE,
    Clip,
    augment_clip,
    check_augment,
    check_movable,
    cut_clip,
    pose_changes,
)
from murine.data.cutting import Cutter
from murine.data.prepared import PICTURES, TABLES, Prepared
from murine.data.sampling import balanced_shares, clip_labels, epoch_order, task_order, task_turns
from murine.data.windows import Predicts, stride_in_samples
from murine.errors import InputError
from murine.pose.scaler import Scaler
from murine.types import UNLABELLED, Ethogram, FloatArray, IntArray

Item = dict[str, Tensor]


class WindowDataset(Dataset[Item]):
    """Windows over recordings, each with its streams and its labels.

    `predicts`: "all" labels every sample of a window; "centre" and "last" (clip models) give one label by
    the rule `window.label`. With `train`, windows without a label are left out, the stride is
    `train_stride_s`, and `window.tail`, `augment`, `samples_per_epoch` and `balance` apply; without, every window
    of `predict_stride_s` is there, in order. `balance`: "none"; "draw", every behaviour is drawn equally often;
    "overlap", rarer behaviours have windows that start closer together; "duplicate", theirs are repeated; a
    window counts for the rarest behaviour that it shows; "tasks", a window of each task by turns.
    `scaler` brings the pose features to the scale the
    model was trained with; unknown ones (NaN) become 0. `cut_size`: height and width of the part of the
    pictures that an item shows, the middle or with the augmentation "random_crop" any; (0, 0): all.

    An item: `rgb`, `flow` (channels, T, H, W) uint8; `pose`, `embedding` (T, F) float32; `mask` (T,) bool,
    False for padding; `target` int64 (T_out,) of exclusive behaviours, float32 (T_out, C) of others, -1
    where unknown; `recording` (which of `prepared`) and `start` (sample), int64. Where a recording is
    shorter than the window, pictures repeat the last one and tables are 0.

    Same seed, epoch and index: same item. Raises InputError when nothing is labelled, when recordings
    do not go together, or for an augmentation that does not fit the streams.
    """

    def __init__(
        self,
        prepared: Sequence[Prepared],
        window: WindowSettings,
        predicts: Predicts = "all",
        *,
        train: bool,
        augment: Sequence[str] = (),
        seed: int = 0,
        samples_per_epoch: int = 0,
        balance: str = "none",
        scaler: Scaler | None = None,
        cut_size: tuple[int, int] = (0, 0),
    ) -> None:
        _check_alike(prepared)
        self.prepared = tuple(prepared)
        self.window = window
        self.predicts = predicts
        self.train = train
        self.ethogram = prepared[0].ethogram
        self.scaler = scaler
        self.cut_size = cut_size
        self._seed = seed
        self._epoch = 0
        self._samples = samples_per_epoch
        self._augment = tuple(augment) if train else ()
        check_augment(self._augment, prepared[0].streams)
        self._changes = pose_changes(self._augment, prepared[0].streams)
        if self._changes:
            check_movable(self.prepared, self._augment)
        self.strides = tuple(_stride(p, window, train) for p in prepared)
        self._cutter = Cutter(self.prepared, window, predicts, whole=train and window.tail == "drop")
        self._windows = self._cutter.cut(self.strides)
        if not len(self._windows):
            raise InputError(
                f"none of {len(prepared)} training recordings is as long as a window of {window.frames} samples; the "
                f"longest has {max(len(p) for p in prepared)}. Choose fewer (window.frames), samples closer together "
                '(input.spacing_s), or window.tail = "keep", which repeats the last picture'
            )
        self._shares: FloatArray | None = None
        self._known: NDArray[np.bool_] | None = None
        if train:
            labels = self._cutter.shown(self._windows)
            kept = (labels != UNLABELLED).any(axis=1)
            if not kept.any():
                raise InputError(
                    f"no window of {len(prepared)} training recordings carries a label. Label more, or "
                    "choose another label rule (window.label) or shorter windows (window.frames)"
                )
            self._windows, labels = self._windows.at(kept), labels[kept]
            if balance == "tasks":
                self._known = _tasks_known(labels, self.ethogram)
            elif balance == "draw":
                self._shares = balanced_shares(labels)
            elif balance != "none":
                self._windows = self._cutter.balanced(self._windows, labels, balance)

    def __len__(self) -> int:
        return len(self._windows)

    def __iter__(self) -> Iterator[Item]:
        return (self[i] for i in range(len(self)))

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next items belong to; call it before making the loader of that epoch."""
        self._epoch = epoch

    def order(self) -> list[int]:
        """Return this epoch's indices in the order to visit them; evaluation goes from first to last."""
        if not self.train:
            return list(range(len(self)))
        rng = np.random.default_rng([self._seed, self._epoch])
        if self._known is not None:
            return [int(i) for i in task_order(self._known, rng, self._samples)]
        return [int(i) for i in epoch_order(len(self), rng, self._samples, self._shares)]

    def label_counts(self) -> FloatArray:
        """Return (C,): how many labels of all windows show each behaviour, overlaps counted each time.

        Where windows are drawn so that behaviours balance: how many to expect of as many draws.
        """
        return self._cutter.counts(self._windows, lambda labels: labels == 1, self._times())

    def known_counts(self) -> FloatArray:
        """Return (C,): of how many labels of all windows it is known whether they show each behaviour."""
        return self._cutter.counts(self._windows, lambda labels: labels != UNLABELLED, self._times())

    def _times(self) -> FloatArray | None:
        if self._known is not None:
            return task_turns(self._known)
        return None if self._shares is None else self._shares * len(self)

    def __getitem__(self, index: int) -> Item:
        """Return an item; index len x k + i is window i for the k-th time again, with new randomness."""
        if index < 0 or (index >= len(self) and not self.train):
            raise IndexError(index)
        at = index % len(self)
        r, start = int(self._windows.recording[at]), int(self._windows.start[at])
        prepared, size = self.prepared[r], self._cutter.size(r)
        rng = np.random.default_rng([self._seed, self._epoch, index]) if self._augment else None
        if rng is not None and PHASE in self._augment:
            start = self._phase(r, start, int(self._windows.apart[at]), rng)
        # Copies: what an item holds may be changed by whoever gets it.
        stop = min(start + size, len(prepared))
        shown: IntArray = np.arange(start, stop)
        if rng is not None and self._changes and prepared.posed is not None:
            slices: dict[str, NDArray[Any]] = {}
            slices["pose"], shown = prepared.posed.moved(
                start, stop, self._changes, rng, most=self.window.frames
            )
            size = self.window.frames or len(shown)
        else:
            slices = {name: np.array(values[start:stop]) for name, values in prepared.streams.items()}
        slices.update(self._pictures({name: slices[name] for name in PICTURES if name in slices}, rng))
        item: Item = {}
        for name, values in slices.items():
            if name == "pose":
                values = np.nan_to_num(values) if self.scaler is None else self.scaler.apply(values)
            padded = _padded(values, size, repeat=name in PICTURES)
            tensor = torch.from_numpy(np.ascontiguousarray(padded))
            item[name] = tensor.permute(3, 0, 1, 2) if name in PICTURES else tensor
        item["mask"] = torch.arange(size) < len(shown)
        item["target"] = self._target(prepared, shown, size)
        item["recording"] = torch.tensor(r)
        item["start"] = torch.tensor(start)
        return item

    def _pictures(self, clip: Clip, rng: np.random.Generator | None) -> Clip:
        """Return what an item shows of the pictures of its window."""
        if clip and any(self.cut_size):
            clip = cut_clip(clip, self.cut_size, rng if CROP in self._augment else None)
        return clip if rng is None or not clip else augment_clip(clip, self._augment, rng)

    def _phase(self, recording: int, start: int, apart: int, rng: np.random.Generator) -> int:
        """Move a window by less than the way to the next; where nothing is labelled it stays."""
        prepared, size = self.prepared[recording], self._cutter.size(recording)
        last = max(len(prepared) - size, 0)
        moved = min(start + int(rng.integers(apart)), last)
        labels = self._target(prepared, np.arange(moved, min(moved + size, len(prepared))), size)
        return moved if bool((labels != UNLABELLED).any()) else start

    def _target(self, prepared: Prepared, shown: IntArray, size: int) -> Tensor:
        """Return the labels of a window that shows these samples and is padded to `size`."""
        if self.predicts == "all":
            values = prepared.classes if self.ethogram.exclusive else prepared.resolved
            rows = np.full((size, *values.shape[1:]), UNLABELLED, dtype=values.dtype)
            rows[: len(shown)] = values[shown]
        else:
            # The label needs the samples of the window only, counted from its start.
            near = clip_labels(
                prepared.resolved[shown], np.zeros(1, np.int64), np.full(1, size), self.window.label,
                exclusive=self.ethogram.exclusive,
            )  # fmt: skip
            found = (near == 1).any(axis=1)
            rows = np.where(found, near.argmax(axis=1), UNLABELLED) if self.ethogram.exclusive else near
        return torch.from_numpy(rows.astype(np.int64 if self.ethogram.exclusive else np.float32))


def collate(items: Sequence[Mapping[str, Tensor]]) -> Item:
    """Stack items to a batch; windows of different lengths (whole recordings) are padded to the longest.

    Pictures repeat their last one, tables are 0 with mask False, targets -1.
    """
    length = max(len(item["mask"]) for item in items)
    batch: Item = {}
    for name in items[0]:
        values = [item[name] for item in items]
        if name in PICTURES:
            values = [_longer(v, length, axis=1) for v in values]
        elif name in (*TABLES, "mask"):
            values = [_longer(v, length, axis=0, fill=0) for v in values]
        elif name == "target":
            longest = max(len(v) for v in values)
            values = [_longer(v, longest, axis=0, fill=UNLABELLED) for v in values]
        batch[name] = torch.stack(values).contiguous()
    return batch


def _longer(values: Tensor, length: int, *, axis: int, fill: int | None = None) -> Tensor:
    """Return values with `fill`, or their last along `axis`, added up to `length`."""
    missing = length - values.shape[axis]
    if missing == 0:
        return values
    last = values.narrow(axis, values.shape[axis] - 1, 1)
    if fill is not None:
        last = torch.full_like(last, fill)
    shape = [missing if i == axis else -1 for i in range(values.dim())]
    return torch.cat([values, last.expand(shape)], dim=axis)


def _padded(values: NDArray[np.generic], size: int, *, repeat: bool) -> NDArray[np.generic]:
    missing = size - len(values)
    if missing == 0:
        return values
    tail = np.repeat(values[-1:], missing, axis=0)
    return np.concatenate([values, tail if repeat else np.zeros_like(tail)])


def _stride(prepared: Prepared, window: WindowSettings, train: bool) -> int:
    seconds = window.train_stride_s if train else window.predict_stride_s
    return stride_in_samples(seconds, window.frames, prepared.timeline, prepared.sampling)


def _tasks_known(labels: NDArray[np.int8], ethogram: Ethogram) -> NDArray[np.bool_]:
    """Return (N, K) which windows carry labels of which tasks."""
    columns = [ethogram.columns(task) for task in ethogram.tasks] or [slice(None)]
    return np.stack([(labels[:, part] != UNLABELLED).any(axis=1) for part in columns], axis=1)


def _check_alike(prepared: Sequence[Prepared]) -> None:
    """Raise InputError unless all recordings have the same behaviours, streams and sizes."""
    if not prepared:
        raise InputError("there is no recording to make windows of")
    first = prepared[0]
    for other in prepared[1:]:
        if other.ethogram != first.ethogram:
            raise InputError(
                f"recordings '{first.recording_id}' and '{other.recording_id}' have other behaviours: "
                f"{', '.join(first.ethogram.behaviours)}; {', '.join(other.ethogram.behaviours)}"
            )
        mine = {name: values.shape[1:] for name, values in first.streams.items()}
        theirs = {name: values.shape[1:] for name, values in other.streams.items()}
        if mine != theirs:
            raise InputError(
                f"recordings '{first.recording_id}' and '{other.recording_id}' cannot be learned together: "
                f"their streams are {mine} and {theirs}. Every recording needs the same animals and "
                "keypoints, and the same input settings"
            )
