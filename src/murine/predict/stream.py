"""A network over one recording of any length: windows in order, rows of probabilities out, little in memory.

T frames, S samples, C behaviours, B windows in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from murine.data.augment import cut_clip
from murine.data.overlap import sight
from murine.data.prepared import PICTURES
from murine.data.windows import Sampling, Stitcher, Windows, plan, stride_in_samples
from murine.models.contract import Batch, Model, Output
from murine.predict.partial import Partial
from murine.progress import SILENT, Progress, Task
from murine.train.device import Network, autocast, choose_device, to_device, use_channels_last
from murine.train.losses import probabilities
from murine.train.runs import TrainedRun
from murine.types import Prediction, Timeline

Streams = dict[str, NDArray[Any]]
Judge = Callable[[Batch], Output]
"""A network, however it is computed."""


class Source(Protocol):
    """A recording that hands out its streams piece by piece."""

    @property
    def recording(self) -> str:
        """Its name."""

    @property
    def timeline(self) -> Timeline:
        """The times of its T frames."""

    @property
    def sampling(self) -> Sampling:
        """Which S of them the network sees."""

    def chunks(self, start: int) -> Iterator[tuple[int, Streams]]:
        """Give (first sample, streams of n samples) one after the other, from sample `start` on.

        rgb and flow (n, H, W, channels) uint8, pose (n, F) float32 before scaling.
        """


def predict_recording(
    run: TrainedRun,
    source: Source,
    *,
    device: str = "auto",
    meta: Mapping[str, Any] = MappingProxyType({}),
    judge: Judge | None = None,
    progress: Progress = SILENT,
) -> Prediction:
    """Return the probabilities of every frame of one recording; each frame takes its nearest sample's.

    `progress` is told where a network cannot be compiled. Memory: one row of C numbers a frame, and what
    `predict_rows` holds.
    """
    rest = predict_rows(run, source, device=device, judge=judge, progress=progress)
    parts = [rows for _, rows in rest]
    values = np.concatenate(parts)[source.sampling.owner]
    values.setflags(write=False)
    return Prediction(source.recording, run.ethogram, values, source.timeline, meta)


def predict_into(
    partial: Partial,
    run: TrainedRun,
    source: Source,
    *,
    device: str = "auto",
    judge: Judge | None = None,
    task: Task | None = None,
    progress: Progress = SILENT,
) -> None:
    """Add to `partial` the rows of all samples that it does not have yet.

    `task` is told of every sample. Memory: what `predict_rows` holds, however long the recording.
    """
    if task is not None:
        task.advance(partial.rows)
    if partial.rows == len(source.sampling):
        return
    rest = predict_rows(run, source, first=partial.rows, device=device, judge=judge, progress=progress)
    for start, rows in rest:
        partial.add(start, rows)
        if task is not None:
            task.advance(len(rows))


def predict_rows(
    run: TrainedRun,
    source: Source,
    *,
    first: int = 0,
    device: str = "auto",
    judge: Judge | None = None,
    progress: Progress = SILENT,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Give (first sample, probabilities (L, C)) one after the other, from sample `first` to the last.

    Windows overlap by the recipe's stride. Where they do, a sample is taken from those that hold all that
    decides it (the model's `reach`), else from all of them, averaged. Rows are given as soon as no
    later window can change them, so memory depends on window and batch and not on the length of the
    recording. Only a network that sees whole recordings at once holds one whole. `first` continues an
    interrupted prediction: batches are cut as they were, so that the rows are the same to the last bit.
    `judge`: computes the network in torch's place (runtime.py).
    """
    recipe = run.recipe
    where = choose_device(device)
    model = run.model.to(where).eval()
    channels_last = recipe.training.channels_last
    if channels_last:
        use_channels_last(model)
    network = judge or Network(model, compiled=recipe.training.compile, progress=progress)
    samples = len(source.sampling)
    windows = plan(samples, recipe.window.frames, _stride(run, source), model.predicts)
    trusted = sight(windows, model.reach)
    stitcher = Stitcher(samples, len(run.ethogram), first=first)
    size = recipe.training.batch_size
    shares = judge is None and not recipe.training.compile and shares_overlap(model, windows)
    begin = windows.first_touching(first) // size * size
    reader = SampleReader(source, int(windows.start[begin]) if begin < len(windows) else samples)
    for at in range(begin, len(windows), size):
        chosen = range(at, min(at + size, len(windows)))
        with torch.inference_mode(), autocast(where, recipe.training.precision):
            if shares:
                clip, starts = overlapping_clip(reader, windows, chosen, run)
                logits = model.judge_windows(clip.to(where), starts, size)
            else:
                made = window_batch(reader, windows, chosen, run)
                logits = network(to_device(made, where, channels_last=channels_last)).logits
        values = probabilities(logits, exclusive=run.softmax, ethogram=run.parted).cpu().numpy()
        for index, rows in zip(chosen, values, strict=True):
            weights = None if trusted is None else trusted.weights(index)
            stitcher.add(*windows.place(index, rows), weights)
        start, done = stitcher.finished()
        if len(done):
            yield start, done
    start, done = stitcher.rest()
    if len(done):
        yield start, done


