"""Skips cut, scaled or dropped: what meets at a sum, and in which proportion."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from skipnorm.anatomy.alter import Occasion
from skipnorm.anatomy.sites import Site, Skip
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient

__all__ = ["CutSkips"]


@dataclass(frozen=True, kw_only=True, repr=False)
class CutSkips(Operation):
    """Take the shortcuts out, so that only the residual branch goes on.

    The shortcut is removed and not multiplied by zero: no NaN of it reaches the output. In a concatenation zeros stand
    in its place. Applied twice it is an error: there is no such skip any more.
    """

    changes: ClassVar[str] = "skips"

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """Every skip."""
        return patient.anatomy.skips

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Let the branch go on alone."""
        patient.gate({site: _without_shortcuts for site in sites})


def _without_shortcuts(at: Occasion) -> Tensor:
    assert isinstance(at.site, Skip)
    parts = at.parts()
    if at.site.merge == "concat":
        kept = [
            torch.zeros_like(part) if position in at.site.shortcuts else part
            for position, part in enumerate(parts)
        ]
        return at.join(kept)
    kept = [part for position, part in enumerate(parts) if position not in at.site.shortcuts]
    return _in_place_of(at.join(kept), parts)


def _in_place_of(result: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """A tensor of its own with the shape and the precision that the whole sum would have."""
    shape = torch.broadcast_shapes(*(part.shape for part in parts))  # type: ignore[no-untyped-call]
    precision = parts[0].dtype
    for part in parts[1:]:
        precision = torch.promote_types(precision, part.dtype)
    return result.to(precision).broadcast_to(shape).clone()
