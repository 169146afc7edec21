"""Several networks of one recipe in one trial: so that few seeds, enough for what is trained, make many draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from skipnorm.studies.study import Buildable

__all__ = ["Draws", "mean_over_draws"]


@dataclass(frozen=True)
class Draws:
    """``count`` networks of one recipe, each with weights of its own; no two trials share a draw.

    Not to be run as a whole: a reading takes them one by one, see `mean_over_draws`.

    >>> from skipnorm.networks.recipe import Perceptron
    >>> two = Draws(Perceptron(depth=1, width=2, stem=False, head=False), 2).build(seed=5)
    >>> alone = Perceptron(depth=1, width=2, stem=False, head=False).build(seed=11)
    >>> bool((two[1].blocks[0].weight.weight == alone.blocks[0].weight.weight).all())
    True
    """

    network: Buildable
    count: int = 4

    def build(self, seed: int) -> torch.nn.ModuleList:
        """The networks, with weights that depend on nothing but this recipe and the seed."""
        from torch import nn

        first = seed * self.count
        return nn.ModuleList([self.network.build(first + each) for each in range(self.count)])


def mean_over_draws(
    read: Callable[[Any], dict[str, Sequence[float] | np.ndarray]], network: Any
) -> dict[str, np.ndarray]:
    """What is read of a network; of several draws, the mean of what is read of each.

    >>> mean_over_draws(lambda each: {"size": [each]}, 3.0)
    {'size': array([3.])}
    """
    from torch import nn

    networks = network if isinstance(network, nn.ModuleList) else [network]
    found = [read(each) for each in networks]
    return {name: np.stack([each[name] for each in found]).mean(axis=0) for name in found[0]}
