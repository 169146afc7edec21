"""Every picture of the inquiry with its caption."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile, strip
from skipnorm.inquiries.shift.effects import read, taught, typical

__all__ = ["CAPTIONS", "FIGURES", "noise_alone"]

_RATE = "rate 0.1"


def noise_alone(n_mu: float = 0.5, n_sigma: float = 1.25) -> float:
    """How far noise alone moves the mean of a unit of unit variance, in its standard deviations.

    Two draws from U(-n, n) lie ``2n/3`` apart on average; the scale they are divided by is that of the first draw,
    ``s ~ U(1, n_sigma)``, and ``E[1/s] = ln(n_sigma) / (n_sigma - 1)``. What differs between samples is left out.

    >>> round(noise_alone(), 3)
    0.298
    """
    return 2 * n_mu / 3 * math.log(n_sigma) / (n_sigma - 1)


def percentiles(evidence: xr.Dataset) -> go.Figure:
    """The figure of the paper: three percentiles of what enters one sigmoid of the last layer."""
    series = {}
    for variant, name in (("sigmoid", "no norm"), ("sigmoid BN", "batch norm")):
        one = read(evidence, variant, "percentile").isel(seed=0, block=-1, unit=0, drop=True)
        for level in one["quantile"].values:
            series[f"{name}, {100 * level:.0f} %"] = one.sel(quantile=level, drop=True)
    return profile(series, "step", x_title="update", y_title="input of one sigmoid, last layer")


def steps(evidence: xr.Dataset) -> go.Figure:
    """How far one update moves the means, along training."""
    names = {"no norm": "plain", "batch norm": "BN", "batch norm and noise": "noisy BN"}
    series = {
        label: _over_places(read(evidence, f"{name}, {_RATE}", "step_mean"))
        for label, name in names.items()
    }
    at = series["no norm"]["step"].values
    noise = xr.DataArray(np.full(len(at), noise_alone()), {"step": at}, "step")
    return profile(
        series,
        "step",
        theory={"batch norm and noise": noise},
        log_y=True,
        x_title="update",
        y_title="move of the mean, standard deviations",
    )


def gradients(evidence: xr.Dataset) -> go.Figure:
    """Relative shift of the gradient by layer, mean over training."""
    series = {}
    for label, name in (("no norm", "plain"), ("batch norm", "BN")):
        for rate in ("rate 0.03", _RATE):
            found = read(evidence, f"{name}, {rate}", "gradient_shift_relative")
            above = found.isel(layer=found["layer"].values > 1)
            logs = xr.DataArray(np.log(above)).mean("step")
            series[f"{label}, {rate}"] = xr.DataArray(np.exp(logs))
    return profile(
        series, "layer", log_y=True, x_title="weight layer", y_title="||G − G'|| / ||G||"
    )


def linear(evidence: xr.Dataset) -> go.Figure:
    """The cosine of G and G' of the deep linear networks."""
    series = {}
    for label, name in (("no norm", "linear"), ("batch norm", "linear BN")):
        found = read(evidence, name, "gradient_shift_cosine")
        for layer in found["layer"].values[1:]:
            series[f"{label}, layer {layer}"] = found.sel(layer=layer, drop=True)
    at = found["step"].values
    ideal = xr.DataArray(np.ones(len(at)), {"step": at}, "step")
    return profile(
        series, "step", theory={"no shift": ideal}, x_title="update", y_title="cosine of G and G'"
    )


def noise(evidence: xr.Dataset) -> go.Figure:
    """The training loss of each network at its best rate."""
    names = {
        "no norm": "plain",
        "batch norm": "BN",
        "batch norm, noise": "noisy BN",
        "noise alone": "noise, no BN",
    }
    rows = [taught(evidence, name).assign_coords(case=label) for label, name in names.items()]
    drawn = xr.concat(rows, "case", coords="different", compat="equals")
    return strip(drawn, "case", log_y=True, x_title="network", y_title="training loss, best rate")


def outputs(evidence: xr.Dataset) -> go.Figure:
    """How far the mean outputs move with each layer, at the end of training."""
    normed = f"BN, {_RATE}"
    series = {
        "batch norm": read(evidence, normed, "output_shift"),
        "the same, statistics frozen": read(evidence, normed, "output_shift_frozen"),
        "no norm": read(evidence, f"plain, {_RATE}", "output_shift"),
    }
    last = {name: values.isel(step=-1, drop=True) for name, values in series.items()}
    return profile(
        last,
        "layer",
        log_y=True,
        x_title="weight layer that moves",
        y_title="squared move of mean outputs / variance",
    )


def _over_places(values: xr.DataArray) -> xr.DataArray:
    return xr.concat(
        [typical(values.sel(step=step)).assign_coords(step=step) for step in values["step"].values],
        "step",
    )


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "gradients": gradients,
    "linear": linear,
    "percentiles": percentiles,
    "steps": steps,
    "noise": noise,
    "outputs": outputs,
}

CAPTIONS: Mapping[str, str] = {
    "gradients": "How much of a layer's gradient changes when only the layers below it take their step, mean over "
    "training; 0 would be no shift. To be compared at the same rate, with and without batch norm.",
    "linear": "The deep linear network of Santurkar et al.: cosine between a layer's gradient before and after the "
    "layers below have moved. Dashed: no shift.",
    "percentiles": "After figure 1 of Ioffe & Szegedy: what enters one sigmoid of the last layer, its 15th, 50th and "
    "85th percentile over training (first seed).",
    "steps": "How far one update at rate 0.1 moves the mean of what enters an activation, in standard deviations, on "
    "the same samples. Dashed: what the noise alone makes.",
    "noise": "Noise behind batch norm brings shift back. Loss of the last training batches, "
    "each network at its best of three rates; every seed is a dot, "
    "crosses diverged at every rate.",
    "outputs": "How far the mean outputs move, squared and over the outputs' variance, for a random move of one "
    "layer's weights by their own length. Frozen: the same weights, batch statistics as constants.",
}
