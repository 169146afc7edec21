"""A network whose norms stand still from the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from skipnorm.studies.study import Askable, Buildable

__all__ = ["Frozen"]


@dataclass(frozen=True)
class Frozen:
    """A network whose norms are the affine maps that they are on one batch, as it is drawn (Page 2019).

    Scale and shift learn as before; mean and variance never change again.

    >>> from skipnorm.networks.recipe import Perceptron
    >>> from skipnorm.tasks import Gaussian
    >>> made = Frozen(Perceptron(depth=1, width=4, inputs=3, norm="batch"), Gaussian(3), batch=8).build(seed=0)
    >>> type(made.blocks[0].norm).__name__
    'Static'
    """

    network: Buildable
    task: Askable
    batch: int = 128

    def build(self, seed: int) -> torch.nn.Module:
        """The network with its norms frozen on the batch of this seed."""
        from skipnorm.surgery import SwapNorm, operate

        network: torch.nn.Module = self.network.build(seed)
        inputs, _ = self.task.batch(self.batch, seed)
        return operate(network.train(), SwapNorm(to="static"), inputs=inputs, keep_original=False)
