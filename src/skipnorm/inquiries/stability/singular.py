"""Do networks reach dynamical isometry, and what does batch norm do to it? Claims and picture."""

from __future__ import annotations

import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile
from skipnorm.formulas import theory
from skipnorm.inquiries.effects import cases, line, numbered
from skipnorm.inquiries.stability.effects import along
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity, Near

__all__ = ["CLAIMS", "stretch"]

_TOPIC = "dynamical isometry"
_NEAR = "Near means from 1/2 to 2; directions that are lost count as not near."
_BATCH = "The Jacobian of the whole batch, 12 samples, statistics included."


def unit_error(evidence: xr.Dataset) -> xr.DataArray:
    """The largest distance of a singular value from 1, linear orthogonal networks, by depth."""
    errors = along(evidence, "J linear orthogonal", "unit_error")
    return cases({f"{n} layers": errors.sel(layer=n, drop=True) for n in errors["layer"].values})


def gaussian_share(evidence: xr.Dataset) -> xr.DataArray:
    """The share of singular values near 1 of a linear Gaussian network, all layers."""
    return along(evidence, "J linear", "near_one").isel(layer=-1, drop=True)


def edges(evidence: xr.Dataset) -> xr.DataArray:
    """The largest squared singular value of linear Gaussian networks, by depth."""
    found = along(evidence, "J edge", "largest_square")
    return cases({f"{n} layers": found.sel(layer=n, drop=True) for n in found["layer"].values})


def edge_theory(evidence: xr.Dataset) -> xr.DataArray:
    """The edge of the Fuss-Catalan law."""
    depths = along(evidence, "J edge", "largest_square")["layer"].values
    return numbered({f"{n} layers": theory.fuss_catalan_edge(int(n)) for n in depths})


def relu_shares(evidence: xr.Dataset) -> xr.DataArray:
    """The share of singular values near 1 of ReLU networks of ten layers, by their weights."""
    names = {"Gaussian weights": "J ReLU", "orthogonal weights": "J ReLU orthogonal"}
    return cases(
        {c: along(evidence, n, "near_one").sel(layer=10, drop=True) for c, n in names.items()}
    )


_NORMED = {"linear": "J linear BN", "ReLU": "J ReLU BN"}


def normed_layer_shares(evidence: xr.Dataset) -> xr.DataArray:
    """The share of singular values near 1 of a single layer with batch norm."""
    return cases(
        {c: along(evidence, n, "near_one").sel(layer=1, drop=True) for c, n in _NORMED.items()}
    )


def normed_growth(evidence: xr.Dataset) -> xr.DataArray:
    """The mean squared singular value of the deepest stack with batch norm."""
    return cases(
        {
            c: along(evidence, n, "mean_squared_value").isel(layer=-1, drop=True)
            for c, n in _NORMED.items()
        }
    )


CLAIMS = (
    Claim(
        name="orthogonal-linear-is-isometric",
        sentence="A linear network with orthogonal weights reaches dynamical isometry: every singular value of its "
        "Jacobian is 1, at any depth.",
        source="Saxe et al. 2014; Pennington et al. 2017",
        side="paper",
        effect=unit_error,
        prediction=Identity(1e-9),
        figure="stretch",
        topic=_TOPIC,
    ),
    Claim(
        name="gaussian-linear-is-not",
        sentence="With Gaussian weights of the critical variance it does not, although lengths are kept on average: "
        "after 20 layers at most a quarter of the singular values are near 1.",
        source="Saxe et al. 2014; Pennington et al. 2017",
        side="paper",
        effect=gaussian_share,
        prediction=AtMost(0.25),
        figure="stretch",
        topic=_TOPIC,
        caveats=(_NEAR,),
    ),
    Claim(
        name="fuss-catalan-edge",
        sentence="Its most stretched direction is stretched, squared, by (L + 1)^(L + 1) / L^L over L layers: 4, 6.75 "
        "and 9.48 for 1, 2 and 3.",
        source="Derived: edge of the Fuss-Catalan law",
        side="derived",
        effect=edges,
        prediction=Near(edge_theory, 0.06, relative=True),
        scale="log",
        figure="stretch",
        topic=_TOPIC,
        caveats=(
            "A law of infinite width; at finite width the edge is lower, by 5 % at width 400 and 5 layers.",
        ),
    ),
    Claim(
        name="relu-is-never-isometric",
        sentence="A ReLU network does not reach it by any weights: after ten layers at most half of the singular "
        "values are near 1, be the weights Gaussian or orthogonal.",
        source="Pennington et al. 2017",
        side="paper",
        effect=relu_shares,
        prediction=AtMost(0.5),
        figure="stretch",
        topic=_TOPIC,
        caveats=(_NEAR,),
    ),
    Claim(
        name="bn-layers-are-isometric",
        sentence="Batch norm brings the singular values of a layer's Jacobian close to 1: nine tenths of them are "
        "near it.",
        source="Ioffe & Szegedy 2015, section 3.3 (conjecture)",
        side="paper",
        effect=normed_layer_shares,
        prediction=AtLeast(0.9),
        figure="stretch",
        topic=_TOPIC,
        caveats=(_NEAR, _BATCH),
    ),
    Claim(
        name="bn-leaves-isometry",
        sentence="Batch norm drives the Jacobian away from it: over ten layers the mean squared singular value grows "
        "by half or more, even in a linear network.",
        source="Yang et al. 2019, theorem 9",
        side="counter",
        effect=normed_growth,
        prediction=AtLeast(1.5),
        scale="log",
        figure="stretch",
        topic=_TOPIC,
        caveats=(_BATCH,),
    ),
)


def stretch(evidence: xr.Dataset) -> go.Figure:
    """The share of singular values near 1 along depth."""
    names = {
        "linear, orthogonal": "J linear orthogonal",
        "linear": "J linear",
        "ReLU, orthogonal": "J ReLU orthogonal",
        "ReLU": "J ReLU",
        "linear, BN": "J linear BN",
        "ReLU, BN": "J ReLU BN",
    }
    measured = {label: along(evidence, name, "near_one") for label, name in names.items()}
    layers = measured["linear, orthogonal"]["layer"].values
    return profile(
        measured,
        "layer",
        theory={"linear, orthogonal": line(layers, lambda _: 1.0, "layer")},
        error="bars",
        x_title="layers",
        y_title="share of singular values from ½ to 2",
    )
