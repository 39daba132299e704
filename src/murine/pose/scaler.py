"""Features brought to a common scale by numbers learned from the training recordings alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from murine.errors import InputError

_BLOCK = 65536
_NOTHING = "no features to learn a scaler from: there is no training recording with pose"


@dataclass(frozen=True, eq=False)
class Scaler:
    """What is taken from each feature and what the rest is divided by, (F,) float64 each; stored with the model.

    Mean and standard deviation (`fit_scaler`), or the least value and how far the greatest lies above (`fit_range`).
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = np.array(getattr(self, name), dtype=np.float64)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise InputError(f"a scaler needs one mean and one std per feature; came {self.mean.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise InputError("a scaler's means must be finite and its standard deviations positive")

    def __len__(self) -> int:
        return len(self.mean)

    def apply(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return `apply_scaler` of the values with this scaler."""
        return apply_scaler(values, self.mean, self.std)

    def to_dict(self) -> dict[str, list[float]]:
        """Return a JSON-like form; `Scaler.from_dict` gives the scaler back, to the last bit."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Scaler:
        """Return the scaler of a stored form; raises InputError where a part is missing."""
        if not {"mean", "std"} <= set(form):
            raise InputError(
                f"a stored scaler has 'mean' and 'std'; came {', '.join(form) or 'nothing'}"
            )
        return cls(np.asarray(form["mean"]), np.asarray(form["std"]))


def fit_scaler(arrays: Iterable[NDArray[np.floating[Any]]]) -> Scaler:
    """Learn a scaler from (T, F) arrays, one after the other; missing values (NaN, inf) do not count.

    Counts, means and squared deviations are merged block by block in float64 (Chan, Golub and LeVeque 1983),
    so memory does not grow and long recordings lose no digits. A feature that never varies, or never has a
    value, gets a standard deviation of 1 (and a mean of 0 if it never has a value).
    Raises InputError without arrays, or where they differ in their number of features.
    """
    count = mean = squares = np.empty(0)
    first = True
    for array in arrays:
        if first:
            count, mean, squares = (np.zeros(array.shape[-1]) for _ in range(3))
            first = False
        _check_width(array, len(mean))
        for start in range(0, len(array), _BLOCK):
            block = np.asarray(array[start : start + _BLOCK], dtype=np.float64)
            known = np.isfinite(block)
            more = known.sum(axis=0)
            total = count + more
            block_mean = np.where(known, block, 0).sum(axis=0) / np.maximum(more, 1)
            deviation = np.where(known, block - block_mean, 0)
            step = np.where(more > 0, block_mean - mean, 0)
            share = more / np.maximum(total, 1)
            squares = squares + (deviation**2).sum(axis=0) + step**2 * count * share
            mean = mean + step * share
            count = total
    if first:
        raise InputError(_NOTHING)
    std = np.sqrt(squares / np.maximum(count, 1))
    # Rounding leaves a constant a deviation of about 1e-8 of its size (float32); that is no variation.
    constant = std <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return Scaler(mean, np.where(constant, 1.0, std))


def fit_range(arrays: Iterable[NDArray[np.floating[Any]]]) -> Scaler:
    """Learn the scaler that brings each feature to 0..1 in these (T, F) arrays; missing values do not count.

    As published on CalMS21 (EPFL report, section III-H), but learned once from the training recordings: its release
    scaled each recording by itself, so that the same value meant another distance in each. A feature that never
    varies, or never has a value, is divided by 1. Raises InputError as `fit_scaler`.
    """
    least = greatest = np.empty(0)
    for number, array in enumerate(arrays):
        if number == 0:
            least, greatest = np.full(array.shape[-1], np.inf), np.full(array.shape[-1], -np.inf)
        _check_width(array, len(least))
        known = np.isfinite(array)
        least = np.minimum(least, np.where(known, array, np.inf).min(axis=0, initial=np.inf))
        greatest = np.maximum(greatest, np.where(known, array, -np.inf).max(axis=0, initial=-np.inf))
    if not len(least):
        raise InputError(_NOTHING)
    seen = np.isfinite(least)
    low = np.where(seen, least, 0.0)
    width = np.where(seen, greatest, 0.0) - low
    return Scaler(low, np.where(width > 0, width, 1.0))


def _check_width(array: NDArray[np.floating[Any]], width: int) -> None:
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(f"features must be (T, {width}) in every recording; came {array.shape}")


FIT = {"standard": fit_scaler, "range": fit_range}
"""How the scale of features is learned, by the names of input.pose_scaling."""


def apply_scaler(
    values: NDArray[np.floating[Any]], mean: ArrayLike, std: ArrayLike
) -> NDArray[np.float32]:
    """Return (values - mean) / std as float32, missing values (NaN, inf) as 0: the mean (or least value).

    values (T, F); mean and std (F,). Whether a value was missing is told by the family "quality".
    Raises InputError where the numbers of features differ.
    """
    centre, spread = np.asarray(mean), np.asarray(std)
    if values.ndim != 2 or values.shape[1] != len(centre):
        raise InputError(
            f"the model was trained on {len(centre)} pose features and {values.shape[-1]} came. Use a pose "
            f"file with the same animals and keypoints, and the recipe's own feature families"
        )
    scaled = (values - centre.astype(np.float32)) / spread.astype(np.float32)
    return np.asarray(np.where(np.isfinite(scaled), scaled, 0), dtype=np.float32)
