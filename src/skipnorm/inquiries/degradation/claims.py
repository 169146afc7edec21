"""Every claim of the inquiry, by topic: is it so, what cures it, and is it for want of the identity?"""

from skipnorm.inquiries.degradation import causes, cures, symptoms

__all__ = ["CLAIMS"]

CLAIMS = (*symptoms.CLAIMS, *cures.CLAIMS, *causes.CLAIMS)
