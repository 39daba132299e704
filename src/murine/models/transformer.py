"""Transformer encoder over embeddings, the thesis' first wish for later work.

Source: Vaswani et al., *Attention is all you need*, section 3 (encoder, sinusoidal positions); normalisation
before attention and before the dense layers. Sizes are ours: nothing is published for mice.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from murine.errors import InputError
from murine.models.factory import MODELS, ModelEntry
from murine.models.sequence import EmbeddingModel, SequenceHead, keras_dense
from murine.models.settings import Count, Natural, Share

Positions = Literal["sinusoidal", "relative"]


class Attention(nn.Module):
    """Attention of several heads, of every frame to the real frames at most `span` away (0: to all).

    `relative`: how many distances each way have a weight of their own, learned, zero at first, added to the
    match of query and key; what lies further has that of the last (0: none).
    With a span the frames are taken in blocks of that length, so that cost grows with T, not with its square.
    `causal`: no frame sees a later one.
    """

    def __init__(
        self, units: int, heads: int, dropout: float, span: int, relative: int, causal: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.dropout, self.span, self.relative = heads, dropout, span, relative
        self.causal = causal
        self.enter = keras_dense(nn.Linear(units, 3 * units))
        self.leave = keras_dense(nn.Linear(units, units))
        self.bias = nn.Parameter(torch.zeros(heads, 2 * relative + 1)) if relative else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, units), mask (B, T) -> (B, T, units)."""
        shape = (*x.shape[:2], self.heads, -1)
        query, key, value = (
            part.reshape(shape).transpose(1, 2) for part in self.enter(x).chunk(3, dim=-1)
        )
        whole = not 0 < self.span < x.shape[1] - 1
        out = self._all(query, key, value, mask) if whole else self._near(query, key, value, mask)
        mixed: Tensor = self.leave(out.transpose(1, 2).flatten(2))
        return mixed

    def _all(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """(B, heads, T, D) each -> the same; every frame sees every real one."""
        frames = torch.arange(query.shape[2], device=query.device)
        distance = frames[None] - frames[:, None]
        seen = mask[:, None, None]
        bias = self._bias(distance, seen & (distance <= 0) if self.causal else seen, query.dtype)
        return self._attend(query, key, value, bias)

    def _near(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """The same within the span: a block of queries against its own, the last and the next block of keys."""
        size, frames = self.span, query.shape[2]
        extra = -frames % size
        mask = F.pad(mask, (size, size + extra)).unfold(1, 3 * size, size)  # (B, blocks, 3 size)
        query = F.pad(query, (0, 0, 0, extra)).unfold(2, size, size).transpose(-1, -2)
        key, value = (
            F.pad(x, (0, 0, size, size + extra)).unfold(2, 3 * size, size).transpose(-1, -2)
            for x in (key, value)
        )
        places = torch.arange(3 * size, device=query.device)
        distance = places[None] - places[size : 2 * size, None]
        within = (distance >= -size) & (distance <= (0 if self.causal else size))
        near = mask[:, :, None] & within  # (B, blocks, size, 3 size)
        bias = self._bias(distance, near[:, None], query.dtype, blocks=True)
        out = self._attend(
            query.transpose(1, 2).flatten(0, 1),
            key.transpose(1, 2).flatten(0, 1),
            value.transpose(1, 2).flatten(0, 1),
            bias.transpose(1, 2).flatten(0, 1),
        )
        batch, heads, blocks, _, columns = query.shape
        joined = out.reshape(batch, blocks, heads, size, columns).transpose(1, 2)
        return joined.reshape(batch, heads, -1, columns)[:, :, :frames]

    def _bias(self, distance: Tensor, seen: Tensor, kind: torch.dtype, blocks: bool = False) -> Tensor:
        """Return what is added to the matches: the learned weight of each distance, or next to minus infinity
        where a frame is not seen (not infinity itself: a row of nothing but padding would become NaN).
        """
        lowest = torch.finfo(kind).min
        if self.bias is None:
            return torch.where(seen, 0.0, lowest).to(kind)
        weights = self.bias[:, distance.clamp(-self.relative, self.relative) + self.relative]
        return torch.where(seen, weights[:, None] if blocks else weights, lowest).to(kind)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, bias, dropout)


class Layer(nn.Module):
    """Norm and attention, norm and two dense layers, each added to what came in."""

    def __init__(self, units: int, feed_forward: int, attention: Attention, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.dense_norm = nn.LayerNorm(units), nn.LayerNorm(units)
        self.attention = attention
        self.rise = keras_dense(nn.Linear(units, feed_forward))
        self.fall = keras_dense(nn.Linear(feed_forward, units))
        self.dropout = dropout

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, units), mask (B, T) -> (B, T, units)."""
        x = x + self._drop(self.attention(self.attention_norm(x), mask))
        return x + self._drop(self.fall(self._drop(F.gelu(self.rise(self.dense_norm(x))))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class TransformerHead(SequenceHead):
    """A dense layer to `units`, positions, `layers` of an encoder, a dense layer for every step.

    `heads` must divide `units`. `feed_forward`: units inside a layer. `positions`: "sinusoidal", added to the
    input, or "relative", a learned weight for each distance up to `reach`; both know any length.
    `span`: frames that a frame sees each way in one layer (0: all). `causal`: no frame sees a later one.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        units: int = 128,
        heads: int = 4,
        layers: int = 3,
        feed_forward: int = 256,
        dropout: float = 0.2,
        positions: Positions = "sinusoidal",
        reach: int = 64,
        span: int = 0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if units % heads or units % 2:
            raise InputError(f"units must be even and a multiple of heads = {heads}; came {units}")
        self.enter = keras_dense(nn.Linear(features, units))
        self.sinusoidal = positions == "sinusoidal"
        relative = 0 if self.sinusoidal else reach
        self.layers = nn.ModuleList(
            Layer(units, feed_forward, Attention(units, heads, dropout, span, relative, causal), dropout)
            for _ in range(layers)
        )
        # Sinusoids count from where a window begins, so no window gives what the whole recording does.
        far = span * layers if span and not self.sinusoidal else None
        self.reach = (far, 0 if causal else far)
        self.norm = nn.LayerNorm(units)
        self.dropout = dropout
        self.classify = keras_dense(nn.Linear(units, classes))

    def steps(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F), zero outside the mask -> (B, T, units)."""
        x = self.enter(x)
        if self.sinusoidal:
            x = x + sinusoids(x.shape[1], x.shape[2], x.device).to(x.dtype)
        x = F.dropout(x, self.dropout, self.training)
        for layer in self.layers:
            x = layer(x, mask)
        normalised: Tensor = self.norm(x)
        return normalised


def sinusoids(frames: int, units: int, device: torch.device) -> Tensor:
    """Return positions (frames, units): sine and cosine by turns, of wavelengths 2 pi to 10,000 x 2 pi frames."""
    falls = torch.exp(torch.arange(0, units, 2, device=device) * (-math.log(10_000) / units))
    angles = torch.arange(frames, device=device)[:, None] * falls
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class Transformer(EmbeddingModel):
    """A transformer encoder over embeddings. The settings are those of `TransformerHead`."""

    def __init__(
        self,
        classes: int,
        features: int,
        *,
        units: Count = 128,
        heads: Count = 4,
        layers: Count = 3,
        feed_forward: Count = 256,
        dropout: Share = 0.2,
        positions: Positions = "sinusoidal",
        reach: Count = 64,
        span: Natural = 0,
        causal: bool = False,
    ) -> None:
        head = TransformerHead(
            features,
            classes,
            units=units,
            heads=heads,
            layers=layers,
            feed_forward=feed_forward,
            dropout=dropout,
            positions=positions,
            reach=reach,
            span=span,
            causal=causal,
        )
        super().__init__(features, head)


MODELS.add(
    "transformer",
    ModelEntry(
        build=Transformer,
        streams=Transformer.streams,
        family="embeddings",
        source="Vaswani et al., Attention is all you need; over frame embeddings as de Juan, section 6.1, wished",
        counted={"classes": 1, "features": 1024},
        tiny={"units": 16, "heads": 2, "layers": 2, "feed_forward": 24},
    ),
)
