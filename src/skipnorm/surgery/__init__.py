"""Alterations of any network: take out, swap, move and add norms and skips; get an altered copy."""

from skipnorm.surgery.operate import operate
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.record import Done, operations_of, original
from skipnorm.surgery.skips import CutSkips

__all__ = ["CutSkips", "Done", "Operation", "operate", "operations_of", "original"]
