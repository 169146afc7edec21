"""Networks whose maps shrink from stage to stage, as plain modules: ResNets for small images, and VGG."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

from skipnorm.networks.initializers import Place, initialize
from skipnorm.networks.norms import norm
from skipnorm.networks.published import PLANS, ResNet, Vgg

__all__ = ["Padded", "ResidualImageNetwork", "StagedBlock", "vgg_network"]

_REAL = torch.float64


class Padded(nn.Module):
    """Every so many positions, and zeros for new channels: a shortcut without weights (He et al. 2015, option A).

    >>> Padded(1, 3, stride=2)(torch.ones(1, 1, 4, 4)).sum((0, 2, 3))
    tensor([0., 4., 0.])
    """

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        before = (leaving - entering) // 2
        self.margins, self.stride = (0, 0, 0, 0, before, leaving - entering - before), stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples x channels x height x width), with fewer positions and more channels."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], self.margins)


class StagedBlock(nn.Module):
    """Two convolutions and, in a residual network, the shortcut around them."""

    def __init__(
        self, steps: OrderedDict[str, nn.Module], shortcut: nn.Module | None, last: nn.Module | None
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(steps)
        self.shortcut = shortcut
        self.act = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The stream behind this block."""
        y: torch.Tensor = self.branch(x)
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return y if self.act is None else self.act(y)


class ResidualImageNetwork(nn.Module):
    """``stem`` (convolution, norm, ReLU), ``blocks``, ``head`` (closing norm and ReLU, pool, linear)."""

    def __init__(self, recipe: ResNet, generator: torch.Generator) -> None:
        super().__init__()
        self.recipe, self.generator = recipe, generator
        early = recipe.order == "original"
        stem: list[tuple[str, nn.Module]] = [("weight", self._weight(recipe.inputs, recipe.width))]
        stem += self._bent(recipe.width) if early else []
        self.stem = nn.Sequential(OrderedDict(stem))
        self.blocks = nn.Sequential()
        entering = recipe.width
        for stage in range(3):
            for place in range(recipe.blocks_per_stage):
                leaving, stride = recipe.width * 2**stage, 2 if stage and not place else 1
                self.blocks.append(self._block(entering, leaving, stride))
                entering = leaving
        head = [] if early else self._bent(entering)
        linear = nn.Linear(entering, recipe.outputs, dtype=_REAL)
        initialize(linear.weight, "he", Place(generator, role="head"))
        nn.init.zeros_(linear.bias)
        head += [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("weight", linear)]
        self.head = nn.Sequential(OrderedDict(head))
        del self.generator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples x channels x height x width) to (samples x outputs)."""
        y: torch.Tensor = self.head(self.blocks(self.stem(x)))
        return y

    def _block(self, entering: int, leaving: int, stride: int) -> StagedBlock:
        recipe = self.recipe
        first, second = self._weight(entering, leaving, stride), self._weight(leaving, leaving)
        shortcut = self._shortcut(entering, leaving, stride) if recipe.residual else None
        if recipe.order == "original":
            steps = [("weight1", first), *self._bent(leaving, "1"), ("weight2", second)]
            steps += self._normed(leaving, "2")
            return StagedBlock(OrderedDict(steps), shortcut, nn.ReLU())
        steps = [*self._bent(entering, "1"), ("weight1", first)]
        steps += [*self._bent(leaving, "2"), ("weight2", second)]
        return StagedBlock(OrderedDict(steps), shortcut, None)

    def _shortcut(self, entering: int, leaving: int, stride: int) -> nn.Module:
        if entering == leaving and stride == 1:
            return nn.Identity()
        if self.recipe.shortcut == "pad":
            return Padded(entering, leaving, stride)
        steps = [("weight", self._weight(entering, leaving, stride, kernel=1))]
        return nn.Sequential(OrderedDict([*steps, *self._normed(leaving)]))

    def _weight(self, entering: int, leaving: int, stride: int = 1, kernel: int = 3) -> nn.Conv2d:
        return convolution(
            entering,
            leaving,
            self.generator,
            bias=self.recipe.norm == "none",
            stride=stride,
            kernel=kernel,
        )

    def _normed(self, channels: int, number: str = "") -> list[tuple[str, nn.Module]]:
        return normed(self.recipe, channels, number)

    def _bent(self, channels: int, number: str = "") -> list[tuple[str, nn.Module]]:
        return [*self._normed(channels, number), (f"act{number}", nn.ReLU())]


def vgg_network(recipe: Vgg, generator: torch.Generator) -> nn.Sequential:
    """Convolutions, each with norm and ReLU, a maximum over 2 x 2 behind every group, and one matrix."""
    steps: list[tuple[str, nn.Module]] = []
    entering = recipe.inputs
    for group, count in enumerate(PLANS[recipe.layers]):
        leaving = recipe.width * min(2**group, 8)
        for place in range(count):
            name = f"{group}_{place}"
            bias = recipe.norm == "none"
            steps.append((f"weight{name}", convolution(entering, leaving, generator, bias=bias)))
            steps += [*normed(recipe, leaving, name), (f"act{name}", nn.ReLU())]
            entering = leaving
        steps.append((f"pool{group}", nn.MaxPool2d(2)))
    linear = nn.Linear(entering, recipe.outputs, dtype=_REAL)
    initialize(linear.weight, "he", Place(generator, role="head"))
    nn.init.zeros_(linear.bias)
    return nn.Sequential(OrderedDict([*steps, ("flatten", nn.Flatten()), ("weight", linear)]))


def convolution(
    entering: int,
    leaving: int,
    generator: torch.Generator,
    *,
    bias: bool,
    stride: int = 1,
    kernel: int = 3,
) -> nn.Conv2d:
    """A convolution with weights of variance 2 / fan_in and a bias of zero; none where a norm follows."""
    layer = nn.Conv2d(entering, leaving, kernel, stride, kernel // 2, bias=bias, dtype=_REAL)
    initialize(layer.weight, "he", Place(generator))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def normed(recipe: ResNet | Vgg, channels: int, number: str = "") -> list[tuple[str, nn.Module]]:
    """A norm of the recipe's kind, as a named step; nothing where it has none."""
    made = norm(recipe.norm, channels, dims=2, groups=recipe.groups, eps=recipe.eps)
    return [] if made is None else [(f"norm{number}", made)]
