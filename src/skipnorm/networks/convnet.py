"""The convolutional network over series or images as a plain module."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from skipnorm.networks.assembly import Assembly
from skipnorm.networks.recipe import ConvNet

__all__ = ["ConvolutionalNetwork"]


class ConvolutionalNetwork(nn.Module):
    """``stem`` (convolution), ``blocks``, ``head`` (closing norm and activation, pool, linear)."""

    stem: nn.Module | None
    head: nn.Module | None

    def __init__(self, recipe: ConvNet, generator: torch.Generator) -> None:
        super().__init__()
        self.dims = recipe.dims
        entering = recipe.inputs if recipe.stem else recipe.width
        make = Assembly(recipe, generator, channels=entering)
        self.stem = make.weight(recipe.width, "stem") if recipe.stem else None
        self.blocks = make.blocks()
        self.head = None
        if recipe.head:
            steps: OrderedDict[str, nn.Module] = OrderedDict(make.closing())
            steps["pool"] = nn.AdaptiveAvgPool1d(1) if recipe.dims == 1 else nn.AdaptiveAvgPool2d(1)
            steps["flatten"] = nn.Flatten()
            steps["weight"] = make.weight(recipe.outputs, "head")
            self.head = nn.Sequential(steps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(samples x channels x positions) to (samples x outputs)."""
        if x.dim() == self.dims + 1:
            x = x.unsqueeze(1)
        if self.stem is not None:
            x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x if self.head is None else self.head(x)
