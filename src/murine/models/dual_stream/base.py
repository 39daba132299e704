"""What all dual-stream networks share: their input, their head, and what they say of a clip."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from murine.models.blocks import channels_last, keras_initialise
from murine.models.contract import Batch, Model, Output
from murine.models.dual_stream.layers import ClipInput, Head
from murine.models.dual_stream.sequence import BidirectionalLSTM, SelfAttention


class DualStream(Model):
    """A clip of RGB pictures and one of optical flow in, one row of logits out.

    `classes`: number of behaviours. `frames`, `size` (height, width), `crop_rows`, `flow_channels`,
    `rgb_mean`, `rgb_std`: the input, see `ClipInput`. `width` multiplies all filters (1: as published).
    `head_units`: hidden dense layers ([1024] for UCF101, Table 8). `norm_momentum`, where there is batch
    normalisation: share of a batch's statistics in the running ones; raise it where training lasts only some
    hundred steps. Two views of a cage stacked to one picture are one input of that `size`.

    `describe` gives the flattened input of the head: everything the dense layers, which a transfer to other
    behaviours replaces, would see.
    """

    streams = ("rgb", "flow")
    predicts = "centre"

    def __init__(self, clips: ClipInput) -> None:
        super().__init__()
        self.window = clips.given[0]
        self.input = clips

    def _finish(self, inputs: int, units: Sequence[int], classes: int, dropout: float) -> None:
        """Add the head and set all weights as Keras does."""
        self.head = Head(inputs, units, classes, dropout)
        self.described = inputs
        keras_initialise(self)
        for layer in self.modules():
            if isinstance(layer, BidirectionalLSTM | SelfAttention):
                layer.initialise()
        channels_last(self)

    def _features(self, batch: Batch) -> Tensor:
        """Return what the head flattens: (B, C, T, H, W) or (B, described)."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Output:
        """Return one row of logits per clip, (B, 1, classes)."""
        return Output(self.head(self._features(batch)))

    def describe(self, batch: Batch) -> Tensor:
        """Return the input of the head, flattened, (B, described), channels first."""
        return self._features(batch).flatten(1)
