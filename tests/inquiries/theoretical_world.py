"""Evidence made up from closed forms: what the study of `stability` would find if theory held.

No network is built. Every law is written here once more, from the literature, so that a slip in the
inquiry's own overlay shows; the shape of the evidence is that of the study.
"""

import math
from functools import cache

import numpy as np
import xarray as xr

from skipnorm.formulas import theory
from skipnorm.inquiries.stability.study import QUICK, study_of

SEEDS = 8
LAYERS = QUICK.residual_depth + 1
QUANTITIES = {
    "layer": (
        "mean_square",
        "channel_squared_mean",
        "channel_variance",
        "gradient_mean_square",
        "log_size_mean",
        "log_size_variance",
    ),
    "block": (
        "branch_variance",
        "branch_squared_mean",
        "shortcut_share",
        "branch_share",
        "elsewhere",
        "direct",
    ),
}
RELU_SHARE = 1 - 1 / math.pi


def relu_rate(batch):
    """Yang et al. 2019, eq. 25 at alpha = 1, J and J' written out."""
    c = -1 / (batch - 1)
    slope = (math.pi - math.acos(c)) / math.pi
    kernel = math.sqrt(1 - c * c) / math.pi + slope * c
    return (slope + batch - 1) / ((batch - 3) * (1 - kernel)) - 1 / (batch - 3)


def linear_rate(batch):
    return (batch - 2) / (batch - 3)


def world():
    """Evidence over the variants of the quick study, eight seeds, relative noise of 0.1 %."""
    return _world().copy(deep=True)


@cache
def _world():
    variants = list(study_of(QUICK).variants)
    sizes = {"variant": variants, "seed": range(SEEDS), "layer": range(LAYERS)}
    sizes["block"] = range(LAYERS - 1)
    meaning = {"unit": "1", "meaning": "made up", "source": "closed forms"}
    evidence = xr.Dataset(coords={name: list(values) for name, values in sizes.items()})
    for dim, names in QUANTITIES.items():
        shape = (len(variants), SEEDS, len(sizes[dim]))
        for name in names:
            evidence[name] = (("variant", "seed", dim), np.full(shape, np.nan), meaning)
    for variant in variants:
        for name, values in _of(variant).items():
            dim = "block" if name in QUANTITIES["block"] else "layer"
            for at, value in values.items():
                evidence[name].loc[{"variant": variant, dim: at}] = value
    numbers = np.random.default_rng(0)
    noisy = xr.DataArray(["shortcut" not in name for name in variants], dims="variant")
    for name in ("mean_square", "channel_variance", "gradient_mean_square", "log_size_mean"):
        drawn = xr.zeros_like(evidence[name])
        drawn[:] = numbers.standard_normal(drawn.shape)
        deviation = 1e-3 * drawn * noisy.assign_coords(variant=variants)
        evidence[name] = evidence[name] * (1 + deviation)
        evidence[name].attrs = meaning
    return evidence


def _of(variant):
    if variant == "He draws":
        return _draws()
    if variant.startswith("He panel"):
        share, batch = theory.channel_variance_share(10), int(variant.split("=")[1])
        biased = {n: float(share[n]) * (1 - 1 / batch) for n in range(1, 11)}
        return {"mean_square": dict.fromkeys(biased, 1.0), "channel_variance": biased}
    if variant in _PLAIN or " B=" in variant:
        return _plain(variant)
    return _residual(variant)


def _draws():
    layers = range(1, 21)
    return {
        "mean_square": dict.fromkeys(layers, 1.0),
        "log_size_mean": {n: -5 * n / 200 for n in layers},
        "log_size_variance": {n: 5 * n / 100 for n in layers},
    }


_PLAIN = {  # growth of the gradient, growth of the signal
    "relu": (1.0, 1.0),
    "relu LN": (1.0, 1.0),
    "relu RMS": (1.0, 1.0),
    "small relu": (0.5, 0.5),
    "small relu BN": (relu_rate(32), 1.0),
    "large tanh": (theory.mean_field_slope(2.0), 1.0),
    "large tanh BN": (1.2, 1.0),
}


def _plain(variant):
    layers = range(1, 21)
    if variant in _PLAIN:
        rate, growth = _PLAIN[variant]
    else:
        network, batch = variant.split(" BN B=")
        low, high = linear_rate(int(batch)), relu_rate(int(batch))
        rate = {"relu": high, "linear": low, "tanh": math.sqrt(low * high)}[network]
        growth = 1.0
    size = {n: growth**n / 2 for n in layers}
    return {
        "gradient_mean_square": {n: rate ** (20 - n) for n in layers},
        "mean_square": size,
        "channel_variance": {n: RELU_SHARE * size[n] for n in layers},
    }


_STREAMS = {  # variance per block, squared mean per block, depth
    "residual BN": (RELU_SHARE, 1 / math.pi, QUICK.residual_depth),
    "small residual BN": (RELU_SHARE, 1 / math.pi, 8),
    "act-norm-weight": (1.0, 0.0, QUICK.depth),
    "weight-norm-act": (RELU_SHARE / 2, None, QUICK.late_depth),
    "NF": (0.04, 0.0, QUICK.nf_depth),
}


def _residual(variant):
    if "shortcut" in variant:
        scale = 0.9 if variant.startswith("0.9") else 0.5
        gradient = {n: scale ** (2 * (8 - n)) for n in range(9)}
        stream = dict.fromkeys(range(9), 1.0)
        return {
            "gradient_mean_square": gradient,
            "mean_square": stream,
            "direct": dict.fromkeys(range(8), scale),
        }
    if variant in ("residual", "small residual"):
        depth = QUICK.depth if variant == "residual" else 8
        found = {"mean_square": {n: 2.0**n for n in range(depth + 1)}}
        found["channel_variance"] = found["mean_square"]
        gains = [1.0] * depth
    else:
        slope, rise, depth = _STREAMS[variant]
        layers = range(depth + 1)
        mean = {n: n**2 / (2 * math.pi) if rise is None else rise * n for n in layers}
        variance = {n: 1 + slope * n for n in layers}
        found = {"channel_squared_mean": mean, "channel_variance": variance}
        found["mean_square"] = {n: mean[n] + variance[n] for n in layers}
        found["branch_variance"] = dict.fromkeys(range(depth), slope)
        found["branch_squared_mean"] = dict.fromkeys(range(depth), rise or 0.0)
        gains = [slope / variance[n] for n in range(depth)]
        if variant.endswith("BN"):
            gains = [1 / (1 + RELU_SHARE * n) for n in range(depth)]
    growth = np.concatenate([np.cumprod(1 + np.array(gains[::-1]))[::-1], [1.0]])
    found["gradient_mean_square"] = dict(enumerate(growth))
    found["shortcut_share"] = {n: 1 / (1 + gain) for n, gain in enumerate(gains)}
    found["branch_share"] = {n: gain / (1 + gain) for n, gain in enumerate(gains)}
    found["elsewhere"] = dict.fromkeys(range(depth), 1e-16)
    return found
