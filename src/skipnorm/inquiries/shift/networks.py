"""A perceptron with noise behind every norm, or in the places where norms would be. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skipnorm.networks.recipe import Perceptron

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Noised"]


@dataclass(frozen=True)
class Noised:
    """The noise of Santurkar et al. 2018, algorithm 1, with its settings, in a plain perceptron.

    It stands in front of every activation, that is behind the norm where there is one. What `NoisyNorm` does to any
    network, done to one whose norms are known: a study builds its networks often.

    >>> Noised(Perceptron(depth=1, width=3, inputs=3, norm="batch")).build(seed=0).blocks[0].norm
    BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    perceptron: Perceptron

    def build(self, seed: int) -> nn.Module:
        """The perceptron of that seed, with noise in training."""
        from skipnorm.surgery import NoisyNorm
        from skipnorm.surgery.noise import Noise

        settings = NoisyNorm()
        noise = Noise(settings.n_mu, settings.n_sigma, settings.r_mu, settings.r_sigma, dim=1)
        network = self.perceptron.build(seed)
        blocks: Any = network.blocks
        for block in blocks:
            before = block.weight if self.perceptron.norm == "none" else block.norm
            before.register_forward_hook(noise.hook)
        return network
