"""Groups of animals compared: genotypes, drugs, doses; the animal is the unit."""

from murine.groups.comparison import Comparison, Row, Side, compare_observed
from murine.groups.folder import compare_groups, result_rows
from murine.groups.measures import MEASURES, Key, Observed, measure

__all__ = [
    "MEASURES",
    "Comparison",
    "Key",
    "Observed",
    "Row",
    "Side",
    "compare_groups",
    "compare_observed",
    "measure",
    "result_rows",
]
