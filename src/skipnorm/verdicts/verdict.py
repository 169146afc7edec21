"""A verdict: what the evidence rules on a claim, with every number that led there."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from skipnorm.verdicts.claim import Claim

Ruling = Literal["supported", "refuted", "undecided"]
RULINGS: tuple[Ruling, ...] = ("supported", "refuted", "undecided")


@dataclass(frozen=True)
class Verdict:
    """The ruling on one claim, and the case that decided it.

    Args:
        claim: what was judged.
        ruling: `"supported"` if every case is, `"refuted"` if any case is, else `"undecided"`.
        effect: the effect in the deciding case: the weakest of a supported or undecided claim,
            the clearest refutation of a refuted one. On the original scale.
        low: lower end of the effect's interval.
        high: upper end of the effect's interval.
        level: the interval's confidence level, after Holm; NaN for an identity.
        predicted: the prediction in words, for the deciding case.
        seeds: how many seeds the ruling rests on; 0 for an identity.
        method: which statistic, on which scale, and what stands beside it.
        reason: one sentence that gives the ruling's numbers.
        case: the deciding case; empty where a claim has only one.
        cases: one row of numbers for every case.
    """

    claim: Claim
    ruling: Ruling
    effect: float
    low: float
    high: float
    level: float
    predicted: str
    seeds: int
    method: str
    reason: str
    case: str
    cases: tuple[dict[str, Any], ...]

    def to_dataset(self) -> xr.Dataset:
        """The table of cases as a dataset over `case`, ready to be drawn."""
        labels = [row["case"] or self.claim.name for row in self.cases]
        columns = {
            key: ("case", np.asarray([row[key] for row in self.cases]))
            for key in self.cases[0]
            if key != "case"
        }
        return xr.Dataset(columns, {"case": labels}, {"unit": self.claim.unit})


def table(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """The verdicts as plain rows, one a claim: what a terminal, a CSV file or a test wants.

    Every row has `claim, sentence, source, side, ruling, effect, low, high, level, unit,
    predicted, seeds, case, method, reason`.
    """
    told = ("name", "sentence", "source", "side", "unit")
    found = ("ruling", "effect", "low", "high", "level", "predicted", "seeds", "case")
    return [
        {
            **{"claim" if word == "name" else word: getattr(verdict.claim, word) for word in told},
            **{word: getattr(verdict, word) for word in (*found, "method", "reason")},
        }
        for verdict in verdicts
    ]
