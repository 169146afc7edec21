"""How weights are drawn. Each scheme fills one weight tensor, given where it stands.

``fan_in`` counts the inputs of one output unit (channels x kernel positions). Stem and head have no
rectifier to make up for: under every Gaussian scheme they are drawn with variance ``1 / fan_in``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from skipnorm.errors import NetworkError, nearest
from skipnorm.formulas.quadrature import second_moment_gain

__all__ = ["SCHEMES", "Place", "initialize"]

Role = Literal["stem", "inner", "last", "head"]


@dataclass(frozen=True)
class Place:
    """Where a weight stands: what a scheme may want to know.

    ``role``: ``last`` is the last weight of a residual branch. ``mirrored``: its input is a
    concatenated ReLU. ``depth``: blocks of the network; ``layers``: weights of one branch.
    """

    generator: torch.Generator
    role: Role = "inner"
    mirrored: bool = False
    activation: str = "relu"
    depth: int = 1
    layers: int = 1

    @property
    def inside(self) -> bool:
        """Whether the weight belongs to a block."""
        return self.role in ("inner", "last")


def lecun(weight: torch.Tensor, place: Place) -> None:
    """``N(0, 1/fan_in)``: keeps the variance of a linear layer (LeCun et al. 1998)."""
    weight.normal_(0, weight[0].numel() ** -0.5, generator=place.generator)


def he(weight: torch.Tensor, place: Place) -> None:
    """``N(0, 2/fan_in)``: keeps the second moment behind a ReLU (He et al. 2015)."""
    lecun(weight, place)
    if place.inside:
        weight.mul_(math.sqrt(2))


def glorot(weight: torch.Tensor, place: Place) -> None:
    """``U(-a, a)``, ``a = sqrt(6 / (fan_in + fan_out))`` (Glorot & Bengio 2010)."""
    nn.init.xavier_uniform_(weight, generator=place.generator)


def orthogonal(weight: torch.Tensor, place: Place) -> None:
    """Orthonormal rows or columns, times the activation's second-moment gain (Saxe et al. 2014).

    The gain is ``sqrt(2)`` for ReLU and 1 in stem and head. Kernels are flattened to
    (outputs x fan_in).
    """
    name = "relu" if place.activation == "crelu" else place.activation
    gain = second_moment_gain(name) if place.inside else 1.0
    nn.init.orthogonal_(weight, gain, generator=place.generator)


def looks_linear(weight: torch.Tensor, place: Place) -> None:
    """``[W, -W]`` with orthogonal ``W`` behind concatenated ReLUs (Balduzzi et al. 2017).

    ``W relu(x) - W relu(-x) = W x``: the network is linear at initialisation.
    """
    if not place.mirrored:
        nn.init.orthogonal_(weight, generator=place.generator)
        return
    half = weight.shape[1] // 2
    nn.init.orthogonal_(weight[:, :half], generator=place.generator)
    weight[:, half:] = -weight[:, :half]


def fixup(weight: torch.Tensor, place: Place) -> None:
    """He, scaled down by depth; the last weight of a branch and the head are 0 (Zhang et al. 2019).

    The other weights of a branch of ``m`` layers are multiplied by ``depth^(-1/(2m-2))``. Goes with
    a learned scale per branch (from 1) and scalar shifts before every weight and activation.
    """
    if place.role in ("last", "head"):
        weight.zero_()
        return
    he(weight, place)
    if place.inside and place.layers > 1:
        weight.mul_(place.depth ** (-1 / (2 * place.layers - 2)))


def normaliser_free(weight: torch.Tensor, place: Place) -> None:
    """``N(0, 1/fan_in)``, then standardised in every forward pass (Brock et al. 2021).

    See :class:`skipnorm.networks.layers.Standardized`.
    """
    lecun(weight, place)


#: Name -> scheme. SkipInit (De & Smith 2020) and ReZero (Bachlechner et al. 2020) draw as He does;
#: what makes them is the learned scale of the branch, from 1/sqrt(depth) and from 0.
SCHEMES: dict[str, Callable[[torch.Tensor, Place], None]] = {
    "he": he,
    "glorot": glorot,
    "lecun": lecun,
    "orthogonal": orthogonal,
    "looks_linear": looks_linear,
    "fixup": fixup,
    "skipinit": he,
    "rezero": he,
    "nf": normaliser_free,
}


def initialize(weight: torch.Tensor, name: str, place: Place) -> None:
    """Fill a weight in place by a named scheme.

    >>> weight = torch.empty(2, 4)
    >>> initialize(weight, "looks_linear", Place(torch.Generator(), mirrored=True))
    >>> bool((weight[:, 2:] == -weight[:, :2]).all())
    True
    """
    if name not in SCHEMES:
        raise NetworkError(f"Unknown initializer: {nearest(name, SCHEMES)}")
    with torch.no_grad():
        SCHEMES[name](weight, place)
