"""Features of where an animal is: walls, the middle, points of interest. The place: see `pose.place`."""

from __future__ import annotations

import numpy as np

from murine.pose.features.scene import FAMILIES, Part, Rows, Scene, length, unit
from murine.pose.features.shape import to_walls


@FAMILIES.family("walls")
def walls(scene: Scene) -> list[Part]:
    """Distance of each animal's front from the nearest and the next wall of the arena, px; as "edge" of the centre.

    So an animal that looks over the wall, or sniffs at it, differs from one that walks along it.
    """
    axis = scene.need_axis("the distance of the front from a wall")
    distances = to_walls(scene, scene.x[:, axis.front], scene.y[:, axis.front])
    return [Part("animal", np.stack(distances, axis=1), ("near", "corner"))]


@FAMILIES.family("middle")
def middle(scene: Scene) -> list[Part]:
    """Distance of each animal's centre from the middle of the arena, px: halfway between its walls."""
    (x, y), (middle_x, middle_y) = scene.centre, scene.middle
    return [Part("animal", length(x - middle_x, y - middle_y)[:, None], ("distance",))]


@FAMILIES.family("points")
def points(scene: Scene) -> list[Part]:
    """Distance of each animal's centre and front from each point of interest (px), and cosine of its facing it.

    The points are those that a recipe names in input.interest. Facing is the angle between the heading and the
    direction from the centre to the point.
    """
    axis = scene.need_axis("facing a point of interest")
    x, y = scene.centre
    front_x, front_y = scene.x[:, axis.front], scene.y[:, axis.front]
    forward_x, forward_y = scene.heading
    rows: list[Rows] = []
    names = []
    for name, there in scene.whole.place.points.items():
        point = scene.to_picture(np.asarray(there) / scene.whole.unit).astype(np.float32)
        dx, dy = point[0] - x, point[1] - y
        to_x, to_y = unit(dx, dy)
        rows += [length(dx, dy), length(point[0] - front_x, point[1] - front_y)]
        rows.append(forward_x * to_x + forward_y * to_y)
        names += [f"{name}.centre", f"{name}.front", f"{name}.cos"]
    if not rows:
        return []
    return [Part("animal", np.stack(rows, axis=1), tuple(names))]
