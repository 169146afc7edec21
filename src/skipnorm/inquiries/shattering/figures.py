"""Every picture of the inquiry with its caption, theory beside the measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import intervals, profile, traces
from skipnorm.formulas import theory
from skipnorm.inquiries.effects import line
from skipnorm.inquiries.shattering.claims import LAWS
from skipnorm.inquiries.shattering.effects import (
    LINE_LAWS,
    at_start,
    co_activity,
    kept,
    noise,
    process,
)
from skipnorm.inquiries.shattering.samples import published_rescaled, published_residual
from skipnorm.inquiries.shattering.trained_figures import batches, momentum, performance
from skipnorm.verdicts import Verdict, judge

__all__ = ["CAPTIONS", "FIGURES"]

_ACF = "input_gradient_autocorrelation"
_SHORT = {"residual BN": "residual, BN", "residual BN β=0.1": "residual, BN, β"}


def gradients(evidence: xr.Dataset) -> go.Figure:
    """The gradient along the line, one draw of five networks and two kinds of noise."""
    chosen = {
        "1 layer": ("line plain", 1),
        "24 layers": ("line plain", 24),
        "24 layers, batch norm": ("line BN", 24),
        "50 residual blocks, batch norm": ("line residual BN", 50),
        "50 residual blocks, batch norm, β = 0.1": ("line residual BN β=0.1", 50),
    }
    rows = {
        name: kept(evidence, "input_gradient", variant).sel(layer=depth).isel(seed=0)
        for name, (variant, depth) in chosen.items()
    }
    flat = kept(evidence, "input_gradient", "line looks linear").isel(seed=0, layer=-1)
    rows["looks-linear initialisation: a constant"] = flat
    drawn = {name: row.drop_vars(["seed", "layer"]) for name, row in rows.items()}
    return traces(
        drawn, "x", x_title="input x", y_title="gradient df/dx, each row on its own scale"
    )


def lags(evidence: xr.Dataset) -> go.Figure:
    """The autocorrelation against the lag, deep networks, between brown and white noise."""
    chosen = {
        "plain": ("plain", 24),
        "BN": ("BN", 24),
        "residual, BN": ("residual BN", 50),
        "residual, BN, β": ("residual BN β=0.1", 50),
    }
    steps = evidence["lag"].values[1:]
    measured = {
        label: at_start(evidence, _ACF, f"line {name}")
        .sel(layer=depth, lag=steps)
        .drop_vars("layer")
        for label, (name, depth) in chosen.items()
    }
    every = tuple(int(step) for step in steps)
    known = {
        "plain": process("plain", 24, every),
        "brown": noise("brown", every),
        "white": noise("white", every),
    }
    lines = {name: xr.DataArray(values, {"lag": steps}, "lag") for name, values in known.items()}
    return profile(
        measured, "lag", theory=lines, x_title="lag in steps of 1/64", y_title="autocorrelation"
    )


def depth(evidence: xr.Dataset) -> go.Figure:
    """The autocorrelation at lag 1 against depth, six networks."""
    measured, lines = {}, {}
    for name in ("plain", "BN", "centred", "residual", "residual BN", "residual BN β=0.1"):
        whole = kept(evidence, _ACF, f"line {name}").sel(lag=1, drop=True)
        label = _SHORT.get(name, name)
        measured[label] = whole
        if name in LINE_LAWS:
            layers = [n for n in _ALL_DEPTHS if n <= int(whole["layer"][-1])]
            values = [process(name, n, (1,)).item() for n in layers]
            lines[label] = xr.DataArray(values, {"layer": layers}, "layer")
    return profile(
        measured,
        "layer",
        theory=lines,
        log_x=True,
        x_title="layers, or residual blocks",
        y_title="autocorrelation at lag 1",
    )


_ALL_DEPTHS = (1, 2, 4, 7, 10, 14, 18, 24, 34, 50)


def correlation(evidence: xr.Dataset) -> go.Figure:
    """The correlation between samples against depth, four networks."""
    laws = {
        "plain": theory.plain_gradient_correlation,
        "BN": theory.mean_centred_gradient_correlation,
        "centred": theory.mean_centred_gradient_correlation,
        "residual": theory.residual_gradient_correlation,
    }
    measured = {}
    for name in laws:
        whole = kept(evidence, "gradient_correlation", name)
        shown = _SHALLOW if name in ("centred", "BN") else int(whole["layer"][-1])
        measured[name] = whole.sel(layer=slice(1, shown))
    lines = {
        name: line(np.arange(1, 13 if name in LINE_LAWS and name != "centred" else 9), law, "layer")
        for name, law in laws.items()
    }
    lines["theorem 2, (3/4)ᴸ"] = line(np.arange(1, 13), published_residual, "layer")
    return profile(
        measured,
        "layer",
        theory=lines,
        error="bars",
        log_y=True,
        x_title="layers, or residual blocks",
        y_title="mean cosine of two gradients",
    )


#: Beyond, draws of centred networks differ by more than the correlation, and some are negative.
_SHALLOW = 5


def rescaled(evidence: xr.Dataset) -> go.Figure:
    """The correlation in residual networks with batch norm against depth."""
    names = {"β = 1": ("residual BN", 1.0), "β = 0.1": ("residual BN β=0.1", 0.1)}
    blocks = np.arange(5, 51)
    measured, lines = {}, {}
    for label, (name, scale) in names.items():
        measured[label] = kept(evidence, "gradient_correlation", name)
        lines[label] = line(
            blocks,
            lambda n, b=scale: theory.batchnorm_residual_gradient_correlation(n, b),  # type: ignore[misc]
            "layer",
        )
    lines["theorem 3, 1/√L"] = line(blocks, published_rescaled, "layer")
    return profile(
        measured,
        "layer",
        theory=lines,
        error="bars",
        log_x=True,
        log_y=True,
        x_title="residual blocks L",
        y_title="mean cosine of two gradients",
    )


def coactivation(evidence: xr.Dataset) -> go.Figure:
    """How often two samples are both on, block by block."""
    names = ("plain", "BN", "centred", "residual", "residual BN")
    measured = {_SHORT.get(name, name): kept(evidence, "co_activation", name) for name in names}
    lines = {
        name: line(
            measured[name]["block"].values,
            lambda n, residual=name == "residual": co_activity(n, residual=residual),  # type: ignore[misc]
            "block",
        )
        for name in ("plain", "residual")
    }
    lines["assumed: 1/4"] = line(np.arange(1, 13), lambda _: 0.25, "block")
    return profile(
        measured,
        "block",
        theory=lines,
        error="bars",
        x_title="block",
        y_title="share of pairs that are both on",
    )


def forest(evidence: xr.Dataset) -> go.Figure:
    """Every law at once: measured over predicted in its closest case, on its tolerance."""
    return intervals(
        xr.concat([_closest(judge(claim, evidence)) for claim in LAWS], "case"),
        x_title="measured / predicted",
    )


def _closest(verdict: Verdict) -> xr.Dataset:
    row = verdict.to_dataset().sel(case=[verdict.case])
    middle = (row["predicted_low"] + row["predicted_high"]) / 2
    ends = ("effect", "low", "high", "predicted_low", "predicted_high")
    kept_ends = {name: row[name] / middle for name in ends}
    label = f"{_READ.get(verdict.claim.name, 'R')}: {verdict.case}"
    return xr.Dataset({**kept_ends, "ruling": row["ruling"]}).assign_coords(case=[label])


#: What a law is about, as a narrow page can name it; R is the correlation between samples.
_READ = {"line-process": "ACF", "co-activation-law": "on"}


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "gradients": gradients,
    "lags": lags,
    "depth": depth,
    "correlation": correlation,
    "rescaled": rescaled,
    "coactivation": coactivation,
    "performance": performance,
    "momentum": momentum,
    "batches": batches,
    "forest": forest,
}

CAPTIONS: Mapping[str, str] = {
    "gradients": "What shattering looks like: the gradient of one draw of each network at 256 points of a line. One "
    "layer walks at random. 24 layers still remember where they were, until batch norm is put in: then neighbours "
    "have nothing in common. Skips bring some of the likeness back, scaled branches more.",
    "lags": "The essay's autocorrelation function: plain networks of 24 layers, residual ones of 50 blocks, β = 0.1. "
    "Brown noise is close to what one layer gives, white noise to what 24 layers with batch norm do. Without a norm "
    "24 layers forget as slowly as 50 residual blocks with batch norm and scaled branches.",
    "depth": "Batch norm and centring turn gradients into noise within twenty layers; skips slow that down; with "
    "scaled branches (β = 0.1) or without a norm little is lost. Dashed: the Gaussian process of infinitely wide "
    "networks, with no free parameter. There is none for batch norm.",
    "correlation": "Halved per layer with centring or batch norm (one mark upon the other), as theorem 1 says; "
    "measured up to five layers, beyond which draws differ by more than the correlation. A power of depth without. "
    "Theorem 2 leaves the residual network after two blocks.",
    "rescaled": "With skips and batch norm the correlation falls like a power of depth. Theorem 3 has the right order; "
    "the refined product, in which batch norm divides by the variance of a channel and not by its mean square, comes "
    "closer.",
    "coactivation": "The theorems' assumption, measured: two samples are both on in a quarter of cases. True behind "
    "batch norm and centring, ever less so without.",
    "performance": "Does the autocorrelation foretell how a network ends? Seven networks of 16 blocks, a mark for each "
    "seed; marks at the upper edge diverged at every rate. If it did, marks would fall from left to right.",
    "momentum": "What momentum is worth: the training loss without it over that with it, each at its own best rate. "
    "Dashed: nothing. Of the three only the gradients of the plain network with batch norm are shattered.",
    "batches": "How alike the gradients of different batches are at initialisation. Least alike with batch norm, and "
    "least of all without skips.",
    "forest": "Every law, measured over predicted in its closest case (network, depth): ACF at lag 1 along the line, "
    "correlation R between samples, and how often two samples are both on. Shaded is what the claim allows.",
}
