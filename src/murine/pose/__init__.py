"""Pose into features: cleaning, identities, feature families, scaling."""

from murine.pose.clean import centre, drop_origin, drop_unsure, fill_gaps, scale
from murine.pose.features import (
    FEATURES,
    Family,
    FeatureTable,
    feature_chunks,
    feature_names,
    feature_table,
)
from murine.pose.identity import identity_order, match_identities
from murine.pose.scaler import Scaler, apply_scaler, fit_scaler

__all__ = [
    "FEATURES",
    "Family",
    "FeatureTable",
    "Scaler",
    "apply_scaler",
    "centre",
    "drop_origin",
    "drop_unsure",
    "feature_chunks",
    "feature_names",
    "feature_table",
    "fill_gaps",
    "fit_scaler",
    "identity_order",
    "match_identities",
    "scale",
]
