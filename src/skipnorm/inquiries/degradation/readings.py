"""What is read of the networks: their gradient block by block, and what identities behind them change."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from skipnorm.evidence.schema import Quantity, label
from skipnorm.inquiries.degradation.networks import as_identity

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["EXTRA", "gradient_by_block", "with_identities"]

EXTRA = 28
"""Blocks that are put behind a network: from 4 to 32."""

_GRADIENT = Quantity(
    "block_gradient",
    ("block",),
    "loss/unit",
    "root mean square of the loss gradient at the output of each block, statistics of the batch differentiated",
    "definition",
)
_CHANGE = Quantity(
    "identity_change",
    (),
    "loss",
    f"absolute change of the loss when {EXTRA} blocks that are the identity stand behind the last, in evaluation mode",
    "He et al. 2015, section 1",
)


def gradient_by_block(network: Any, batch: Any) -> xr.Dataset:
    """How large the gradient of the batch's loss is behind every block, the network in training mode."""
    import torch

    inputs, targets = batch
    network.train()
    signal, passed = network.stem(inputs), []
    for block in network.blocks:
        signal = block(signal)
        passed.append(signal)
    loss = torch.nn.functional.cross_entropy(network.head(signal), targets)
    sizes = [float(each.square().mean().sqrt()) for each in torch.autograd.grad(loss, passed)]
    blocks = range(1, len(sizes) + 1)
    return label({"block_gradient": sizes}, [_GRADIENT], {"block": list(blocks)}, {})


def with_identities(network: Any, batch: Any) -> xr.Dataset:
    """By how much the loss changes when the network is made deeper by blocks that are the identity."""
    import torch

    inputs, targets = batch
    network.eval()
    with torch.no_grad():
        before = torch.nn.functional.cross_entropy(network(inputs), targets)
        last = network.blocks[-1]
        network.blocks.extend(as_identity(deepcopy(last)) for _ in range(EXTRA))
        after = torch.nn.functional.cross_entropy(network(inputs), targets)
    return label({"identity_change": float(abs(after - before))}, [_CHANGE], {}, {})
