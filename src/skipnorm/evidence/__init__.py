"""Labelled results: what a measurement found, with units, meanings and provenance.

Evidence is a plain `xarray.Dataset` that keeps to a written schema. Nothing here imports torch.
"""

from skipnorm.evidence.gathering import RECORDED, beside, gather
from skipnorm.evidence.outcomes import DIVERGED_AT, outcomes
from skipnorm.evidence.provenance import provenance
from skipnorm.evidence.ranks import intervals_over_seeds
from skipnorm.evidence.rates import best_of_grid, compare_rates, largest_stable_rate, usable_width
from skipnorm.evidence.schema import DIMENSIONS, Quantity, check, label
from skipnorm.evidence.store import read, write
from skipnorm.evidence.summaries import interval_over, student

__all__ = [
    "DIMENSIONS",
    "DIVERGED_AT",
    "RECORDED",
    "Quantity",
    "beside",
    "best_of_grid",
    "check",
    "compare_rates",
    "gather",
    "interval_over",
    "intervals_over_seeds",
    "label",
    "largest_stable_rate",
    "outcomes",
    "provenance",
    "read",
    "student",
    "usable_width",
    "write",
]
