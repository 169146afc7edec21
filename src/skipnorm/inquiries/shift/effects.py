"""From evidence to effects: one number per seed. Every comparison is within a seed, at one rate or each at its best."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from skipnorm.evidence.outcomes import outcomes
from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.shift.study import STEPS, rate_of

__all__ = [
    "NETWORKS",
    "by_rate",
    "drift",
    "ended",
    "over_training",
    "path",
    "read",
    "taught",
    "typical",
]

_BATCHES = "batch_loss"

NETWORKS: Mapping[str, tuple[str, str]] = {
    "sigmoid, 3 layers": ("sigmoid", "sigmoid BN"),
    "ReLU, 10 layers": ("plain, rate 0.1", "BN, rate 0.1"),
}
"""Pairs without and with batch norm, whose distributions are followed through training."""


def read(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of a variant that has one rate, at the steps and labels at which it was read."""
    whole = evidence[quantity].sel(variant=variant, rate=rate_of(variant), drop=True)
    for dim in whole.dims:
        if dim != "seed":
            whole = whole.dropna(dim, how="all")
    return whole


def typical(values: xr.DataArray) -> xr.DataArray:
    """The geometric mean over all that is not a seed."""
    rest = [dim for dim in values.dims if dim != "seed"]
    return xr.DataArray(np.exp(xr.DataArray(np.log(values)).mean(rest, skipna=False)))


def path(percentiles: xr.DataArray) -> xr.DataArray:
    """How far the three percentiles move from one reading to the next, over half of what lies between the outer two.

    Mean over the three, and over both readings for what they are divided by.
    """
    first, then = percentiles.isel(step=slice(-1)), percentiles.isel(step=slice(1, None))
    then = then.assign_coords(step=first["step"])
    width = (_width(first) + _width(then)) / 2
    return xr.DataArray(np.abs(then - first)).mean("quantile", skipna=False) / width


def drift(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The mean of `path` over places, units and readings: how much what enters activations moves in training.

    NaN where a run diverged before the last reading: what it moved until then is no less for it.
    """
    moved = path(read(evidence, variant, "percentile"))
    return moved.mean([dim for dim in moved.dims if dim != "seed"], skipna=False)


def over_training(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """The geometric mean of a quantity over the time of training (by trapezoids) and places, or layers above the first.

    A reading counts for the time around it, so that the first moment, which is like no other, does not weigh more
    where fewer are read.
    """
    values = read(evidence, variant, quantity)
    if "layer" in values.dims:
        values = values.isel(layer=values["layer"].values > 1)
    logs = xr.DataArray(np.log(values))
    logs = logs.mean([dim for dim in logs.dims if dim not in ("seed", "step")], skipna=False)
    steps = logs["step"]
    return xr.DataArray(np.exp(logs.integrate("step") / float(steps[-1] - steps[0])))


def by_rate(evidence: xr.Dataset, quantity: str, over: str, under: str) -> xr.DataArray:
    """A quantity of one network over that of another, at equal rates."""
    return cases(
        {
            f"rate {rate}": over_training(evidence, f"{over}, rate {rate}", quantity)
            / over_training(evidence, f"{under}, rate {rate}", quantity)
            for rate in STEPS
        }
    )


def ended(evidence: xr.Dataset, variant: str, rate: float) -> xr.DataArray:
    """The loss of the last training batches of a run at this rate; infinite where it diverged."""
    part = _with_batch_loss(evidence, variant)
    return outcomes(part, _BATCHES).sel(variant=variant, rate=rate, drop=True)


def taught(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The same at the rate at which it is lowest: the question is about training, and nothing is held out."""
    found = outcomes(_with_batch_loss(evidence, variant), _BATCHES)
    return found.sel(variant=variant, drop=True).min("rate")


def _with_batch_loss(evidence: xr.Dataset, variant: str) -> xr.Dataset:
    """The variant with the mean loss of its last batches, as they were seen in training: noise included."""
    names = ("loss_curve", "recorded", "diverged_at", "last_step")
    part = evidence[[name for name in names if name in evidence]].sel(variant=[variant])
    last = part["loss_curve"].dropna("update", how="all").isel(update=-1, drop=True)
    return part.assign({_BATCHES: last})


def _width(percentiles: xr.DataArray) -> xr.DataArray:
    ends = percentiles.isel(quantile=[0, -1])
    return (ends.isel(quantile=1, drop=True) - ends.isel(quantile=0, drop=True)) / 2
