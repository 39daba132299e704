"""What every network promises, so that one loop trains, one function predicts, one test checks them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from murine.errors import InputError

Batch = Mapping[str, Tensor]
"""`rgb` (B, 3, T, H, W) and `flow` (B, 2 or 3, T, H, W): uint8, or float in 0..255; `pose`, `embedding`
(B, T, F) float32; `mask` (B, T) bool, True where a frame is real (padding is False)."""


Reach = tuple[int | None, int | None]
"""Frames before and after a frame that decide its logits; None: no bound."""


class Output(NamedTuple):
    """Logits (B, T_out, C), never through a softmax; `stages`: the logits of earlier stages, each
    (B, T_out, C), empty unless the model refines. T_out = T if the model predicts "all", else 1.
    """

    logits: Tensor
    stages: tuple[Tensor, ...] = ()


class Model(nn.Module):
    """Base of every network. The constructor's typed keywords are its configuration.

    `streams`: what it takes from a batch. `window`: frames it is built for, None for any length.
    `predicts`: "all" frames of a window, or one label for the "centre" or the "last" frame.
    Scaling of pixels and masking of padding happen inside `forward`. `configuration` is what rebuilds
    the model (name, classes, features, settings), written by the factory and saved beside the weights.

    `head_names`: beginnings of the names of the parameters that depend on the behaviours; a transfer to other
    behaviours replaces them. `described`: columns of `describe`, 0 for a model without.
    `reach` (before, after), of a model that predicts "all": how many frames before and after a frame decide
    its logits. A window that holds these gives the frame's logits as the whole recording does, wherever it
    begins; None: no number of frames is enough. With after = 0 the model is causal, fit for live use.
    """

    streams: tuple[str, ...] = ()
    head_names: tuple[str, ...] = ("head.",)
    predicts: Literal["all", "centre", "last"] = "all"
    window: int | None = None
    described: int = 0
    reach: Reach = (None, None)
    configuration: Mapping[str, Any] = MappingProxyType({})

    def forward(self, batch: Batch) -> Output:
        """Return the logits of a batch."""
        raise NotImplementedError

    def describe(self, batch: Batch) -> Tensor:
        """Return the features (B, described) of each window that the head would judge: an embedding."""
        raise NotImplementedError

    def describe_windows(self, clip: Tensor, starts: Tensor, at_once: int = 16) -> Tensor:
        """Return what `describe` makes of windows of one recording, (N, described).

        `clip` (C, T, H, W): the recording, for a model of one stream of pictures; `starts` (N,): the windows'
        first frames. A network that can (C3D, I3D) computes once what windows of the same `at_once` share:
        windows that lie near each other should stand near each other. Values are those of `describe` but for
        the order of additions. Raises InputError for a window that does not lie in the recording.
        """
        return torch.cat(
            [self.describe_overlapping(*part) for part in self._parts(clip, starts, at_once)]
        )

    def describe_overlapping(self, clip: Tensor, starts: Tensor) -> Tensor:
        """Return `describe` of windows of a short clip, (N, described), all at once."""
        return self.describe({self.streams[0]: _cut(clip, starts, self.window or clip.shape[1])})

    def judge_windows(self, clip: Tensor, starts: Tensor, at_once: int = 16) -> Tensor:
        """Return the logits (N, T_out, C) of windows of one recording, as `describe_windows` takes them."""
        return torch.cat([self.judge_overlapping(*part) for part in self._parts(clip, starts, at_once)])

    def judge_overlapping(self, clip: Tensor, starts: Tensor) -> Tensor:
        """Return the logits (N, T_out, C) of windows of a short clip, all at once."""
        output: Output = self({self.streams[0]: _cut(clip, starts, self.window or clip.shape[1])})
        return output.logits

    def _parts(self, clip: Tensor, starts: Tensor, at_once: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the stretch of the recording that so many windows see, and where in it they begin."""
        size = self.window or clip.shape[1]
        if len(self.streams) != 1 or clip.dim() != 4:
            raise InputError(
                f"windows of one recording (C, T, H, W) are for a network of one stream of pictures; this one "
                f"sees {', '.join(self.streams)}, and {tuple(clip.shape)} came"
            )
        if len(starts) and not 0 <= int(starts.min()) <= int(starts.max()) <= clip.shape[1] - size:
            raise InputError(
                f"windows of {size} frames begin at {int(starts.min())} to {int(starts.max())}, but the "
                f"recording has {clip.shape[1]} frames; they must lie in it"
            )
        for at in range(0, len(starts), at_once):
            part = starts[at : at + at_once]
            first, last = int(part.min()), int(part.max())
            yield clip[:, first : last + size], part - first

    def keras_parameters(self) -> int:
        """Return the count as Keras makes it: parameters and batch-norm statistics, one bias per LSTM."""
        statistics = sum(
            buffer.numel()
            for name, buffer in self.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        )
        second_biases = sum(
            parameter.numel()
            for module in self.modules()
            if isinstance(module, nn.LSTM)
            for name, parameter in module.named_parameters()
            if name.startswith("bias_hh")
        )
        return sum(p.numel() for p in self.parameters()) + statistics - second_biases


def _cut(clip: Tensor, starts: Tensor, size: int) -> Tensor:
    """Return windows (N, C, size, H, W) of a clip (C, T, H, W)."""
    return torch.stack([clip[:, start : start + size] for start in starts.tolist()])
