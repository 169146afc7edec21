"""Labelled results: what a measurement found, with units, meanings and provenance.

Evidence is a plain `xarray.Dataset` that keeps to a written schema. Nothing here imports torch.
"""

from skipnorm.evidence.gathering import RECORDED, gather
from skipnorm.evidence.provenance import provenance
from skipnorm.evidence.schema import DIMENSIONS, Quantity, check, label
from skipnorm.evidence.store import read, write
from skipnorm.evidence.summaries import interval_over, student

__all__ = [
    "DIMENSIONS",
    "RECORDED",
    "Quantity",
    "check",
    "gather",
    "interval_over",
    "label",
    "provenance",
    "read",
    "student",
    "write",
]
