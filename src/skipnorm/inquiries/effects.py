"""What the claims of every inquiry are written with: effects by case, predictions by case, laws as lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["Effect", "at_best_rate", "best", "cases", "fitted", "line", "numbered", "of"]

Effect = Callable[[xr.Dataset], xr.DataArray]


def cases(effects: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Several effects as the cases of one claim.

    >>> cases({"a": xr.DataArray([1.0], {"seed": [0]}, "seed")}).dims
    ('case', 'seed')
    """
    return xr.concat(
        [effect.assign_coords(case=name) for name, effect in effects.items()],
        "case",
        coords="different",
        compat="equals",
        join="outer",
    )


def numbered(values: Mapping[str, float]) -> xr.DataArray:
    """Predictions by case.

    >>> numbered({"a": 2.0}).sel(case="a").item()
    2.0
    """
    return xr.DataArray(list(values.values()), {"case": list(values)}, "case")


def line(x: np.ndarray, law: Callable[[int], float], dim: str) -> xr.DataArray:
    """A law along a dimension, for the dashed line of a figure.

    >>> line(np.array([1, 2]), lambda n: 2.0**n, "layer").values
    array([2., 4.])
    """
    return xr.DataArray([law(int(value)) for value in x], {dim: x}, dim)


def of(evidence: xr.Dataset, variant: str, quantity: str, **labels: Any) -> xr.DataArray:
    """One quantity of one variant, at these labels of its other dimensions: what is left has ``seed``.

    >>> gain = xr.DataArray([[1.0], [2.0]], {"variant": ["a", "b"], "seed": [0]}, ["variant", "seed"])
    >>> of(xr.Dataset({"gain": gain}), "b", "gain").values
    array([2.])
    """
    return (
        evidence[quantity]
        .sel(variant=variant, **labels)
        .drop_vars(["variant", *labels], errors="ignore")
    )


def best(
    evidence: xr.Dataset, variant: str, score: str = "test_loss", *, chosen_on: str = ""
) -> xr.DataArray:
    """A variant's final score at its best learning rate, by seed; a run that diverged has the worst.

    The rate is chosen on validation data unless told otherwise.
    """
    from skipnorm.evidence.rates import best_of_grid

    part = evidence.sel(variant=[variant])
    chosen = chosen_on or ("validation_loss" if score != "validation_loss" else "training_loss")
    found = best_of_grid(part, chosen_on=chosen, reported=score)[score]
    return found.sel(variant=variant, drop=True)


def at_best_rate(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """What is read of a trained variant at the end, at the rate that each seed chose on its validation data.

    >>> grid = {"variant": ["a"], "seed": [0], "rate": [0.1, 1.0]}
    >>> loss = xr.DataArray([[[2.0, 1.0]]], grid, list(grid))
    >>> size = xr.DataArray([[[[7.0], [8.0]]]], {**grid, "step": [9]}, [*grid, "step"])
    >>> evidence = xr.Dataset({"validation_loss": loss, "test_loss": loss, "size": size})
    >>> at_best_rate(evidence, "a", "size").values
    array([8.])
    """
    from skipnorm.evidence.rates import best_of_grid

    chosen = best_of_grid(evidence.sel(variant=[variant]))["best_rate"]
    last = of(evidence, variant, quantity).isel(step=-1, drop=True)
    return last.where(last["rate"] == chosen.sel(variant=variant, drop=True)).max("rate")


def fitted(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """A variant's final training loss at the rate at which it is lowest, by seed; infinite where every rate diverged.

    For questions of how well a network can be fitted: on a thousand fixed samples the best of a few rates flatters by
    less than seeds differ, and a rate that is chosen on validation data stops short of it.
    NaN where the grid of a seed was not run to its end.

    >>> grid = {"variant": ["a", "b"], "seed": [0], "rate": [0.1, 1.0]}
    >>> losses = xr.DataArray([[[0.5, np.nan]], [[np.nan, np.nan]]], grid, list(grid))
    >>> evidence = xr.Dataset({"training_loss": losses})
    >>> fitted(evidence, "a").item(), fitted(evidence, "b").item()
    (0.5, inf)
    """
    from skipnorm.evidence.grids import costs_of

    costs = costs_of(evidence.sel(variant=[variant]), "training_loss", None).sel(
        variant=variant, drop=True
    )
    return costs.isel(rate=costs.notnull().any("seed").values).min("rate", skipna=False)
