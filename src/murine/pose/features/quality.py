"""What is known at all, and when: features of the record rather than of the animals."""

from __future__ import annotations

import numpy as np

from murine.pose.features.scene import FAMILIES, Part, Scene


@FAMILIES.family("quality")
def quality(scene: Scene) -> list[Part]:
    """Share of keypoints the tracker missed (0..1), animal absent (0 or 1), mean confidence of those found.

    Counted before gaps were filled. Never unknown but for the confidence, so these columns tell a model which
    of the others are.
    """
    missed = 1 - scene.found.mean(axis=1, dtype=np.float32)
    absent = (~scene.found.any(axis=1)).astype(np.float32)
    likelihood = np.full_like(missed, np.nan)
    if scene.confidence is not None:
        likelihood = scene.mean(np.where(scene.found, scene.confidence, np.float32(np.nan)))
    return [
        Part(
            "animal", np.stack([missed, absent, likelihood], axis=1), ("missing", "absent", "likelihood")
        )
    ]


@FAMILIES.family("missing_points")
def missing_points(scene: Scene) -> list[Part]:
    """1 for each keypoint the tracker missed in the frame, else 0; counted before gaps were filled."""
    return [Part("animal", (~scene.found).astype(np.float32), scene.whole.pose.keypoints)]


@FAMILIES.family("confidences")
def confidences(scene: Scene) -> list[Part]:
    """Confidence of the tracker in each keypoint it found, 0..1; unknown where it gave none."""
    values = np.full(scene.x.shape, np.nan, dtype=np.float32)
    if scene.confidence is not None:
        values = np.where(scene.found, scene.confidence, np.float32(np.nan))
    return [Part("animal", values, scene.whole.pose.keypoints)]


@FAMILIES.family("clock")
def clock(scene: Scene) -> list[Part]:
    """Minutes since the recording's first frame and minutes until its last one.

    Lets a model learn habits of the session, such as an empty arena at both ends. Say so beside its scores.
    """
    times, now = scene.whole.times, scene.times if scene.clock is None else scene.clock
    minutes = np.stack([now - times[0], times[-1] - now]) / 60
    return [Part("scene", minutes[None].astype(np.float32), ("since_start", "until_end"))]
