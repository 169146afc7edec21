"""Stacks of equal blocks whose weights and biases have any variance: below, at and above criticality.

`Perceptron` draws weights at variances that are in use. Mean field theory asks about all of them. Read without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skipnorm.errors import NetworkError
from skipnorm.networks.recipe import Perceptron

if TYPE_CHECKING:
    import torch

__all__ = ["Stacked"]


@dataclass(frozen=True)
class Stacked:
    """``depth`` blocks like that of ``block``, with weights ``N(0, weight_variance/width)``.

    Biases are ``N(0, bias_variance)``, where the block has them. Stacks of one width and depth have the same weights
    for a seed, up to their scale, whatever else the block holds. Drawn in torch's default precision, which takes a
    fifth of the time that `Perceptron` needs.

    Raises:
        NetworkError: a block that is more than one block, no layer, or a negative variance.

    >>> block = Perceptron(stem=False, head=False, bias=False, width=3, depth=1)
    >>> Stacked(block, depth=2).build(seed=0).blocks
    ModuleList(
      (0-1): 2 x Sequential(
        (weight): Linear(in_features=3, out_features=3, bias=False)
        (act): ReLU()
      )
    )
    """

    block: Perceptron
    depth: int
    weight_variance: float = 2.0
    bias_variance: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be stacked."""
        alone = self.block.depth == 1 and not (self.block.stem or self.block.head)
        if not alone or self.depth < 1 or min(self.weight_variance, self.bias_variance) < 0:
            raise NetworkError(
                "Expected a block of depth 1 without stem and head, a depth of at least 1 and no negative variance, "
                f"found {self}."
            )

    @property
    def width(self) -> int:
        """Of every layer."""
        return self.block.width

    def build(self, seed: int) -> torch.nn.Module:
        """The network whose weights depend on nothing but this recipe and the seed."""
        import copy

        import torch

        network = self.block.build(seed)
        generator = torch.Generator().manual_seed(seed)
        scale = (self.weight_variance / self.width) ** 0.5
        model = network.get_submodule("blocks.0")
        blocks = [copy.deepcopy(model) for _ in range(self.depth)]
        with torch.no_grad():
            for block in blocks:
                layer = block.get_submodule("weight")
                assert isinstance(layer, torch.nn.Linear)
                layer.weight.normal_(0, 1, generator=generator).mul_(scale)
                if layer.bias is not None:
                    layer.bias.normal_(0, 1, generator=generator).mul_(self.bias_variance**0.5)
        network.add_module("blocks", torch.nn.ModuleList(blocks))
        return network
