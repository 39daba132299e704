"""Several predictions of one recording made one: aligned by behaviour, weighted, averaged.

T frames, C behaviours, M predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine import __version__
from murine.errors import InputError, suggest
from murine.files import value_hash
from murine.types import Ethogram, Prediction, Timeline

Values = NDArray[np.float32]

SCALES = ("probabilities", "logits")
"""What may be averaged."""

COMBINED = "combined"
"""The key of a prediction's history that says what it was combined from."""

_LEAST = 1e-7
"""Probabilities nearer to 0 or 1 have no more digits in 32 bits, and logarithms must stay finite."""


def combine_predictions(
    predictions: Sequence[Prediction],
    *,
    weights: Sequence[float] = (),
    on: str = "probabilities",
    names: Sequence[str] = (),
) -> Prediction:
    """Return the weighted mean of predictions of one recording, in the behaviours' order of the first.

    `on`: "probabilities", or "logits": logarithms are averaged and brought back by a softmax, or where
    behaviours may overlap log-odds and a sigmoid; of several tasks each as its behaviours are. `weights`: one
    each, equal by default; only their ratio counts. `names`: what to call each in messages and in the history.
    Raises InputError unless all are of the same recording, frames and behaviours.
    """
    if len(predictions) < 2:
        raise InputError(f"to combine takes at least two predictions; came {len(predictions)}")
    names = names or [f"prediction {i + 1}" for i in range(len(predictions))]
    shares = check_weights(weights, len(predictions))
    check_scale(on)
    first = predictions[0]
    for other, name in zip(predictions[1:], names[1:], strict=True):
        _check_same(first, other, names[0], name)
    values = [in_order_of(first.ethogram, p) for p in predictions]
    fused = fuse(values, shares, on, first.ethogram)
    history = combined_history(predictions, names, shares, on)
    return Prediction(first.recording, first.ethogram, fused, first.timeline, history)


