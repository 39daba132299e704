"""Several views of one scene: videos that show the same frames from other sides."""

from __future__ import annotations

import numpy as np

from murine.errors import InputError
from murine.video.reader import Video


def check_same_frames(first: Video, other: Video) -> None:
    """Raise InputError unless frame n of one video was taken together with frame n of the other.

    They must be equally many, and their times, counted from the first, must not part by more than half the
    time between two frames.
    """
    mine, theirs = first.timeline, other.timeline
    if len(mine) != len(theirs):
        raise InputError(
            f"{first.path} has {len(mine)} frames ({mine.end:.2f} s) and {other.path} has {len(theirs)} "
            f"({theirs.end:.2f} s). Views of one recording show the same frames; cut them to the same length"
        )
    apart = np.abs((mine.times - mine.times[0]) - (theirs.times - theirs.times[0]))
    frame = int(apart.argmax())
    if apart[frame] > 0.5 / mine.fps:
        raise InputError(
            f"{first.path} ({mine.fps:.6g} frames/s) and {other.path} ({theirs.fps:.6g} frames/s) part by up to "
            f"{apart[frame]:.2f} s (frame {frame}). Views of one recording show the same frames at the same times"
        )
