"""A recording at another frame rate than it was filmed at: which of its frames and samples stand for which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from murine.data.windows import Sampling, sample_frames
from murine.errors import InputError
from murine.types import Timeline


@dataclass(frozen=True, eq=False)
class Rate:
    """M frames evenly apart instead of a recording's T.

    `timeline`: their times. `inner`: which of the M are samples. `outer`: the same samples as the recording's own
    frames know them: the frame whose labels each carries, and of each frame the nearest sample.
    """

    timeline: Timeline
    inner: Sampling
    outer: Sampling


def at_rate(timeline: Timeline, fps: float, spacing_s: float) -> Rate:
    """Return a recording at `fps` frames per second, from its first frame's time to its last one's.

    A new frame carries the labels of the recording's next one, as published (EPFL report on CalMS21, section
    III-B); one at a frame's own time carries that frame's. Each of the recording's frames is answered for by the
    nearest sample, so that scores are of the frames there were. Raises InputError for a rate that is not positive.
    """
    if not 0 < fps < np.inf:
        raise InputError(f"a frame rate must be a positive number; came {fps}")
    times = timeline.times
    count = int((times[-1] - times[0]) * fps + 1e-6) + 1
    fine = Timeline(times[0] + np.arange(count) / fps)
    inner = sample_frames(fine, spacing_s)
    moments = fine.times[inner.samples]
    after = np.searchsorted(times, moments - 1e-6 / timeline.fps)
    frames = np.minimum(after, len(times) - 1)
    # Halfway between two samples a frame belongs to the earlier one, as everywhere.
    edges = (moments[1:] + moments[:-1]) / 2 + 1e-6 / fps
    owner = np.searchsorted(edges, times)
    return Rate(fine, inner, Sampling(frames, owner, moments))
