"""The perceptron, and the essay's one-layer network, as plain modules."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from skipnorm.networks.activations import activation
from skipnorm.networks.assembly import Assembly
from skipnorm.networks.initializers import Place, initialize
from skipnorm.networks.recipe import OneLayer, Perceptron

__all__ = ["PerceptronNetwork", "one_layer_network"]


class PerceptronNetwork(nn.Module):
    """``stem`` (linear), ``blocks``, ``head`` (closing norm and activation, linear)."""

    stem: nn.Module | None
    head: nn.Module | None

    def __init__(self, recipe: Perceptron, generator: torch.Generator) -> None:
        super().__init__()
        entering = recipe.inputs if recipe.stem else recipe.width
        make = Assembly(recipe, generator, channels=entering)
        self.stem = make.weight(recipe.width, "stem") if recipe.stem else None
        self.blocks = make.blocks()
        self.head = None
        if recipe.head:
            closing = make.closing()
            self.head = nn.Sequential(
                OrderedDict(closing, weight=make.weight(recipe.outputs, "head"))
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples x inputs) to (samples x outputs)."""
        if x.dim() > 2:
            x = x.flatten(1)
        if self.stem is not None:
            x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x if self.head is None else self.head(x)


def one_layer_network(recipe: OneLayer, generator: torch.Generator) -> nn.Sequential:
    """``o = sigma(W x)``."""
    weight = nn.Linear(recipe.inputs, recipe.outputs, bias=recipe.bias, dtype=torch.float64)
    initialize(weight.weight, recipe.initializer, Place(generator, activation=recipe.activation))
    if weight.bias is not None:
        nn.init.zeros_(weight.bias)
    steps: OrderedDict[str, nn.Module] = OrderedDict(weight=weight)
    act = activation(recipe.activation)
    if act is not None:
        steps["act"] = act
    return nn.Sequential(steps)
