"""Array names, and the value of a frame nobody annotated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]

UNLABELLED = -1
"""The value of a frame nobody annotated; ignored by loss and metrics."""


def frozen(array: ArrayLike, dtype: Any) -> NDArray[Any]:
    """Return a copy that cannot be written."""
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy
