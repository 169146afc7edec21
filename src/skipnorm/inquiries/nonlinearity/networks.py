"""Networks of a recipe with something set by hand: gains and shifts of the norms, or what is trained at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    from skipnorm.studies.study import Buildable

__all__ = ["Gained", "NormsOnly"]


@dataclass(frozen=True)
class Gained:
    """A network whose norms begin with these gains and shifts, in equal stretches of their units.

    With several gains, one layer shows what a unit does at each of them.

    >>> from skipnorm.networks.recipe import Perceptron
    >>> made = Gained(Perceptron(depth=1, width=4, norm="batch"), (0.5, 2.0)).build(seed=0)
    >>> made.blocks[0].norm.weight.tolist()
    [0.5, 0.5, 2.0, 2.0]
    """

    network: Buildable
    gains: tuple[float, ...] = (1.0,)
    shifts: tuple[float, ...] = (0.0,)

    def build(self, seed: int) -> torch.nn.Module:
        """The recipe's network with its norms set."""
        import torch

        network: torch.nn.Module = self.network.build(seed)
        with torch.no_grad():
            for norm in norms_of(network):
                for parameter, values in ((norm.weight, self.gains), (norm.bias, self.shifts)):
                    each = torch.tensor(values).to(parameter)
                    parameter.copy_(each.repeat_interleave(len(parameter) // len(values)))
        return network


@dataclass(frozen=True)
class NormsOnly:
    """A network in which gains and shifts of the norms learn and all else stays as it was drawn.

    >>> from skipnorm.networks.recipe import Perceptron
    >>> made = NormsOnly(Perceptron(depth=1, norm="batch")).build(seed=0)
    >>> [name for name, each in made.named_parameters() if each.requires_grad]
    ['blocks.0.norm.weight', 'blocks.0.norm.bias']
    """

    network: Buildable

    def build(self, seed: int) -> torch.nn.Module:
        """The recipe's network with all else frozen."""
        network: torch.nn.Module = self.network.build(seed)
        network.requires_grad_(False)
        for norm in norms_of(network):
            norm.requires_grad_(True)
        return network


def norms_of(network: torch.nn.Module) -> list[_BatchNorm]:
    """The batch norms of a network, in order."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return [module for module in network.modules() if isinstance(module, _BatchNorm)]
