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
    """Return an array that cannot be written: a copy, unless it is such an array of its own already."""
    if (
        type(array) is np.ndarray
        and array.dtype == dtype
        and array.base is None
        and not array.flags.writeable
    ):
        return array
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy
