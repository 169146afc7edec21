"""Many small networks in one: for laws about what happens on average over draws of the weights.

Two laws of the inquiry speak of draws, not of one network: the log-normal gain, and the decay of the
channel variance, in which single networks differ by a tenth. Here one trial holds a whole population
of plain ReLU networks with He weights, drawn independently. Read without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skipnorm.errors import NetworkError

if TYPE_CHECKING:
    import torch

__all__ = ["OnePerSample", "SideBySide"]


@dataclass(frozen=True)
class OnePerSample:
    """Sample ``i`` passes through a network of its own: as many draws as samples.

    An RMS norm at the entrance puts every sample on the sphere of mean square 1, so that the mean
    square of a sample after ``l`` layers *is* the gain of its network.

    >>> OnePerSample(networks=3, width=4, depth=2).build(seed=0).blocks[1].weight.shape
    torch.Size([3, 4, 4])
    """

    networks: int
    width: int = 100
    depth: int = 20

    def build(self, seed: int) -> torch.nn.Module:
        """The population whose weights depend on nothing but this recipe and the seed."""
        return _population(self, seed, shared=False)


@dataclass(frozen=True)
class SideBySide:
    """Every network sees the whole batch, each on channels of its own: ``networks * width`` of them.

    Means over channels are then means over the networks as well.

    >>> import torch
    >>> SideBySide(networks=3, width=4, depth=2).build(seed=0)(torch.ones(5, 12)).shape
    torch.Size([5, 12])
    """

    networks: int
    width: int = 1000
    depth: int = 10

    def build(self, seed: int) -> torch.nn.Module:
        """The population whose weights depend on nothing but this recipe and the seed."""
        return _population(self, seed, shared=True)


def _population(recipe: OnePerSample | SideBySide, seed: int, *, shared: bool) -> torch.nn.Module:
    import torch

    if min(recipe.networks, recipe.width, recipe.depth) < 1:
        raise NetworkError(f"Expected networks, width and depth of at least 1, found {recipe}.")
    generator = torch.Generator().manual_seed(seed)
    shape = (recipe.networks, recipe.width, recipe.width)

    class Block(torch.nn.Module):
        """One layer of every network: ``relu(W x)`` with ``W ~ N(0, 2/width)``."""

        def __init__(self) -> None:
            super().__init__()
            drawn = torch.empty(shape).normal_(0, (2 / recipe.width) ** 0.5, generator=generator)
            self.weight = torch.nn.Parameter(drawn)
            self.act = torch.nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not shared:
                return self.act(torch.bmm(self.weight, x.unsqueeze(2)).squeeze(2))  # type: ignore[no-any-return]
            apart = x.view(len(x), recipe.networks, recipe.width)
            return self.act(torch.einsum("bmi,mji->bmj", apart, self.weight).flatten(1))  # type: ignore[no-any-return]

    class Population(torch.nn.Module):
        """``entrance`` (where samples are scaled), then ``blocks``."""

        def __init__(self) -> None:
            super().__init__()
            self.entrance: Any = torch.nn.Identity()
            if not shared:
                self.entrance = torch.nn.RMSNorm(recipe.width, eps=0.0, elementwise_affine=False)
            self.blocks = torch.nn.ModuleList(Block() for _ in range(recipe.depth))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.entrance(x)
            for block in self.blocks:
                x = block(x)
            return x

    return Population()