def check_weights(weights: Sequence[float], count: int) -> tuple[float, ...]:
    """Return `count` weights that sum to 1; raises InputError for another number, or ones that cannot be."""
    if not weights:
        return (1.0 / count,) * count
    if len(weights) != count:
        raise InputError(
            f"{len(weights)} weights came for {count} predictions: "
            f"{', '.join(f'{w:g}' for w in weights)}. Give one for each, in their order."
        )
    if not all(np.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
        raise InputError(
            f"weights are 0 or more, and one of them above 0; came {', '.join(f'{w:g}' for w in weights)}"
        )
    return tuple(float(w) / sum(weights) for w in weights)


def check_scale(on: str) -> None:
    """Raise InputError for a scale that cannot be averaged."""
    if on not in SCALES:
        raise InputError(f"means are taken on {' or '.join(SCALES)}; came '{on}'.{suggest(on, SCALES)}")


def fuse(values: Sequence[Values], shares: Sequence[float], on: str, ethogram: Ethogram) -> Values:
    """Return the mean (T, C) of M predictions (T, C) with weights that sum to 1; see `combine_predictions`."""
    total = np.zeros(values[0].shape)
    if on == "probabilities":
        for share, part in zip(shares, values, strict=True):
            total += share * part
        return _finished(total)
    together = [(ethogram.columns(task), task.exclusive) for task in ethogram.tasks] or [
        (slice(0, len(ethogram)), ethogram.exclusive)
    ]
    for columns, exclusive in together:
        parts = [part[:, columns].astype(np.float64) for part in values]
        total[:, columns] = _mean_logits(parts, shares, exclusive=exclusive)
    return _finished(total)


def _mean_logits(
    values: Sequence[NDArray[np.float64]], shares: Sequence[float], *, exclusive: bool
) -> NDArray[np.float64]:
    """Return the probabilities (T, n) of behaviours that exclude each other, or that may all overlap."""
    total = np.zeros(values[0].shape)
    for share, part in zip(shares, values, strict=True):
        inside = np.clip(part, _LEAST, 1.0 if exclusive else 1.0 - _LEAST)
        total += share * (np.log(inside) if exclusive else np.log(inside) - np.log1p(-inside))
    if not exclusive:
        return np.asarray(1.0 / (1.0 + np.exp(-total)))
    total = np.exp(total - total.max(axis=1, keepdims=True))
    return np.asarray(total / total.sum(axis=1, keepdims=True))


def _finished(values: NDArray[np.float64]) -> Values:
    result = values.astype(np.float32)
    result.setflags(write=False)
    return result


def in_order_of(ethogram: Ethogram, prediction: Prediction) -> Values:
    """Return a prediction's probabilities with the columns of `ethogram`, which has the same behaviours."""
    own = prediction.ethogram
    if own.behaviours == ethogram.behaviours:
        return prediction.probabilities
    return prediction.probabilities[:, [own.index(name) for name in ethogram.behaviours]]


def on_timeline(prediction: Prediction, timeline: Timeline, tolerance_s: float) -> Prediction:
    """Return a prediction on the frames of another camera that started and stopped at the same time.

    Each frame takes the probabilities of the frame nearest in time after the start. Raises InputError
    where the two recordings differ in length by more than `tolerance_s` and a frame.
    """
    own, other = prediction.timeline, timeline
    lengths = [t.end - t.times[0] for t in (own, other)]
    allowed = tolerance_s + 1.0 / min(own.fps, other.fps)
    if abs(lengths[0] - lengths[1]) > allowed + 1e-6:
        raise InputError(
            f"'{prediction.recording}' lasts {lengths[0]:.2f} s and the recording beside it "
            f"{lengths[1]:.2f} s; allowed are {allowed:.2f} s more or less. Cut both to the same stretch, or "
            "allow more (--tolerance)"
        )
    at = other.times - other.times[0]
    nearest = Timeline(own.times - own.times[0]).boundary(at)  # of the starts of frames, and the end
    rows = np.minimum(nearest, len(own) - 1)
    return replace(prediction, probabilities=prediction.probabilities[rows], timeline=timeline)


def combined_history(
    predictions: Sequence[Prediction], names: Sequence[str], shares: Sequence[float], on: str
) -> dict[str, Any]:
    """Return what a combined prediction says of itself; its post-processing is that of the first."""
    metas = [p.meta for p in predictions]
    kept = ("model", "model_hash", "run", "recipe", "fold", "file_hashes")
    parts = [
        {"name": name, "weight": share, "recording": p.meta.get("recording", p.recording)}
        | {key: p.meta[key] for key in kept if key in p.meta}
        for name, share, p in zip(names, shares, predictions, strict=True)
    ]
    history: dict[str, Any] = {
        "model": " + ".join(str(m.get("model", "?")) for m in metas),
        "model_hash": value_hash([[m.get("model_hash"), s] for m, s in zip(metas, shares, strict=True)]),
        "run": " + ".join(names),
        COMBINED: {"on": on, "parts": parts},
        "files": {k: v for m in reversed(metas) for k, v in m.get("files", {}).items()},
        "file_hashes": {k: v for m in reversed(metas) for k, v in m.get("file_hashes", {}).items()},
        "postprocess": list(metas[0].get("postprocess", ())),
        "murine_version": __version__,
    }
    if len({str(m.get("fold")) for m in metas}) == 1 and "fold" in metas[0]:
        history["fold"] = metas[0]["fold"]
    return history


def _check_same(first: Prediction, other: Prediction, name: str, other_name: str) -> None:
    what = f"{name} and {other_name}, recording '{first.recording}'"
    if first.recording != other.recording:
        raise InputError(
            f"{name} predicts recording '{first.recording}', {other_name} '{other.recording}': only "
            "predictions of one recording can be combined"
        )
    if len(first) != len(other):
        raise InputError(
            f"{what}: {len(first)} frames and {len(other)} frames. They were predicted from different files."
        )
    apart = np.abs(first.timeline.times - other.timeline.times).max()
    if apart > 0.5 / first.timeline.fps:
        raise InputError(
            f"{what}: their frames lie up to {apart:.3f} s apart. They were predicted from different files."
        )
    check_same_behaviours(first.ethogram, other.ethogram, what)


def check_same_behaviours(first: Ethogram, other: Ethogram, what: str) -> None:
    """Raise InputError unless two ethograms have the same behaviours, in whatever order."""
    lacking = [b for b in first.behaviours if b not in other.behaviours]
    odd = [b for b in other.behaviours if b not in first.behaviours]
    if lacking or odd:
        told = [f"'{b}' only in the first.{suggest(b, odd)}" for b in lacking]
        told += [f"'{b}' only in the second.{suggest(b, lacking)}" for b in odd]
        raise InputError(f"{what}: they predict different behaviours: {' '.join(told)}")
    kinds = [
        {b: (t.name, t.exclusive, t.background) for t in e.tasks for b in t.behaviours}
        for e in (first, other)
    ]
    if apart := next((b for b in first.behaviours if kinds[0].get(b) != kinds[1].get(b)), None):
        told = [_kind(kind.get(apart)) for kind in kinds]
        raise InputError(f"{what}: '{apart}' is {told[0]} in the first, {told[1]} in the second")
    if first.exclusive != other.exclusive:
        raise InputError(
            f"{what}: in one the behaviours exclude each other, in the other they may overlap"
        )
    if first.background != other.background:
        raise InputError(
            f"{what}: they name different backgrounds ({first.background or 'none'}; "
            f"{other.background or 'none'})"
        )


def _kind(task: tuple[str, bool, str | None] | None) -> str:
    if task is None:
        return "of no task"
    name, exclusive, background = task
    told = f"of task '{name}', whose behaviours {'exclude each other' if exclusive else 'may overlap'}"
    return told if background is None else f"{told} (background '{background}')"
