"""Means with intervals over seeds: the one place where Student's interval is written down."""

from typing import Any, Literal

import numpy as np
import xarray as xr

from skipnorm.errors import EvidenceError

Scale = Literal["linear", "log"]


def student(
    values: Any, level: float = 0.95, scale: Scale = "linear", axis: int = -1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean over seeds and Student's t-interval around it, as (mean, low, high).

    mean +- t(1 - (1 - level)/2; n - 1) * s / sqrt(n), with s the unbiased standard deviation. On
    the log scale this is done to ln(values) and transformed back, so that the centre is the
    geometric mean. Where any value is not finite (or not positive, on the log scale) all three
    are NaN: a divergence is not averaged away. One value alone has a NaN interval.

    Args:
        values: numbers with the seeds along `axis`.
        level: the coverage, between 0 and 1.
        scale: `"linear"` or `"log"`.
        axis: where the seeds are.

    Source: Student 1908.

    >>> [round(float(x), 3) for x in student([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    >>> [round(float(x), 3) for x in student([1.0, 10.0, 100.0], scale="log")]
    [10.0, 0.033, 3048.862]
    """
    array = np.asarray(values, float)
    count = array.shape[axis]
    with np.errstate(divide="ignore", invalid="ignore"):
        array = np.log(array) if scale == "log" else array
        array = np.where(np.isfinite(array), array, np.nan)
        centre = array.mean(axis=axis)
        if count < 2:
            return _back(centre, scale), np.full_like(centre, np.nan), np.full_like(centre, np.nan)
        error = array.std(axis=axis, ddof=1) / np.sqrt(count)
    from scipy import special  # the quantile of scipy.stats.t, which is slow to import and to ask

    reach = -float(special.stdtrit(count - 1, (1 - level) / 2)) * error
    return _back(centre, scale), _back(centre - reach, scale), _back(centre + reach, scale)


def interval_over(
    values: xr.DataArray, dim: str = "seed", level: float = 0.95, scale: Scale = "linear"
) -> xr.Dataset:
    """What the seeds say together: variables `mean`, `low`, `high`, `count` and `broken`.

    `count` is the number of seeds and `broken` how many of them are not finite; where one is,
    `mean`, `low` and `high` are NaN. The intervals are those of `student`.

    Raises:
        EvidenceError: the array has no dimension `dim`.

    >>> seeds = xr.DataArray([[1.0, 2.0, 3.0], [1.0, np.inf, 3.0]], dims=("step", "seed"))
    >>> summary = interval_over(seeds)
    >>> summary["mean"].values, summary["broken"].values
    (array([ 2., nan]), array([0, 1]))
    """
    if dim not in values.dims:
        raise EvidenceError(f"expected a dimension {dim!r}, found {tuple(map(str, values.dims))}")
    axis = values.get_axis_num(dim)
    assert isinstance(axis, int)
    mean, low, high = student(values.values, level, scale, axis)
    blank = values.isel({dim: 0}, drop=True)
    broken = (~np.isfinite(values.values)).sum(axis=axis)
    parts = {"mean": mean, "low": low, "high": high, "broken": broken}
    summary = xr.Dataset({name: blank.copy(data=part) for name, part in parts.items()})
    return summary.assign(count=values.sizes[dim])


def _back(values: np.ndarray, scale: Scale) -> np.ndarray:
    return np.exp(values) if scale == "log" else values
