"""The derivative of the activation, which the essay says batch norm steadies: its mean at every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor, nn

__all__ = ["mean_derivatives"]

_QUANTITIES = (
    Quantity(
        "mean_derivative",
        ("layer",),
        "1",
        "mean of sigma'(z) over units and samples, layer by layer; batch norm by the batch",
        "definition",
    ),
)


def mean_derivatives(network: nn.Module, batch: tuple[Tensor, Any]) -> xr.Dataset:
    """The mean of ``sigma'(z)`` at every activation in the blocks, in order of execution.

    The derivative is autograd's: an activation is pointwise, so that one product gives all of it.
    """
    import torch

    means: list[float] = []

    def watch(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        with torch.enable_grad():
            z = args[0].detach().double().requires_grad_()
            (derivative,) = torch.autograd.grad(module.forward(z).sum(), z)
        means.append(float(derivative.mean()))

    network.train()
    handles = [
        module.register_forward_pre_hook(watch)
        for name, module in network.named_modules()
        if name.startswith("blocks.") and name.rpartition(".")[2] == "act"
    ]
    with torch.no_grad():
        network(batch[0])
    for handle in handles:
        handle.remove()
    layers = np.arange(1, len(means) + 1)
    return label({"mean_derivative": means}, _QUANTITIES, {"layer": layers}, {})
