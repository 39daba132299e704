"""The stream "pose" of one recording: from its pose to one row of features per sample, as it is or moved for training.

S samples, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from murine.config import InputSettings
from murine.data.pooling import MeanPool
from murine.data.rates import Rate
from murine.data.windows import Sampling, sample_frames
from murine.pose import FeaturePlan, Track, expand_features, feature_names, make_track
from murine.pose.augment import FACTOR, stretch
from murine.pose.features.table import BLOCK
from murine.pose.place import Place
from murine.types import IntArray, Pose, Timeline

Rows = NDArray[np.float32]
Change = Callable[[Track, np.random.Generator], Track]


@dataclass(frozen=True, eq=False)
class Posed:
    """A recording's pose, its place and how `settings` turn them into features.

    `sampling`: of the recording's frames; `rate`: the other rate that the pose is brought to, if it is.
    """

    pose: Pose
    timeline: Timeline
    sampling: Sampling
    settings: InputSettings
    place: Place
    rate: Rate | None = None

    @cached_property
    def track(self) -> Track:
        """The cleaned pose of all frames."""
        chosen = self.settings
        return make_track(
            self.pose, self.timeline,
            symmetric=chosen.symmetric, gap_s=chosen.gap_s, confidence=chosen.confidence,
            smooth_s=chosen.smooth_s, units=chosen.pose_units, place=self.place,
            moments=None if self.rate is None else self.rate.timeline.times,
        )  # fmt: skip

    @property
    def plan(self) -> FeaturePlan:
        """Which features."""
        return FeaturePlan.of(self.settings.pose_features, self.settings.symmetric)

    @property
    def inner(self) -> Sampling:
        """Which of the track's frames are samples."""
        return self.sampling if self.rate is None else self.rate.inner

    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return feature_names(
            self.pose.animals, self.pose.keypoints, self.settings.pose_features,
            symmetric=self.settings.symmetric, points=tuple(self.place.points),
        )  # fmt: skip

    def key(self) -> dict[str, Any]:
        """Return what decides the values beside the file, its times and how it is cleaned."""
        chosen = self.settings
        usual = InputSettings()
        key: dict[str, Any] = {
            "symmetric": chosen.symmetric, "pool": chosen.pose_pool, "animals": self.pose.animals,
            "keypoints": self.pose.keypoints, "features": expand_features(chosen.pose_features),
        }  # fmt: skip
        for name in ("smooth_s", "pose_fps", "pose_units", "agent"):
            if getattr(chosen, name) != getattr(usual, name):
                key[name] = getattr(chosen, name)
        return key if self.place == Place() else key | {"place": asdict(self.place)}

    def rows(self, start: int) -> Iterator[tuple[int, Rows]]:
        """Give (first sample, features (n, F)) from sample `start` on; they are computed on all frames."""
        samples = self.inner.samples
        pool = MeanPool(self.inner) if self.settings.pose_pool == "mean" else None
        for frame, rows in self.plan.blocks(self.track, BLOCK):
            if pool is not None:
                first, means = pool.add(rows)
                if first + len(means) > start and len(means):
                    yield max(first, start), means[max(start - first, 0) :]
                continue
            inside = np.searchsorted(samples, [frame, frame + len(rows)])
            first, stop = max(int(inside[0]), start), int(inside[1])
            if first < stop:
                yield first, rows[samples[first:stop] - frame]

    def moved(
        self,
        start: int,
        stop: int,
        changes: Sequence[Change],
        rng: np.random.Generator,
        *,
        most: int = 0,
    ) -> tuple[Rows, IntArray]:
        """Return features (n, F) of the samples [start, stop) after `changes`, and of which samples they are (n,).

        Without a change of time n = stop - start. With one, n is as many as there then are, `most` of them at most,
        for which samples behind `stop` are taken as well (0: all there are); a sample is then the nearest one.
        """
        track, plan = self.track, self.plan
        if most and stretch in changes:
            stop = min(start + int(np.ceil(most * FACTOR)), len(self.inner))
        first, last = self._frames(start, stop)
        margin = plan.margin(track.whole.fps)
        around = int(np.ceil(margin * FACTOR)) + 1
        low = max(first - around, 0)
        piece = track.cut(low, min(last + around, len(track)))
        for change in changes:
            piece = change(piece, rng)
        if piece.clock is None:
            rows = plan.rows(piece, first - low, last - low, margin)
            owner = self.inner.owner[first:last] - start
            values = self._sampled(rows, owner, self.inner.samples[start:stop] - first)
            return values, np.arange(start, stop)
        slack = 1e-6 / track.whole.fps
        begin, end = np.searchsorted(
            piece.clock, [track.times[first] - slack, track.times[last - 1] + slack]
        )
        rows = plan.rows(piece, int(begin), int(end), margin)
        own = sample_frames(Timeline(piece.times[begin:end]), self.settings.spacing_s)
        values = self._sampled(rows, own.owner, own.samples)
        clock = piece.clock[begin:end][own.samples]
        frames = np.rint(np.interp(clock, track.times, np.arange(len(track)))).astype(np.int64)
        shown = np.clip(self.inner.owner[frames], start, stop - 1)
        count = min(len(values), most or len(values))
        return values[:count], shown[:count]

    def _frames(self, start: int, stop: int) -> tuple[int, int]:
        """Return the frames of the track that decide the samples [start, stop)."""
        inner = self.inner
        if self.settings.pose_pool == "mean":
            first, last = np.searchsorted(inner.owner, [start, stop])
            return int(first), int(last)
        return int(inner.samples[start]), int(inner.samples[stop - 1]) + 1

    def _sampled(self, rows: Rows, owner: IntArray, samples: IntArray) -> Rows:
        """Return features of samples from those of their frames: of one each, or of all that a sample owns."""
        if self.settings.pose_pool == "mean":
            return MeanPool(Sampling(samples, owner)).add(rows)[1]
        return rows[samples]
