"""Fewer labels on purpose: how good a network would be with a part of the training recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def kept_share(ids: Sequence[str], counts: ArrayLike, share: float, seed: int) -> tuple[str, ...]:
    """Return a share of some recordings, about the same share of each behaviour, in their order.

    `counts`: (R, C) labelled frames of each behaviour. A recording counts for the behaviour it shows most,
    and of each at least one stays. A smaller share is part of a larger one, so that a learning curve adds
    recordings and takes none away.
    """
    most = np.asarray(counts).argmax(axis=1)
    kept: set[int] = set()
    for behaviour in np.unique(most).tolist():
        shown = np.flatnonzero(most == behaviour)
        order = np.random.default_rng([seed, behaviour]).permutation(len(shown))
        kept |= set(shown[order[: math.ceil(share * len(shown) - 1e-9)]].tolist())
    return tuple(id_ for row, id_ in enumerate(ids) if row in kept)
