"""From evidence to effects: one number per seed, and per case where a claim has several."""

from __future__ import annotations

from functools import cache

import numpy as np
import xarray as xr

from skipnorm.formulas import theory
from skipnorm.formulas.autocorrelation import (
    brown_noise_covariance,
    expected_autocorrelation,
    line_gradient_covariance,
    white_noise_autocorrelation,
)
from skipnorm.inquiries.shattering.study import QUICK, Points

__all__ = [
    "LINE_LAWS",
    "at_start",
    "co_active",
    "co_activity",
    "kept",
    "noise",
    "process",
    "remembered",
    "together",
]

#: How each network whose gradient is a known Gaussian process differs from the plain one.
LINE_LAWS: dict[str, dict[str, bool]] = {
    "plain": {},
    "centred": {"centred": True},
    "residual": {"residual": True},
}


def at_start(evidence: xr.Dataset, quantity: str, variant: str) -> xr.DataArray:
    """A quantity of a network that is not taught: beside networks that are, its learning rate is 0."""
    whole = evidence[quantity].sel(variant=variant, drop=True)
    return whole.sel(rate=0, drop=True) if "rate" in whole.dims else whole


def kept(evidence: xr.Dataset, quantity: str, variant: str) -> xr.DataArray:
    """A quantity of one variant, where it was read."""
    whole = at_start(evidence, quantity, variant)
    for dim in whole.dims:
        if dim != "seed":
            whole = whole.dropna(dim, how="all")
    return whole


def remembered(evidence: xr.Dataset, network: str, depth: int, lag: int = 1) -> xr.DataArray:
    """The autocorrelation of a network's gradient on the line, behind so many layers."""
    whole = at_start(evidence, "input_gradient_autocorrelation", f"line {network}")
    return whole.sel(layer=depth, lag=lag, drop=True)


def together(evidence: xr.Dataset, network: str, depth: int) -> xr.DataArray:
    """How alike the gradients of two samples are behind so many layers."""
    return at_start(evidence, "gradient_correlation", network).sel(layer=depth, drop=True)


def co_active(evidence: xr.Dataset, network: str, block: int) -> xr.DataArray:
    """How often two samples are both on in a block, counted from 1."""
    return at_start(evidence, "co_activation", network).sel(block=block, drop=True)


def co_activity(block: int, *, residual: bool = False) -> float:
    """How often two samples are both on in a block of a wide network without norm: ``J'(c_{l-1}) / 2``.

    >>> co_activity(1)
    0.25
    """
    return float(theory.arc_cosine_slope(theory.correlations(block, residual=residual)[-2])) / 2


@cache
def process(network: str, depth: int, lags: tuple[int, ...]) -> np.ndarray:
    """The autocorrelation that is expected of an infinitely wide network, at these lags.

    >>> process("plain", 1, (1, 15)).round(2).tolist()
    [0.98, 0.68]
    """
    line = np.linspace(Points.low, Points.high, QUICK.points)
    return expected_autocorrelation(
        line_gradient_covariance(line, depth, **LINE_LAWS[network]), lags
    )


@cache
def noise(kind: str, lags: tuple[int, ...]) -> np.ndarray:
    """The autocorrelation that is expected of white or brown noise of as many values.

    >>> noise("white", (0, 1)).round(3).tolist(), noise("brown", (1,)).round(3).tolist()
    ([1.0, -0.004], [0.971])
    """
    if kind == "white":
        return white_noise_autocorrelation(QUICK.points, lags)
    return expected_autocorrelation(brown_noise_covariance(QUICK.points), lags)
