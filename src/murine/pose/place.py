"""Where a recording was made: its walls, its points of interest and its scale, in pixels of the picture.

None of it stands in a pose file; whoever set the camera up knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from murine.errors import InputError
from murine.types import FloatArray, Pose

UNITS = ("pixels", "body_lengths", "cm")


@dataclass(frozen=True)
class Place:
    """`walls`: left, top, right, bottom of the arena, None where unknown. `points`: x and y of points of interest
    by their names. `px_per_cm`: None where unknown. Raises InputError for walls that enclose nothing.
    """

    walls: tuple[float, float, float, float] | None = None
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    px_per_cm: float | None = None

    def __post_init__(self) -> None:
        if self.walls is not None:
            left, top, right, bottom = self.walls
            if not (left < right and top < bottom):
                raise InputError(
                    f"walls are left, top, right and bottom in pixels, left and top the lesser; came {self.walls}"
                )
        if self.px_per_cm is not None and not 0 < self.px_per_cm < np.inf:
            raise InputError(f"pixels per centimetre must be a positive number; came {self.px_per_cm}")


@dataclass(frozen=True, eq=False)
class View:
    """How a scene was moved for training: p becomes `matrix` p + `offset`, all lengths `factor` times as long.

    `matrix`: (2, 2), a rotation, mirrored or not, times `factor`; `offset`: (2,).
    """

    matrix: FloatArray
    offset: FloatArray
    factor: float

    @property
    def back(self) -> FloatArray:
        """(2, 2): what turns a difference of positions back without changing its length."""
        return np.asarray(self.matrix.T / self.factor)

    def after(self, matrix: FloatArray, offset: FloatArray, factor: float) -> View:
        """Return this view and then another movement."""
        return View(matrix @ self.matrix, matrix @ self.offset + offset, factor * self.factor)


def median_distance(pose: Pose, first: str, second: str, source: str) -> float:
    """Return the median distance of two keypoints over all frames and animals, in pixels.

    Raises InputError for a keypoint that the pose does not have, or two that are never seen together.
    """
    for name in (first, second):
        if name not in pose.keypoints:
            raise InputError(f"{source}: has no keypoint '{name}'. It has: {', '.join(pose.keypoints)}")
    one, two = (pose.xy[:, :, pose.keypoints.index(name)] for name in (first, second))
    apart = np.sqrt(((one - two) ** 2).sum(axis=-1, dtype=np.float64))
    known = apart[~np.isnan(apart)]
    if not len(known) or not np.median(known) > 0:
        raise InputError(f"{source}: {first} and {second} are never seen apart, so they give no scale")
    return float(np.median(known))
