"""The networks that the papers used on small images, as recipes: ResNets of 6n + 2 layers, and VGG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skipnorm.networks.recipe import Recipe, plain_numbers
from skipnorm.networks.validity import at_least, one_of, refusal

if TYPE_CHECKING:
    import torch

__all__ = ["PLANS", "ResNet", "Vgg"]

ORDERS = ("original", "full-preactivation")
SHORTCUTS = ("pad", "projection")
PUBLISHED_NORMS = ("none", "batch", "layer", "group", "instance", "rms")

#: How many convolutions stand between two halvings of the map (Simonyan & Zisserman 2015, columns A, B, D, E).
PLANS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@dataclass(frozen=True, kw_only=True, repr=False)
class ResNet(Recipe):
    """A residual network for images of about 32 x 32, or the plain one of the same layers.

    He et al. 2015, section 4.2: one convolution, then three stages of ``n`` blocks of two 3 x 3
    convolutions each, of ``width``, twice and four times as many channels, on maps that are halved from
    stage to stage; the mean over positions and one matrix: 6n + 2 weight layers. ``shortcut``: between
    stages ``"pad"`` takes every second position and fills new channels with zeros (option A),
    ``"projection"`` is a 1 x 1 convolution with a norm (option B). ``order``: ``"original"``, or
    ``"full-preactivation"`` (He et al. 2016). ``residual=False`` cuts the shortcuts.

    Raises:
        NetworkError: a number of layers that is not 6n + 2, or an unknown name.

    >>> sum(weight.numel() for weight in ResNet(layers=20).build(seed=0).parameters())  # published: 0.27 million
    269722
    """

    layers: int = 20
    width: int = 16
    residual: bool = True
    norm: str = "batch"
    groups: int = 8
    order: str = "original"
    shortcut: str = "pad"
    inputs: int = 3
    outputs: int = 10
    eps: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        plain_numbers(self)
        at_least(self, 1, "width", "inputs", "outputs", "groups")
        one_of(self, "norm", PUBLISHED_NORMS)
        one_of(self, "order", ORDERS)
        one_of(self, "shortcut", SHORTCUTS)
        if self.layers < 8 or (self.layers - 2) % 6:
            raise refusal(
                self,
                f"expected 6n + 2 layers (8, 14, 20, 32, 44, 56, 110, ...), found {self.layers}",
            )

    @property
    def blocks_per_stage(self) -> int:
        """``n`` of 6n + 2.

        >>> ResNet(layers=110).blocks_per_stage
        18
        """
        return (self.layers - 2) // 6

    def assemble(self, generator: torch.Generator) -> torch.nn.Module:
        """The module, in float64, with weights drawn from the generator."""
        from skipnorm.networks.staged import ResidualImageNetwork

        return ResidualImageNetwork(self, generator)


@dataclass(frozen=True, kw_only=True, repr=False)
class Vgg(Recipe):
    """A VGG for images of 32 x 32, with or without norms: such a one is what Santurkar et al. 2018 trained.

    Simonyan & Zisserman 2015: 3 x 3 convolutions of ``width``, 2, 4, 8 and 8 times as many
    channels, each with norm and ReLU, the map halved five times, and one matrix, as is usual on CIFAR.

    Raises:
        NetworkError: another number of layers than 11, 13, 16 or 19, or an unknown name.

    >>> sum(weight.numel() for weight in Vgg(layers=16).build(seed=0).parameters())
    14724042
    """

    layers: int = 16
    width: int = 64
    norm: str = "batch"
    groups: int = 8
    inputs: int = 3
    outputs: int = 10
    eps: float = 1e-5

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        plain_numbers(self)
        at_least(self, 1, "width", "inputs", "outputs", "groups")
        one_of(self, "norm", PUBLISHED_NORMS)
        if self.layers not in PLANS:
            raise refusal(
                self, f"expected one of {', '.join(map(str, PLANS))} layers, found {self.layers}"
            )

    def assemble(self, generator: torch.Generator) -> torch.nn.Module:
        """The module, in float64, with weights drawn from the generator."""
        from skipnorm.networks.staged import vgg_network

        return vgg_network(self, generator)
