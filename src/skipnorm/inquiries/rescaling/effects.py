"""From evidence to effects: what each technique changes, mechanism by mechanism, by seed.

An effect is the gain over the same network without: above 0 where the technique does better. What multiplies (losses,
eigenvalues) is compared in decades, what lies between 0 and 1 by differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from skipnorm.evidence.rates import best_of_grid, usable_width
from skipnorm.inquiries.effects import best, cases, of
from skipnorm.inquiries.rescaling.techniques import TECHNIQUES, named

__all__ = [
    "MECHANISMS",
    "Mechanism",
    "gains",
    "loss_ratio",
    "losses",
    "read",
    "share_with",
    "usable",
]


@dataclass(frozen=True)
class Mechanism:
    """One of the ways in which rescaling may help.

    Args:
        words: what is better, as a table names it.
        better: by how much a technique does better than another, as numbers by seed.
        margin: the smallest difference that matters.
        unit: of both.
    """

    words: str
    better: Callable[[xr.Dataset, str, str, str], xr.DataArray]
    margin: float
    unit: str


def read(evidence: xr.Dataset, kind: str, technique: str, quantity: str) -> xr.DataArray:
    """A quantity at initialisation, mean over the draws of a seed; geometric where it multiplies."""
    found = of(evidence, named(kind, technique), quantity, rate=0.0)
    if "draw" not in found.dims:
        return found
    if quantity in _MULTIPLYING:
        with np.errstate(divide="ignore"):
            return xr.DataArray(10 ** np.log10(found).mean("draw", skipna=False))
    return found.mean("draw", skipna=False)


_MULTIPLYING = ("loss_range", "gradient_predictiveness", "top_eigenvalue")


def losses(evidence: xr.Dataset, kind: str, technique: str) -> xr.DataArray:
    """Test loss after training, at the best rate of each seed."""
    return best(evidence, named(kind, technique, trained=True))


def loss_ratio(evidence: xr.Dataset, kind: str, technique: str, other: str) -> xr.DataArray:
    """Test loss with one technique over that with another."""
    return losses(evidence, kind, technique) / losses(evidence, kind, other)


def usable(evidence: xr.Dataset, kind: str, technique: str) -> xr.DataArray:
    """Decades of rates that end within twice the best loss that any technique reached in such a network."""
    rivals = [named(kind, each, trained=True) for each in TECHNIQUES[kind]]
    width = usable_width(evidence.sel(variant=rivals), bar="shared")["usable_decades"]
    return width.sel(variant=named(kind, technique, trained=True), drop=True)


def moved(evidence: xr.Dataset, kind: str, technique: str) -> xr.DataArray:
    """How far the inputs of the last block moved in training at the best rate, in their first spread.

    Root mean square over units of the change of the mean, over the root mean square spread at the start.
    """
    name = named(kind, technique, trained=True)
    chosen = best_of_grid(evidence.sel(variant=[name]))["best_rate"].sel(variant=name, drop=True)
    means, spreads = (of(evidence, name, each) for each in ("input_mean", "input_spread"))
    first, last = means.isel(step=0, drop=True), means.isel(step=-1, drop=True)
    change = (last - first) ** 2
    spread = spreads.isel(step=0, drop=True) ** 2
    with np.errstate(invalid="ignore"):
        sizes = np.sqrt(change.mean("unit", skipna=False) / spread.mean("unit", skipna=False))
    kept = [
        sizes.sel(seed=seed, rate=float(rate)).item() if float(rate) > 0 else np.inf
        for seed, rate in zip(chosen["seed"].values, chosen.values, strict=True)
    ]
    return xr.DataArray(kept, {"seed": chosen["seed"]}, "seed")


def _more(quantity: str) -> Callable[[xr.Dataset, str, str, str], xr.DataArray]:
    return lambda e, kind, one, other: read(e, kind, one, quantity) - read(e, kind, other, quantity)


def _less(quantity: str) -> Callable[[xr.Dataset, str, str, str], xr.DataArray]:
    return lambda e, kind, one, other: read(e, kind, other, quantity) - read(e, kind, one, quantity)


def _lower(
    value: Callable[[xr.Dataset, str, str], xr.DataArray],
) -> Callable[[xr.Dataset, str, str, str], xr.DataArray]:
    def better(evidence: xr.Dataset, kind: str, one: str, other: str) -> xr.DataArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = value(evidence, kind, other) / value(evidence, kind, one)
            return xr.DataArray(np.log10(ratio))

    return better


def _smaller(quantity: str) -> Callable[[xr.Dataset, str, str, str], xr.DataArray]:
    return _lower(lambda evidence, kind, technique: read(evidence, kind, technique, quantity))


def _wider(evidence: xr.Dataset, kind: str, one: str, other: str) -> xr.DataArray:
    return usable(evidence, kind, one) - usable(evidence, kind, other)


MECHANISMS: Mapping[str, Mechanism] = {
    "signal": Mechanism("signal keeps its scale", _less("signal_drift"), 0.3, "decades"),
    "gradient": Mechanism("gradient keeps its scale", _less("gradient_drift"), 0.3, "decades"),
    "apart": Mechanism("samples stay apart", _less("sample_correlation"), 0.1, "1"),
    "agreement": Mechanism("gradients agree", _more("gradient_correlation"), 0.05, "1"),
    "bent": Mechanism("non-linearity is used", _more("nonlinearity"), 0.03, "1"),
    "range": Mechanism("loss range is small", _smaller("loss_range"), 0.3, "decades"),
    "predictive": Mechanism(
        "gradient predicts", _smaller("gradient_predictiveness"), 0.3, "decades"
    ),
    "curvature": Mechanism("curvature is low", _smaller("top_eigenvalue"), 0.3, "decades"),
    "steady": Mechanism("inputs stay put", _lower(moved), 0.1, "decades"),
    "rates": Mechanism("rates: wide interval", _wider, 0.25, "decades"),
    "loss": Mechanism("final loss is low", _lower(losses), 0.1, "decades"),
}
"""In the order of the matrix: at initialisation, then in training. 0.3 decades are a factor of 2, 0.1 of 1.26."""


def gains(
    evidence: xr.Dataset, kind: str, mechanism: str, techniques: Iterable[str], other: str = "none"
) -> xr.DataArray:
    """By technique, how much better a mechanism is than with another technique, or without."""
    better = MECHANISMS[mechanism].better
    return cases({each: better(evidence, kind, each, other) for each in techniques})


def share_with(evidence: xr.Dataset, *counts: str) -> xr.DataArray:
    """Of every family of the census, 1 where it has any of these sites, else 0; families stand as seeds."""
    table = evidence.sel(variant="census", rate=0.0, drop=True).isel(seed=0, drop=True)
    total = sum((table[f"census_{name}"] for name in counts[1:]), table[f"census_{counts[0]}"])
    there = xr.DataArray(total.dropna("case") > 0).astype(float)
    return xr.DataArray(there.values, {"seed": np.arange(there.size)}, "seed")
