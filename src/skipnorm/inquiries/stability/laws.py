"""How fast, exactly? Closed forms for wide networks, held against the measurement.

Each measured effect stands beside the function that predicts it for the same cases.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from skipnorm.formulas import theory
from skipnorm.inquiries.effects import Effect, cases, numbered
from skipnorm.inquiries.stability.effects import (
    along,
    batch_of,
    by_batch,
    channel_share,
    depth_of,
    gain,
    gradient_ratio,
    rate,
    slope,
)
from skipnorm.inquiries.stability.study import NF_SCALE

__all__ = ["ORDERS", "normed_share", "panel_of", "shortcut_share"]

ORDERS = {
    "norm-act-weight": "residual BN",
    "act-norm-weight": "act-norm-weight",
    "weight-norm-act": "weight-norm-act",
}


def relu_theory(evidence: xr.Dataset) -> xr.DataArray:
    """Yang's rate for ReLU at every batch size."""
    found = by_batch(evidence, "relu BN")
    return numbered({case: theory.relu_batchnorm_explosion_rate(batch_of(case)) for case in found})


def linear_rates(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per layer of plain linear networks with batch norm, by batch size."""
    found = by_batch(evidence, "linear BN")
    return cases({case: rate(evidence, name) for case, name in found.items()})


def linear_theory(evidence: xr.Dataset) -> xr.DataArray:
    """Yang's rate for linear networks at every batch size."""
    found = by_batch(evidence, "linear BN")
    return numbered(
        {case: theory.linear_batchnorm_explosion_rate(batch_of(case)) for case in found}
    )


def tanh_position(evidence: xr.Dataset) -> xr.DataArray:
    """Where tanh stands between linear (0) and ReLU (1), in the logarithm of the rate."""
    found = {}
    for case in by_batch(evidence, "tanh BN"):
        low, at, high = (
            np.log(rate(evidence, f"{name} BN {case}")) for name in ("linear", "tanh", "relu")
        )
        found[case] = (at - low) / (high - low)
    return cases(found)


def bare_rates(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per layer of plain networks without norm."""
    return cases({case: rate(evidence, name) for case, name in _BARE.items()})


_BARE = {
    "ReLU, He": "relu",
    "ReLU, half of it": "small relu",
    "ReLU, twice it": "double relu",
    "tanh, twice critical": "large tanh",
}


def bare_theory(evidence: xr.Dataset) -> xr.DataArray:
    """Mean field: half the weight variance for ReLU, chi_1 for tanh."""
    return numbered(dict(zip(_BARE, (1.0, 0.5, 2.0, theory.mean_field_slope(2.0)), strict=True)))


def residual_ratios(evidence: xr.Dataset) -> xr.DataArray:
    """The squared gradient at the input over the one behind some blocks, residual with batch norm."""
    found = _blocks(evidence, "residual BN")
    return cases({f"{n} blocks": gradient_ratio(evidence, "residual BN", 0, n) for n in found})


def residual_theory(evidence: xr.Dataset) -> xr.DataArray:
    """The polynomial law of the same."""
    found = _blocks(evidence, "residual BN")
    return numbered({f"{n} blocks": theory.residual_batchnorm_gradient_ratio(n) for n in found})


def log_gain(moment: str) -> Effect:
    """Mean or variance over draws of the logarithm of the gain, at the last layer."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        return along(evidence, "He draws", f"log_size_{moment}").isel(layer=-1, drop=True)

    return effect


def panel_of(evidence: xr.Dataset) -> str:
    """The variant whose channel variance decays."""
    return next(str(v) for v in evidence["variant"].values if str(v).startswith("He panel"))


def decay(evidence: xr.Dataset) -> xr.DataArray:
    """Which part of the signal still tells samples apart, by layer."""
    shares = channel_share(evidence, panel_of(evidence))
    return cases({f"layer {n}": shares.sel(layer=n, drop=True) for n in _panel_layers(evidence)})


def decay_theory(evidence: xr.Dataset) -> xr.DataArray:
    """The infinite-width law of the same."""
    law = theory.channel_variance_share(depth_of(evidence, panel_of(evidence)))
    return numbered({f"layer {n}": float(law[n]) for n in _panel_layers(evidence)})


def _panel_layers(evidence: xr.Dataset) -> list[int]:
    depth = depth_of(evidence, panel_of(evidence))
    return [n for n in (1, 2, 3, 5, 8, 10) if n <= depth]


def kept_share(evidence: xr.Dataset) -> xr.DataArray:
    """The same share in a plain ReLU network with batch norm, over the first ten layers."""
    shares = normed_share(evidence)
    return cases({f"layer {n}": shares.sel(layer=n, drop=True) for n in (1, 5, 10)})


def normed_share(evidence: xr.Dataset) -> xr.DataArray:
    """Channel variance over mean square behind batch norm and ReLU, 128 samples (or the most below)."""
    names = by_batch(evidence, "relu BN").values()
    name = [name for name in names if batch_of(name) <= 128][-1]
    return along(evidence, name, "channel_variance") / along(evidence, name, "mean_square")


def variance_slopes(evidence: xr.Dataset) -> xr.DataArray:
    """By how much the channel variance of the stream rises per block, by order."""
    return cases(
        {order: slope(evidence, name, "channel_variance") for order, name in ORDERS.items()}
    )


def variance_theory(evidence: xr.Dataset) -> xr.DataArray:
    """The slopes of theory."""
    return numbered(
        {order: float(theory.residual_channel_variance(order, 1)) - 1 for order in ORDERS}
    )


def mean_rises(evidence: xr.Dataset) -> xr.DataArray:
    """By how much a block raises the squared channel mean, on average over the blocks.

    With the weights last every block adds to the squared mean what its branch brings: read there,
    where the blocks are independent. (The sum of their random means has the same expectation, but
    differs between draws by ``sqrt(2/N)`` whatever the depth.) With the activation last the means
    add up coherently: read on the stream.
    """
    first, last = _MEANS
    return cases(
        {
            first: along(evidence, ORDERS[first], "branch_squared_mean").mean("block"),
            last: slope(evidence, ORDERS[last], "channel_squared_mean"),
        }
    )


_MEANS = ("norm-act-weight", "weight-norm-act")


def mean_theory(evidence: xr.Dataset) -> xr.DataArray:
    """The rises of theory, at the depth of each network."""
    depths = {order: depth_of(evidence, ORDERS[order]) for order in _MEANS}
    return numbered(
        {o: float(theory.residual_channel_squared_mean(o, n)) / n for o, n in depths.items()}
    )


def centred_rise(evidence: xr.Dataset) -> xr.DataArray:
    """The same for the order whose norm stands behind the activation."""
    return slope(evidence, "act-norm-weight", "channel_squared_mean")


def branch_variances(evidence: xr.Dataset) -> xr.DataArray:
    """Channel variance at the end of the branch, on average over the blocks, by order."""
    return cases(
        {
            order: along(evidence, name, "branch_variance").mean("block")
            for order, name in ORDERS.items()
        }
    )


def nf_variance(evidence: xr.Dataset) -> xr.DataArray:
    """Channel variance of a normaliser-free stream over the one at its start."""
    values = along(evidence, "NF", "channel_variance")
    start = values.sel(layer=0, drop=True)
    return cases(
        {f"{n} blocks": values.sel(layer=n, drop=True) / start for n in _blocks(evidence, "NF")}
    )


def nf_theory(evidence: xr.Dataset) -> xr.DataArray:
    """The law of the same."""
    found = _blocks(evidence, "NF")
    return numbered({f"{n} blocks": float(theory.nf_variance(n, NF_SCALE)) for n in found})


def doublings(evidence: xr.Dataset) -> xr.DataArray:
    """How often the signal's mean square doubled within ten blocks."""
    return xr.DataArray(np.log2(gain(evidence, "residual", 10)))


def shortcut_error(evidence: xr.Dataset) -> xr.DataArray:
    """Relative deviation of the gradient over all shortcuts from lambda^L."""
    found = {}
    for name, scale in _SCALED.items():
        direct = along(evidence, name, "direct").prod("block")
        found[name] = direct / theory.direct_path_gradient(depth_of(evidence, name), scale) - 1
    name = "half shortcut, no branch"
    whole = gradient_ratio(evidence, name, 0, depth_of(evidence, name)) ** 0.5
    law = theory.direct_path_gradient(depth_of(evidence, name), 0.5)
    return cases({**found, "half shortcut, no branch: whole gradient": whole / law - 1})


_SCALED = {
    "half shortcut, no branch": 0.5,
    "half shortcut, BN branch": 0.5,
    "0.9 shortcut, BN branch": 0.9,
}


def unexplained(evidence: xr.Dataset) -> xr.DataArray:
    """What neither shortcut nor branch explains of the gradient, at the worst block."""
    names = ("small residual", "small residual BN")
    return cases({name: along(evidence, name, "elsewhere").max("block") for name in names})


def shortcut_shares(evidence: xr.Dataset) -> xr.DataArray:
    """The share of the gradient through the shortcut, by block."""
    shares = along(evidence, "residual BN", "shortcut_share")
    last = depth_of(evidence, "residual BN") - 1
    found = {f"BN, block {n}": shares.sel(block=n, drop=True) for n in (0, 10, last)}
    bare = along(evidence, "residual", "shortcut_share").mean("block")
    return cases({**found, "no norm, all blocks": bare})


def share_theory(evidence: xr.Dataset) -> xr.DataArray:
    """One over one plus the branch's gain."""
    last = depth_of(evidence, "residual BN") - 1
    found = {f"BN, block {n}": shortcut_share(n) for n in (0, 10, last)}
    return numbered({**found, "no norm, all blocks": 0.5})


def shortcut_share(block: int) -> float:
    """The share of the gradient through the shortcut of this block, with batch norm.

    ``1 / (1 + g)``, ``g = 1 / (1 + (1 - 1/pi) l)``: the branch's part is uncorrelated with the
    shortcut's, and batch norm divides it by the channel variance of the stream.

    >>> shortcut_share(0)
    0.5
    """
    return 1 / (1 + 1 / float(theory.residual_channel_variance("norm-act-weight", block)))


def _blocks(evidence: xr.Dataset, name: str) -> list[int]:
    return [n for n in (5, 10, 25, 50, 100) if n <= depth_of(evidence, name)]
