"""Things named by where they are imported from; tasks need that too, so it lives further down."""

from skipnorm.reference import load, reference

__all__ = ["load", "reference"]
