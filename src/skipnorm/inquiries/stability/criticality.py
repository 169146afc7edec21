"""The product over layers below, at and above criticality: does it tend to 0 or infinity?"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile
from skipnorm.formulas import theory
from skipnorm.inquiries.effects import cases, line, numbered
from skipnorm.inquiries.stability.effects import along, depth_of, gradient_ratio, rate
from skipnorm.inquiries.stability.study import TANH_BIAS, TANH_VARIANCES
from skipnorm.verdicts import AtLeast, Claim, Equivalent, Near

__all__ = ["CLAIMS", "criticality"]

_OFF = {
    "ReLU, half the critical variance": "small relu",
    "ReLU, twice it": "double relu",
    "tanh, ordered": "tanh σ²=1.3",
    "tanh, chaotic": "tanh σ²=4",
}
_AT = {"ReLU, He": "relu", "tanh, critical": "tanh σ²=1.761"}
_INITIAL = "At initialisation only."
_TOPIC = "product over layers"


def product(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The squared gradient behind the first layer over the one behind the last."""
    return gradient_ratio(evidence, variant, 1, depth_of(evidence, variant))


def off_products(evidence: xr.Dataset) -> xr.DataArray:
    """How far the products are from 1, as a logarithm, where weights are not critical."""
    return cases(
        {case: xr.DataArray(np.abs(np.log(product(evidence, n)))) for case, n in _OFF.items()}
    )


def critical_products(evidence: xr.Dataset) -> xr.DataArray:
    """The products where weights are critical."""
    return cases({case: product(evidence, name) for case, name in _AT.items()})


def tanh_rates(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per layer of tanh networks, by weight variance."""
    return cases({f"σ²={v:g}": rate(evidence, f"tanh σ²={v:g}") for v in TANH_VARIANCES})


def tanh_theory(evidence: xr.Dataset) -> xr.DataArray:
    """The slope chi_1 at each."""
    return numbered({f"σ²={v:g}": theory.mean_field_slope(v, TANH_BIAS) for v in TANH_VARIANCES})


CLAIMS = (
    Claim(
        name="off-critical-products",
        sentence="The product over layers tends to 0 or infinity: over 20 layers the squared gradient shrinks or "
        "grows by a factor of ten or more, wherever weights are not critical.",
        source="The essay, Improving Numerical Stability; Schoenholz et al. 2017",
        side="essay",
        effect=off_products,
        prediction=AtLeast(math.log(10)),
        figure="criticality",
        unit="nats",
        topic=_TOPIC,
        caveats=(
            "Half and twice the critical variance of ReLU; 1.3 and 4 for tanh, 1.76 being critical.",
            _INITIAL,
        ),
    ),
    Claim(
        name="critical-products-stay",
        sentence="It need not: with critical weights the squared gradient at the first of 20 layers is the one at the "
        "last to within a factor of two.",
        source="He et al. 2015; Schoenholz et al. 2017",
        side="counter",
        effect=critical_products,
        prediction=Equivalent(factor=2.0),
        scale="log",
        figure="criticality",
        topic=_TOPIC,
        caveats=(
            "The geometric mean over draws; how single draws spread is another claim.",
            _INITIAL,
        ),
    ),
    Claim(
        name="tanh-mean-field",
        sentence="Mean field theory knows the factor: per layer the squared gradient of a tanh network is multiplied "
        "by chi_1, 0.88 in the ordered phase, 1 at its edge, 1.13 and 1.34 in the chaotic one.",
        source="Poole et al. 2016; Schoenholz et al. 2017",
        side="paper",
        effect=tanh_rates,
        prediction=Near(tanh_theory, 0.03, relative=True),
        scale="log",
        figure="criticality",
        topic="growth per layer without norm",
        caveats=(
            "Biases of variance 0.05. The first layers still settle; the rate leaves out two of them.",
        ),
    ),
)


def _geometric(slope: float, depth: int) -> Callable[[int], float]:
    """So much per layer, from the last one back."""
    return lambda layer: float(slope ** (depth - layer))


def criticality(evidence: xr.Dataset) -> go.Figure:
    """The squared gradient along depth, below, at and above criticality, relative to the last layer."""
    names = {"ReLU ½": "small relu", "ReLU": "relu", "ReLU ×2": "double relu"}
    names |= {f"tanh {v:g}": f"tanh σ²={v:g}" for v in (1.3, 1.761, 4.0)}
    slopes = {"ReLU ½": 0.5, "ReLU": 1.0, "ReLU ×2": 2.0}
    slopes |= {f"tanh {v:g}": theory.mean_field_slope(v, TANH_BIAS) for v in (1.3, 1.761, 4.0)}
    measured, lines = {}, {}
    for label, name in names.items():
        size = along(evidence, name, "gradient_mean_square")
        depth = depth_of(evidence, name)
        measured[label] = size / size.sel(layer=depth, drop=True)
        lines[label] = line(size["layer"].values, _geometric(slopes[label], depth), "layer")
    return profile(
        measured,
        "layer",
        theory=lines,
        error="bars",
        log_y=True,
        x_title="layer",
        y_title="squared gradient at this layer / at the last",
    )
