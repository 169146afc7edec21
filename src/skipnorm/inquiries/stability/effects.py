"""From evidence to effects: one number per seed, and per case where a claim has several.

Every effect is taken within a draw and compared with what was predicted before the run. Growth of
gradients is that of the *squared* norm, from a layer's output towards the input.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

__all__ = [
    "along",
    "batch_of",
    "by_batch",
    "channel_share",
    "depth_of",
    "drift",
    "gain",
    "gradient_ratio",
    "initial",
    "rate",
    "seeds_of",
    "slope",
]

#: A rate is taken over the bulk, from layer 3 on: the first layers still settle, the last see the loss.
FIRST, LAST = 3, 5


def along(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of one untrained variant over seed and layer (or block), as deep as the variant is."""
    whole = initial(evidence, variant, quantity)
    dim = next(str(dim) for dim in whole.dims if dim != "seed")
    return whole.dropna(dim, how="all")


def initial(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of one untrained variant over the seeds it was drawn with.

    In evidence that holds trained variants too, untrained ones stand at rate 0 and step 0.
    """
    whole = evidence[quantity].sel(variant=variant, drop=True)
    for dim in ("rate", "step"):
        if dim in whole.dims:
            whole = whole.sel({dim: 0}, drop=True)
    return whole.sel(seed=seeds_of(evidence, variant))


def seeds_of(evidence: xr.Dataset, variant: str) -> list[int]:
    """The seeds with which a variant was drawn: a trained one has fewer than the study."""
    seeds = evidence["seed"]
    if "recorded" in evidence:
        ran = evidence["recorded"].sel(variant=variant)
        seeds = seeds[ran.any([dim for dim in ran.dims if dim != "seed"]).values]
    return [int(seed) for seed in seeds.values]


def depth_of(evidence: xr.Dataset, variant: str) -> int:
    """How many blocks the variant has."""
    return int(along(evidence, variant, "mean_square")["layer"][-1])


def rate(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """By what the squared gradient grows per layer in the bulk: the geometric mean."""
    size = along(evidence, variant, "gradient_mean_square")
    last = depth_of(evidence, variant) - LAST
    return (_at(size, FIRST) / _at(size, last)) ** (1 / (last - FIRST))


def gradient_ratio(evidence: xr.Dataset, variant: str, first: int, last: int) -> xr.DataArray:
    """The squared gradient behind block `first` over the one behind block `last`."""
    size = along(evidence, variant, "gradient_mean_square")
    return _at(size, first) / _at(size, last)


def gain(evidence: xr.Dataset, variant: str, layer: int) -> xr.DataArray:
    """The stream's mean square at a layer over the one at its first layer."""
    size = along(evidence, variant, "mean_square")
    return _at(size, layer) / size.isel(layer=0, drop=True)


def drift(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """By how many decades the signal's mean square leaves its scale, from the first layer to the last."""
    return xr.DataArray(np.abs(np.log10(gain(evidence, variant, depth_of(evidence, variant)))))


def slope(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """By how much a quantity of the stream rises per block, relative to its variance at the start."""
    values = along(evidence, variant, quantity)
    start = along(evidence, variant, "channel_variance").isel(layer=0, drop=True)
    depth = depth_of(evidence, variant)
    return (_at(values, depth) - _at(values, 0)) / start / depth


def channel_share(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Unbiased channel variance over mean square, layer by layer; the name ends with `B=` the batch."""
    shares = along(evidence, variant, "channel_variance") / along(evidence, variant, "mean_square")
    batch = batch_of(variant)
    return shares * batch / (batch - 1)


def by_batch(evidence: xr.Dataset, network: str) -> dict[str, str]:
    """The variants of one network at every batch size, by case: `B=8` and so on."""
    names = [str(name) for name in evidence["variant"].values]
    found = [name for name in names if name.startswith(f"{network} B=")]
    return {name.rpartition(" ")[2]: name for name in sorted(found, key=batch_of)}


def batch_of(name: str) -> int:
    """The batch size at the end of a variant's name or a case.

    >>> batch_of("relu BN B=32")
    32
    """
    return int(name.rpartition("B=")[2])


def _at(values: xr.DataArray, layer: int) -> xr.DataArray:
    return values.sel(layer=layer, drop=True)
