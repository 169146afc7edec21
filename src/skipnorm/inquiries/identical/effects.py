"""From evidence to effects: one number per seed, at the end of training or where the training loss meets the bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from skipnorm.evidence.outcomes import outcomes
from skipnorm.inquiries.identical.readings import READINGS
from skipnorm.inquiries.identical.study import BAR, LEARNERS, rate_of

__all__ = [
    "MEASURES",
    "at_bar",
    "beyond_chance",
    "correlation",
    "ended",
    "generalised",
    "initial",
    "moved",
    "read",
    "shared_rank",
]

MEASURES: tuple[str, ...] = ("batches", "units", "test", "time")
"""The senses of identically distributed; `gaussian` is about a shape."""

MOST = 0.75
"""More than this share of the learners of a seed must meet the bar between two readings, or nothing is said of them."""

_HOW = ("recorded", "diverged_at", "last_step")


def read(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of a learner at its rate, at the steps at which it was read."""
    whole = evidence[quantity].sel(variant=variant, rate=rate_of(variant), drop=True)
    return whole.dropna("step", how="all") if "step" in whole.dims else whole


def ended(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """The same at the end, mean over places."""
    last = read(evidence, variant, quantity).isel(step=-1, drop=True)
    return last.mean([dim for dim in last.dims if dim != "seed"])


def initial(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of networks that were not trained, over seed and layer."""
    whole = evidence[quantity].sel(variant=variant, drop=True)
    return whole.max([dim for dim in ("rate", "step") if dim in whole.dims])


def beyond_chance(evidence: xr.Dataset, variant: str, name: str) -> xr.DataArray:
    """A distance at the end of training, less what chance makes of it."""
    found = ended(evidence, variant, f"apart_{name}")
    return found - ended(evidence, variant, f"chance_{name}")


def moved(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """How far three percentiles lie from where they were at first, over half their spread, by step.

    Mean over places, units and percentiles; exactly 0 at first.
    """
    found = read(evidence, variant, "percentile")
    first = found.isel(step=0, drop=True)
    width = (_width(found) + _width(first)) / 2
    apart = xr.DataArray(np.abs(found - first)).mean("quantile") / width
    return apart.mean([dim for dim in apart.dims if dim not in ("seed", "step")])


def at_bar(evidence: xr.Dataset, variant: str, values: xr.DataArray) -> xr.DataArray:
    """What a series over steps is where the training loss comes down to the bar.

    Linear in the logarithm of the training loss, between the last reading above the bar and the first one below; NaN
    where no reading is below, and where the first one below follows initialisation: between an untrained network and a
    fitted one a straight line says nothing, and what it says is the worse the faster a network learns.
    """
    losses = read(evidence, variant, "training_loss")
    steps = [step for step in losses["step"].values if step in values["step"].values]
    heights = np.log(losses.sel(step=steps).transpose("seed", "step").values)
    series = values.sel(step=steps).transpose("seed", "step").values
    rows = zip(heights, series, strict=True)
    found = [_crossing(height, row, np.log(BAR)) for height, row in rows]
    return xr.DataArray(found, {"seed": losses["seed"].values}, "seed")


def generalised(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The test loss where the training loss comes down to the bar: infinite where the run diverged."""
    names = [name for name in ("training_loss", *_HOW) if name in evidence]
    last = outcomes(evidence[names].sel(variant=[variant]), "training_loss")
    last = last.sel(variant=variant, rate=rate_of(variant), drop=True)
    found = at_bar(evidence, variant, read(evidence, variant, "test_loss"))
    return found.where(last != np.inf, np.inf)


def degree(evidence: xr.Dataset, variant: str, measure: str) -> xr.DataArray:
    """How far from identical a learner is where it meets the bar; less is more identical."""
    if measure == "time":
        return at_bar(evidence, variant, moved(evidence, variant))
    if measure not in READINGS:
        raise KeyError(measure)
    return at_bar(evidence, variant, read(evidence, variant, f"apart_{measure}").mean("block"))


def correlation(evidence: xr.Dataset, measure: str) -> xr.DataArray:
    """Rank correlation, over the learners of a seed, of distance from identical with the test loss at the bar."""
    losses = [generalised(evidence, name) for name in LEARNERS]
    apart = _table([degree(evidence, name, measure) for name in LEARNERS])
    return _ranked(apart, _table(losses), losses[0]["seed"])


def shared_rank(evidence: xr.Dataset, learners: Sequence[str] = LEARNERS) -> xr.DataArray:
    """The same for the mean rank in all four senses."""
    ranks = [
        _ranks(_table([degree(evidence, name, measure) for name in learners]))
        for measure in MEASURES
    ]
    losses = [generalised(evidence, name) for name in learners]
    return _ranked(np.mean(ranks, axis=0), _table(losses), losses[0]["seed"])


def _table(rows: Sequence[xr.DataArray]) -> np.ndarray:
    """A matrix of seeds and learners; NaN where a learner misses the bar."""
    return np.array([row.values for row in rows]).T


def _ranks(table: np.ndarray) -> np.ndarray:
    """Ranks within each seed, NaN where there is no number."""
    from scipy.stats import rankdata

    found: np.ndarray = rankdata(table, axis=1, nan_policy="omit")
    return found


def _ranked(first: np.ndarray, second: np.ndarray, seeds: xr.DataArray) -> xr.DataArray:
    """Spearman's correlation over the learners of each seed that have both numbers; NaN if a quarter has not."""
    found = []
    for one, two in zip(first, second, strict=True):
        both = ~(np.isnan(one) | np.isnan(two))
        ranks = _ranks(np.stack([one[both], two[both]]))
        enough = both.sum() > max(2.0, MOST * len(both))
        varies = enough and bool((np.ptp(ranks, axis=1) > 0).all())
        found.append(float(np.corrcoef(ranks)[0, 1]) if varies else float("nan"))
    return xr.DataArray(found, {"seed": seeds.values}, "seed")


def _crossing(heights: np.ndarray, row: np.ndarray, bar: float) -> float:
    below = np.flatnonzero(heights <= bar)
    if not len(below) or below[0] <= 1:
        return float("nan")
    at = int(below[0])
    share = (heights[at - 1] - bar) / (heights[at - 1] - heights[at])
    return float(row[at - 1] + share * (row[at] - row[at - 1]))


def _width(percentiles: xr.DataArray) -> xr.DataArray:
    return (percentiles.isel(quantile=-1, drop=True) - percentiles.isel(quantile=0, drop=True)) / 2
