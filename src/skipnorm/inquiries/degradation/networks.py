"""A shallow network made deeper, and the task of handing a signal on as it is. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from skipnorm.inquiries.subjects import TASK
from skipnorm.networks.recipe import Perceptron
from skipnorm.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Deepened", "Itself", "as_identity"]


@dataclass(frozen=True)
class Deepened:
    """A plain network of some blocks, taught or not, with ``extra`` blocks behind them.

    ``start``: the extra blocks are drawn as the recipe says (``"random"``), or begin as the identity (``"identity"``):
    unit matrices, no biases. What leaves a block has passed a ReLU, so that another ReLU changes nothing.
    ``taught``: how the shallow network was taught before, by the samples of the same seed.

    >>> network = Deepened(Perceptron(depth=1, width=4), 2).build(seed=0)
    >>> len(network.blocks), network.blocks[2].weight.weight.diag().tolist()
    (3, [1.0, 1.0, 1.0, 1.0])
    """

    shallow: Perceptron
    extra: int
    start: Literal["identity", "random"] = "identity"
    taught: Training | None = None

    def build(self, seed: int) -> nn.Module:
        """The deeper network; its first blocks and its head are those of the shallow one."""
        from skipnorm.training.train import train

        network: Any = self.shallow.build(seed)
        if self.taught is not None:
            for _ in train(network, TASK, self.taught, seed=seed, at=("end",)):
                pass
        whole: Any = replace(self.shallow, depth=self.shallow.depth + self.extra).build(seed)
        for block in whole.blocks[self.shallow.depth :]:
            network.blocks.append(as_identity(block) if self.start == "identity" else block)
        return network  # type: ignore[no-any-return]


def as_identity(block: Any) -> Any:
    """The block, changed so that it hands on what comes out of others of its kind.

    The last weight of a residual branch becomes 0; a plain block's weight the unit matrix. A batch norm is set to
    undo itself in evaluation mode. There is no such setting of a plain block with a layer norm.
    """
    import torch
    from torch import nn

    from skipnorm.networks.blocks import ResidualBlock

    with torch.no_grad():
        for part in block.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.reset_running_stats()
                part.weight.fill_((1 + part.eps) ** 0.5)
                part.bias.zero_()
            if isinstance(part, nn.Linear):
                if isinstance(block, ResidualBlock):
                    part.weight.zero_()
                else:
                    nn.init.eye_(part.weight)
                if part.bias is not None:
                    part.bias.zero_()
    return block


@dataclass(frozen=True)
class Itself:
    """Gaussian vectors that are to be handed on as they are: the target is the input.

    ``rectified``: what is negative is 0, as behind a ReLU. The loss is the mean squared error over the mean square
    of the input: 1 for an output of 0.

    >>> inputs, targets = Itself(width=3).batch(2, seed=0)
    >>> bool((inputs == targets).all()), bool((inputs >= 0).all())
    (True, True)
    """

    width: int = 64
    rectified: bool = True

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "itself"

    @property
    def loss(self) -> Any:
        """The relative squared error."""
        return relative_error

    def batch(
        self, size: int, seed: int, *, split: str = "train"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``size`` samples, the same ones for the same seed and part."""
        import numpy as np
        import torch

        numbers = np.random.default_rng([seed, len(split)])
        drawn = torch.from_numpy(numbers.standard_normal((size, self.width)))
        inputs = drawn.to(torch.get_default_dtype())
        inputs = inputs.clamp_min(0) if self.rectified else inputs
        return inputs, inputs.clone()

    def full(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A thousand samples of a part."""
        return self.batch(1000, 0, split=split)


def relative_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How far the outputs are from the targets, as a share of the targets' mean square.

    >>> import torch
    >>> relative_error(torch.zeros(2, 3), torch.ones(2, 3)).item()
    1.0
    """
    error: torch.Tensor = (outputs - targets).square().sum() / targets.square().sum()
    return error
