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

SEEDS = 6
LAYERS = 2 * QUICK.depth + 1
QUANTITIES = {
    "layer": (
        "mean_square",
        "channel_squared_mean",
        "channel_variance",
        "gradient_mean_square",
        "log_size_mean",
        "log_size_variance",
        "near_one",
        "unit_error",
        "largest_square",
        "mean_squared_value",
        "log_spread",
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
WHOLE = ("gradient_error", "printed_error")
SCORES = ("training_loss", "validation_loss", "test_loss")
END = 150
RATES = (0.01, 0.03, 0.1, 0.3)
RELU_SHARE = 1 - 1 / math.pi
DERIVATIVE = {"sigmoid": 0.20662, "tanh": 0.60571}  # of a standard Gaussian


def relu_rate(batch):
    """Yang et al. 2019, eq. 25 at alpha = 1, J and J' written out."""
    c = -1 / (batch - 1)
    slope = (math.pi - math.acos(c)) / math.pi
    kernel = math.sqrt(1 - c * c) / math.pi + slope * c
    return (slope + batch - 1) / ((batch - 3) * (1 - kernel)) - 1 / (batch - 3)


def linear_rate(batch):
    return (batch - 2) / (batch - 3)


def world():
    """Evidence over the variants of the quick study, six seeds, relative noise of 0.1 %."""
    return _world().copy(deep=True)


@cache
def _world():
    study = study_of(QUICK)
    variants = list(study.variants)
    sizes = {"variant": variants, "seed": range(SEEDS), "rate": (0.0, *RATES), "step": (0, END)}
    sizes |= {"layer": range(LAYERS), "block": range(LAYERS - 1)}
    meaning = {"unit": "1", "meaning": "made up", "source": "closed forms"}
    evidence = xr.Dataset(coords={name: list(values) for name, values in sizes.items()})

    def empty(*dims):
        return (dims, np.full([len(sizes[dim]) for dim in dims], np.nan), meaning)

    for dim, names in QUANTITIES.items():
        for name in names:
            evidence[name] = empty("variant", "seed", "rate", dim)
    for name in WHOLE:
        evidence[name] = empty("variant", "seed", "rate")
    for name in SCORES:
        evidence[name] = empty("variant", "seed", "rate", "step")
    evidence["mean_derivative"] = empty("variant", "seed", "rate", "step", "layer")
    for variant, made in study.variants.items():
        _fill(evidence, variant, made.rates or (0.0,))
    return _with_noise(evidence)


def _fill(evidence, variant, rates):
    here = {"variant": variant}
    if variant.endswith("blocks"):
        for rate in rates:  # a rate of 0.1 is best with batch norm, 0.01 without
            far = abs(math.log(rate / (0.1 if "BN" in variant else 0.01)))
            for name in SCORES:
                evidence[name].loc[here | {"rate": rate}] = LOSSES[variant] * (1 + 0.01 * far)
    elif variant.endswith("learner"):
        moved = 0.6 if "BN" in variant else 0.4
        for rate in rates:
            for name in SCORES:
                evidence[name].loc[here | {"rate": rate}] = 0.01 if rate == 0.03 else 0.1
            for step, value in ((0, DERIVATIVE["tanh"]), (END, moved)):
                at = here | {"rate": rate, "step": step, "layer": range(1, 7)}
                evidence["mean_derivative"].loc[at] = value
    elif variant.endswith("slopes"):
        name, layers = variant.split()[0], np.arange(1, 21)
        risen = 1 if "BN" in variant else layers**0.15
        at = here | {"rate": 0.0, "step": 0, "layer": layers}
        evidence["mean_derivative"].loc[at] = DERIVATIVE[name] * risen
    elif variant in FORMULAS:
        for name, value in zip(WHOLE, FORMULAS[variant], strict=True):
            evidence[name].loc[here | {"rate": 0.0}] = value
    else:
        for name, values in _of(variant).items():
            dim = "block" if name in QUANTITIES["block"] else "layer"
            for at, value in values.items():
                evidence[name].loc[here | {"rate": 0.0, dim: at}] = value


def _with_noise(evidence):
    numbers = np.random.default_rng(0)
    exact = ("shortcut", "orthogonal", "layer", "four")
    noisy = xr.DataArray(
        [not any(word in name for word in exact) for name in evidence["variant"].values],
        {"variant": evidence["variant"]},
        "variant",
    )
    noised = ("mean_square", "channel_variance", "gradient_mean_square", "log_size_mean")
    for name in (*noised, *SCORES, "mean_derivative", "near_one", "mean_squared_value"):
        drawn = xr.zeros_like(evidence[name])
        drawn[:] = numbers.standard_normal(drawn.shape)
        attrs = evidence[name].attrs
        evidence[name] = evidence[name] * (1 + 1e-3 * drawn * noisy)
        evidence[name].attrs = attrs
    return evidence


FORMULAS = {  # formula against autograd: the right one, the one printed otherwise
    "one layer": (1e-16, 0.7),
    "four layers": (2e-16, np.nan),
    "four units in a row": (1e-16, 3.0),
}
LOSSES = {  # science.md's calibration at 300 steps
    "plain, 4 blocks": 0.0006,
    "plain, 32 blocks": 1.45,
    "plain, 64 blocks": 1.73,
    "plain BN, 4 blocks": 0.0026,
    "plain BN, 32 blocks": 0.743,
    "plain BN, 64 blocks": 2.19,
}
SPECTRA = {  # near one and mean square by depth: 1, 4, 10, 20
    "J linear": ((0.68, 0.4, 0.2, 0.1), (1.0, 1.0, 1.0, 1.0)),
    "J linear orthogonal": ((1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0)),
    "J ReLU": ((0.4, 0.25, 0.1, 0.05), (1.0, 1.0, 1.0, 1.0)),
    "J ReLU orthogonal": ((0.5, 0.4, 0.2, 0.1), (1.0, 1.0, 1.0, 1.0)),
    "J linear BN": ((0.6, 0.3, 0.2), (1.1, 1.5, 2.87)),
    "J ReLU BN": ((0.35, 0.2, 0.1), (1.6, 7.6, 159.0)),
}


def _spectrum(variant):
    if variant == "J edge":
        edges = {depth: (depth + 1) ** (depth + 1) / depth**depth for depth in (1, 2, 3)}
        return {"largest_square": edges}
    near, square = SPECTRA[variant]
    depths = (1, 4, 10, 20)[: len(near)]
    found = {"near_one": dict(zip(depths, near, strict=True))}
    found["mean_squared_value"] = dict(zip(depths, square, strict=True))
    found["unit_error"] = dict.fromkeys(depths, 1e-15)
    return found


def _of(variant):
    if variant.startswith("J "):
        return _spectrum(variant)
    if variant == "He draws":
        return _draws()
    if variant.startswith("He panel"):
        depth, batch = QUICK.panel_depth, int(variant.split("=")[1])
        share = theory.channel_variance_share(depth)
        biased = {n: float(share[n]) * (1 - 1 / batch) for n in range(1, depth + 1)}
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
    "double relu": (2.0, 2.0),
    **{f"tanh σ²={v:g}": (theory.mean_field_slope(v, 0.05), 1.0) for v in (1.3, 1.761, 2.5, 4.0)},
}


def _plain(variant):
    depth = QUICK.depth * (2 if variant.endswith("B=8") else 1)
    layers = range(1, depth + 1)
    if variant in _PLAIN:
        rate, growth = _PLAIN[variant]
    else:
        network, batch = variant.split(" BN B=")
        low, high = linear_rate(int(batch)), relu_rate(int(batch))
        rate = {"relu": high, "linear": low, "tanh": math.sqrt(low * high)}[network]
        growth = 1.0
    size = {n: growth**n / 2 for n in layers}
    return {
        "gradient_mean_square": {n: rate ** (depth - n) for n in layers},
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
