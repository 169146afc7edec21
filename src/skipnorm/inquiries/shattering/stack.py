"""The module behind the recipes: blocks that share their weights over all depths at which they are cut."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from skipnorm.networks.activations import activation
from skipnorm.networks.norms import norm
from skipnorm.networks.recipe import Perceptron

__all__ = ["Centred", "Segment", "Stack", "bend", "blocks_of"]


class Centred(nn.Module):
    """An activation of what is left when the mean over the batch is gone, a constant of the backward pass.

    >>> import torch
    >>> Centred(nn.ReLU())(torch.tensor([[1.0], [3.0]]))
    tensor([[0.],
            [1.]])
    """

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """The activation of ``x`` without the mean of its samples."""
        out: Tensor = self.act(x - x.mean(0).detach())
        return out


class Segment(nn.Module):
    """A network on the way from one sample to another: a number from 0 to 1 says how far.

    >>> import torch
    >>> Segment(nn.Identity(), torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0]))(torch.tensor([[0.5]]))
    tensor([[0.5000, 1.0000]])
    """

    start: Tensor
    way: Tensor

    def __init__(self, network: nn.Module, start: Tensor, end: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("start", start)
        self.register_buffer("way", end - start)

    def forward(self, share: Tensor) -> Tensor:
        """(points x 1) to the network's answers there."""
        out: Tensor = self.network(self.start + share * self.way)
        return out


class Stack(nn.Module):
    """A stem, if there is one, blocks, and what closes a residual stream.

    Attributes:
        covector: what the outputs are reduced by.
        depths: at which it is to be cut.
    """

    covector: Tensor

    def __init__(
        self,
        stem: nn.Module | None,
        blocks: Sequence[nn.Module],
        closing: nn.Module | None,
        covector: Tensor,
        depths: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.stem, self.closing, self.depths = stem, closing, depths
        self.blocks = nn.ModuleList(blocks)
        self.register_buffer("covector", covector)

    def cut(self, depth: int) -> nn.Sequential:
        """The network that ends behind so many layers; it shares the weights."""
        steps = OrderedDict((str(at), block) for at, block in enumerate(self.blocks[:depth]))
        if self.stem is not None:
            steps = OrderedDict(stem=self.stem, **steps)
        if self.closing is not None:
            steps["closing"] = self.closing
        return nn.Sequential(steps)

    def forward(self, x: Tensor) -> Tensor:
        """What leaves the deepest of the networks."""
        out: Tensor = self.cut(len(self.blocks))(x)
        return out


def blocks_of(recipe: Perceptron, depth: int, seed: int) -> list[nn.Module]:
    """The canonical network's blocks; where they are centred, with the mean as a constant."""
    centred = recipe.norm == "centre"
    chosen = replace(recipe, depth=depth, norm="none" if centred else recipe.norm)
    built: Any = chosen.build(seed)
    blocks: list[Any] = list(built.blocks)
    if centred:
        for block in blocks:
            block.act = Centred(block.act)
    return blocks


def bend(recipe: Perceptron) -> nn.Sequential:
    """Norm and activation, as they stand in the recipe's blocks, without weights."""
    act = activation(recipe.activation)
    assert act is not None
    if recipe.norm == "centre":
        return nn.Sequential(OrderedDict(act=Centred(act)))
    made = norm(recipe.norm, recipe.width, affine=recipe.affine, eps=recipe.eps)
    return nn.Sequential(OrderedDict({"norm": made, "act": act} if made else {"act": act}))
