"""Does batch norm steady the derivative of the activation, across layers and over training?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.evidence.rates import best_of_grid
from skipnorm.figures import profile
from skipnorm.formulas.quadrature import gaussian_mean
from skipnorm.inquiries.effects import cases, line, numbered
from skipnorm.inquiries.stability.effects import along, seeds_of
from skipnorm.verdicts import AtLeast, AtMost, Claim, Near

__all__ = ["CLAIMS", "derivatives", "learnt_derivatives"]

_ESSAY = "The essay, Improving Numerical Stability"
_TOPIC = "derivative of the activation"
_MEAN = "The mean of sigma'(z) over units and samples, which says little about single units."


def expected(name: str) -> float:
    """The mean derivative of an activation of a standard Gaussian, what batch norm hands on.

    >>> round(expected("sigmoid"), 4), round(expected("tanh"), 4)
    (0.2066, 0.6057)
    """
    slope: Callable[[np.ndarray], np.ndarray] = {
        "sigmoid": lambda z: 0.25 / np.cosh(z / 2) ** 2,
        "tanh": lambda z: 1 / np.cosh(z) ** 2,
    }[name]
    return gaussian_mean(slope)


def spread(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """Logarithm of the largest mean derivative of all layers over the smallest."""
    logs = xr.DataArray(np.log(along(evidence, variant, "mean_derivative")))
    return logs.max("layer") - logs.min("layer")


def steadied(evidence: xr.Dataset) -> xr.DataArray:
    """The spread across layers without batch norm, minus that with it."""
    return cases(
        {
            name: spread(evidence, f"{name} slopes") - spread(evidence, f"{name} BN slopes")
            for name in ("sigmoid", "tanh")
        }
    )


def normed_derivatives(evidence: xr.Dataset) -> xr.DataArray:
    """The mean derivative with batch norm: first layer, middle and last."""
    found = {}
    for name in ("sigmoid", "tanh"):
        values = along(evidence, f"{name} BN slopes", "mean_derivative")
        for n in _shown(values):
            found[f"{name}, layer {n}"] = values.sel(layer=n, drop=True)
    return cases(found)


def normed_theory(evidence: xr.Dataset) -> xr.DataArray:
    """What a Gaussian of variance 1 gives."""
    layers = _shown(along(evidence, "tanh BN slopes", "mean_derivative"))
    return numbered({f"{a}, layer {n}": expected(a) for a in ("sigmoid", "tanh") for n in layers})


def _shown(values: xr.DataArray) -> list[int]:
    last = int(values["layer"][-1])
    return [1, last // 2, last]


def learnt(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The mean derivative of a learner at its best rate, over seed, step and layer."""
    chosen = best_of_grid(evidence.sel(variant=[variant]))["best_rate"].sel(variant=variant)
    values = evidence["mean_derivative"].sel(variant=variant, drop=True)
    rows = []
    for seed in seeds_of(evidence, variant):
        rate = float(chosen.sel(seed=seed))
        there = values.sel(seed=[seed])
        at_rate = there.sel(rate=rate if rate > 0 else there["rate"].values[-1], drop=True)
        rows.append(at_rate if rate > 0 else at_rate * np.nan)
    whole = xr.concat(rows, "seed")
    return _ends(whole).dropna("layer", how="all")


def _ends(values: xr.DataArray) -> xr.DataArray:
    """At the first step and the last one at which anything was read; other learners have other steps."""
    read = values["step"].values[values.notnull().any(["seed", "layer"]).values]
    return values.sel(step=[read[0], read[-1]] if len(read) else values["step"].values[[0, -1]])


def change(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """How far training moves the mean derivative: |ln(after / before)|, on average over the layers."""
    values = learnt(evidence, variant)
    moved = np.abs(np.log(values.isel(step=-1, drop=True) / values.isel(step=0, drop=True)))
    return xr.DataArray(moved).mean("layer", skipna=False)


def moved_less(evidence: xr.Dataset) -> xr.DataArray:
    """The change with batch norm over the one without."""
    return change(evidence, "tanh BN learner") / change(evidence, "tanh learner")


CLAIMS = (
    Claim(
        name="bn-steadies-derivatives",
        sentence="Batch norm steadies sigma' from layer to layer: at initialisation the mean derivative varies over 20 "
        "layers by at least 0.05 nats less than without it.",
        source=_ESSAY,
        side="essay",
        effect=steadied,
        prediction=AtLeast(0.05),
        figure="derivatives",
        unit="nats",
        topic=_TOPIC,
        caveats=("Sigmoid and tanh with weights of variance 1/N.", _MEAN),
    ),
    Claim(
        name="derivative-of-a-gaussian",
        sentence="At initialisation it does what the essay says: at every layer the mean derivative is that of a "
        "standard Gaussian, 0.207 for the sigmoid and 0.606 for tanh.",
        source="Derived from the essay: batch norm restricts x to a Gaussian",
        side="derived",
        effect=normed_derivatives,
        prediction=Near(normed_theory, 0.02, relative=True),
        scale="log",
        figure="derivatives",
        topic=_TOPIC,
    ),
    Claim(
        name="bn-steadies-derivatives-in-training",
        sentence="Batch norm steadies sigma' over training: the mean derivative of a tanh network moves by at least a "
        "fifth less with it.",
        source=_ESSAY,
        side="essay",
        effect=moved_less,
        prediction=AtMost(0.8),
        scale="log",
        figure="learnt",
        topic=_TOPIC,
        caveats=(
            "Six blocks on digits, each network at its own best rate. Scale and shift are learnt, so that batch norm "
            "does not hold the pre-activation to a standard Gaussian.",
            _MEAN,
        ),
    ),
)


def derivatives(evidence: xr.Dataset) -> go.Figure:
    """The mean derivative along depth at initialisation, with and without batch norm."""
    measured, lines = {}, {}
    for name in ("tanh", "sigmoid"):
        for label, variant in ((name, f"{name} slopes"), (f"{name}, BN", f"{name} BN slopes")):
            measured[label] = along(evidence, variant, "mean_derivative")
        layers = measured[name]["layer"].values
        lines[f"{name}, BN"] = line(layers, lambda _, a=name: expected(a), "layer")  # type: ignore[misc]
    return profile(
        measured,
        "layer",
        theory=lines,
        error="bars",
        x_title="layer",
        y_title="mean of σ′(z)",
    )


def learnt_derivatives(evidence: xr.Dataset) -> go.Figure:
    """The mean derivative of tanh learners along depth, before training and after it."""
    measured = {}
    for label, variant in (("tanh", "tanh learner"), ("tanh, BN", "tanh BN learner")):
        values = learnt(evidence, variant)
        measured[f"{label}, before"] = values.isel(step=0, drop=True)
        measured[f"{label}, after"] = values.isel(step=-1, drop=True)
    layers = measured["tanh, before"]["layer"].values
    return profile(
        measured,
        "layer",
        theory={"of a standard Gaussian": line(layers, lambda _: expected("tanh"), "layer")},
        error="bars",
        x_title="layer",
        y_title="mean of tanh′(z)",
    )
