"""Is it the norm that keeps signals and gradients in scale? The essay, Yang et al., and the numbers.

The essay says: the product over layers tends to 0 or infinity, and batch norm mitigates this. Both
halves stand here as claims, beside what speaks against them.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.stability.effects import (
    along,
    by_batch,
    depth_of,
    drift,
    gradient_ratio,
    rate,
)
from skipnorm.verdicts import AtLeast, AtMost, Claim, Near

__all__ = ["CLAIMS"]

_ESSAY = "The essay, Improving Numerical Stability"
_YANG = "Yang et al. 2019, theorems 8 and 9"
_INITIAL = "At initialisation only: after the first steps weights grow and gradients settle anew."


def typical_drift(evidence: xr.Dataset) -> xr.DataArray:
    """How far the typical gain of a network is from 1 over 20 layers, as a logarithm."""
    sizes = along(evidence, "He draws", "log_size_mean")
    decades = {name: drift(evidence, name) for name in ("small relu", "residual")}
    found = {
        "plain, critical (He) weights": xr.DataArray(np.abs(sizes.isel(layer=-1, drop=True))),
        "plain, half their variance": decades["small relu"] * math.log(10),
        "residual, He weights": decades["residual"] * math.log(10),
    }
    return cases(found)


def mean_gain(evidence: xr.Dataset) -> xr.DataArray:
    """The gain of He networks on average over draws, at the last layer."""
    return along(evidence, "He draws", "mean_square").isel(layer=-1, drop=True)


def forward_mitigation(evidence: xr.Dataset) -> xr.DataArray:
    """Decades of drift of the signal without batch norm, minus those with it."""
    return cases(
        {
            "plain, half the critical variance": drift(evidence, "small relu")
            - drift(evidence, "small relu BN"),
            "residual": drift(evidence, "residual") - _residual_drift(evidence),
        }
    )


def backward_mitigation(evidence: xr.Dataset) -> xr.DataArray:
    """How much nearer to 1 batch norm brings a gradient's growth per layer, as a logarithm."""
    depth = depth_of(evidence, "residual")
    residual = {
        name: xr.DataArray(np.abs(np.log(gradient_ratio(evidence, name, 0, depth))) / depth)
        for name in ("residual", "residual BN")
    }
    return cases(
        {
            "plain, half the critical variance": _nearer(evidence, "small relu", "small relu BN"),
            "residual": residual["residual"] - residual["residual BN"],
        }
    )


def chaos_mitigation(evidence: xr.Dataset) -> xr.DataArray:
    """The same for a tanh network with twice the critical variance."""
    return _nearer(evidence, "large tanh", "large tanh BN")


