"""From evidence to effects: one number per seed, and per case where a claim has several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from skipnorm.inquiries.effects import Effect, cases
from skipnorm.inquiries.lesions.study import RESIDUAL

__all__ = [
    "after",
    "curve",
    "disorder",
    "dispensable",
    "each",
    "early_first",
    "fall",
    "half",
    "largest_step",
    "mended",
    "one_fall",
    "read",
    "sum_of_prices",
    "whole",
]


def read(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of a trained network; its blocks count from 1 along ``layer``."""
    found = evidence[quantity].sel(variant=variant, drop=True).isel(rate=0, step=-1, drop=True)
    if "site" in found.dims:
        found = found.rename(site="layer")
        found = found.assign_coords(layer=np.arange(1, found.sizes["layer"] + 1))
    return found


def each(effect: Callable[[str], xr.DataArray]) -> xr.DataArray:
    """The effect of both residual networks, as cases."""
    return cases({name: effect(name) for name in RESIDUAL})


def whole(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Test accuracy with every block in its place."""
    return read(evidence, variant, "test_accuracy")


def after(evidence: xr.Dataset, variant: str, quantity: str, number: int) -> xr.DataArray:
    """Mean accuracy over the draws with so many blocks deleted, or pairs swapped."""
    found = read(evidence, variant, quantity).mean("draw")
    return found.sel({_counted(found): number}, drop=True)


def fall(evidence: xr.Dataset, variant: str, quantity: str, number: int) -> xr.DataArray:
    """By how much the test accuracy falls then."""
    return whole(evidence, variant) - after(evidence, variant, quantity, number)


def half(evidence: xr.Dataset) -> int:
    """Half of the blocks."""
    return int(evidence["block"].max()) // 2


def curve(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """Mean accuracy by the number of blocks deleted or pairs swapped, from none on."""
    found = read(evidence, variant, quantity).mean("draw")
    dim = _counted(found)
    none = whole(evidence, variant).expand_dims({dim: [0]})
    joined: xr.DataArray = xr.concat([none, found], dim, coords="minimal", compat="override")
    return joined


def largest_step(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The largest fall between neighbours of the curve, as a share of the whole fall to its lowest point."""
    found = curve(evidence, variant, "lesion_accuracy")
    steps = -found.diff("block")
    total = found.isel(block=0, drop=True) - found.min("block")
    return steps.max("block") / total


def early_first(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Spearman's correlation between a block's place and the price of deleting it."""
    price = read(evidence, variant, "deletion_price")
    return _spearman(price["layer"].broadcast_like(price), price, ["layer"])


def disorder(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Spearman's correlation between how much of the order is lost and how much accuracy is."""
    kept = read(evidence, variant, "order_kept")
    return _spearman(
        1 - kept, 1 - read(evidence, variant, "permutation_accuracy"), ["case", "draw"]
    )


def one_fall(evidence: xr.Dataset) -> xr.DataArray:
    """By how much accuracy falls without one block, on average over blocks."""
    return each(lambda v: whole(evidence, v) - read(evidence, v, "deletion_accuracy").mean("layer"))


def dispensable(evidence: xr.Dataset) -> xr.DataArray:
    """The share of blocks without which accuracy changes by a point at most."""

    def share(variant: str) -> xr.DataArray:
        lost = whole(evidence, variant) - read(evidence, variant, "deletion_accuracy")
        return (abs(lost) <= 0.01 + 1e-9).astype(float).mean("layer")

    return each(share)


def sum_of_prices(number: Callable[[xr.Dataset], int]) -> Effect:
    """The price of deleting several blocks over so many times the mean price of one."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        one = read(evidence, "residual BN", "deletion_price").mean("layer")
        return after(evidence, "residual BN", "lesion_price", number(evidence)) / (
            number(evidence) * one
        )

    return effect


def mended(evidence: xr.Dataset) -> xr.DataArray:
    """What is left of the fall, with half of the blocks deleted, once statistics are re-estimated."""
    many = half(evidence)
    kept = fall(evidence, "residual BN", "mended_accuracy", many)
    return kept / fall(evidence, "residual BN", "lesion_accuracy", many)


def _spearman(one: xr.DataArray, other: xr.DataArray, over: list[str]) -> xr.DataArray:
    from scipy.stats import spearmanr

    flat = [
        array.transpose("seed", *over).values.reshape(array.sizes["seed"], -1)
        for array in (one, other)
    ]
    found = [
        spearmanr(left, right).statistic if np.ptp(right) > 0 else 0.0
        for left, right in zip(*flat, strict=True)
    ]
    return xr.DataArray(np.array(found, float), {"seed": other["seed"].values}, "seed")


def _counted(array: xr.DataArray) -> str:
    return "block" if "block" in array.dims else "case"
