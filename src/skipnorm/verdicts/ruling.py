"""The rule itself: effects over seeds and a predicted band in, a ruling with its numbers out."""

import math
from typing import Any

import numpy as np

from skipnorm.evidence.summaries import Scale
from skipnorm.verdicts import statistics
from skipnorm.verdicts.effects import Case
from skipnorm.verdicts.statistics import FEWEST, Estimate
from skipnorm.verdicts.verdict import Ruling

Row = dict[str, Any]
"""The numbers of one case, as a verdict keeps them."""


def rule(found: list[Case], scale: Scale) -> list[Row]:
    """Every case held against its band, at the level that Holm's procedure gives it.

    Args:
        found: the cases of one claim.
        scale: the scale of its effects.
    """
    p_values = [_p(case, scale) for case in found]
    levels = statistics.holm_levels(p_values)
    return [
        _row(case, scale, level, p) for case, level, p in zip(found, levels, p_values, strict=True)
    ]


def rule_by_tolerance(case: Case) -> Row:
    """An identity: every value is held against the tolerance, and no statistics are needed."""
    values = case.values if len(case.values) else np.array([math.nan])
    worst = values[np.argmax(np.where(np.isnan(values), np.inf, abs(values)))]
    met: Ruling = "supported" if case.band.holds(values.min(), values.max()) else "refuted"
    return {
        **_blank(case),
        "ruling": met if len(case.values) else "undecided",
        "effect": float(worst),
        "low": float(values.min()),
        "high": float(values.max()),
    }


def is_ranked(case: Case, scale: Scale) -> bool:
    """Whether the effects have ranks but no mean: one is not finite, or 0 where that stands for it."""
    broken = bool(case.diverged or case.vanished)
    return broken or (scale == "log" and bool((case.values == 0).any()))


def estimate(case: Case, scale: Scale, level: float) -> Estimate:
    """The effect with its interval: Student's, or order statistics where it is ranked."""
    if not len(case.values):
        return Estimate(math.nan, math.nan, math.nan)
    if is_ranked(case, scale):
        return statistics.median_estimate(case.values, level)
    return statistics.student_estimate(case.values, level, scale)


def ruling(case: Case, found: Estimate) -> Ruling:
    """What an interval says of a case: inside its band, outside, or neither."""
    if len(case.values) < FEWEST:
        return "undecided"
    if case.band.holds(found.low, found.high):
        return "supported"
    return "refuted" if case.band.excludes(found.low, found.high) else "undecided"


def _p(case: Case, scale: Scale) -> float:
    """The smallest alpha at which the case is decided: no edge of the band in the interval."""
    if len(case.values) < FEWEST:
        return 1.0
    return max((_p_at(case, scale, edge) for edge in case.band.edges), default=0.0)


def _p_at(case: Case, scale: Scale, edge: float) -> float:
    if is_ranked(case, scale):
        return statistics.sign_p(case.values, edge)
    return statistics.student_p(case.values, edge, scale)


def _row(case: Case, scale: Scale, level: float, p: float) -> Row:
    found = estimate(case, scale, level)
    return {
        **_blank(case),
        "ruling": ruling(case, found),
        "effect": found.centre,
        "low": found.low,
        "high": found.high,
        "level": level,
        "seeds": len(case.values),
        "ranked": is_ranked(case, scale),
        "p": p,
        "tost_p": _tost(case, scale),
        "sign_flip_p": _sign_flip(case, scale),
    }


def _blank(case: Case) -> Row:
    """What every row has, with NaN for the statistics of an identity."""
    return {
        "case": case.name,
        "ruling": "undecided",
        "effect": math.nan,
        "low": math.nan,
        "high": math.nan,
        "level": math.nan,
        "target": case.target,
        "predicted_low": case.band.low,
        "predicted_high": case.band.high,
        "seeds": 0,
        "diverged": case.diverged,
        "unordered": case.unordered,
        "vanished": case.vanished,
        "missing": case.missing,
        "ranked": False,
        "p": math.nan,
        "tost_p": math.nan,
        "sign_flip_p": math.nan,
    }


def _tost(case: Case, scale: Scale) -> float:
    if len(case.values) < FEWEST or len(case.band.edges) < 2:
        return math.nan
    low, high = case.band.edges
    return statistics.tost_p(case.values, low, high, scale, ranked=is_ranked(case, scale))


def _sign_flip(case: Case, scale: Scale) -> float:
    if len(case.values) < FEWEST or is_ranked(case, scale) or not case.band.edges:
        return math.nan
    return max(statistics.sign_flip_p(case.values, edge, scale) for edge in case.band.edges)
