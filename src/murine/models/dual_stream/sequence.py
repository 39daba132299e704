"""Layers of CIv3D that take the positions of a feature map, frame by frame and row by row, as a sequence.

Both begin as in Keras, whose rules for these weights are not those of a dense layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from murine.models.blocks import Dropout, keras_batch_norm


class SelfAttention(nn.Module):
    """One head of self-attention, with batch norms instead of layer norms and concatenation instead of sums.

    q and v are two batch norms of the input, a = attention(query q, key and value v), y a batch norm of
    [q, a, v]; the result is [y, a]. No dense layers follow and positions are not encoded. Dropout falls on
    the attention weights. (Section 3.2.2; what is inside follows from the count of 53,376 at 192 channels.)
    """

    def __init__(self, channels: int, keys: int, dropout: float, momentum: float) -> None:
        super().__init__()
        self.outputs = 4 * channels
        self.norm_query = keras_batch_norm(channels, momentum)
        self.norm_value = keras_batch_norm(channels, momentum)
        self.query = nn.Linear(channels, keys)
        self.key = nn.Linear(channels, keys)
        self.value = nn.Linear(channels, keys)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(keys, channels)
        self.norm = keras_batch_norm(3 * channels, momentum)

    def initialise(self) -> None:
        """Set query, key and value as Keras does, which takes them for convolutions of `channels` places.

        Its kernels are (channels, heads, keys): Glorot's limit comes out as of channels + channels x keys.
        """
        for layer in (self.query, self.key, self.value):
            limit = (6 / (layer.in_features * (1 + layer.out_features))) ** 0.5
            nn.init.uniform_(layer.weight, -limit, limit)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, 4 C, T, H, W)."""
        queries, values = self.norm_query(x), self.norm_value(x)
        tokens = values.flatten(2).transpose(1, 2)
        scores = self.query(queries.flatten(2).transpose(1, 2)) @ self.key(tokens).mT
        weights = self.dropout((scores * self.key.out_features**-0.5).softmax(-1))
        seen = self.output(weights @ self.value(tokens)).transpose(1, 2).unflatten(2, x.shape[2:])
        return torch.cat([self.norm(torch.cat([queries, seen, values], dim=1)), seen], dim=1)


class BidirectionalLSTM(nn.Module):
    """Keras' bidirectional LSTM: one bias per gate, and the last output of each direction side by side.

    PyTorch's has two biases, which learn at twice the rate of one. Weights are (2 directions, 4 gates x
    units, inputs), gates in the order input, forget, cell, output.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(2, 4 * units, inputs))
        self.recurrent = nn.Parameter(torch.empty(2, 4 * units, units))
        self.bias = nn.Parameter(torch.empty(2, 4 * units))

    def initialise(self) -> None:
        """Set Glorot uniform kernels, orthogonal recurrent kernels, biases of 0, and 1 at the forget gate."""
        units = self.recurrent.shape[2]
        with torch.no_grad():
            for kernel, recurrent in zip(self.kernel, self.recurrent, strict=True):
                nn.init.xavier_uniform_(kernel)
                nn.init.orthogonal_(recurrent)
            self.bias.zero_()
            self.bias[:, units : 2 * units] = 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, steps, inputs) -> (B, 2 units): after the last step, and after the first read backwards."""
        both = torch.stack([x, x.flip(1)])
        given = both.flatten(1, 2) @ self.kernel.mT + self.bias[:, None]
        recurrent = self.recurrent.mT
        hidden = cell = torch.zeros((), device=x.device)
        for place, step in enumerate(given.reshape(*both.shape[:3], -1).unbind(2)):
            gates = step + hidden @ recurrent if place else step
            enter, keep, new, out = gates.chunk(4, dim=-1)
            cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = out.sigmoid() * cell.tanh()
        return torch.cat(list(hidden), dim=-1)
