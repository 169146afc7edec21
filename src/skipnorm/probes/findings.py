"""What a probe of a whole network finds, before it is labelled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skipnorm.evidence.schema import Quantity

__all__ = ["Findings"]


@dataclass(frozen=True)
class Findings:
    """Numbers with what they mean, ready for the doorway.

    Attributes:
        quantities: what the numbers mean.
        values: an array, a tensor or a number for each of them.
        coords: the labels along each dimension.
        settings: what the probe was bound to, in words, for the record (kind of statistics, attention path, steps).
        notes: what could not be measured, and why.
    """

    quantities: tuple[Quantity, ...]
    values: Mapping[str, Any]
    coords: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
