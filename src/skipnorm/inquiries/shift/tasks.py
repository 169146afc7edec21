"""What the deep linear network learns: a random linear map, from Gaussian samples. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.errors import TaskError

if TYPE_CHECKING:
    import torch

__all__ = ["LinearMap", "summed_squares"]

_PARTS = {"train": 0, "test": 1}


def summed_squares(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The squared error, summed over samples and outputs: with it a rate of 1e-7 is no small one."""
    total: torch.Tensor = (outputs - targets).square().sum()
    return total


@dataclass(frozen=True)
class LinearMap:
    """``y = A x`` with Gaussian ``A`` and ``x``, as Santurkar et al. 2018 fit it with 25 linear layers.

    ``A`` and the samples are the same for every seed: seeds tell initial weights apart.

    >>> inputs, targets = LinearMap(size=3, samples=5).full("train")
    >>> inputs.shape, targets.shape
    (torch.Size([5, 3]), torch.Size([5, 3]))
    """

    size: int = 10
    samples: int = 1000

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "linear-map"

    @property
    def loss(self) -> Any:
        """The summed squared error."""
        return summed_squares

    def full(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """All samples of a part.

        Raises:
            TaskError: there is no validation part, since no setting is chosen.
        """
        import torch

        if split not in _PARTS:
            raise TaskError(f"{self!r}: expected the part train or test, found {split!r}.")
        matrix = np.random.default_rng(0).standard_normal((self.size, self.size))
        source = np.random.default_rng([1, _PARTS[split]])
        inputs = source.standard_normal((self.samples, self.size))
        real = torch.get_default_dtype()
        return torch.from_numpy(inputs).to(real), torch.from_numpy(inputs @ matrix.T).to(real)

    def batch(self, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first samples of the training part, whatever the seed: with ``size=samples`` all of them."""
        inputs, targets = self.full("train")
        return inputs[:size], targets[:size]
