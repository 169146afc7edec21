"""The gradient's pictures: its growth by batch size, depth and network, and its way through a skip."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile, strip
from skipnorm.formulas import theory
from skipnorm.inquiries.effects import cases, line, numbered
from skipnorm.inquiries.stability import laws
from skipnorm.inquiries.stability.effects import along, batch_of, by_batch, depth_of, rate

_EARLY = 20


def explosion(evidence: xr.Dataset) -> go.Figure:
    """The rate of gradient explosion against the batch size."""
    measured = {}
    for label, network in (("ReLU", "relu BN"), ("tanh", "tanh BN"), ("linear", "linear BN")):
        found = by_batch(evidence, network)
        rates = cases({case: rate(evidence, name) for case, name in found.items()})
        sizes = [batch_of(case) for case in found]
        measured[label] = rates.assign_coords(case=sizes).rename(case="batch")
    batches = measured["ReLU"]["batch"].values
    dense = np.unique(np.geomspace(batches.min(), batches.max(), 60).astype(int))
    lines = {
        "ReLU": line(dense, theory.relu_batchnorm_explosion_rate, "batch"),
        "linear": line(dense, theory.linear_batchnorm_explosion_rate, "batch"),
        "limit, ReLU": line(dense, lambda _: theory.RELU_BATCHNORM_EXPLOSION_LIMIT, "batch"),
        "limit, linear": line(dense, lambda _: 1.0, "batch"),
    }
    return profile(
        measured,
        "batch",
        theory=lines,
        error="bars",
        log_x=True,
        x_title="batch size",
        y_title="growth of the squared gradient per layer",
    )


def growth(evidence: xr.Dataset) -> go.Figure:
    """How much larger the gradient is at the first layer than at layer l, four networks."""
    names = {
        "plain, BN": "relu BN B=32",
        "plain": "relu",
        "residual": "residual",
        "residual, BN": "residual BN",
    }
    measured = {}
    for label, name in names.items():
        size = along(evidence, name, "gradient_mean_square")
        size = size.isel(layer=(size["layer"].values >= 1) & (size["layer"].values <= _EARLY))
        measured[label] = size.sel(layer=1, drop=True) / size
    layers = np.arange(1, max(len(array["layer"]) for array in measured.values()) + 1)
    first = theory.residual_batchnorm_gradient_ratio(1)
    lines = {
        "plain, BN": line(
            layers, lambda n: theory.relu_batchnorm_explosion_rate(32) ** (n - 1), "layer"
        ),
        "plain": line(layers, lambda _: 1.0, "layer"),
        "residual": line(layers, lambda n: 2.0 ** (n - 1), "layer"),
        "residual, BN": line(
            layers, lambda n: theory.residual_batchnorm_gradient_ratio(n) / first, "layer"
        ),
    }
    return profile(
        measured,
        "layer",
        theory=lines,
        error="bars",
        log_y=True,
        x_title="layer",
        y_title="squared gradient at layer 1 / at this layer",
    )


def residual(evidence: xr.Dataset) -> go.Figure:
    """The polynomial law on double logarithmic axes, with the exponential that skips avert."""
    size = along(evidence, "residual BN", "gradient_mean_square")
    depth = depth_of(evidence, "residual BN")
    shown = np.unique(np.geomspace(1, depth, 16).astype(int))
    measured = (size.sel(layer=0, drop=True) / size).sel(layer=shown)
    blocks = np.arange(1, depth + 1)
    short = blocks[theory.RELU_BATCHNORM_EXPLOSION_LIMIT**blocks < 2e3]
    lines = {
        "residual, BN": line(blocks, theory.residual_batchnorm_gradient_ratio, "layer"),
        "the same without skips, 1.467ᴸ": line(
            short, lambda n: theory.RELU_BATCHNORM_EXPLOSION_LIMIT**n, "layer"
        ),
    }
    return profile(
        {"residual, BN": measured},
        "layer",
        theory=lines,
        error="bars",
        log_x=True,
        log_y=True,
        x_title="blocks L",
        y_title="squared gradient, input / behind block L",
    )


def rates(evidence: xr.Dataset) -> go.Figure:
    """Growth per layer by network: weights, norms, activations."""
    names = {
        "ReLU": "relu",
        "+ BN": "relu BN B=32",
        "+ LN": "relu LN",
        "+ RMS": "relu RMS",
        "ReLU ½": "small relu",
        "½ + BN": "small relu BN",
        "tanh ×2": "large tanh",
        "×2 + BN": "large tanh BN",
    }
    known = {
        "ReLU": 1.0,
        "ReLU ½": 0.5,
        "tanh ×2": theory.mean_field_slope(2.0),
        "+ BN": theory.relu_batchnorm_explosion_rate(32),
        "½ + BN": theory.relu_batchnorm_explosion_rate(32),
    }
    predicted = numbered({label: known.get(label, np.nan) for label in names})
    return strip(
        cases({label: rate(evidence, name) for label, name in names.items()}),
        by="case",
        theory=predicted,
        log_y=True,
        x_title="plain network",
        y_title="growth of the squared gradient per layer",
    )


def shares(evidence: xr.Dataset) -> go.Figure:
    """How much of the gradient comes through the shortcut, block by block."""
    measured = {
        label: along(evidence, name, "shortcut_share")
        for label, name in (("residual, BN", "residual BN"), ("residual", "residual"))
    }
    blocks = {label: array["block"].values for label, array in measured.items()}
    lines = {
        "residual, BN": line(blocks["residual, BN"], laws.shortcut_share, "block"),
        "residual": line(blocks["residual"], lambda _: 0.5, "block"),
    }
    return profile(
        {label: array.isel(block=slice(None, None, 2)) for label, array in measured.items()},
        "block",
        theory=lines,
        error="bars",
        x_title="block",
        y_title="share of the gradient through the shortcut",
    )
