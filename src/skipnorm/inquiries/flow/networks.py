"""The networks of this inquiry that are no recipe of the library: frozen values, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from skipnorm.networks.recipe import Perceptron

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Cancelling", "Rerouted"]

Kind = Literal["projection", "dropout", "shortcut gate", "exclusive gate"]


@dataclass(frozen=True)
class Rerouted:
    """A residual perceptron whose shortcuts are no identities any more (He et al. 2016, section 3).

    The weights that both have are those of the recipe. A gate is ``g(x) = sigmoid(W x + bias)`` with weights of its
    own; it leaves ``(1 - g) x`` of the shortcut, and where it is exclusive ``g F`` of the branch.
    """

    network: Perceptron
    kind: Kind
    bias: float = 0.0

    def build(self, seed: int) -> nn.Module:
        """The recipe's network with every block rerouted."""
        from skipnorm.inquiries.flow.shortcuts import rerouted

        return rerouted(self.network.build(seed), self.kind, self.bias, seed)


@dataclass(frozen=True)
class Cancelling:
    """A residual network of rectifiers in which one block adds minus its input: ``x + F(x) = 0`` for every x.

    The rectifiers are concatenated, ``F(x) = W [relu(x), relu(-x)]``, so that ``W = [-1, 1]`` makes ``F(x) = -x``.
    """

    width: int = 16
    depth: int = 8
    block: int = 4

    def build(self, seed: int) -> nn.Module:
        """The network, random but for one block."""
        from skipnorm.inquiries.flow.shortcuts import minus_identity

        bare = Perceptron(
            width=self.width,
            depth=self.depth,
            residual=True,
            activation="crelu",
            stem=False,
            head=False,
            bias=False,
        )
        return minus_identity(bare.build(seed), self.block)
