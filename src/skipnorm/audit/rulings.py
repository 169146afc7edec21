"""What the seeds say of a group: one interval of what its absence costs, held against the margin.

Pure numbers: no torch, no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from skipnorm.verdicts import statistics
from skipnorm.verdicts.statistics import FEWEST, Estimate

__all__ = ["LOOKS", "RULINGS", "Ruling", "Standing", "alpha_at", "detectable", "ruled"]

Ruling = Literal["load-bearing", "helpful", "idle", "harmful", "undecided"]
RULINGS: tuple[Ruling, ...] = ("load-bearing", "helpful", "idle", "harmful", "undecided")

LOOKS: tuple[tuple[int, float], ...] = ((8, 0.7), (16, 0.9), (32, 1.0))
"""After how many seeds an audit plans to look, and which share of its chance of error it has spent by then."""

_MOST = 400
"""Seeds beyond which it is not said how many more would settle a question."""


@dataclass(frozen=True)
class Standing:
    """What is known of one comparison.

    The effect is what the absence costs: accuracy lost, or the logarithm of the ratio of losses.
    Above 0 it is missed; infinite where training without it diverges.

    Attributes:
        ruling: see `ruled`.
        effect: mean over the seeds, or the median where a run diverged.
        low: lower end of its interval.
        high: upper end of its interval.
        level: the interval's confidence level.
        seeds: how many seeds it rests on.
        diverged: in how many of them the effect is not finite.
        spread: standard deviation of the effect over seeds; NaN where one is not finite.
        smallest: the smallest effect that this many seeds find in four of five audits.
        more: how many more seeds would settle it if effect and spread stay as they are; 0 where it
            is settled, NaN where that cannot be said.
    """

    ruling: Ruling
    effect: float
    low: float
    high: float
    level: float
    seeds: int
    diverged: int
    spread: float
    smallest: float
    more: float


def alpha_at(seeds: int, before: int = 0) -> float:
    """The chance of error that a look after so many seeds may spend.

    What has been spent by a number of seeds is a line through the planned looks, so that looks
    elsewhere, or more of them, spend no more in all.

    Args:
        seeds: of the look.
        before: seeds of the look before it; 0 where it is the first.

    Source: Lan & DeMets 1983.

    >>> round(alpha_at(8), 4), round(alpha_at(16, before=8), 4), round(alpha_at(5) + alpha_at(8, 5), 4)
    (0.035, 0.01, 0.035)
    """
    planned, shares = zip((0, 0.0), *LOOKS, strict=True)
    spent = np.interp([before, seeds], planned, shares)
    return statistics.ALPHA * float(spent[1] - spent[0])


def ruled(
    effects: Mapping[str, ArrayLike], margin: float, *, alpha: float | None = None
) -> dict[str, Standing]:
    """Every comparison of one family ruled on by its interval, at the level that Holm's procedure gives it.

    - `load-bearing`: all of the interval lies above the margin;
    - `idle`: all of it lies within the margin to either side, so that no difference matters;
    - `helpful`: all of it lies above 0, and a part beyond the margin;
    - `harmful`: all of it lies below 0, and a part beyond the margin;
    - `undecided`: it holds 0 and an end of the margin, or there are fewer than five seeds.

    The interval is Student's, or the sign test's around the median where a run diverged.

    Args:
        effects: what each absence costs, one number a seed; NaN, where both runs diverged, speaks
            against any ruling.
        margin: the smallest effect that matters, above 0.
        alpha: the chance of error of the whole family; that of a first look unless given.

    Source: Holm 1979; Schuirmann 1987.

    >>> found = ruled({"norms": [0.3, 0.31, 0.29, 0.3, 0.32, 0.28, 0.3, 0.3]}, 0.02)
    >>> found["norms"].ruling
    'load-bearing'
    """
    arrays = {name: np.asarray(each, float) for name, each in effects.items()}
    fewest = min((len(each) for each in arrays.values()), default=0)
    chance = alpha_at(fewest) if alpha is None else alpha
    p_values = [_p(each, margin) for each in arrays.values()]
    levels = statistics.holm_levels(p_values, chance) if arrays else []
    return {
        name: _standing(values, margin, level)
        for (name, values), level in zip(arrays.items(), levels, strict=True)
    }


def detectable(spread: float, seeds: int, level: float) -> float:
    """The smallest effect that so many seeds tell from 0 in four of five audits.

    >>> round(detectable(0.01, 8, 0.95), 4)
    0.0115
    """
    if seeds < 2:
        return math.inf
    reach = stats.t.ppf(0.5 + level / 2, seeds - 1) + stats.t.ppf(0.8, seeds - 1)
    return float(reach * spread / math.sqrt(seeds))


def _standing(values: np.ndarray, margin: float, level: float) -> Standing:
    found = _estimate(values, level)
    finite = bool(np.isfinite(values).all()) and len(values) > 1
    spread = float(values.std(ddof=1)) if finite else math.nan
    ruling = _ruling(found, margin) if len(values) >= FEWEST else "undecided"
    smallest = detectable(spread, len(values), level) if finite else math.nan
    return Standing(
        ruling,
        found.centre,
        found.low,
        found.high,
        level,
        len(values),
        int((~np.isfinite(values)).sum()),
        spread,
        smallest,
        0.0 if ruling != "undecided" else _more(values, spread, margin, level),
    )


def _estimate(values: np.ndarray, level: float) -> Estimate:
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    if not np.isfinite(values).all() or len(values) < 2:
        return statistics.median_estimate(values, level)
    return statistics.student_estimate(values, level, "linear")


def _ruling(found: Estimate, margin: float) -> Ruling:
    low, high = found.low, found.high
    if not low <= high:
        return "undecided"
    if low > margin:
        return "load-bearing"
    if -margin <= low and high <= margin:
        return "idle"
    if low > 0:
        return "helpful"
    return "harmful" if high < 0 else "undecided"


def _p(values: np.ndarray, margin: float) -> float:
    """The smallest alpha at which the interval decides: without 0, or without either end of the margin."""
    if len(values) < FEWEST:
        return 1.0
    ranked = not np.isfinite(values).all()

    def against(edge: float) -> float:
        if ranked:
            return statistics.sign_p(values, edge)
        return statistics.student_p(values, edge, "linear")

    return min(against(0.0), max(against(margin), against(-margin)))


def _more(values: np.ndarray, spread: float, margin: float, level: float) -> float:
    """Seeds missing until the interval decides, where effect and spread stay as they are."""
    count = len(values)
    if not math.isfinite(spread):  # ranks decide once there are enough of them
        enough = statistics.fewest_for_median(level)
        return float(enough - count) if count < enough else math.nan
    size = abs(float(values.mean()))
    room = max(size, margin - size)  # to 0, or to the nearer end of the margin
    seeds = np.arange(max(count + 1, FEWEST), _MOST + 1)
    reach = stats.t.ppf(0.5 + level / 2, seeds - 1) * spread / np.sqrt(seeds)
    enough = seeds[reach < room]
    return float(enough[0] - count) if len(enough) else math.nan
