"""From evidence to effects: what each technique changes, mechanism by mechanism, by seed.

An effect is the gain over the same network without: above 0 where the technique does better. What multiplies (losses,
eigenvalues) is compared in decades, what lies between 0 and 1 by differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from skipnorm.evidence.gathering import RECORDED
from skipnorm.evidence.rates import best_of_grid
from skipnorm.inquiries.effects import best, cases, of
from skipnorm.inquiries.rescaling.techniques import named

__all__ = [
    "CHANCE",
    "MECHANISMS",
    "Mechanism",
    "after",
    "gains",
    "loss_ratio",
    "losses",
    "moved",
    "over_the_grid",
    "read",
    "share_with",
]


_NO_SEED = 1_000_000
"""Families are numbered from here, where no study has seeds: a family has nothing to do with a run that diverged."""

CHANCE = math.log(10)
"""The loss of a guess among ten classes, in nats."""


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
    """A quantity at initialisation, mean over the draws of a seed."""
    found = _begun(of(evidence, named(kind, technique), quantity, rate=0.0))
    return found.mean("draw", skipna=False) if "draw" in found.dims else found


def losses(evidence: xr.Dataset, kind: str, technique: str) -> xr.DataArray:
    """Test loss after training, at the best rate of each seed."""
    return best(evidence, named(kind, technique, trained=True))


def loss_ratio(evidence: xr.Dataset, kind: str, technique: str, other: str) -> xr.DataArray:
    """Test loss with one technique over that with another."""
    return losses(evidence, kind, technique) / losses(evidence, kind, other)


def over_the_grid(evidence: xr.Dataset, kind: str, technique: str) -> xr.DataArray:
    """Test loss at a rate taken from the grid at random: the mean over rates, each loss capped at chance.

    A network that diverged knows no more than chance; NaN where a rate was not run. As in Wortsman et al. 2023, where a
    loss counts at most what it was at the start.
    """
    name = named(kind, technique, trained=True)
    scores = _ended(of(evidence, name, "test_loss"))
    grid = scores.isel(rate=scores["rate"].values > 0)
    capped = grid.fillna(CHANCE).clip(max=CHANCE)
    if RECORDED in evidence:
        ran = of(evidence, name, RECORDED).sel(rate=grid["rate"])
        capped = capped.where(ran)
    return capped.mean("rate", skipna=False)


def _begun(values: xr.DataArray) -> xr.DataArray:
    return values.isel(step=0, drop=True) if "step" in values.dims else values


def _ended(values: xr.DataArray) -> xr.DataArray:
    return values.isel(step=-1, drop=True) if "step" in values.dims else values


def at_best_rate(
    evidence: xr.Dataset, kind: str, technique: str, values: xr.DataArray
) -> xr.DataArray:
    """The values of each seed at the rate that its validation loss chooses; infinite where every rate diverged."""
    name = named(kind, technique, trained=True)
    chosen = best_of_grid(evidence.sel(variant=[name]))["best_rate"].sel(variant=name, drop=True)
    kept = [
        values.sel(seed=seed, rate=float(rate)).item() if float(rate) > 0 else np.inf
        for seed, rate in zip(chosen["seed"].values, chosen.values, strict=True)
    ]
    return xr.DataArray(kept, {"seed": chosen["seed"]}, "seed")


def after(evidence: xr.Dataset, kind: str, technique: str, quantity: str) -> xr.DataArray:
    """A quantity when training ends, at the best rate of each seed."""
    values = _ended(of(evidence, named(kind, technique, trained=True), quantity))
    return at_best_rate(evidence, kind, technique, values)


def moved(evidence: xr.Dataset, kind: str, technique: str) -> xr.DataArray:
    """How far the inputs of the last block moved in training at the best rate, in their first spread.

    Root mean square over units of the change of the mean, over the root mean square spread at the start. The first
    draw that is read at the start is the network that is trained with that seed.
    """
    start = named(kind, technique)
    first, spread = (
        _begun(of(evidence, start, each, rate=0.0)) for each in ("input_mean", "input_spread")
    )
    last = _ended(of(evidence, named(kind, technique, trained=True), "input_mean"))
    change, size = ((last - first) ** 2).mean("unit", skipna=False), (spread**2).mean("unit")
    return at_best_rate(evidence, kind, technique, xr.DataArray(np.sqrt(change / size)))


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


def _start(quantity: str) -> Callable[[xr.Dataset, str, str], xr.DataArray]:
    return lambda evidence, kind, technique: read(evidence, kind, technique, quantity)


def _after(quantity: str) -> Callable[[xr.Dataset, str, str], xr.DataArray]:
    return lambda evidence, kind, technique: after(evidence, kind, technique, quantity)


def _nearer(evidence: xr.Dataset, kind: str, one: str, other: str) -> xr.DataArray:
    return over_the_grid(evidence, kind, other) - over_the_grid(evidence, kind, one)


MECHANISMS: Mapping[str, Mechanism] = {
    "signal": Mechanism("signal keeps its scale", _less("signal_drift"), 0.3, "decades"),
    "gradient": Mechanism("gradient keeps its scale", _less("gradient_drift"), 0.3, "decades"),
    "apart": Mechanism("samples stay apart", _less("sample_correlation"), 0.1, "1"),
    "agreement": Mechanism("gradients agree", _more("gradient_correlation"), 0.05, "1"),
    "sided": Mechanism("units see both sides", _less("lopsided"), 0.1, "1"),
    "curvature": Mechanism("curvature is low", _lower(_start("top_eigenvalue")), 0.3, "decades"),
    "range": Mechanism("loss range is small", _lower(_after("loss_range")), 0.3, "decades"),
    "predictive": Mechanism(
        "gradient predicts", _lower(_after("gradient_predictiveness")), 0.3, "decades"
    ),
    "steady": Mechanism("inputs stay put", _lower(moved), 0.1, "decades"),
    "rates": Mechanism("learns at any rate", _nearer, 0.2, "nats"),
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
    numbers = np.arange(there.size) + _NO_SEED
    return xr.DataArray(there.values, {"seed": numbers}, "seed")
