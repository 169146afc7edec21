"""Dynamical isometry: are all singular values of the Jacobian near 1, and what do weights and norms do to them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label
from skipnorm.inquiries.stability.stacks import Stacked
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Variant
from skipnorm.tasks import Gaussian

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray
    from torch import Tensor, nn

__all__ = ["IsometrySize", "isometries", "spectra", "summarised"]

_PENNINGTON = "Pennington et al. 2017"
_QUANTITIES = (
    Quantity("near_one", ("layer",), "1", "share of singular values from 1/2 to 2", _PENNINGTON),
    Quantity("unit_error", ("layer",), "1", "largest |s - 1| of all singular values", _PENNINGTON),
    Quantity(
        "largest_square", ("layer",), "1", "largest squared singular value", "Fuss-Catalan law"
    ),
    Quantity("mean_squared_value", ("layer",), "1", "mean squared singular value", _PENNINGTON),
    Quantity(
        "log_spread",
        ("layer",),
        "1",
        "standard deviation of ln s over those that are not 0",
        _PENNINGTON,
    ),
)
_ZERO = 1e-12
"""Below this share of the largest a singular value is none: in double precision rounding leaves 1e-15."""


@dataclass(frozen=True)
class IsometrySize:
    """How large the networks are whose Jacobians are taken whole."""

    width: int = 64
    depths: tuple[int, ...] = (1, 4, 10, 20)
    edge_width: int = 500
    edge_depths: tuple[int, ...] = (1, 2, 3)
    normed_width: int = 24
    normed_batch: int = 12
    normed_depths: tuple[int, ...] = (1, 4, 10)


def isometries(size: IsometrySize) -> dict[str, Variant]:
    """Linear and ReLU networks, Gaussian and orthogonal weights, with and without batch norm."""
    wide: dict[str, Any] = {"width": size.width, "depth": max(size.depths)}
    batched: dict[str, Any] = {"width": size.normed_width, "depth": max(size.normed_depths)}
    batched["norm"] = "batch"
    linear: dict[str, Any] = {"activation": "identity"}
    edge = _gaussian(size.edge_width, max(size.edge_depths), **linear)
    found: dict[str, tuple[Stacked | Perceptron, int, tuple[int, ...]]] = {
        "J linear": (_gaussian(**wide, **linear), 1, size.depths),
        "J linear orthogonal": (_orthogonal(**wide, **linear), 1, size.depths),
        "J ReLU": (_gaussian(**wide), 1, size.depths),
        "J ReLU orthogonal": (_orthogonal(**wide), 1, size.depths),
        "J edge": (edge, 1, size.edge_depths),
        "J linear BN": (_gaussian(**batched, **linear), size.normed_batch, size.normed_depths),
        "J ReLU BN": (_gaussian(**batched), size.normed_batch, size.normed_depths),
    }
    return {
        name: Variant(
            network,
            Gaussian(network.width),
            batch,
            dtype="float32" if name == "J edge" else "float64",
            probes=partial(spectra, depths=depths),
        )
        for name, (network, batch, depths) in found.items()
    }


def spectra(network: nn.Module, batch: tuple[Tensor, Any], *, depths: Sequence[int]) -> xr.Dataset:
    """Summaries of all singular values of the Jacobian from the input to what leaves block ``l``.

    Without batch norm of one sample, the mean over samples; with it of the batch as a whole, which is normalised by
    its own statistics.
    """
    from skipnorm.probes.jacobian import jacobian

    rows = []
    for depth in depths:
        end = f"blocks.{depth - 1}"
        found = jacobian(network.train(), batch, between=("input", end), method="exact")
        values = found.values["jacobian_singular_value"]
        every = np.asarray(values.double().cpu()).reshape(-1, values.shape[-1])
        rows.append(np.mean([summarised(one) for one in every], axis=0))
    columns = np.array(rows).T
    named = {q.name: column for q, column in zip(_QUANTITIES, columns, strict=True)}
    return label(named, _QUANTITIES, {"layer": list(depths)}, {})


def summarised(values: NDArray[np.float64]) -> list[float]:
    """What is kept of a spectrum, in the order of the quantities.

    >>> [round(float(value), 4) for value in summarised(np.array([2.0, 1.0, 0.0]))]
    [0.6667, 1.0, 4.0, 1.6667, 0.3466]
    """
    near = np.mean((values >= 0.5) & (values <= 2.0))
    logs = np.log(values[values > _ZERO * values.max()])
    square = values**2
    return [near, np.abs(values - 1).max(), square.max(), square.mean(), logs.std()]


def _bare(**fields: Any) -> Perceptron:
    usual: dict[str, Any] = {"stem": False, "head": False, "bias": False, "affine": False}
    return Perceptron(**{**usual, "eps": 0.0, **fields})


def _gaussian(width: int, depth: int, **fields: Any) -> Stacked:
    """Critical variance: 2 for ReLU, 1 for a linear network."""
    block = _bare(width=width, depth=1, **fields)
    return Stacked(block, depth, 1.0 if block.activation == "identity" else 2.0)


def _orthogonal(**fields: Any) -> Perceptron:
    return _bare(initializer="orthogonal", **fields)
