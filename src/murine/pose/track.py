"""A recording's pose made ready for features, and the way from there to the scenes that features are of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from murine.errors import InputError
from murine.pose.clean import drop_origin, drop_unsure, fill_gaps, scale, smooth
from murine.pose.features.scene import Scene, Whole
from murine.pose.identity import match_identities
from murine.pose.place import UNITS, Place, View
from murine.pose.rate import at_times, found_at
from murine.types import BoolArray, FloatArray, Pose, Timeline

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Track:
    """T frames of a cleaned pose. `found`: (T, A, K), True where the tracker itself had the point; `times`: (T,)
    seconds, from which speeds are taken. `view`: how the scene was moved for training; `clock`: (T,) the time of
    the recording, where it is not `times`.
    """

    pose: Pose
    found: BoolArray
    times: FloatArray
    whole: Whole
    view: View | None = None
    clock: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.pose)

    @property
    def bounds(self) -> FloatArray:
        """(2, 2): lower and upper x, lower and upper y of the arena before it was moved, in the track's unit."""
        return self.whole.bounds

    @property
    def middle(self) -> FloatArray:
        """(2,): where in the picture the middle of the arena is now, x and y."""
        point: FloatArray = self.bounds.mean(axis=1)
        return point if self.view is None else np.asarray(self.view.matrix @ point + self.view.offset)

    def cut(self, start: int, stop: int) -> Track:
        """Return the frames [start, stop)."""
        pose, rows = self.pose, slice(start, stop)
        confidence = None if pose.confidence is None else pose.confidence[rows]
        return replace(
            self,
            pose=replace(pose, xy=pose.xy[rows], confidence=confidence),
            found=self.found[rows],
            times=self.times[rows],
            clock=None if self.clock is None else self.clock[rows],
        )

    def scene(self, start: int, stop: int) -> Scene:
        """Return what feature functions see of the frames [start, stop)."""
        pose = self.pose
        x, y = (_time_last(pose.xy[start:stop, ..., side]) for side in (0, 1))
        found = _time_last(self.found[start:stop])
        confidence = None if pose.confidence is None else _time_last(pose.confidence[start:stop])
        times = self.times[start:stop]
        clock = None if self.clock is None else self.clock[start:stop]
        return Scene(x, y, found, confidence, times, self.whole, self.view, clock)


def make_track(
    pose: Pose,
    rate: float | Timeline,
    *,
    symmetric: bool = False,
    gap_s: float = 0.5,
    confidence: float = 0.0,
    smooth_s: float = 0.0,
    units: str = "pixels",
    place: Place | None = None,
    moments: FloatArray | None = None,
) -> Track:
    """Return a pose made ready for features, in this order.

    Points at exactly (0, 0) or less sure than `confidence` are missing. `symmetric`: the animals are followed by
    least displacement. Gaps of at most `gap_s` are filled. `smooth_s`: positions become their mean over so many
    seconds (0: not). `moments`: times in seconds at which the pose is wanted instead of its frames', evenly apart
    (`rate.at_times`). `units`: "pixels", "body_lengths" (the recording's median, front to back) or "cm" (by
    `place.px_per_cm`). Raises InputError.
    """
    times, fps = _times(len(pose), rate)
    for name, seconds in (("gap_s", gap_s), ("smooth_s", smooth_s)):
        if not seconds >= 0 or not np.isfinite(seconds):
            raise InputError(f"{name} must be 0 or a time in seconds; came {seconds}")
    if units not in UNITS:
        raise InputError(f"lengths are measured in one of {', '.join(UNITS)}; came '{units}'")
    place = place or Place()
    pose = drop_unsure(drop_origin(pose), confidence)
    if symmetric:
        pose = match_identities(pose)
    found = ~pose.missing
    # A rate worked out of time stamps may say 29.99999.
    pose, _ = fill_gaps(pose, int(gap_s * fps + 1e-4))
    if smooth_s:
        pose = smooth(pose, int(smooth_s * fps / 2 + 1e-4))
    if moments is not None:
        pose, found = at_times(pose, times, moments), found_at(found, times, moments)
        times, fps = moments, Timeline(moments).fps
    whole = Whole(pose, times, fps, place)
    length = _unit(whole, units)
    if length != 1.0:
        whole = replace(whole, pose=scale(pose, length), unit=length)
    return Track(whole.pose, found, times, whole)


def _unit(whole: Whole, units: str) -> float:
    """Return the pixels that are the length 1."""
    if units == "body_lengths":
        return whole.body_length if whole.body_length > 0 else 1.0
    if units == "cm":
        if whole.place.px_per_cm is None:
            raise InputError("lengths in cm need a known length: how many pixels are a centimetre?")
        return whole.place.px_per_cm
    return 1.0


def _time_last(values: NDArray[Value]) -> NDArray[Value]:
    return np.ascontiguousarray(np.moveaxis(values, 0, -1))


def _times(frames: int, rate: float | Timeline) -> tuple[FloatArray, float]:
    timeline = rate if isinstance(rate, Timeline) else Timeline.uniform(frames, rate)
    if len(timeline) != frames:
        raise InputError(f"the pose has {frames} frames, its timeline {len(timeline)}; they must match")
    return timeline.times, timeline.fps if frames > 1 or isinstance(rate, Timeline) else float(rate)
