"""Medians with intervals over seeds, where a diverged run has a rank but no mean exists."""

import math
from typing import Any, Literal

import numpy as np
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.summaries import Scale, student

STUDENT = "Student-t"
RANKS = "order statistics around the median"
"""The two ways in which `intervals_over_seeds` may have made an interval."""

Better = Literal["lower", "higher"]


def median_interval(values: Any, level: float = 0.95) -> tuple[float, float, float]:
    """The median over seeds and the order statistics that enclose it, as (median, low, high).

    With n values the interval runs from the k-th smallest to the k-th largest, for the largest k
    with 2 P(Binomial(n, 1/2) < k) <= 1 - level: its coverage holds for every distribution, and
    infinities keep their place. It is infinite where n is too small for the level: 2**(1 - n)
    must not exceed 1 - level. A NaN, which has no place, counts as -inf at the lower end and as
    +inf at the upper; the median is NaN only where it depends on that.

    Args:
        values: one number per seed.
        level: the least coverage, between 0 and 1.

    Source: Thompson 1936.

    >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, np.inf])
    (3.5, 1.0, inf)
    """
    from scipy import special  # the distribution of scipy.stats.binom, which is slow to import

    array = np.asarray(values, float)
    lower = np.sort(np.where(np.isnan(array), -np.inf, array))
    upper = np.sort(np.where(np.isnan(array), np.inf, array))
    count = len(array)
    if not count:
        return math.nan, -math.inf, math.inf
    ranks = np.arange(1, count // 2 + 1)
    covering = ranks[2 * special.bdtr(ranks - 1, count, 0.5) <= 1 - level + 1e-12]
    ends = (lower[covering[-1] - 1], upper[-covering[-1]]) if len(covering) else (-np.inf, np.inf)
    low_median, high_median = _middle(lower), _middle(upper)
    centre = low_median if low_median == high_median else math.nan
    return centre, float(ends[0]), float(ends[1])


def intervals_over_seeds(
    values: xr.DataArray, level: float = 0.95, scale: Scale = "linear"
) -> xr.Dataset:
    """What the seeds say together, also where some of them diverged.

    Where every value is finite (and positive, on the log scale) it is the mean with Student's
    interval, geometric on the log scale. Where one is not, it is the median with the interval of
    `median_interval`, in which a diverged run that was ranked worst keeps its rank.

    Args:
        values: numbers over `seed` and, if need be, other dimensions. NaN is a run that is not
            there: it is left out, and `seeds` counts those that are.
        level: the coverage, between 0 and 1.
        scale: `"linear"` or `"log"`.

    Returns:
        Over the other dimensions: `centre`, `low`, `high`, `seeds`, `not_finite` (how many values
        are infinite) and `method` (text: which of the two made the interval; empty without any).

    Raises:
        EvidenceError: the array has no dimension `seed`.

    >>> runs = xr.DataArray([[1.0, 2.0, 3.0], [1.0, np.inf, 3.0]], dims=("variant", "seed"))
    >>> summary = intervals_over_seeds(runs)
    >>> summary["centre"].values, summary["method"].values.tolist()
    (array([2., 3.]), ['Student-t', 'order statistics around the median'])
    """
    if "seed" not in values.dims:
        raise EvidenceError(f"expected a dimension 'seed', found {tuple(map(str, values.dims))}")
    moved = values.transpose(..., "seed")
    rows = [_summary(row, level, scale) for row in moved.values.reshape(-1, values.sizes["seed"])]
    blank = moved.isel(seed=0, drop=True)
    names = ("centre", "low", "high", "seeds", "not_finite", "method")
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return xr.Dataset(
        {
            name: blank.copy(data=np.asarray(column).reshape(blank.shape)).assign_attrs(
                unit=values.attrs.get("unit", "1") if name in names[:3] else "1"
            )
            for name, column in zip(names, columns, strict=True)
        }
    )


def _summary(row: Any, level: float, scale: Scale) -> tuple[float, float, float, int, int, str]:
    there = row[~np.isnan(row)]
    broken = int(np.isinf(there).sum())
    if not len(there):
        return math.nan, math.nan, math.nan, 0, 0, ""
    if broken or (scale == "log" and bool((there <= 0).any())):
        return (*median_interval(there, level), len(there), broken, RANKS)
    centre, low, high = (float(part) for part in student(there, level, scale))
    return centre, low, high, len(there), broken, STUDENT


def _middle(ordered: np.ndarray) -> float:
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    with np.errstate(invalid="ignore"):
        return float(low if low == high else (low + high) / 2)
