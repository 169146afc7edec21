"""Quantities of trained networks as one number a seed: before, along and after training."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from skipnorm.evidence.gathering import RECORDED
from skipnorm.inquiries.effects import of
from skipnorm.inquiries.landscape.study import RATE

__all__ = ["PAIR", "along", "during", "end", "initial", "ratio", "untrained"]

PAIR = ("deep plain", "deep plain BN")
"""The essay's comparison: the same deep network without and with batch norm."""


def along(evidence: xr.Dataset, variant: str, quantity: str, **labels: Any) -> xr.DataArray:
    """A quantity over seed and step; infinite at the states that a run which diverged did not come to."""
    found = of(evidence, variant, quantity, rate=RATE, **labels)
    if RECORDED not in evidence:
        return found
    ran = of(evidence, variant, RECORDED, rate=RATE)
    return found.where(found.notnull() | ~ran, np.inf)


def during(evidence: xr.Dataset, variant: str, quantity: str, **labels: Any) -> xr.DataArray:
    """The geometric mean over the states read after the first."""
    found = along(evidence, variant, quantity, **labels)
    logs = xr.DataArray(np.log(found.isel(step=found["step"].values > 0)))
    return xr.DataArray(np.exp(logs.mean("step", skipna=False)))


def end(evidence: xr.Dataset, variant: str, quantity: str, **labels: Any) -> xr.DataArray:
    """At the last state."""
    return along(evidence, variant, quantity, **labels).isel(step=-1, drop=True)


def ratio(evidence: xr.Dataset, quantity: str, one: str, other: str, **labels: Any) -> xr.DataArray:
    """One variant over the other, during training."""
    return during(evidence, one, quantity, **labels) / during(evidence, other, quantity, **labels)


def initial(evidence: xr.Dataset, family: str, depth: int) -> xr.DataArray:
    """The largest eigenvalue at initialisation, as a geometric mean over the draws of a seed."""
    return untrained(evidence, f"initial {family} {depth}", "initial_sharpness")


def untrained(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of networks that learn nothing."""
    found = of(evidence, variant, quantity, rate=0.0)
    return found.sel(step=0, drop=True) if "step" in found.dims else found
