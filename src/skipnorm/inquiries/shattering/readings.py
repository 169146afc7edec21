"""What is read of every network, depth by depth: one small table per trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.inquiries.shattering.stack import Stack

__all__ = ["LAGS", "along_the_line", "between_samples"]

#: In steps of the grid.
LAGS = tuple(range(21))

#: Co-activation is read in so many blocks from the first.
_BLOCKS = 12

_BALDUZZI = "Balduzzi et al. 2017"
_PAIRS = (
    Quantity(
        "gradient_correlation",
        ("layer",),
        "1",
        "mean cosine between the gradients of two samples",
        f"{_BALDUZZI}, theorem 1",
    ),
    Quantity(
        "gradient_effective_rank",
        ("layer",),
        "directions",
        "exponential of the entropy of the eigenvalues of the matrix of cosines",
        "Roy & Vetterli 2007",
    ),
    Quantity(
        "co_activation",
        ("block",),
        "1",
        "how often two different samples are both on, mean over the units of a block's ReLU",
        f"{_BALDUZZI}, section 3",
    ),
)


def along_the_line(network: Stack, batch: Any) -> xr.Dataset:
    """The gradient of every cut at the batch's evenly spaced points, and how far it remembers itself.

    Statistics of the batch are constants of the backward pass.
    """
    import torch

    from skipnorm.probes.shattering import input_gradient_autocorrelation

    points, _ = batch
    low, high = float(points[0]), float(points[-1])
    found = [
        input_gradient_autocorrelation(
            network.cut(depth),
            grid=len(points),
            between=(low, high),
            lags=LAGS,
            covector=network.covector,
            statistics="detached",
        )
        for depth in network.depths
    ]
    return label(
        {
            quantity.name: torch.stack([each.values[quantity.name].double() for each in found])
            for quantity in found[0].quantities
        },
        [_by_layer(quantity) for quantity in found[0].quantities],
        {
            "layer": list(network.depths),
            "x": np.linspace(low, high, len(points)),  # the same labels in every precision
            "lag": list(LAGS),
        },
        found[0].settings,
    )


def between_samples(networks: Sequence[Stack], batch: Any) -> xr.Dataset:
    """Mean cosine between two samples' gradients of every cut, and co-activation block by block.

    The gradient is that of the samples themselves, all reduced by one covector, with the statistics of the batch
    as constants of the backward pass. Means over the networks, which are draws of one recipe; co-activation, which
    hardly differs between draws, is that of the first.
    """
    inputs, _ = batch
    found = [_pairs(network, inputs) for network in networks]
    together = _co_activation(networks[0], inputs)
    return label(
        {
            **{name: np.mean([each[name] for each in found], axis=0) for name in found[0]},
            "co_activation": together,
        },
        _PAIRS,
        {"layer": list(networks[0].depths), "block": np.arange(1, len(together) + 1)},
        {"statistics": "detached"},
    )


def _pairs(network: Stack, inputs: Any) -> dict[str, list[float]]:
    from skipnorm.probes.shattering import gradient_correlation

    covectors = network.covector.expand(len(inputs), -1)
    found = [
        gradient_correlation(
            network.cut(depth),
            (inputs, covectors),
            loss="inner_product",
            wrt="input",
            statistics="detached",
        ).values
        for depth in network.depths
    ]
    return {
        quantity.name: [float(each[quantity.name][0]) for each in found] for quantity in _PAIRS[:-1]
    }


def _co_activation(network: Stack, inputs: Any) -> np.ndarray:
    from skipnorm.studies.measure import measure

    first = network.cut(min(_BLOCKS, max(network.depths)))
    measured = measure(first, inputs, probes="activation_summary")
    rectifiers = np.flatnonzero(measured["kind"].values == "activation")
    found: np.ndarray = measured["co_activation"].sel(port="input").values[rectifiers]
    return found


def _by_layer(quantity: Quantity) -> Quantity:
    return replace(quantity, dims=("layer", *quantity.dims))
