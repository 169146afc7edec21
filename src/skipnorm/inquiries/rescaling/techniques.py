"""The techniques that are compared, the network they are put in, and the digits as series. Read without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skipnorm.networks.recipe import ConvNet
from skipnorm.tasks import Digits
from skipnorm.tasks.task import Arrays, read_only

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["DEPTH", "KINDS", "TECHNIQUES", "Columns", "Draws", "Standardised", "named", "recipe"]

DEPTH, WIDTH = 8, 32

_APART = 1_000_003
"""Between the seeds of two draws: more than any study has seeds."""

KINDS = ("plain", "residual")

_NORMS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "batch": {"norm": "batch"},
    "layer": {"norm": "layer"},
}

TECHNIQUES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "plain": {
        **_NORMS,
        "group": {"norm": "group"},
        "instance": {"norm": "instance"},
        "RMS": {"norm": "rms"},
        "weights": {},
    },
    "residual": {
        **_NORMS,
        "SkipInit": {"initializer": "skipinit"},
        "weights": {"initializer": "nf", "branch_scale": 1 / math.sqrt(DEPTH)},
    },
}
"""What tells the techniques apart, as fields of the recipe; `weights` is weight standardisation.

In a plain network that is an operation (`Standardised`); in a residual one the recipe's own normaliser-free network,
with branches scaled as SkipInit scales them.
"""


@dataclass(frozen=True, repr=False, kw_only=True)
class Columns(Digits):
    """The digits read from left to right: series of eight columns, with a channel for each of eight rows.

    >>> Columns().inputs_shape
    (8, 8)
    """

    def arrays(self) -> Arrays:
        """The arrays of `Digits`, without their channel."""
        return read_only(
            {
                name: values.reshape(-1, 8, 8) if name.endswith("inputs") else values
                for name, values in super().arrays().items()
            }
        )


@dataclass(frozen=True)
class Standardised:
    """A network with the operation `StandardizeWeights` done to it."""

    recipe: ConvNet

    def build(self, seed: int) -> nn.Module:
        """The recipe's network of this seed, operated on."""
        import torch

        from skipnorm.surgery import StandardizeWeights, operate

        some = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(seed))
        network = self.recipe.build(seed=seed)
        return operate(network, StandardizeWeights(), inputs=some, keep_original=False)


@dataclass(frozen=True)
class Draws:
    """Several draws of one recipe: what is read at initialisation is read of each."""

    recipe: ConvNet | Standardised
    count: int

    def build(self, seed: int) -> nn.Module:
        """As many networks; the first is the one that the recipe gives for this seed."""
        from torch import nn

        class Side(nn.ModuleList):
            """Draws side by side; called, the first of them answers."""

            def forward(self, x: Tensor) -> Any:
                """What the first draw makes of it."""
                return self[0](x)

        return Side(self.recipe.build(seed=seed + draw * _APART) for draw in range(self.count))


def recipe(kind: str, technique: str) -> ConvNet | Standardised:
    """The network of a kind with a technique.

    >>> recipe("residual", "batch")
    ConvNet(width=32, residual=True, norm='batch', inputs=8)
    """
    network = ConvNet(
        inputs=8,
        width=WIDTH,
        depth=DEPTH,
        residual=kind == "residual",
        **TECHNIQUES[kind][technique],
    )
    return Standardised(network) if (kind, technique) == ("plain", "weights") else network


def named(kind: str, technique: str, *, trained: bool = False) -> str:
    """What a variant is called.

    >>> named("plain", "RMS", trained=True)
    'plain RMS, trained'
    """
    return f"{kind} {technique}, trained" if trained else f"{kind} {technique}"
