"""Probabilities made as sure as they are right: temperature and vector scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from murine.errors import InputError
from murine.postprocess.base import STEPS, Kind, check_duration, check_names
from murine.postprocess.markov import lanes
from murine.types import Ethogram, FloatArray, Timeline

LEAST = 1e-6
"""Probabilities nearer to 0 or 1 than this count as this."""


@STEPS.register("scaling")
@dataclass(frozen=True)
class Scaling:
    """Divide logarithms of probabilities by `temperature`: above 1 less sure, below 1 surer.

    `scales` and `biases` of `behaviours` besides: each logarithm is multiplied and shifted (vector scaling), usually
    learned (`murine calibrate`). Behaviours that exclude each other sum to 1 again; of others log-odds are scaled.
    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.
    """

    temperature: float = 1.0
    behaviours: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()
    biases: tuple[float, ...] = ()
    kind: ClassVar[Kind] = "probabilities"

    def __post_init__(self) -> None:
        check_duration("scaling: temperature", self.temperature)
        if self.temperature <= 0:
            raise InputError(f"scaling: temperature must be above 0; came {self.temperature}")
        check_names("scaling: behaviours", self.behaviours)
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        for name in ("scales", "biases"):
            values = getattr(self, name)
            listed = isinstance(values, list | tuple) and len(values) == len(self.behaviours)
            if not listed or not all(isinstance(v, int | float) and np.isfinite(v) for v in values):
                raise InputError(
                    f"scaling: {name} needs a number for each of {len(self.behaviours)} behaviours; came {values!r}"
                )
            object.__setattr__(self, name, tuple(float(v) for v in values))

    def reach(self, timeline: Timeline) -> int:
        """Return 0: each frame is scaled by itself."""
        return 0

    def __call__(self, values: NDArray[Any], timeline: Timeline, ethogram: Ethogram) -> NDArray[Any]:
        """Return scaled (T, C) probabilities."""
        if self.temperature == 1.0 and not self.behaviours:
            return values
        scales, biases = np.ones(len(ethogram)), np.zeros(len(ethogram))
        for name, scale, bias in zip(self.behaviours, self.scales, self.biases, strict=True):
            scales[ethogram.index(name)], biases[ethogram.index(name)] = scale, bias
        return scaled(values, scales / self.temperature, biases, ethogram).astype(np.float32)


def logarithms(values: NDArray[Any], ethogram: Ethogram) -> FloatArray:
    """Return (N, C) logarithms of probabilities, of behaviours decided by themselves log-odds."""
    inside = np.clip(values.astype(np.float64), LEAST, 1.0 - LEAST)
    result = np.log(inside)
    for columns in lanes(ethogram):
        if len(columns) == 1 and not ethogram.exclusive:
            result[:, columns] -= np.log1p(-inside[:, columns])
    return np.asarray(result)


def scaled(
    values: NDArray[Any], scales: FloatArray, biases: FloatArray, ethogram: Ethogram
) -> FloatArray:
    """Return (N, C) probabilities after scales and biases (C,) of their logarithms."""
    logs = logarithms(values, ethogram) * scales + biases
    result = np.empty_like(logs)
    for columns in lanes(ethogram):
        single = len(columns) == 1 and not ethogram.exclusive
        result[:, columns] = expit(logs[:, columns]) if single else softmax(logs[:, columns], axis=1)
    return result
