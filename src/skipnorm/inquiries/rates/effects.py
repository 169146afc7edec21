"""What a grid of rates comes to, and how sharp runs ended: one number a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from skipnorm.evidence.gathering import RECORDED
from skipnorm.evidence.outcomes import outcomes
from skipnorm.evidence.rates import best_of_grid, largest_stable_rate, usable_width
from skipnorm.inquiries.effects import of
from skipnorm.inquiries.rates.study import FAMILIES

__all__ = [
    "BAR",
    "FITTED",
    "best_rate",
    "correlation",
    "edge",
    "end_loss",
    "of_fitted_runs",
    "over",
    "stable",
    "steps_at",
    "steps_at_best",
    "usable",
]

BAR = 0.5
"""The loss that has to be reached: about a fifth of what guessing has."""

FITTED = 0.2
"""The training loss below which a run counts as having found a minimum."""


def _part(evidence: xr.Dataset, variant: str) -> xr.Dataset:
    return evidence.sel(variant=[variant])


def stable(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The largest rate of the grid up to which no run diverged; 0 where the smallest did."""
    found = largest_stable_rate(_part(evidence, variant))["largest_stable_rate"]
    return found.sel(variant=variant, drop=True)


def over(one: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
    """One rate of the grid over another, without the rounding that makes 0.3 / 0.1 less than 3.

    >>> over(xr.DataArray([0.3]), xr.DataArray([0.1])).values
    array([3.])
    """
    return xr.DataArray((one / other).round(9))


def usable(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Over how many decades of rates a run ends below the bar on validation data."""
    found = usable_width(_part(evidence, variant), bar=BAR)["usable_decades"]
    return found.sel(variant=variant, drop=True)


def best_rate(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The rate that is best on validation data."""
    return best_of_grid(_part(evidence, variant))["best_rate"].sel(variant=variant, drop=True)


def end_loss(evidence: xr.Dataset, variant: str, rate: float, score: str) -> xr.DataArray:
    """A score at the end of runs at one rate; the worst where they diverged."""
    return outcomes(evidence, score).sel(variant=variant, rate=rate, drop=True)


def steps_at(evidence: xr.Dataset, variant: str, rate: float) -> xr.DataArray:
    """After how many updates the training batches' loss was below the bar; infinite for never."""
    return _first(of(evidence, variant, "loss_curve"), of(evidence, variant, RECORDED)).sel(
        rate=rate, drop=True
    )


def steps_at_best(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The same at the rate that is best on validation data, chosen for every seed."""
    first = _first(of(evidence, variant, "loss_curve"), of(evidence, variant, RECORDED))
    chosen = best_rate(evidence, variant)
    found = first.where(first["rate"] == chosen).max("rate", skipna=True)
    return xr.DataArray(found.where(chosen != 0, np.inf))


def _first(curve: xr.DataArray, ran: xr.DataArray) -> xr.DataArray:
    reached = curve["update"].astype(float).where(curve <= BAR, np.inf).min("update")
    return reached.where(ran)


def edge(evidence: xr.Dataset, variant: str, rate: float, *, eighths: int = 4) -> xr.DataArray:
    """The median sharpness over the last half of a descent (so many eighths of it, and its end)."""
    found = of(evidence, variant, "sharpness", rate=rate).dropna("step", how="all")
    later = found.isel(step=slice(-eighths - 1, None))
    ran = of(evidence, variant, RECORDED, rate=rate)
    return xr.DataArray(later.fillna(np.inf).median("step").where(ran))


def of_fitted_runs(
    evidence: xr.Dataset, quantity: str, families: Sequence[str] = FAMILIES
) -> xr.Dataset:
    """A sharpness and the gap from training to test loss, of all runs that found a minimum: over run and seed."""
    losses = {name: outcomes(evidence, f"{name}_loss") for name in ("training", "test")}
    last = (
        evidence[quantity].max("step") if "step" in evidence[quantity].dims else evidence[quantity]
    )
    sharp = last.transpose("variant", "seed", "rate")
    kept = (losses["training"] < FITTED) & np.isfinite(losses["test"]) & np.isfinite(sharp)
    table = xr.Dataset({"sharpness": sharp, "gap": losses["test"] - losses["training"]})
    return table.where(kept).sel(variant=list(families))


def correlation(evidence: xr.Dataset, quantity: str) -> xr.DataArray:
    """Spearman's rank correlation of a sharpness with the gap, over variants and rates within a seed.

    NaN where fewer than five runs found a minimum, or one was not run.
    """
    from scipy import stats

    table = of_fitted_runs(evidence, quantity)
    every = evidence[RECORDED].any("seed") == evidence[RECORDED]
    whole_seed = every.sel(variant=list(FAMILIES)).all(["variant", "rate"])
    found = []
    for seed in table["seed"].values:
        pairs = np.stack(
            [table[name].sel(seed=seed).values.ravel() for name in ("sharpness", "gap")]
        )
        whole = pairs[:, np.isfinite(pairs).all(axis=0)]
        few = whole.shape[1] < 5
        found.append(np.nan if few else float(stats.spearmanr(whole[0], whole[1]).statistic))
    return xr.DataArray(found, {"seed": table["seed"]}, "seed").where(whole_seed)
