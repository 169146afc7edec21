"""Effects on the gradient's growth, of gains and shifts behind the norm."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from skipnorm.formulas import theory
from skipnorm.inquiries.effects import cases, of
from skipnorm.inquiries.nonlinearity.study import GROWTH_BATCH

__all__ = [
    "grown",
    "growth_ratio",
    "linear_growth",
    "small_gain_growth",
    "tanh_growth_ratios",
]


def grown(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Growth of the squared gradient per layer."""
    return of(evidence, variant, "growth", rate=0.0)


def growth_ratio(more: str, less: str) -> Callable[[xr.Dataset], xr.DataArray]:
    """The growth of one network over that of another."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        return grown(evidence, more) / grown(evidence, less)

    return effect


def tanh_growth_ratios(evidence: xr.Dataset) -> xr.DataArray:
    """How much more the gradient grows where the gain is larger."""
    pairs = {"gain 1 against 0.1": ("1", "0.1"), "gain 4 against 1": ("4", "1")}
    return cases(
        {
            case: growth_ratio(f"tanh, gain {more}", f"tanh, gain {less}")(evidence)
            for case, (more, less) in pairs.items()
        }
    )


def small_gain_growth(evidence: xr.Dataset) -> xr.DataArray:
    """The growth with tanh at a gain of 0.1."""
    return grown(evidence, "tanh, gain 0.1")


def linear_growth() -> float:
    """The growth of a linear network with batch norm."""
    return theory.linear_batchnorm_explosion_rate(GROWTH_BATCH)
