"""The statistics behind a ruling: intervals that decide, tests that stand beside them.

Two routes lead to an interval. Where every effect is finite it is Student's, around the mean on
the claim's scale. Where one is not, a mean does not exist: then it is the interval of the sign
test, two order statistics around the median, in which infinities keep their place and a NaN,
which has none, is put at whichever end speaks against the ruling.

The interval is two-sided at 95 % for every prediction. At most one kind of false ruling is
possible in any world (a claim that holds can only be refuted in error, one that does not only be
supported), and each comes from one end of the interval: 2.5 %, or up to 5 % where a band is
narrower than the interval and can be missed on both sides. For a band, inclusion of the 95 %
interval is two one-sided tests at 2.5 % each. The customary 90 % interval (5 % each) would let
"no difference that matters" be supported more lightly than "a difference that matters", and let
a narrow band be refuted in error in 10 % of all worlds.

The cases of a claim share one chance of error. A case's p-value is the smallest alpha at which its
interval holds no edge of the predicted band, so that it decides; Holm's procedure over these
p-values gives each case its confidence level. A claim is supported only if every case is, which
alone would need no adjustment: this errs on the side of `undecided`. What Holm bounds is the
chance of any false ruling; a display of all intervals at once covers less than 95 % jointly where
several cases are clear.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from skipnorm.evidence.ranks import median_interval
from skipnorm.evidence.summaries import Scale, student

FEWEST = 5
"""Seeds below which nothing but an identity is ruled on."""

ALPHA = 0.05
"""The chance of a false ruling that a claim, with all of its cases together, may take."""

Alternative = Literal["two-sided", "greater", "less"]

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


def student_p(
    values: np.ndarray, edge: float, scale: Scale, alternative: Alternative = "two-sided"
) -> float:
    """The p-value of the t-test that the mean effect is `edge` (`scipy.stats.ttest_1samp`).

    Two-sided, it is the smallest alpha at which the interval of `student_estimate` excludes the
    edge. Where all effects are equal, or the edge does not exist on this scale, chance has no
    say: it is 0, or 1 for an alternative on the other side.

    Source: Student 1908.

    >>> round(student_p(np.array([1.0, 2.0, 3.0]), 0.0, "linear"), 4)
    0.0742
    >>> round(student_p(np.array([1.0, 2.0, 3.0]), 0.0, "linear", "greater"), 4)
    0.0371
    """
    distances = _distances(values, edge, scale)
    if not np.isfinite(distances).all() or np.ptp(distances) <= 1e-13 * np.abs(distances).max():
        beyond = bool((distances < 0).any()) if alternative == "greater" else False
        beyond = bool((distances > 0).any()) if alternative == "less" else beyond
        return 1.0 if beyond else 0.0
    return float(stats.ttest_1samp(distances, 0.0, alternative=alternative).pvalue)


def median_estimate(values: np.ndarray, level: float) -> Estimate:
    """The median of any effects with the order statistics that enclose it.

    The interval of `skipnorm.evidence.ranks.median_interval`: its coverage holds for every
    distribution. A NaN counts as -inf at the lower end and as +inf at the upper: worst for either
    ruling.

    Source: Thompson 1936.

    >>> median_estimate(np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.inf]), 0.95)
    Estimate(centre=3.5, low=1.0, high=inf)
    """
    return Estimate(*median_interval(values, level))


def sign_p(values: np.ndarray, edge: float, alternative: Alternative = "two-sided") -> float:
    """The p-value of the sign test that the median effect is `edge` (`scipy.stats.binomtest`).

    Two-sided, it is the smallest alpha at which the interval of `median_estimate` excludes the
    edge; ties and NaN count for both sides. One-sided they count against the alternative.

    Source: Arbuthnot 1710; Dixon & Mood 1946.

    >>> sign_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.inf]), 0.0)
    0.03125
    """
    below = int((np.isnan(values) | (values <= edge)).sum())
    above = int((np.isnan(values) | (values >= edge)).sum())
    against = {"greater": below, "less": above, "two-sided": min(below, above)}[alternative]
    tail = float(stats.binomtest(against, len(values), 0.5, alternative="less").pvalue)
    return min(1.0, 2 * tail) if alternative == "two-sided" else tail


def tost_p(values: np.ndarray, low: float, high: float, scale: Scale, *, ranked: bool) -> float:
    """The p-value of two one-sided tests that the effect lies between `low` and `high`.

    The larger p of two tests, "above low" and "below high": t-tests, or sign tests where `ranked`.
    It is at most alpha exactly where the 1 - 2 alpha interval lies between the two.

    Source: Schuirmann 1987.

    >>> round(tost_p(np.array([-1.0, 0.0, 1.0]), -2.0, 2.0, "linear", ranked=False), 4)
    0.0371
    """
    if ranked:
        return max(sign_p(values, low, "greater"), sign_p(values, high, "less"))
    above = student_p(values, low, scale, "greater")
    return max(above, student_p(values, high, scale, "less"))


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
