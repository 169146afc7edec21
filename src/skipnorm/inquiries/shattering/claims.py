"""Every claim of the inquiry: the dispute, what it means for learning, and the laws with their tolerances.

A tolerance is the one under which a law is known to hold at the widths and batches of the study; it was written
before the run.
"""

from skipnorm.inquiries.shattering import laws, line, performance, samples

__all__ = ["CLAIMS", "LAWS"]

LAWS = (line.LAW, *laws.LAWS)
CLAIMS = (*line.CLAIMS, *samples.CLAIMS, *performance.CLAIMS, *laws.LAWS)
