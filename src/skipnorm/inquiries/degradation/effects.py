"""From evidence to effects: one number per seed, and per case where a claim has several."""

from __future__ import annotations

import numpy as np
import xarray as xr

from skipnorm.inquiries.degradation.study import DEEP, SHALLOW, name_of
from skipnorm.inquiries.effects import best, cases, fitted, of

__all__ = [
    "PLAIN",
    "ended",
    "gradient_sizes",
    "growth",
    "handed",
    "identity_error",
    "known",
    "ratio_to_shallow",
    "worst_change",
]

PLAIN = ("plain", "plain BN", "plain LN")


def ended(
    evidence: xr.Dataset, family: str, depth: int, score: str = "training_loss"
) -> xr.DataArray:
    """How a family ended at this depth: its lowest training loss, or a score at the rate chosen on validation data."""
    name = name_of(family, depth)
    return fitted(evidence, name) if score == "training_loss" else best(evidence, name, score)


def known(evidence: xr.Dataset, family: str) -> list[int]:
    """At which depths a family was trained."""
    names = [str(name) for name in evidence["variant"].values]
    depths = [int(name.split(", ")[1]) for name in names if name.startswith(f"{family}, ")]
    return sorted(depths)


def ratio_to_shallow(evidence: xr.Dataset, families: tuple[str, ...]) -> xr.DataArray:
    """The training loss of every deep network over that of the shallow one of its family."""
    return cases(
        {
            name_of(family, depth): ended(evidence, family, depth)
            / ended(evidence, family, SHALLOW)
            for family in families
            for depth in known(evidence, family)
            if depth >= DEEP
        }
    )


def handed(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of the shallow network at the moment at which it was made deeper."""
    return of(evidence, "identity, trained on", "training_loss", step=0).isel(rate=0, drop=True)


def gradient_sizes(evidence: xr.Dataset, family: str) -> xr.DataArray:
    """The gradient behind every block of the deep network, at the rates and steps at which it was read."""
    whole = of(evidence, name_of(family, DEEP), "block_gradient")
    return whole.dropna("rate", how="all")


def growth(evidence: xr.Dataset, family: str, *, trained: bool = False) -> xr.DataArray:
    """The gradient behind the first block over that behind the last."""
    whole = gradient_sizes(evidence, family)
    step = whole["step"].max() if trained else 0
    sizes = whole.sel(step=int(step), drop=True).isel(rate=-1, drop=True)
    return sizes.sel(block=1, drop=True) / sizes.sel(block=DEEP, drop=True)


def identity_error(evidence: xr.Dataset, learner: str) -> xr.DataArray:
    """How far what a learner hands on is from what it was given, on test data, at its best rate."""
    return best(evidence, f"{learner} learns")


def worst_change(evidence: xr.Dataset, family: str) -> xr.DataArray:
    """The largest change that identities made, over the rates and before and after training."""
    changes = of(evidence, name_of(family, SHALLOW), "identity_change")
    over = [dim for dim in changes.dims if dim != "seed"]
    return changes.reduce(np.nanmax, over)