def caused_explosion(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per layer with batch norm over the one without, He weights."""
    return rate(evidence, "relu BN B=32") / rate(evidence, "relu")


def other_norms(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per layer with batch norm over the one with another norm."""
    normed = rate(evidence, "relu BN B=32")
    names = {"layer norm": "relu LN", "RMS norm": "relu RMS", "no norm": "relu"}
    return cases({case: normed / rate(evidence, name) for case, name in names.items()})


def rates_by_activation(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per layer with batch norm, by activation, 32 samples."""
    return cases({name: rate(evidence, f"{name} BN B=32") for name in ("linear", "tanh", "relu")})


def relu_rates(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per layer of plain ReLU networks with batch norm, by batch size."""
    return cases(
        {case: rate(evidence, name) for case, name in by_batch(evidence, "relu BN").items()}
    )


def late_residual_growth(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per block over the second half of the residual network with batch norm."""
    depth = depth_of(evidence, "residual BN")
    half = depth // 2
    return gradient_ratio(evidence, "residual BN", half, depth) ** (1 / (depth - half))


def kept_gradient(evidence: xr.Dataset) -> xr.DataArray:
    """The squared gradient at a residual network's input over the one at its output."""
    return cases(
        {
            name: gradient_ratio(evidence, name, 0, depth_of(evidence, name))
            for name in ("residual", "residual BN", "act-norm-weight", "NF")
        }
    )


def _nearer(evidence: xr.Dataset, bare: str, normed: str) -> xr.DataArray:
    without, with_it = (
        xr.DataArray(np.abs(np.log(rate(evidence, name)))) for name in (bare, normed)
    )
    return without - with_it


def _residual_drift(evidence: xr.Dataset) -> xr.DataArray:
    size = along(evidence, "residual BN", "mean_square")
    depth = depth_of(evidence, "residual")
    grown = size.sel(layer=depth, drop=True) / size.sel(layer=0, drop=True)
    return xr.DataArray(np.abs(np.log10(grown)))


CLAIMS = (
    Claim(
        name="product-leaves-scale",
        sentence="The product over layers tends to 0 or infinity: over 20 layers the typical network's signal "
        "changes its mean square by a quarter or more, even at the critical initialisation.",
        source=_ESSAY,
        side="essay",
        effect=typical_drift,
        prediction=AtLeast(math.log(1.25)),
        figure="gains",
        topic="product over layers",
        unit="nats",
        caveats=("About the typical (geometric mean) network; the average one stands beside it.",),
    ),
    Claim(
        name="mean-gain-is-one",
        sentence="On average over draws the product does not tend to 0 or infinity: at the critical "
        "initialisation the mean gain of 20 layers is 1.",
        source="He et al. 2015, eq. 10; derived: the gain is log-normal with mean 1",
        side="counter",
        effect=mean_gain,
        prediction=Near(1.0, 0.1),
        figure="gains",
        topic="product over layers",
        caveats=("A mean carried by few draws: most networks lie below it.",),
    ),
    Claim(
        name="bn-keeps-the-signal",
        sentence="Batch norm mitigates the instability of the signal: where it drifts without, it drifts "
        "by at least a decade less over 20 layers.",
        source=_ESSAY,
        side="essay",
        effect=forward_mitigation,
        prediction=AtLeast(1.0),
        figure="signal",
        topic="size of the signal",
        unit="decades",
        caveats=(
            "At the critical (He) scale a plain network hardly drifts, and there is little to mend.",
        ),
    ),
    Claim(
        name="bn-helps-gradients-off-scale",
        sentence="Batch norm mitigates the instability of the gradient where weights are too small, or where "
        "skips double the signal: the growth per layer comes nearer to 1.",
        source=_ESSAY,
        side="essay",
        effect=backward_mitigation,
        prediction=AtLeast(0.1),
        figure="rates",
        topic="gradient at initialisation",
        unit="nats per layer",
        caveats=(
            "Nearer to 1, not 1: vanishing has turned into explosion in the plain network.",
            _INITIAL,
        ),
    ),
    Claim(
        name="bn-helps-gradients-in-chaos",
        sentence="Batch norm mitigates the instability of the gradient also where it explodes: in a tanh network "
        "with twice the critical weight variance, growth per layer comes nearer to 1.",
        source=_ESSAY,
        side="essay",
        effect=chaos_mitigation,
        prediction=AtLeast(0.0),
        figure="rates",
        topic="gradient at initialisation",
        unit="nats per layer",
        caveats=(_INITIAL,),
    ),
    Claim(
        name="bn-keeps-the-gradient",
        sentence="With batch norm the gradient of a plain ReLU network keeps its scale: per layer its square "
        "changes by less than 10 %.",
        source=f"{_ESSAY}; Ioffe & Szegedy 2015, section 3.3 (conjecture: singular values near 1)",
        side="essay",
        effect=relu_rates,
        prediction=Near(1.0, 0.1),
        scale="log",
        figure="explosion",
        topic="gradient at initialisation",
        caveats=(_INITIAL,),
    ),
    Claim(
        name="bn-causes-explosion",
        sentence="Batch norm itself makes gradients explode: with it, and with the same weights, the squared "
        "gradient of a plain ReLU network grows per layer by a third more than without.",
        source=_YANG,
        side="counter",
        effect=caused_explosion,
        prediction=AtLeast(1.33),
        scale="log",
        figure="growth",
        topic="gradient at initialisation",
        caveats=("He weights, 32 samples.", _INITIAL),
    ),
    Claim(
        name="bn-explodes-for-every-activation",
        sentence="No activation escapes: with batch norm gradients grow by 1 % per layer or more, even in a "
        "linear network.",
        source=_YANG,
        side="counter",
        effect=rates_by_activation,
        prediction=AtLeast(1.01),
        scale="log",
        figure="explosion",
        topic="batch norm and every activation",
        caveats=(
            "Gaussian weights; orthogonal ones can bound a linear network's gradient (Meterez et al. 2024).",
        ),
    ),
    Claim(
        name="bn-explodes-most",
        sentence="Without skips batch norm has the largest gradient explosion of all normalisers: at least 20 % "
        "more per layer than layer norm, RMS norm or none.",
        source="Rao & Sohl-Dickstein 2020",
        side="paper",
        effect=other_norms,
        prediction=AtLeast(1.2),
        scale="log",
        figure="rates",
        topic="which norm explodes",
        caveats=(
            "They used a 26-layer convolutional network; this is a perceptron with He weights.",
        ),
    ),
    Claim(
        name="skips-end-the-explosion",
        sentence="Skips end the explosion that batch norm causes: over the second half of a residual network the "
        "squared gradient grows by at most 10 % per block.",
        source="Rao & Sohl-Dickstein 2020; De & Smith 2020",
        side="paper",
        effect=late_residual_growth,
        prediction=AtMost(1.1),
        scale="log",
        figure="residual",
        topic="skips and the explosion",
    ),
    Claim(
        name="skips-keep-the-gradient",
        sentence="With identity skips the gradient does not vanish: at the input it is at least as large as at "
        "the output.",
        source="The essay, Smoother Gradient Flow; He et al. 2016 (identity mappings)",
        side="essay",
        effect=kept_gradient,
        prediction=AtLeast(1.0),
        scale="log",
        figure="growth",
        topic="gradient through skips",
        caveats=(
            "At initialisation. The sum over paths can cancel in principle, so never is too strong a word; "
            "and scaled shortcuts do let it vanish.",
        ),
    ),
)
