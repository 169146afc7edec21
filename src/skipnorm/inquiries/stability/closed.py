"""The essay's first formulas against autograd: one layer, and the chain of several.

Three small networks in double precision. What is read is how far a formula is from the gradient that autograd
computes, relative to that gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skipnorm.evidence.schema import Quantity, label
from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.stability.effects import initial
from skipnorm.networks.recipe import OneLayer, Perceptron
from skipnorm.studies.study import Variant
from skipnorm.tasks import Gaussian
from skipnorm.verdicts import Claim, Identity

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr
    from torch import Tensor, nn

__all__ = ["CLAIMS", "closed_forms", "formula_errors", "formulas"]

_ESSAY = "The essay, Improving Numerical Stability"
_QUANTITIES = (
    Quantity(
        "gradient_error",
        (),
        "1",
        "length of (formula - autograd) over length of autograd: the formula that is right",
        _ESSAY,
    ),
    Quantity(
        "printed_error",
        (),
        "1",
        "the same for the formula that is printed otherwise: first version's chain, second's layer",
        _ESSAY,
    ),
)
_DRAWS = 5


def closed_forms() -> dict[str, Variant]:
    """One sigmoid layer; four of them; four of a single unit, where even the printed chain has a shape."""
    exact: dict[str, Any] = {"dtype": "float64", "probes": formula_errors, "seeds": _DRAWS}
    chain = Perceptron(
        stem=False,
        head=False,
        bias=False,
        activation="sigmoid",
        initializer="lecun",
        depth=4,
        width=8,
    )
    single = replace(chain, width=1)
    return {
        "one layer": Variant(OneLayer(inputs=12, outputs=5), Gaussian(12, 5), 1, **exact),
        "four layers": Variant(chain, Gaussian(8), 16, **exact),
        "four units in a row": Variant(single, Gaussian(1), 1, **exact),
    }


def formula_errors(network: nn.Module, batch: tuple[Tensor, Tensor]) -> xr.Dataset:
    """How far the formulas for the first layer's gradient are from autograd's, half squared error as the loss.

    Right: ``((o - Y) * sigma'(W X)) X^T`` for one layer, for several ``dL/do_N prod do_i/do_{i-1} do_1/dW_1``. As
    printed: ``O X sigma'`` (second version of the essay) for one layer, ``(o - Y) prod do_i/dW_i`` (first version)
    for several, which has a shape where every layer is one unit and one sample is seen; NaN elsewhere.
    """
    import torch

    from skipnorm.formulas import layers

    sigma, slope = layers.ACTIVATIONS["sigmoid"]
    weights = list(network.parameters())
    inputs, targets = (part.T for part in batch)  # samples stand in columns, as on paper
    outputs = network(batch[0]).T
    (exact,) = torch.autograd.grad(layers.half_squared_error(outputs, targets), weights[:1])
    printed = torch.full_like(exact, torch.nan)
    with torch.no_grad():
        if len(weights) == 1:
            found = layers.one_layer_gradient(weights[0], inputs, targets, sigma, slope)
            printed = (outputs * slope(weights[0] @ inputs)) @ inputs.T
        else:
            found = layers.first_layer_gradient(weights, inputs, targets, sigma, slope)
            if exact.numel() == 1:
                below = [inputs, *layers.chain(weights, inputs, sigma)[:-1]]
                printed = outputs - targets
                for weight, source in zip(weights, below, strict=True):
                    printed = printed * slope(weight @ source) * source
        errors = {
            "gradient_error": float((found - exact).norm() / exact.norm()),
            "printed_error": float((printed - exact).norm() / exact.norm()),
        }
    return label(errors, _QUANTITIES, {}, {})


def right(evidence: xr.Dataset) -> xr.DataArray:
    """The one-layer formula of the first version against autograd."""
    return initial(evidence, "one layer", "gradient_error")


def without_target(evidence: xr.Dataset) -> xr.DataArray:
    """The one-layer formula of the second version against autograd."""
    return initial(evidence, "one layer", "printed_error")


def printed_chain(evidence: xr.Dataset) -> xr.DataArray:
    """The printed product of several layers against autograd, where it has a shape."""
    return initial(evidence, "four units in a row", "printed_error")


def right_chain(evidence: xr.Dataset) -> xr.DataArray:
    """The product over derivatives with respect to outputs against autograd."""
    names = ("four layers", "four units in a row")
    return cases({name: initial(evidence, name, "gradient_error") for name in names})


_TOPIC = "gradient of the first layer"
_LENGTHS = "Length of the difference from autograd's gradient over that gradient's length, in double precision."

CLAIMS = (
    Claim(
        name="one-layer-gradient",
        sentence="The gradient of one layer o = sigma(W X) under half the squared error is ((o - Y) * sigma'(W X)) "
        "X^T.",
        source=f"{_ESSAY}, first version",
        side="essay",
        effect=right,
        prediction=Identity(1e-12),
        figure="formulas",
        topic=_TOPIC,
        caveats=(_LENGTHS, "The essay calls this layer linear; with sigma it is not."),
    ),
    Claim(
        name="one-layer-without-target",
        sentence="The gradient of one layer is O X sigma'.",
        source=f"{_ESSAY}, second version",
        side="essay",
        effect=without_target,
        prediction=Identity(1e-12),
        figure="formulas",
        topic=_TOPIC,
        caveats=("Read in the only order that has W's shape. The target Y is missing.",),
    ),
    Claim(
        name="chain-as-printed",
        sentence="The gradient of the first of N layers is (o - Y) times the product of all do_i/dW_i.",
        source=_ESSAY,
        side="essay",
        effect=printed_chain,
        prediction=Identity(1e-12),
        figure="formulas",
        topic=_TOPIC,
        caveats=("With layers of one unit, since for wider ones the product has no shape.",),
    ),
    Claim(
        name="chain-corrected",
        sentence="It is dL/do_N times the product of do_i/do_(i-1) over the layers above the first, times do_1/dW_1: "
        "derivatives with respect to weights do not chain.",
        source="Derived: the chain rule",
        side="derived",
        effect=right_chain,
        prediction=Identity(1e-12),
        figure="formulas",
        topic=_TOPIC,
        caveats=(_LENGTHS,),
    ),
)


def formulas(evidence: xr.Dataset) -> go.Figure:
    """How far each formula is from autograd, draw by draw."""
    from skipnorm.figures import strip

    errors = {
        "one layer": right(evidence),
        "second version": without_target(evidence),
        "chain": right_chain(evidence).isel(case=0, drop=True),
        "as printed": printed_chain(evidence),
    }
    found = cases(errors).clip(1e-17)
    bound = found.isel(seed=0, drop=True) * 0 + 1e-12
    return strip(
        found,
        by="case",
        theory=bound,
        log_y=True,
        x_title="formula",
        y_title="relative distance from autograd",
    )
