"""Named sets of families: one word in a recipe for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from murine.pose.features.scene import FAMILIES
from murine.registry import Registry


@dataclass(frozen=True)
class FeatureSet:
    """Families that a recipe names together, in the order of their columns."""

    families: tuple[str, ...]
    summary: str


FEATURE_SETS: Registry[FeatureSet] = Registry("set of pose features")

FEATURE_SETS.add(
    "epfl",
    FeatureSet(
        (
            "centred_coordinates",
            "centre",
            "centre_distance",
            "speeds",
            "distances",
            "between",
            "box_overlap",
        ),
        "as published on CalMS21 (EPFL report, section III); its speeds mended, which took one y twice",
    ),
)

_RICH = (
    "distances", "extension", "ellipse", "bend", "edge",
    "speeds", "speeds_slow", "velocity", "acceleration", "turning", "quality", "missing_points",
    "between", "proximity", "hull_overlap", "facing", "approach", "closing", "relative_heading", "other_seen",
    "rolling_0.5s", "rolling_1s", "rolling_2s", "rolling_4s", "rolling_towards_1s", "extremes_1s", "bands_1s",
)  # fmt: skip

FEATURE_SETS.add(
    "rich",
    FeatureSet(
        _RICH,
        "murine's own: shape, movement, what is known, the animals towards each other, the seconds around",
    ),
)
FEATURE_SETS.add(
    "rich_windows",
    FeatureSet(
        (
            *_RICH, "rolling_towards_0.5s", "rolling_towards_2s", "extremes_4s",
            "lags_0.25s", "lags_0.5s", "lags_1s", "lags_2s", "bands_2s",
        ),
        "rich, and more of the seconds around: for trees, which see one frame at a time",
    ),
)  # fmt: skip


def expand_features(names: Sequence[str]) -> tuple[str, ...]:
    """Return the families of these names, each set's own in its place; what is unknown stays as it is."""
    return tuple(
        family
        for name in names
        for family in (FEATURE_SETS[name].families if name in FEATURE_SETS else (name,))
    )


def known_features() -> dict[str, object]:
    """Return all that may be named: families and sets."""
    return {**FAMILIES, **FEATURE_SETS}
