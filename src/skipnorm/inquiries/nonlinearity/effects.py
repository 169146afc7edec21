"""From evidence to effects of `nonlinearity`: one number per seed, and per case where a claim has several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from skipnorm.formulas.kernels import arc_cosine_slope, correlations
from skipnorm.formulas.quadrature import nonlinearity_index
from skipnorm.inquiries.effects import at_best_rate, best, cases, numbered, of
from skipnorm.inquiries.nonlinearity.readings import INNER
from skipnorm.inquiries.nonlinearity.study import GAINS, SHIFTS

__all__ = [
    "LAYERS",
    "PAIRS",
    "accuracy_gain",
    "always_stuck",
    "at_layer",
    "calibrated",
    "co_activation",
    "co_activation_law",
    "deeper_norms",
    "drawn",
    "fit_ratio",
    "idle",
    "index",
    "index_law",
    "late_linearity",
    "learned_idle",
    "lifted",
    "never_one_sided",
    "normed_co_activation",
    "norms_only",
    "one_sided",
    "one_sided_by_layer",
    "relu_accuracy_gain",
    "settled",
    "sigmoid_gap",
    "started",
    "unit_share",
    "use_ratio",
    "used",
]

LAYERS = {"sigmoid": GAINS, "tanh": GAINS, "ReLU": SHIFTS}
PAIRS = {"sigmoid": "sigmoid BN", "ReLU": "ReLU BN"}
"""Networks with scale and shift, by activation; those without have ``bare`` at the end of their names."""

_CALIBRATED = numbered(
    {
        f"{words}, layer {layer}": share
        for words, shares in (("dead", (0.14, 0.24, 0.39)), ("always on", (0.12, 0.24, 0.38)))
        for layer, share in zip((10, 20, 50), shares, strict=True)
    }
)
"""Shares of units in a calibration made beforehand: plain He networks of width 500 on 256 samples."""

_BEHIND = (1, 3, 10, 20)
"""Behind how many layers co-activation is compared with its law."""


def sigmoid_gap(intercept: float, slope: float) -> Callable[[xr.Dataset], xr.DataArray]:
    """A function from evidence to the largest gap between the sigmoid and a line on (-1, 1)."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        curve = started(evidence, "sigmoid BN", "curve")
        inner = curve.isel(x=np.flatnonzero(np.abs(curve["x"].values) <= INNER))
        return abs(inner - (intercept + slope * inner["x"])).max("x")

    return effect


