"""The signal's pictures: its size, its spread over draws, and what of it tells samples apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile
from skipnorm.formulas import theory
from skipnorm.inquiries.effects import line
from skipnorm.inquiries.stability import laws
from skipnorm.inquiries.stability.effects import along, channel_share
from skipnorm.inquiries.stability.study import NF_SCALE, QUICK

_EARLY = 20


def signal(evidence: xr.Dataset) -> go.Figure:
    """The signal's mean square along depth, with and without batch norm."""
    names = {
        "plain ½": "small relu",
        "plain ½, BN": "small relu BN",
        "residual": "residual",
        "residual, BN": "residual BN",
    }
    measured = {}
    for label, name in names.items():
        size = along(evidence, name, "mean_square")
        measured[label] = size.isel(layer=size["layer"].values <= _EARLY)
    layers = np.arange(0, max(int(array["layer"][-1]) for array in measured.values()) + 1)
    lines = {
        "plain ½": line(layers[1:], lambda n: 0.5**n, "layer"),
        "plain ½, BN": line(layers[1:], lambda _: 0.5, "layer"),
        "residual": line(layers, lambda n: float(theory.unnormalised_second_moment(n)), "layer"),
        "residual, BN": line(layers, lambda n: 1.0 + n, "layer"),
    }
    return profile(
        measured,
        "layer",
        theory=lines,
        error="bars",
        log_y=True,
        x_title="layer",
        y_title="mean square of the signal",
    )


def gains(evidence: xr.Dataset) -> go.Figure:
    """The gain of He networks along depth: on average, typically, and how far draws spread."""
    centre = along(evidence, "He draws", "log_size_mean")
    spread = xr.DataArray(np.sqrt(along(evidence, "He draws", "log_size_variance")))
    measured = {
        "mean gain": along(evidence, "He draws", "mean_square"),
        "one sd above typical": xr.DataArray(np.exp(centre + spread)),
        "typical gain": xr.DataArray(np.exp(centre)),
        "one sd below typical": xr.DataArray(np.exp(centre - spread)),
    }
    layers, width = centre["layer"].values, QUICK.draws_width

    def typical(deviations: float) -> Callable[[int], float]:
        return lambda n: float(
            np.exp(
                theory.log_gain_mean(n, width)
                + deviations * np.sqrt(theory.log_gain_variance(n, width))
            )
        )

    lines = {
        "mean gain": line(layers, lambda _: 1.0, "layer"),
        "one sd above typical": line(layers, typical(1.0), "layer"),
        "typical gain": line(layers, typical(0.0), "layer"),
        "one sd below typical": line(layers, typical(-1.0), "layer"),
    }
    return profile(
        measured,
        "layer",
        theory=lines,
        error="bars",
        log_y=True,
        x_title="layer",
        y_title="gain of the mean square",
    )


def variance(evidence: xr.Dataset) -> go.Figure:
    """The share of channel variance along depth, without norm and with batch norm."""
    panel = channel_share(evidence, laws.panel_of(evidence))
    kept = laws.normed_share(evidence)
    depth = int(panel["layer"][-1])
    law = theory.channel_variance_share(depth)
    layers = np.arange(1, depth + 1)
    return profile(
        {"plain": panel, "plain, BN": kept.sel(layer=slice(1, depth))},
        "layer",
        theory={
            "plain": line(layers, lambda n: float(law[n]), "layer"),
            "plain, BN": line(layers, lambda _: 2 * theory.RELU_VARIANCE, "layer"),
        },
        error="bars",
        x_title="layer",
        y_title="channel variance / mean square",
    )


def variances(evidence: xr.Dataset) -> go.Figure:
    """The signal propagation plot: channel variance of the stream, by order."""
    laws_by = _by_order(theory.residual_channel_variance)
    laws_by["normaliser-free"] = lambda n: float(theory.nf_variance(n, NF_SCALE))
    return _propagation(evidence, "channel_variance", laws_by, "channel variance of the stream")


def means(evidence: xr.Dataset) -> go.Figure:
    """The signal propagation plot: squared channel mean of the stream, by order."""
    laws_by = _by_order(theory.residual_channel_squared_mean)
    return _propagation(
        evidence, "channel_squared_mean", laws_by, "squared channel mean of the stream"
    )


def _by_order(law: Callable[[str, int], np.ndarray]) -> dict[str, Callable[[int], float]]:
    return {order: lambda n, o=order: float(law(o, n)) for order in laws.ORDERS}  # type: ignore[misc]


def _propagation(
    evidence: xr.Dataset, quantity: str, laws_by: Mapping[str, Callable[[int], float]], title: str
) -> go.Figure:
    measured, lines = {}, {}
    for label, law in laws_by.items():
        name = laws.ORDERS.get(label, "NF")
        values = along(evidence, name, quantity)
        start = along(evidence, name, "channel_variance").sel(layer=0, drop=True)
        values = (values / start).isel(layer=values["layer"].values <= _EARLY)
        measured[label] = values
        lines[label] = line(values["layer"].values, law, "layer")
    return profile(measured, "layer", theory=lines, error="bars", x_title="blocks", y_title=title)
