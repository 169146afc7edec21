"""Judging: a claim and its evidence in, a verdict out."""

import math

import numpy as np
import xarray as xr

from skipnorm.verdicts import statistics
from skipnorm.verdicts.claim import Claim
from skipnorm.verdicts.effects import Case, cases
from skipnorm.verdicts.predictions import Identity
from skipnorm.verdicts.sentences import Row, method, reason
from skipnorm.verdicts.statistics import FEWEST, Estimate
from skipnorm.verdicts.verdict import Ruling, Verdict


def judge(claim: Claim, evidence: xr.Dataset) -> Verdict:
    """What this evidence rules on the claim: supported, refuted or undecided, and why.

    In every case the interval of the effect (Student's on the claim's scale, or the sign test's
    around the median where an effect is not finite; level 95 %, Holm-adjusted over the cases) is
    held against the predicted band: supported if all of it lies inside, refuted if all of it lies
    outside, else undecided. The claim is supported if all of its cases are, refuted if any case
    is. With fewer than five seeds it is undecided. An identity is judged by tolerance alone.

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
    rows = _rule(claim, found)
    ruling = _overall([row["ruling"] for row in rows])
    row = _deciding(rows, ruling)
    predicted = claim.prediction.words(found[rows.index(row)].target)
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


def _rule(claim: Claim, found: list[Case]) -> list[Row]:
    if isinstance(claim.prediction, Identity):
        return [_tolerance_row(case) for case in found]
    p_values = [_p(claim, case) for case in found]
    levels = statistics.holm_levels(p_values)
    return [
        _row(claim, case, level, p) for case, level, p in zip(found, levels, p_values, strict=True)
    ]


def _p(claim: Claim, case: Case) -> float:
    """The smallest alpha at which the case is decided: no edge of the band in the interval."""
    if len(case.values) < FEWEST:
        return 1.0
    return max((_p_at(claim, case, edge) for edge in case.band.edges), default=0.0)


def _p_at(claim: Claim, case: Case, edge: float) -> float:
    if _ranked(claim, case):
        return statistics.sign_p(case.values, edge)
    return statistics.student_p(case.values, edge, claim.scale)


def _ranked(claim: Claim, case: Case) -> bool:
    zero = claim.scale == "log" and bool((case.values == 0).any())
    return bool(case.diverged) or zero


def _row(claim: Claim, case: Case, level: float, p: float) -> Row:
    estimate = _estimate(claim, case, level)
    return {
        "case": case.name,
        "ruling": _ruling(case, estimate),
        "effect": estimate.centre,
        "low": estimate.low,
        "high": estimate.high,
        "level": level,
        "predicted_low": case.band.low,
        "predicted_high": case.band.high,
        "seeds": len(case.values),
        "diverged": case.diverged,
        "missing": case.missing,
        "ranked": _ranked(claim, case),
        "p": p,
        "sign_flip_p": _sign_flip(claim, case),
    }


def _estimate(claim: Claim, case: Case, level: float) -> Estimate:
    if not len(case.values):
        return Estimate(math.nan, math.nan, math.nan)
    if _ranked(claim, case):
        return statistics.median_estimate(case.values, level)
    return statistics.student_estimate(case.values, level, claim.scale)


def _ruling(case: Case, estimate: Estimate) -> Ruling:
    if len(case.values) < FEWEST:
        return "undecided"
    if case.band.holds(estimate.low, estimate.high):
        return "supported"
    return "refuted" if case.band.excludes(estimate.low, estimate.high) else "undecided"


def _sign_flip(claim: Claim, case: Case) -> float:
    if len(case.values) < FEWEST or _ranked(claim, case) or not case.band.edges:
        return math.nan
    return max(statistics.sign_flip_p(case.values, edge, claim.scale) for edge in case.band.edges)


def _tolerance_row(case: Case) -> Row:
    values = case.values if len(case.values) else np.array([math.nan])
    worst = values[np.argmax(np.where(np.isnan(values), np.inf, abs(values)))]
    met: Ruling = "supported" if case.band.holds(values.min(), values.max()) else "refuted"
    return {
        "case": case.name,
        "ruling": met if len(case.values) else "undecided",
        "effect": float(worst),
        "low": float(values.min()),
        "high": float(values.max()),
        "level": math.nan,
        "predicted_low": case.band.low,
        "predicted_high": case.band.high,
        "seeds": 0,
        "diverged": case.diverged,
        "missing": case.missing,
        "ranked": False,
        "p": math.nan,
        "sign_flip_p": math.nan,
    }


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
