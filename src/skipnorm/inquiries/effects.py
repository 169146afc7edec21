"""What the claims of every inquiry are written with: effects by case, predictions by case, laws as lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

__all__ = ["Effect", "cases", "line", "numbered"]

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
