"""From a recipe to modules: layers are made and their weights drawn, one after the other."""

from __future__ import annotations

import math
import operator
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import nn

from skipnorm.errors import NetworkError
from skipnorm.formulas.propagation import nf_variance
from skipnorm.formulas.quadrature import variance_gain
from skipnorm.networks.activations import activation
from skipnorm.networks.blocks import ResidualBlock
from skipnorm.networks.initializers import Place, Role, initialize
from skipnorm.networks.layers import (
    Shift,
    Standardized,
    StandardizedConv1d,
    StandardizedConv2d,
    StandardizedLinear,
)
from skipnorm.networks.norms import norm
from skipnorm.networks.recipe import ConvNet, Stack

__all__ = ["Assembly", "drawn"]

WeightLayer = nn.Linear | nn.Conv1d | nn.Conv2d


def drawn(
    assemble: Callable[[torch.Generator], nn.Module], seed: int, dtype: torch.dtype | None
) -> nn.Module:
    """The network with weights of this seed, in the precision asked for."""
    wanted = torch.get_default_dtype() if dtype is None else dtype
    if not wanted.is_floating_point:
        raise NetworkError(f"Weights are real numbers: expected a floating dtype, found {wanted}.")
    generator = torch.Generator().manual_seed(operator.index(seed))
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # constructors draw as well
        network = assemble(generator)
    return network.to(wanted)


class Assembly:
    """Makes the layers of one network, keeping count of channels as it goes.

    ``channels``: what the last step put out; ``mirrored``: whether that was a concatenated ReLU.
    """

    def __init__(self, recipe: Stack, generator: torch.Generator, channels: int) -> None:
        self.recipe, self.generator, self.channels = recipe, generator, channels
        self.dims = recipe.dims if isinstance(recipe, ConvNet) else 0
        self.mirrored = False

    def weight(self, outputs: int, role: Role) -> nn.Module:
        """A weight layer from the channels at hand to ``outputs``; positions in a map's blocks."""
        mixing = role in ("inner", "last")
        bias = self.recipe.bias and not (self.recipe.initializer == "fixup" and mixing)
        layer = self.layer(outputs, bias, self.recipe.initializer == "nf" and mixing, role)
        if isinstance(layer, Standardized):
            name = self.recipe.activation
            layer.scaled_by(variance_gain("relu" if name == "crelu" else name))
        self.draw(layer, role)
        self.channels, self.mirrored = outputs, False
        return layer

    def layer(self, outputs: int, bias: bool, standardized: bool, role: Role) -> WeightLayer:
        """The bare layer: a matrix for vectors and heads, a convolution for maps."""
        recipe, real = self.recipe, torch.float64
        if not isinstance(recipe, ConvNet) or role == "head":
            matrix = StandardizedLinear if standardized else nn.Linear
            return matrix(self.channels, outputs, bias=bias, dtype=real)
        size, margin, mode = recipe.kernel, recipe.kernel // 2, recipe.padding
        if recipe.dims == 1:
            series = StandardizedConv1d if standardized else nn.Conv1d
            return series(
                self.channels,
                outputs,
                size,
                padding=margin,
                bias=bias,
                padding_mode=mode,
                dtype=real,
            )
        image = StandardizedConv2d if standardized else nn.Conv2d
        return image(
            self.channels, outputs, size, padding=margin, bias=bias, padding_mode=mode, dtype=real
        )

    def draw(self, layer: WeightLayer, role: Role) -> None:
        """Fill the layer's weight as the recipe says, its bias with zeros."""
        recipe = self.recipe
        place = Place(
            generator=self.generator,
            role=role,
            mirrored=self.mirrored,
            activation=recipe.activation,
            depth=recipe.depth,
            layers=recipe.placement.layers,
        )
        initialize(layer.weight, recipe.initializer, place)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)

    def norm(self) -> nn.Module | None:
        """A norm of the channels at hand."""
        recipe = self.recipe
        return norm(
            recipe.norm,
            self.channels,
            dims=self.dims,
            groups=recipe.groups,
            affine=recipe.affine,
            eps=recipe.eps,
        )

    def act(self) -> nn.Module | None:
        """An activation."""
        if self.recipe.activation == "crelu":
            self.channels, self.mirrored = 2 * self.channels, True
        return activation(self.recipe.activation)

    def steps(self, kinds: Sequence[str]) -> list[tuple[str, nn.Module]]:
        """The modules of a sequence of steps, each with its kind; absent ones are left out."""
        made: list[tuple[str, nn.Module]] = []
        left = kinds.count("weight")
        for kind in kinds:
            if self.recipe.initializer == "fixup" and kind in ("weight", "act"):
                made.append(("shift", Shift()))
            step: nn.Module | None
            if kind == "weight":
                left -= 1
                last = self.recipe.residual and left == 0
                step = self.weight(self.recipe.width, "last" if last else "inner")
            else:
                step = self.norm() if kind == "norm" else self.act()
            if step is not None:
                made.append((kind, step))
        return made

    def block(self, index: int) -> nn.Module:
        """Block number ``index``."""
        recipe, order = self.recipe, self.recipe.placement
        branch, after = self.steps(order.branch), self.steps(order.after)
        names = numbered([kind for kind, _ in branch + after])
        modules = OrderedDict(zip(names, (step for _, step in branch + after), strict=True))
        if not recipe.residual:
            return nn.Sequential(modules)
        cut = len(branch)
        expected = 1.0
        if recipe.initializer == "nf":
            variance = nf_variance(index, recipe.branch_scale, recipe.shortcut_scale)
            expected = math.sqrt(float(variance))
        learned = {"fixup": 1.0, "rezero": 0.0}.get(recipe.initializer)
        scale = recipe.branch_scale
        if recipe.initializer == "skipinit":
            learned, scale = recipe.branch_scale / math.sqrt(recipe.depth), 1.0
        return ResidualBlock(
            {name: modules[name] for name in names[:cut]},
            {name: modules[name] for name in names[cut:]},
            shortcut_scale=recipe.shortcut_scale,
            branch_scale=scale,
            learned_scale=learned,
            expected_std=expected,
        )

    def blocks(self) -> nn.ModuleList:
        """All blocks."""
        return nn.ModuleList(self.block(index) for index in range(self.recipe.depth))

    def closing(self) -> dict[str, nn.Module]:
        """What the stream still needs before the head's weight."""
        made = self.steps(self.recipe.placement.closing)
        return {kind: step for kind, step in made if kind != "shift"}


def numbered(kinds: Sequence[str]) -> list[str]:
    """Names for steps: a number only where a kind comes more than once.

    >>> numbered(["weight", "norm", "act", "weight"])
    ['weight1', 'norm', 'act', 'weight2']
    """
    total, seen = Counter(kinds), Counter[str]()
    names = []
    for kind in kinds:
        seen[kind] += 1
        names.append(f"{kind}{seen[kind]}" if total[kind] > 1 else kind)
    return names
