"""The page: verdicts and figures in one self-contained HTML file.

Nothing here imports torch.
"""

from skipnorm.report.page import write_page
from skipnorm.report.section import Section

__all__ = ["Section", "write_page"]