def started(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of a variant that learns, before its first update; the same at every rate."""
    values = of(evidence, variant, quantity, step=0)
    rated = values.dropna("rate", how="all")
    return rated.isel(rate=0, drop=True)


def used(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The non-linearity index of a trained network, mean over its layers, at its best rate."""
    return settled(evidence, variant, "nonlinearity").mean("layer")


def idle(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Share of a trained network's units that are dead or always on, mean over its layers, at its best rate."""
    dead, always = (settled(evidence, variant, name) for name in ("dead", "always_on"))
    return (dead + always).mean("layer")


def drawn(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of drawn networks over seed and layer."""
    return of(evidence, variant, quantity, step=0, rate=0.0).dropna("layer", how="all")


def one_sided(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Share of units that are dead or always on, by layer, as drawn."""
    return drawn(evidence, variant, "dead") + drawn(evidence, variant, "always_on")


def settled(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of a trained network at the end, at the rate that is best on validation data."""
    chosen = at_best_rate(evidence, variant, quantity)
    return chosen.dropna("layer", how="all") if "layer" in chosen.dims else chosen


def index(evidence: xr.Dataset) -> xr.DataArray:
    """The index of single layers, by activation and by gain or shift."""
    found: dict[str, xr.DataArray] = {}
    for name, settings in LAYERS.items():
        values = of(evidence, f"{name.lower()} layer", "index", rate=0.0)
        word = "shift" if name == "ReLU" else "gain"
        found |= {f"{name}, {word} {at:g}": values.sel(case=at, drop=True) for at in settings}
    return cases(found)


def index_law(_: xr.Dataset | None) -> xr.DataArray:
    """The same as integrals over a Gaussian."""
    found: dict[str, float] = {}
    for name, settings in LAYERS.items():
        for at in settings:
            if name == "ReLU":
                found[f"ReLU, shift {at:g}"] = nonlinearity_index("relu", shift=at)
            else:
                found[f"{name}, gain {at:g}"] = nonlinearity_index(name, gain=at)
    return numbered(found)


def unit_share(activation: str) -> Callable[[xr.Dataset], xr.DataArray]:
    """The index of a normalised network without scale and shift, before and after training."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        name = f"{PAIRS[activation]} bare"
        before = started(evidence, name, "nonlinearity").dropna("layer", how="all").mean("layer")
        return cases({"before training": before, "after": used(evidence, name)})

    return effect


def use_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """The index of the trained sigmoid network with scale and shift over the one without."""
    return used(evidence, "sigmoid BN") / used(evidence, "sigmoid BN bare")


def fit_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """Training loss of the sigmoid network without scale and shift over the one with them."""
    return best(evidence, "sigmoid BN bare", "training_loss") / best(
        evidence, "sigmoid BN", "training_loss"
    )


def accuracy_gain(score: str) -> Callable[[xr.Dataset], xr.DataArray]:
    """What scale and shift add to an accuracy, by activation."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        gains = {
            activation: best(evidence, name, score) - best(evidence, f"{name} bare", score)
            for activation, name in PAIRS.items()
        }
        return cases(gains)

    return effect


def relu_accuracy_gain(evidence: xr.Dataset) -> xr.DataArray:
    """What scale and shift add to the test accuracy of the ReLU network."""
    return accuracy_gain("test_accuracy")(evidence).sel(case="ReLU", drop=True)


def always_stuck(evidence: xr.Dataset) -> xr.DataArray:
    """The best training accuracy that the sigmoid network without norm has at any rate."""
    values = of(evidence, "sigmoid", "training_accuracy", step=evidence["step"].values.max())
    return values.max("rate")


def lifted(evidence: xr.Dataset) -> xr.DataArray:
    """The test accuracy of the sigmoid network with norm."""
    return best(evidence, "sigmoid BN", "test_accuracy")


def at_layer(layer: int) -> Callable[[xr.Dataset], xr.DataArray]:
    """Dead and always-on units together at a layer of drawn networks."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        return one_sided(evidence, "drawn").sel(layer=layer, drop=True)

    return effect


def never_one_sided(evidence: xr.Dataset) -> xr.DataArray:
    """The largest share of one-sided units at any layer of drawn networks with norm."""
    return one_sided(evidence, "drawn BN").max("layer")


def one_sided_by_layer(evidence: xr.Dataset) -> xr.DataArray:
    """Dead and always-on units at the layers for which a calibration is known."""
    return cases(
        {
            f"{words}, layer {layer}": drawn(evidence, "drawn", name).sel(layer=layer, drop=True)
            for name, words in (("dead", "dead"), ("always_on", "always on"))
            for layer in (10, 20, 50)
        }
    )


def calibrated(_: xr.Dataset) -> xr.DataArray:
    """The shares of the calibration."""
    return _CALIBRATED


def co_activation(evidence: xr.Dataset) -> xr.DataArray:
    """Co-activation of drawn networks without norm."""
    values = drawn(evidence, "drawn", "co_activation")
    return cases({f"{n} layers before": values.sel(layer=n + 1, drop=True) for n in _BEHIND})


def co_activation_law(_: xr.Dataset) -> xr.DataArray:
    """Half the slope of the arc-cosine kernel at the samples' correlation."""
    alike = correlations(max(_BEHIND))
    return numbered({f"{n} layers before": float(arc_cosine_slope(alike[n])) / 2 for n in _BEHIND})


def normed_co_activation(evidence: xr.Dataset) -> xr.DataArray:
    """The same with norm."""
    values = drawn(evidence, "drawn BN", "co_activation")
    return cases({f"{n} layers before": values.sel(layer=n + 1, drop=True) for n in _BEHIND})


def late_linearity(evidence: xr.Dataset) -> xr.DataArray:
    """The index of the deepest layer without norm over the one with it."""
    plain, normed = (
        drawn(evidence, name, "nonlinearity").isel(layer=-1, drop=True)
        for name in ("drawn", "drawn BN")
    )
    return plain / normed


def learned_idle(variant: str) -> Callable[[xr.Dataset], xr.DataArray]:
    """One-sided units of a trained network."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        return idle(evidence, variant)

    return effect


def norms_only(evidence: xr.Dataset) -> xr.DataArray:
    """Test accuracy where gains and shifts alone are trained, sixteen blocks."""
    return best(evidence, "norms only, 16", "test_accuracy")


def deeper_norms(evidence: xr.Dataset) -> xr.DataArray:
    """How much better sixteen blocks are than four."""
    return norms_only(evidence) - best(evidence, "norms only, 4", "test_accuracy")
