"""Claims judged by evidence that could go either way: supported, refuted or undecided.

Nothing here imports torch.
"""

from skipnorm.verdicts.claim import Claim
from skipnorm.verdicts.judge import judge
from skipnorm.verdicts.predictions import AtLeast, AtMost, Equivalent, Identity, Near
from skipnorm.verdicts.verdict import RULINGS, Verdict, table

__all__ = [
    "RULINGS",
    "AtLeast",
    "AtMost",
    "Claim",
    "Equivalent",
    "Identity",
    "Near",
    "Verdict",
    "judge",
    "table",
]
