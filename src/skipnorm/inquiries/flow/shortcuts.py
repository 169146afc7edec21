"""Blocks whose shortcut is gated, projected or dropped, and the block that cancels its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from skipnorm.inquiries.flow.networks import Kind

__all__ = ["Gated", "Projected", "minus_identity", "rerouted"]


class Projected(nn.Module):
    """``shortcut(x) + F(x)``, with a module on the shortcut."""

    def __init__(self, inner: Any, shortcut: nn.Module) -> None:
        super().__init__()
        self.inner, self.shortcut = inner, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The stream behind this block."""
        out: Tensor = self.shortcut(x) + self.branch(x)
        return out

    def branch(self, x: Tensor) -> Tensor:
        """What the block adds to its shortcut."""
        out: Tensor = self.inner.branch(x)
        return out


class Gated(nn.Module):
    """``(1 - g(x)) x + F(x)``; where the gate is exclusive, ``(1 - g(x)) x + g(x) F(x)``."""

    def __init__(self, inner: Any, gate: nn.Module, *, exclusive: bool) -> None:
        super().__init__()
        self.inner, self.gate, self.exclusive = inner, gate, exclusive

    def forward(self, x: Tensor) -> Tensor:
        """The stream behind this block."""
        opened = torch.sigmoid(self.gate(x))
        out: Tensor = (1 - opened) * x + self.branch(x, opened)
        return out

    def branch(self, x: Tensor, opened: Tensor) -> Tensor:
        """What the block adds to its shortcut."""
        out: Tensor = self.inner.branch(x)
        return opened * out if self.exclusive else out


def rerouted(network: Any, kind: Kind, bias: float, seed: int) -> nn.Module:
    """The network with other shortcuts, whose weights are drawn with variance 1 / width."""
    generator = torch.Generator().manual_seed(seed)
    for place, block in enumerate(network.blocks):
        width = block.weight.in_features
        if kind == "dropout":
            network.blocks[place] = Projected(block, nn.Dropout(0.5))
            continue
        matrix = nn.Linear(width, width, bias=kind != "projection").to(block.weight.weight)
        with torch.no_grad():
            matrix.weight.normal_(0, width**-0.5, generator=generator)
            if matrix.bias is not None:
                matrix.bias.fill_(bias)
        if kind == "projection":
            network.blocks[place] = Projected(block, matrix)
        else:
            network.blocks[place] = Gated(block, matrix, exclusive=kind == "exclusive gate")
    return network  # type: ignore[no-any-return]


def minus_identity(network: Any, place: int) -> nn.Module:
    """The network with one block whose branch is minus the identity, by concatenated rectifiers."""
    weight = network.blocks[place].weight.weight
    unit = torch.eye(len(weight), dtype=weight.dtype)
    with torch.no_grad():
        weight.copy_(torch.cat([-unit, unit], dim=1))
    return network  # type: ignore[no-any-return]
