"""Evidence made up for testing claims: the shape of a real study, numbers of our own.

A tiny run of the study gives dimensions, labels and variables; every value is then set by hand, with a little noise
between seeds, and changed where a claim should come out the other way.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

SEEDS = 8
NOISE = 1e-3


def shaped_like(evidence: xr.Dataset, seeds: int = SEEDS) -> xr.Dataset:
    """The first seed of real evidence, for so many seeds: everything recorded, nothing diverged."""
    one = evidence.isel(seed=[0])
    every = xr.concat([one.assign_coords(seed=[seed]) for seed in range(seeds)], "seed")
    every = every.transpose("variant", "seed", ...)
    if "recorded" in every:
        every["recorded"] = xr.ones_like(every["recorded"], dtype=bool)
    if "diverged_at" in every:
        every["diverged_at"] = xr.full_like(every["diverged_at"], np.nan, dtype=float)
    return every


def put(evidence: xr.Dataset, quantity: str, value: Any, **where: Any) -> xr.Dataset:
    """The evidence with a quantity set, at these labels, to a value with noise between seeds.

    ``value`` is a number, or an array along the dimensions that are left, in their order, without ``seed``.
    """
    array = evidence[quantity].astype(float)
    left = array.sel(where)
    dims = [dim for dim in left.dims if dim != "seed"]
    whole = np.broadcast_to(np.asarray(value, float), [left.sizes[dim] for dim in dims])
    noise = 1 + NOISE * np.random.default_rng(0).standard_normal(evidence.sizes["seed"])
    set_to = xr.DataArray(noise, dims="seed") * xr.DataArray(whole, dims=dims)
    array.loc[where] = set_to.transpose(*left.dims).values
    return evidence.assign({quantity: array.assign_attrs(evidence[quantity].attrs)})


Change = Callable[[xr.Dataset], xr.Dataset]


def puts(changes: Mapping[tuple[str, str], Any], **where: Any) -> Change:
    """Several settings at once, by (variant, quantity): what a table of worlds is written with."""

    def change(evidence: xr.Dataset) -> xr.Dataset:
        for (variant, quantity), value in changes.items():
            evidence = put(evidence, quantity, value, variant=variant, **where)
        return evidence

    return change
