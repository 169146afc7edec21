"""Linear maps as the signal meets them: from so many inputs to so many outputs, however the weight is stored."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from skipnorm.networks.layers import Standardized

__all__ = ["LinearMap", "is_map", "maps_of", "settle", "shared_with_a_table"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TABLES = (nn.Embedding, nn.EmbeddingBag)


@dataclass(frozen=True)
class LinearMap:
    """One weight of a module, as `groups` matrices (outputs x inputs x kernel).

    Attributes:
        module: the one that holds it.
        name: of the parameter.
        groups: how many matrices act side by side on parts of the channels.
        layout: `rows` stores (outputs, inputs, kernel), `columns` (inputs, outputs), as the `Conv1D` of
            transformers does, `transposed` (inputs, outputs of a group, kernel) as torch's transposed convolutions do.
        spread: over how many output positions a kernel spreads an input that others would fill: the product of a
            transposed convolution's strides. An output position is reached by 1/spread of the kernel.
    """

    module: nn.Module
    name: str
    groups: int = 1
    layout: Literal["rows", "columns", "transposed"] = "rows"
    spread: int = 1

    @property
    def weight(self) -> nn.Parameter | None:
        """The parameter, or None where the weight is computed from others anew in each pass."""
        return self.module._parameters.get(self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Groups, outputs and inputs of each, and the sizes of the kernel."""
        assert self.weight is not None
        first, second, *kernel = self.weight.shape
        if self.layout == "rows":
            return self.groups, first // self.groups, second, *kernel
        if self.layout == "columns":
            return 1, second, first
        return self.groups, second, first // self.groups, *kernel

    @torch.no_grad()
    def redraw(self, draw: Callable[[Tensor], None]) -> None:
        """Fill the weight: each group's matrix is drawn in float64 and then cast."""
        assert self.weight is not None
        fresh = torch.empty(self.shape, dtype=torch.float64)
        for matrix in fresh:
            draw(matrix)
        if self.layout == "rows":
            stored = fresh.flatten(0, 1)
        elif self.layout == "columns":
            stored = fresh[0].T
        else:
            stored = fresh.transpose(1, 2).flatten(0, 1)
        self.weight.copy_(stored)

    def correction(self, scheme: str) -> float:
        """By what to multiply a draw that took every kernel position for one that reaches each output."""
        if self.spread == 1:
            return 1.0
        if scheme != "glorot":
            return math.sqrt(self.spread)
        _, outputs, inputs, *_ = self.shape
        return math.sqrt((inputs + outputs) / (inputs / self.spread + outputs))


def maps_of(module: nn.Module) -> Sequence[LinearMap]:
    """The linear maps of a module, the last one last; none for a module that is not known to hold any.

    >>> [each.shape for each in maps_of(nn.Conv2d(4, 6, 3, groups=2))]
    [(2, 3, 2, 3, 3)]
    >>> [each.shape for each in maps_of(nn.MultiheadAttention(4, 2))]
    [(3, 4, 4), (1, 4, 4)]
    """
    if isinstance(module, nn.Linear):
        return [LinearMap(module, "weight")]
    if isinstance(module, _CONVOLUTIONS):
        return [LinearMap(module, "weight", module.groups)]
    if isinstance(module, _TRANSPOSED):
        spread = math.prod(module.stride)
        return [LinearMap(module, "weight", module.groups, "transposed", spread)]
    if isinstance(module, nn.MultiheadAttention):
        return _projections(module)
    if type(module).__name__ == "Conv1D" and isinstance(getattr(module, "nf", None), int):
        return [LinearMap(module, "weight", layout="columns")]
    return []


def _projections(module: nn.MultiheadAttention) -> list[LinearMap]:
    """What goes into an attention (queries, keys and values, each a matrix of its own), and what comes out."""
    last = LinearMap(module.out_proj, "weight")
    if "in_proj_weight" in module._parameters and module.in_proj_weight is not None:
        return [LinearMap(module, "in_proj_weight", groups=3), last]
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    return [*(LinearMap(module, name) for name in names), last]


def is_map(module: nn.Module) -> bool:
    """Whether the module is known to multiply a signal by weights of its own."""
    return bool(maps_of(module))


def shared_with_a_table(network: nn.Module, module: nn.Module) -> bool:
    """Whether an embedding uses the weight of this module as well: then it is the embedding's."""
    tables = {id(each.weight) for each in network.modules() if isinstance(each, _TABLES)}
    return any(id(each.weight) in tables for each in maps_of(module))


def settle(module: nn.Module) -> None:
    """Biases to 0, learned gains of standardised weights to 1."""
    names = ("bias", "in_proj_bias", "bias_k", "bias_v")
    holders = [module, module.out_proj] if isinstance(module, nn.MultiheadAttention) else [module]
    with torch.no_grad():
        for holder in holders:
            for name in names:
                bias = holder._parameters.get(name)
                if bias is not None:
                    bias.zero_()
        if isinstance(module, Standardized):
            module.gain.fill_(1)
