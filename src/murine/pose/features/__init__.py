"""Numbers per frame from pose: one file per group of families, all in the dictionary `FEATURES`.

To add one: a function in one of the files, with `@FAMILIES.family("name")` above it.
"""

# The import list that fills the dictionary.
from murine.pose.features import hull, motion, places, quality, rolling, shape, social, windowed
from murine.pose.features.scene import FAMILIES as FEATURES
from murine.pose.features.scene import Family, Part, Scene
from murine.pose.features.sets import FEATURE_SETS, FeatureSet, expand_features, known_features
from murine.pose.features.table import (
    FeaturePlan,
    FeatureTable,
    feature_chunks,
    feature_names,
    feature_table,
)

__all__ = [
    "FEATURES",
    "FEATURE_SETS",
    "Family",
    "FeaturePlan",
    "FeatureSet",
    "FeatureTable",
    "Part",
    "Scene",
    "expand_features",
    "feature_chunks",
    "feature_names",
    "feature_table",
    "hull",
    "known_features",
    "motion",
    "places",
    "quality",
    "rolling",
    "shape",
    "social",
    "windowed",
]
