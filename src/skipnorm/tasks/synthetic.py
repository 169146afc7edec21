"""Samples without content, for checks against theory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skipnorm.errors import TaskError
from skipnorm.tasks.task import Split, Task, check_size, random_numbers

if TYPE_CHECKING:
    import torch

__all__ = ["Gaussian"]


@dataclass(frozen=True, repr=False)
class Gaussian(Task):
    """Inputs of independent standard Gaussians, and a random covector per sample as its target.

    ``shape``: of one input; a number stands for a vector. ``covector``: of one target, which is
    the shape of one output of the network; the inputs' shape unless given. The loss is the inner
    product ``sum(outputs * targets)``, whose gradient at the output is the covectors: a different
    one for every sample, since a constant one would lose its batch mean in the last batch norm.

    Raises:
        TaskError: a shape with nothing in it; ``full``, since there is no last sample.

    >>> inputs, targets = Gaussian(400).batch(8, seed=0)
    >>> inputs.shape, targets.shape
    (torch.Size([8, 400]), torch.Size([8, 400]))
    """

    shape: int | tuple[int, ...] = (64,)
    covector: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Bring shapes to tuples of plain numbers."""
        shape = self.tidy(self.shape)
        object.__setattr__(self, "shape", shape)
        if self.covector is not None:
            covector = self.tidy(self.covector)
            object.__setattr__(self, "covector", None if covector == shape else covector)

    def tidy(self, shape: int | tuple[int, ...]) -> tuple[int, ...]:
        """A shape as a tuple of positive numbers."""
        sizes = tuple(int(size) for size in np.atleast_1d(shape))
        if not sizes or min(sizes) < 1:
            raise TaskError(f"Gaussian samples need a shape of positive sizes, found {shape!r}.")
        return sizes

    @property
    def loss(self) -> str:
        """The inner product."""
        return "inner_product"

    @property
    def inputs_shape(self) -> tuple[int, ...]:
        """The shape of one sample's input."""
        return self.tidy(self.shape)

    @property
    def classes(self) -> None:
        """Targets are covectors, no labels."""
        return

    @property
    def hash(self) -> str:
        """SHA-256 of the settings, which say everything."""
        return hashlib.sha256(f"{self!r} version 1".encode()).hexdigest()

    def batch(
        self, size: int, seed: int, *, split: Split = "train"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``size`` samples; the same ones for the same seed, whichever part is named."""
        import torch

        check_size(self, size)
        numbers = random_numbers(self, seed)
        wanted = self.inputs_shape if self.covector is None else self.tidy(self.covector)
        inputs = torch.from_numpy(numbers.standard_normal((size, *self.inputs_shape)))
        targets = torch.from_numpy(numbers.standard_normal((size, *wanted)))
        real = torch.get_default_dtype()
        return inputs.to(real), targets.to(real)

    def full(self, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        """There is no full set."""
        raise TaskError(
            f"{self!r} has no last sample: expected batch(size, seed), found full({split!r})."
        )
