"""The page: verdicts and figures in one self-contained HTML file.

Nothing here imports torch.
"""

from skipnorm.report.page import write_page
from skipnorm.report.remark import Remark
from skipnorm.report.section import Section

__all__ = ["Remark", "Section", "write_page"]
