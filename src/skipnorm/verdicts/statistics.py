"""The statistics behind a ruling: intervals that decide, tests that stand beside them.

Two routes lead to an interval. Where every effect is finite it is Student's, around the mean on
the claim's scale. Where one is not, a mean does not exist: then it is the interval of the sign
test, two order statistics around the median, in which infinities keep their place and a NaN,
which has none, is put at whichever end speaks against the ruling.

The cases of a claim share one chance of error. A case's p-value is the smallest alpha at which its
interval holds no edge of the predicted band, so that it decides; Holm's procedure over these
p-values gives each case its confidence level. Intervals are two-sided though a ruling errs on one
side only, and a claim is supported only if every case is, which alone would need no adjustment:
both err on the side of `undecided`. What Holm bounds is the chance of any false ruling; a display
of all intervals at once covers less than 95 % jointly where several cases are clear.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from skipnorm.evidence.summaries import Scale, student

FEWEST = 5
"""Seeds below which nothing but an identity is ruled on."""

ALPHA = 0.05
"""The chance of a false ruling that a claim, with all of its cases together, may take."""

_ENUMERABLE = 40


@dataclass(frozen=True)
class Estimate:
    """An effect with its interval, on the original scale."""

    centre: float
    low: float
    high: float


def student_estimate(values: np.ndarray, level: float, scale: Scale) -> Estimate:
    """The mean of finite effects with Student's interval; on the log scale, geometric.

    Source: Student 1908.

    >>> student_estimate(np.array([1.0, 2.0, 3.0]), 0.95, "linear").centre
    2.0
    """
    return Estimate(*(float(part) for part in student(values, level, scale)))


def student_p(values: np.ndarray, edge: float, scale: Scale) -> float:
    """The two-sided p-value of the t-test that the mean effect is `edge`.

    It is the smallest alpha at which the interval of `student_estimate` excludes the edge. Where
    all effects are equal, or the edge does not exist on this scale, it is 0: chance has no say.

    >>> round(student_p(np.array([1.0, 2.0, 3.0]), 0.0, "linear"), 4)
    0.0742
    """
    distances = _distances(values, edge, scale)
    if not np.isfinite(distances).all():
        return 0.0
    error = distances.std(ddof=1) / math.sqrt(len(distances))
    if error <= 1e-15 * abs(distances.mean()):
        return 0.0
    return float(2 * stats.t.sf(abs(distances.mean()) / error, len(distances) - 1))


def median_estimate(values: np.ndarray, level: float) -> Estimate:
    """The median of any effects with the order statistics that enclose it.

    With n effects the interval runs from the k-th smallest to the k-th largest, for the largest k
    with 2 P(Binomial(n, 1/2) < k) <= 1 - level: its coverage holds for every distribution. It is
    infinite where n is too small for the level: 2**(1 - n) must not exceed 1 - level. A NaN
    counts as -inf at the lower end and as +inf at the upper: worst for either ruling.

    Source: Thompson 1936.

    >>> median_estimate(np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.inf]), 0.95)
    Estimate(centre=3.5, low=1.0, high=inf)
    """
    lower = np.sort(np.where(np.isnan(values), -np.inf, values))
    upper = np.sort(np.where(np.isnan(values), np.inf, values))
    count = len(values)
    ranks = np.arange(1, count // 2 + 1)
    covering = ranks[2 * stats.binom.cdf(ranks - 1, count, 0.5) <= 1 - level + 1e-12]
    ends = (lower[covering[-1] - 1], upper[-covering[-1]]) if len(covering) else (-np.inf, np.inf)
    low_median, high_median = _middle(lower), _middle(upper)
    centre = low_median if low_median == high_median else math.nan
    return Estimate(centre, float(ends[0]), float(ends[1]))


def sign_p(values: np.ndarray, edge: float) -> float:
    """The two-sided p-value of the sign test that the median effect is `edge`.

    The smallest alpha at which the interval of `median_estimate` excludes the edge; ties and NaN
    count for both sides.

    >>> sign_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.inf]), 0.0)
    0.03125
    """
    below = int((np.isnan(values) | (values <= edge)).sum())
    above = int((np.isnan(values) | (values >= edge)).sum())
    return float(min(1.0, 2 * stats.binom.cdf(min(below, above), len(values), 0.5)))


def sign_flip_p(values: np.ndarray, edge: float, scale: Scale) -> float:
    """The exact two-sided p-value that the effects are symmetric around `edge`.

    The share of all 2**n ways of flipping the signs of the distances to the edge whose sum is at
    least as far from zero as the one found; two halves are enumerated and matched, so that it is
    exact up to 40 seeds. Beyond, 100 000 random flips stand for all of them. NaN where an effect
    or the edge is not finite on this scale.

    Source: Fisher 1935, section 21.

    >>> sign_flip_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 0.0, "linear")
    0.0625
    """
    distances = _distances(values, edge, scale)
    if not np.isfinite(distances).all():
        return math.nan
    found = abs(distances.sum()) - 1e-12 * np.abs(distances).sum()
    count = len(distances)
    if count > _ENUMERABLE:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(100_000, count))
        return float((1 + (np.abs(signs @ distances) >= found).sum()) / 100_001)
    left = _signed_sums(distances[: count // 2])
    right = np.sort(_signed_sums(distances[count // 2 :]))
    far = np.searchsorted(right, -found - left, side="right").astype(float)
    far += len(right) - np.searchsorted(right, found - left, side="left")
    return float(min(1.0, far.sum() / 2.0**count))


def holm_levels(p_values: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """The confidence level at which each case is ruled on, by Holm's procedure.

    Ordered by p-value, the j-th of m cases (j = 0, 1, ...) is held against alpha / (m - j) until
    one fails; that one and all after it stay at its level. An interval at the level returned here
    therefore decides a case exactly where Holm's procedure does.

    Source: Holm 1979.

    >>> [round(level, 4) for level in holm_levels([0.001, 0.3, 0.02])]
    [0.9833, 0.95, 0.975]
    >>> [round(level, 4) for level in holm_levels([0.5, 0.02, 0.03])]
    [0.9833, 0.9833, 0.9833]
    """
    levels = [0.0] * len(p_values)
    left = len(p_values)
    for case in sorted(range(len(p_values)), key=lambda case: p_values[case]):
        levels[case] = 1 - alpha / left
        left -= p_values[case] <= alpha / left
    return levels


def fewest_for_median(level: float) -> int:
    """How many seeds the interval around a median needs to be finite at this level.

    >>> fewest_for_median(0.95)
    6
    """
    return math.ceil(1 - math.log2(1 - level))


def _distances(values: np.ndarray, edge: float, scale: Scale) -> np.ndarray:
    if scale == "linear":
        return np.asarray(values - edge)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(values) - np.log(max(edge, 0.0)))


def _signed_sums(values: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def _middle(ordered: np.ndarray) -> float:
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    with np.errstate(invalid="ignore"):
        return float(low if low == high else (low + high) / 2)
