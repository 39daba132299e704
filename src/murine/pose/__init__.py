"""Pose into features: cleaning, identities, feature families, scaling."""

from murine.pose.clean import centre, drop_origin, drop_unsure, fill_gaps, scale, smooth
from murine.pose.features import (
    FEATURE_SETS,
    FEATURES,
    Family,
    FeaturePlan,
    FeatureSet,
    FeatureTable,
    expand_features,
    feature_chunks,
    feature_names,
    feature_table,
    known_features,
)
from murine.pose.identity import identity_order, match_identities
from murine.pose.place import Place
from murine.pose.scaler import Scaler, apply_scaler, fit_range, fit_scaler
from murine.pose.track import Track, make_track

__all__ = [
    "FEATURES",
    "FEATURE_SETS",
    "Family",
    "FeaturePlan",
    "FeatureSet",
    "FeatureTable",
    "Place",
    "Scaler",
    "Track",
    "apply_scaler",
    "centre",
    "drop_origin",
    "drop_unsure",
    "expand_features",
    "feature_chunks",
    "feature_names",
    "feature_table",
    "fill_gaps",
    "fit_range",
    "fit_scaler",
    "identity_order",
    "known_features",
    "make_track",
    "match_identities",
    "scale",
    "smooth",
]
