"""The score that costs nothing, shown beside every other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from murine.metrics.frames import FrameScores, score_frames
from murine.types import Ethogram


def majority_baseline(truth: ArrayLike, ethogram: Ethogram) -> FrameScores:
    """Score "always the commonest behaviour" on (N, C) truth: what every model must beat.

    In a multi-label ethogram each behaviour is said always or never, whichever is commoner. Its
    probabilities are the shares of the behaviours, the same in every frame (so the ROC areas are 0.5).
    The commonest behaviour is that of the scored frames themselves: no constant answer does better.
    """
    true = np.asarray(truth)
    on = np.where(true == 1, 1, 0)
    if ethogram.background_index is not None:
        on[(true == 0).all(axis=1), ethogram.background_index] = 1
    known = np.maximum((true != -1).sum(axis=0), 1)
    share = on.sum(axis=0) / known
    said = np.zeros(len(ethogram), dtype=np.int8)
    if ethogram.exclusive:
        said[share.argmax()] = 1
    else:
        said[share > 0.5] = 1
    shape = (len(true), len(ethogram))
    return score_frames(
        true, np.broadcast_to(share, shape), ethogram, decided=np.broadcast_to(said, shape)
    )