def _stride(run: TrainedRun, source: Source) -> int:
    window = run.recipe.window
    return stride_in_samples(window.predict_stride_s, window.frames, source.timeline, source.sampling)


def window_batch(
    reader: SampleReader, windows: Windows, chosen: Sequence[int], run: TrainedRun
) -> dict[str, torch.Tensor]:
    """Return the batch of some windows; padding is what the data set of training pads with."""
    first, last = int(windows.start[chosen[0]]), int(windows.stop[chosen[-1]])
    held = reader.read(first, min(last, windows.n))
    real = np.minimum(windows.stop[chosen], windows.n) - windows.start[chosen]
    size = int(windows.stop[0] - windows.start[0])
    batch = {"mask": torch.arange(size)[None] < torch.from_numpy(real)[:, None]}
    for name, values in held.items():
        if name == "pose" and run.pose is not None:
            values = run.pose.scaler.apply(values)
        if name in PICTURES and any(run.recipe.input.cut_size):
            values = cut_clip({name: values}, run.recipe.input.cut_size)[name]
        cut = []
        for index, length in zip(chosen, real.tolist(), strict=True):
            at = int(windows.start[index]) - first
            rows = values[at : at + length]
            if length < size:
                tail = np.repeat(rows[-1:], size - length, axis=0)
                rows = np.concatenate([rows, tail if name in PICTURES else np.zeros_like(tail)])
            cut.append(rows)
        tensor = torch.from_numpy(np.stack(cut))
        batch[name] = tensor.permute(0, 4, 1, 2, 3).contiguous() if name in PICTURES else tensor
    return batch


def shares_overlap(model: Model, windows: Windows) -> bool:
    """Return whether windows overlap and the network computes once what they share (C3D, I3D)."""
    overlap = len(windows) > 1 and bool((windows.start[1:] < windows.stop[:-1]).any())
    whole = int(windows.stop[-1]) <= windows.n
    pictures = len(model.streams) == 1 and model.streams[0] in PICTURES
    knows = type(model).judge_overlapping is not Model.judge_overlapping
    return pictures and overlap and whole and knows


def overlapping_clip(
    reader: SampleReader, windows: Windows, chosen: Sequence[int], run: TrainedRun
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the stretch (C, T, H, W) that some windows of a network of one stream see, and where in it they
    begin, (N,).
    """
    first, last = int(windows.start[chosen[0]]), int(windows.stop[chosen[-1]])
    ((name, values),) = reader.read(first, last).items()
    if any(run.recipe.input.cut_size):
        values = cut_clip({name: values}, run.recipe.input.cut_size)[name]
    starts = torch.from_numpy(windows.start[chosen] - first)
    return torch.from_numpy(values).permute(3, 0, 1, 2), starts


class SampleReader:
    """Samples in order of windows: keeps what a later window needs and forgets what none does."""

    def __init__(self, source: Source, start: int) -> None:
        self._chunks = source.chunks(start)
        self._start = start
        self._stop = start
        self._held: list[Mapping[str, NDArray[Any]]] = []

    def read(self, start: int, stop: int) -> Streams:
        """Return samples [start, stop); `start` must not fall below that of an earlier call."""
        while self._stop < stop:
            first, streams = next(self._chunks)
            if first != self._stop:
                raise RuntimeError(f"samples from {self._stop} on were expected, {first} came")
            self._held.append(streams)
            self._stop += len(next(iter(streams.values())))
        while self._held and self._start + _length(self._held[0]) <= start:
            self._start += _length(self._held.pop(0))
        parts: list[Streams] = []
        at = self._start
        for held in self._held:
            cut = slice(max(start - at, 0), max(stop - at, 0))
            parts.append({name: values[cut] for name, values in held.items()})
            at += _length(held)
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _length(streams: Mapping[str, NDArray[Any]]) -> int:
    return len(next(iter(streams.values())))
