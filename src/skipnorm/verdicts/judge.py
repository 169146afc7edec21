"""Judging: a claim and its evidence in, a verdict out."""

import math

import xarray as xr

from skipnorm.verdicts.claim import Claim
from skipnorm.verdicts.effects import cases
from skipnorm.verdicts.predictions import Identity
from skipnorm.verdicts.ruling import Row, rule, rule_by_tolerance
from skipnorm.verdicts.sentences import method, reason
from skipnorm.verdicts.verdict import Ruling, Verdict


def judge(claim: Claim, evidence: xr.Dataset) -> Verdict:
    """What this evidence rules on the claim: supported, refuted or undecided, and why.

    In every case the interval of the effect (Student's on the claim's scale, or the sign test's
    around the median where an effect is not finite; level 95 %, Holm-adjusted over the cases) is
    held against the predicted band: supported if all of it lies inside, refuted if all of it lies
    outside, else undecided. For a band with two ends (`Near`, `Equivalent`) lying inside is two
    one-sided tests at 2.5 % each. The claim is supported if all of its cases are, refuted if any
    case is. With fewer than five seeds it is undecided. An identity is judged by tolerance alone.

    Raises:
        ClaimError: the evidence lacks what the claim measures, or the effect is ill-formed.

    >>> from skipnorm.verdicts import AtLeast
    >>> evidence = xr.Dataset({"gain": ("seed", [2.1, 2.2, 2.0, 2.1, 2.3])})
    >>> grows = Claim("growth", "It grows.", "by hand", "derived", lambda e: e["gain"], AtLeast(2))
    >>> judge(grows, evidence).reason
    'The effect is 2.14 (95 % interval 2.00 to 2.28, 5 seeds): only a part of the interval \
meets the prediction (at least 2).'
    """
    found = cases(claim, evidence)
    exact = isinstance(claim.prediction, Identity)
    rows = [rule_by_tolerance(case) for case in found] if exact else rule(found, claim.scale)
    ruling = _overall([row["ruling"] for row in rows])
    row = _deciding(rows, ruling)
    predicted = claim.prediction.words(row["target"])
    return Verdict(
        claim=claim,
        ruling=ruling,
        effect=row["effect"],
        low=row["low"],
        high=row["high"],
        level=row["level"],
        predicted=predicted,
        seeds=row["seeds"],
        method=method(claim, row, len(rows)),
        reason=reason(claim, row, rows, predicted),
        case=row["case"],
        cases=tuple(rows),
    )


def _overall(rulings: list[Ruling]) -> Ruling:
    if "refuted" in rulings:
        return "refuted"
    return "undecided" if "undecided" in rulings else "supported"


def _deciding(rows: list[Row], ruling: Ruling) -> Row:
    """The weakest case of a supported or undecided claim, the clearest of a refuted one."""
    same = [row for row in rows if row["ruling"] == ruling]
    if math.isnan(same[0]["p"]):
        return max(same, key=lambda row: (math.isnan(row["effect"]), abs(row["effect"])))
    if ruling == "refuted":
        return min(same, key=lambda row: (row["p"], _depth(row)))
    return max(same, key=lambda row: (row["p"], -_depth(row)))


def _depth(row: Row) -> float:
    """How far the effect lies inside its band, in half-widths of the interval; for equal p."""
    width = (row["high"] - row["low"]) / 2
    edges = [row["effect"] - row["predicted_low"], row["predicted_high"] - row["effect"]]
    depth = min(edges) / width if width > 0 and math.isfinite(width) else min(edges)
    return depth if math.isfinite(depth) else 0.0
