"""How sharp the place is at which a network ended: raw, and in two ways that do not depend on scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import torch
    import xarray as xr

__all__ = ["REACH", "ending"]

REACH = 0.25
"""How far from the network its loss is looked at, as a fraction of the weight norm."""

_LINES = 3

QUANTITIES = (
    Quantity("sharpness", (), "loss/parameter^2", "the Hessian's largest eigenvalue", "Cohen et al. 2021"),
    Quantity("weight_norm", (), "weight", "length of all weights that are matrices", "definition"),
    Quantity("relative_sharpness", (), "loss", "sharpness times the squared weight norm", "definition"),
    Quantity("filter_sharpness", (), "loss", "rise of the loss a quarter of the weight norm away", "Li et al. 2018"),
)  # fmt: skip


def ending(network: torch.nn.Module, batch: Any, loss: Any) -> xr.Dataset:
    """Sharpness raw, times the squared weight norm, and along filter-normalised lines; BN by the batch.

    NaN where the gradient or the loss is not finite.
    """
    from skipnorm.errors import ProbeError
    from skipnorm.probes.curvature import leading_directions

    how: dict[str, Any] = {"loss": loss, "statistics": "batch"}
    try:
        top = float(leading_directions(network, batch, 1, tolerance=0.01, **how)[0][0])
    except ProbeError:  # nothing finite to differentiate
        top = float("nan")
    squares = [
        float(w.detach().double().square().sum()) for w in network.parameters() if w.dim() > 1
    ]
    found = {
        "sharpness": top,
        "weight_norm": float(np.sqrt(sum(squares))),
        "relative_sharpness": top * sum(squares),
        "filter_sharpness": _rise(network, batch, how),
    }
    return label(found, QUANTITIES, {}, {"lines": str(_LINES)})


def _rise(network: Any, batch: Any, how: dict[str, Any]) -> float:
    """Mean over both ends of several filter-normalised lines, less the loss of the network."""
    from skipnorm.probes.landscape import landscape

    rises = []
    for seed in range(_LINES):
        line: dict[str, Any] = {"along": "line", "points": (-REACH, 0.0, REACH), "seed": seed}
        low, here, high = np.asarray(landscape(network, batch, **line, **how).values["loss"], float)
        rises.append((low + high) / 2 - here)
    return float(np.mean(rises))
