"""Features of one animal at one moment: where it is and how it holds itself."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from murine.pose.features.scene import FAMILIES, Part, Rows, Scene, length


@FAMILIES.family("coordinates")
def coordinates(scene: Scene) -> list[Part]:
    """Both x and y of each keypoint, px from the top left corner."""
    return [_coordinates(scene, scene.x, scene.y)]


@FAMILIES.family("centred_coordinates")
def centred_coordinates(scene: Scene) -> list[Part]:
    """Both x and y of each keypoint minus the middle of the arena, px.

    The middle is halfway between the walls, or between percentiles 1 and 99 of all points of the recording where
    those are not known, since a pose file does not tell its frame's size. Within one camera set-up this differs from
    subtracting the frame's centre, as the published CalMS21 features do, by a constant only, which the scaler takes
    out.
    """
    middle_x, middle_y = scene.middle
    return [_coordinates(scene, scene.x - middle_x, scene.y - middle_y)]


@FAMILIES.family("egocentric")
def egocentric(scene: Scene) -> list[Part]:
    """Both x and y of each keypoint seen by the animal: from its centre, x along its heading, px."""
    forward_x, forward_y = (side[:, None] for side in scene.heading)
    centre_x, centre_y = (side[:, None] for side in scene.centre)
    dx, dy = scene.x - centre_x, scene.y - centre_y
    along = dx * forward_x + dy * forward_y
    across = dy * forward_x - dx * forward_y
    return [_coordinates(scene, along, across)]


def _coordinates(scene: Scene, x: Rows, y: Rows) -> Part:
    names = [f"{point}.{side}" for point in scene.whole.pose.keypoints for side in "xy"]
    values = np.stack([x, y], axis=2).reshape(len(x), len(names), -1)
    return Part("animal", values, tuple(names))


@FAMILIES.family("distances")
def distances(scene: Scene) -> list[Part]:
    """Distance between each two keypoints of an animal, px: K (K - 1) / 2 per animal."""
    points = scene.whole.pose.keypoints
    pairs = list(combinations(range(len(points)), 2))
    values = np.empty((len(scene.x), len(pairs), scene.x.shape[2]), dtype=np.float32)
    for g, (i, j) in enumerate(pairs):
        values[:, g] = length(scene.x[:, i] - scene.x[:, j], scene.y[:, i] - scene.y[:, j])
    return [Part("animal", values, tuple(f"{points[i]}-{points[j]}" for i, j in pairs))]


@FAMILIES.family("centre")
def centre(scene: Scene) -> list[Part]:
    """Centre of each animal (mean of its known points) and mean distance of its points from there, px."""
    x, y = scene.centre
    spread = scene.mean(length(scene.x - x[:, None], scene.y - y[:, None]))
    return [Part("animal", np.stack([x, y, spread], axis=1), ("x", "y", "spread"))]


@FAMILIES.family("extension")
def extension(scene: Scene) -> list[Part]:
    """Mean distance of an animal's known points from their centre, and distance from its back to its front, px."""
    x, y = scene.centre
    rows, names = [scene.mean(length(scene.x - x[:, None], scene.y - y[:, None]))], ["spread"]
    if (axis := scene.whole.axis) is not None:
        dx, dy = (side[:, axis.front] - side[:, axis.back] for side in (scene.x, scene.y))
        rows, names = [*rows, length(dx, dy)], [*names, "length"]
    return [Part("animal", np.stack(rows, axis=1), tuple(names))]


@FAMILIES.family("ellipse")
def ellipse(scene: Scene) -> list[Part]:
    """Semi-axes of the ellipse with the second moments of an animal's known points, px, and lesser over greater.

    Twice the square roots of the eigenvalues of the covariance (divided by the number of points), which is the
    whole ellipse if the points fill it evenly. Unknown with fewer than two points; the ratio lies in 0..1.
    """
    x, y = scene.centre
    # The lesser axis is a difference of near numbers where the points lie on a line.
    dx, dy = (
        (side - middle[:, None]).astype(np.float64) for side, middle in ((scene.x, x), (scene.y, y))
    )
    xx, yy, xy = scene.mean(dx * dx), scene.mean(dy * dy), scene.mean(dx * dy)
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    several = scene.known.sum(axis=1) > 1
    major = np.where(several, 2 * np.sqrt(middle + half), np.nan)
    minor = np.where(several, 2 * np.sqrt(np.maximum(middle - half, 0)), np.nan)
    ratio = minor / np.where(major > 0, major, np.nan)
    values = np.stack([major, minor, ratio], axis=1).astype(np.float32)
    return [Part("animal", values, ("major", "minor", "ratio"))]


@FAMILIES.family("edge")
def edge(scene: Scene) -> list[Part]:
    """Distance of each animal's centre from the nearest and the next wall of the arena, px.

    Where the walls are not known, percentiles 1 and 99 of all points of the recording, in x and in y; negative
    outside. "near" is the lesser, "corner" the greater of the distances to the nearer wall in x and in y.
    """
    return [Part("animal", np.stack(to_walls(scene, *scene.centre), axis=1), ("near", "corner"))]


def to_walls(scene: Scene, x: Rows, y: Rows) -> tuple[Rows, Rows]:
    """Return the lesser and the greater of a position's distances to the nearer wall in x and in y."""
    x, y = scene.in_arena(x, y)
    (left, right), (top, bottom) = scene.bounds.astype(np.float32)
    to_side = np.minimum(x - left, right - x)
    to_end = np.minimum(y - top, bottom - y)
    return np.minimum(to_side, to_end), np.maximum(to_side, to_end)


@FAMILIES.family("heading")
def heading(scene: Scene) -> list[Part]:
    """Direction of the body axis from back to front, as cosine and sine in the picture (y down)."""
    values = np.stack(scene.heading, axis=1)
    return [Part("animal", values, ("cos", "sin"))]


@FAMILIES.family("bend")
def bend(scene: Scene) -> list[Part]:
    """Angle between the two halves of the body axis, back to middle and middle to front, as cos and sin.

    Straight is 0 (cosine 1). The middle is that keypoint, or the mean of all points where none is called so.
    """
    axis = scene.need_axis("a bend")
    if axis.middle is None:
        middle_x, middle_y = scene.centre
    else:
        middle_x, middle_y = scene.x[:, axis.middle], scene.y[:, axis.middle]
    ahead_x, ahead_y = scene.x[:, axis.front] - middle_x, scene.y[:, axis.front] - middle_y
    behind_x, behind_y = middle_x - scene.x[:, axis.back], middle_y - scene.y[:, axis.back]
    size = length(ahead_x, ahead_y) * length(behind_x, behind_y)
    size = np.where(size > 0, size, np.float32(np.nan))
    cosine = (behind_x * ahead_x + behind_y * ahead_y) / size
    sine = (behind_x * ahead_y - behind_y * ahead_x) / size
    return [Part("animal", np.stack([cosine, sine], axis=1), ("cos", "sin"))]


@FAMILIES.family("area")
def area(scene: Scene) -> list[Part]:
    """Width along and across the picture of the box around an animal's known points, and its area.

    px, px and px^2; of the known points only, so it shrinks where points are missing.
    """
    wide, high = (_extent(values) for values in (scene.x, scene.y))
    return [Part("animal", np.stack([wide, high, wide * high], axis=1), ("width", "height", "area"))]


def _extent(values: Rows) -> Rows:
    low = np.fmin.reduce(values, axis=1)
    high = np.fmax.reduce(values, axis=1)
    return np.asarray(high - low)
