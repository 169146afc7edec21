"""Rulings of an audit as the verdicts that the page shows on its cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from skipnorm.errors import ClaimError
from skipnorm.evidence.wording import number
from skipnorm.verdicts import Claim, Equivalent, Verdict
from skipnorm.verdicts.verdict import Ruling as Verdicts

if TYPE_CHECKING:
    from skipnorm.audit.audit import Audit, Trialled

__all__ = ["verdict_of"]

_AS_VERDICT: dict[str, Verdicts] = {
    "idle": "supported",
    "load-bearing": "refuted",
    "harmful": "refuted",
    "helpful": "undecided",
    "undecided": "undecided",
}
"""Whether that it makes no difference is supported; of `helpful`, by how much it does is open."""


def verdict_of(audit: Audit, one: Trialled, sentence: str, reason: str, *, topic: str) -> Verdict:
    """The ruling on an arm, as a verdict on the sentence that it makes no difference that matters.

    Args:
        audit: which the arm belongs to.
        one: the arm.
        sentence: what the card says; the ruling is about its truth.
        reason: why.
        topic: under which heading the card stands.
    """
    found = one.standing
    claim = Claim(
        one.arm,
        sentence,
        "this audit",
        "derived",
        _not_again,
        Equivalent(audit.margin),
        topic=topic,
        unit="of accuracy" if audit.score == "accuracy" else "in log loss",
    )
    row: dict[str, Any] = {
        "case": "",
        "ruling": _AS_VERDICT[found.ruling],
        "effect": found.effect,
        "low": found.low,
        "high": found.high,
        "level": found.level,
        "predicted_low": -audit.margin,
        "predicted_high": audit.margin,
        "seeds": found.seeds,
        "diverged": found.diverged,
    }
    ranked = "order statistics around the median" if found.diverged else "Student's interval"
    return Verdict(
        claim,
        _AS_VERDICT[found.ruling],
        found.effect,
        found.low,
        found.high,
        found.level,
        f"lost or won: within {number(audit.margin)}",
        found.seeds,
        f"{ranked} of the paired difference; learning rate {one.tuned.rate:g}",
        reason,
        "",
        (row,),
    )


def _not_again(evidence: xr.Dataset) -> xr.DataArray:
    raise ClaimError("an audit rules by its own looks and levels; judge() would rule by others")
