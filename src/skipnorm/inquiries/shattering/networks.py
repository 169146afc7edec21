"""Stacks of blocks that can be cut at several depths: one draw of weights, read all along. Read without torch.

The two set-ups of Balduzzi et al. 2017. `OnTheLine` has one input and random kinks: its first layer is
``w x + b`` with both drawn from N(0, 2). `Headless` has no stem: its blocks take vectors as they are.
Both end in a random covector, which the readings hand to the probes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skipnorm.networks.recipe import Perceptron

if TYPE_CHECKING:
    import torch

    from skipnorm.inquiries.shattering.stack import Stack

__all__ = ["Headless", "OnTheLine"]

_EDGES = 1
"""What tells the numbers of stem and covector from those of samples of the same seed."""

_FIRST = 10_000
"""The seeds of the networks begin here: those below were used to calibrate, and are not judged."""


@dataclass(frozen=True)
class OnTheLine:
    """A network of one input, to be read behind each of these many layers.

    ``blocks`` are those of a perceptron without stem and head. ``L`` layers are ``L`` activations, the first without
    a matrix, for a plain network; ``L`` blocks, a last norm and an activation, for a residual one.

    >>> recipe = OnTheLine(Perceptron(width=4, stem=False, head=False, bias=False), (1, 3))
    >>> recipe.build(seed=0).cut(1)
    Sequential(
      (stem): Linear(in_features=1, out_features=4, bias=True)
      (0): Sequential(
        (act): ReLU()
      )
    )
    """

    blocks: Perceptron
    depths: tuple[int, ...]

    def build(self, seed: int) -> Stack:
        """The stack whose weights depend on nothing but this recipe and the seed."""
        import torch

        from skipnorm.inquiries.shattering.stack import Stack, bend, blocks_of

        seed += _FIRST
        numbers = np.random.default_rng([seed, _EDGES])
        recipe, residual = self.blocks, self.blocks.residual
        linear = recipe.activation == "crelu"  # its first layer is linear as the others are
        layers = max(self.depths) - (not residual and not linear)
        blocks = blocks_of(recipe, layers, seed)
        if not residual and not linear:
            blocks.insert(0, bend(recipe))
        stem = torch.nn.Linear(1, recipe.width)
        with torch.no_grad():
            for part in (stem.weight, stem.bias):
                drawn = numbers.standard_normal(tuple(part.shape)) * 2**0.5
                part.copy_(torch.from_numpy(drawn))
        closing = bend(recipe) if residual else None
        covector = _covector(recipe.width, numbers)
        if linear:  # mirrored like every weight behind a concatenated ReLU
            covector = torch.cat([covector, -covector])
        return Stack(stem, blocks, closing, covector, self.depths)


@dataclass(frozen=True)
class Headless:
    """Blocks alone, to be read behind each of these many: ``networks`` draws of them, over which is averaged.

    >>> len(Headless(Perceptron(width=4, stem=False, head=False), (1, 3), networks=2).build(seed=0))
    2
    """

    blocks: Perceptron
    depths: tuple[int, ...]
    networks: int = 1

    def build(self, seed: int) -> torch.nn.ModuleList:
        """The stacks whose weights depend on nothing but this recipe and the seed."""
        import torch

        first = _FIRST + seed * self.networks
        each = range(first, first + self.networks)
        return torch.nn.ModuleList(self._one(number) for number in each)

    def _one(self, seed: int) -> Stack:
        from skipnorm.inquiries.shattering.stack import Stack, blocks_of

        numbers = np.random.default_rng([seed, _EDGES])
        blocks = blocks_of(self.blocks, max(self.depths), seed)
        return Stack(None, blocks, None, _covector(self.blocks.width, numbers), self.depths)


def _covector(width: int, numbers: np.random.Generator) -> torch.Tensor:
    import torch

    drawn = torch.from_numpy(numbers.standard_normal(width))
    return drawn.to(torch.get_default_dtype())
