"""Signal and gradient along a network's blocks, as it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from skipnorm.evidence.schema import Quantity, label
from skipnorm.inquiries.draws import mean_over_draws

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["stream"]

_BROCK = "Brock et al. 2021"
_ALONG = (
    Quantity("squared_mean", ("layer",), "1", "squared channel mean, mean over channels", _BROCK),
    Quantity("variance", ("layer",), "1", "channel variance, mean over channels", _BROCK),
    Quantity(
        "gradient",
        ("layer",),
        "loss^2",
        "mean square of dE/dx, geometric mean over draws",
        "definition",
    ),
)


def stream(network: Any, batch: Any) -> xr.Dataset:
    """Layer 0 is what enters the first block, layer ``l`` what leaves block ``l``; the loss a covector's."""
    found = mean_over_draws(lambda each: _along(each, batch), network)
    found["gradient"] = np.exp(found.pop("log_gradient"))
    return label(found, _ALONG, {"layer": np.arange(len(found["variance"]))}, {})


def _along(network: nn.Module, batch: Any) -> dict[str, Any]:
    import torch

    inputs, covectors = batch
    network.train()
    points: list[Tensor] = [inputs.clone().requires_grad_()]
    with torch.enable_grad():
        for block in network.blocks:  # type: ignore[union-attr]
            points.append(block(points[-1]))
        gradients = torch.autograd.grad((points[-1] * covectors).sum(), points)
    wide = [each.detach().double() for each in points]
    return {
        "squared_mean": [float(each.mean(dim=0).square().mean()) for each in wide],
        "variance": [float(each.var(dim=0, unbiased=False).mean()) for each in wide],
        "log_gradient": [float(each.double().square().mean().log()) for each in gradients],
    }
