"""Numbers per frame from pose: one file per group of families, all in the dictionary `FEATURES`.

To add one: a function in one of the files, with `@FAMILIES.family("name")` above it.
"""

# The import list that fills the dictionary.
from murine.pose.features import motion, quality, rolling, shape, social
from murine.pose.features.scene import FAMILIES as FEATURES
from murine.pose.features.scene import Family, Part, Scene
from murine.pose.features.table import FeatureTable, feature_chunks, feature_names, feature_table

__all__ = [
    "FEATURES",
    "Family",
    "FeatureTable",
    "Part",
    "Scene",
    "feature_chunks",
    "feature_names",
    "feature_table",
    "motion",
    "quality",
    "rolling",
    "shape",
    "social",
]
