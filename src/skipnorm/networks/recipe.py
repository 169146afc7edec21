"""Frozen descriptions of the networks that are studied; building one gives a plain module.

A recipe is a value: equal fields, equal text, equal networks. It is read without torch, which is
imported only when a network is built.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from skipnorm.errors import NetworkError
from skipnorm.networks import validity
from skipnorm.networks.vocabulary import PLAIN_ORDERS, RESIDUAL_ORDERS, Order

if TYPE_CHECKING:
    import torch

__all__ = ["ConvNet", "OneLayer", "Perceptron", "Recipe", "Stack"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Recipe:
    """A description of a network whose weights are still to be drawn.

    Its text is its class and the fields that differ from their defaults.

    >>> str(Perceptron(depth=20, norm="batch"))
    "Perceptron(depth=20, norm='batch')"
    """

    def build(self, seed: int, *, dtype: torch.dtype | None = None) -> torch.nn.Module:
        """The network with weights that depend on nothing but this recipe and the seed.

        Weights are drawn in float64 on the CPU and then cast, so the same seed gives the same
        network in every precision; torch's global random state is left as it was. ``dtype``:
        torch's default unless given.

        Raises:
            NetworkError: ``dtype`` is no floating point type.
        """
        from skipnorm.networks.assembly import drawn

        return drawn(self.assemble, seed, dtype)

    def assemble(self, generator: torch.Generator) -> torch.nn.Module:
        """The module, in float64, with weights drawn from the generator."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """The canonical text: class and non-default fields."""
        named = ((field, getattr(self, field.name)) for field in fields(self))
        chosen = [f"{field.name}={value!r}" for field, value in named if value != field.default]
        return f"{type(self).__name__}({', '.join(chosen)})"


@dataclass(frozen=True, kw_only=True, repr=False)
class Stack(Recipe):
    """What perceptrons and convnets share: a stack of ``depth`` equal blocks.

    Plain blocks compute ``norm`` and activation around one weight layer; residual ones
    ``shortcut_scale * x + branch_scale * branch(x)``. ``order`` names where norm, activation and
    weights stand (see :mod:`skipnorm.networks.vocabulary`); None is ``weight-norm-act`` for plain
    blocks and ``norm-act-weight`` for residual ones. ``stem=False``: the input enters the
    first block as it is, with ``width`` channels; ``head=False``: the last block's output is the
    network's. ``groups`` is read by the norm ``group`` only. ``branch_scale`` is beta; alpha of a
    normaliser-free network; and what ``skipinit`` divides by ``sqrt(depth)`` to start from.

    Raises:
        NetworkError: an unknown name, or fields that do not go together.
    """

    width: int = 64
    depth: int = 8
    residual: bool = False
    order: str | None = None
    norm: str = "none"
    groups: int = 8
    affine: bool = True
    eps: float = 1e-5
    activation: str = "relu"
    initializer: str = "he"
    branch_scale: float = 1.0
    shortcut_scale: float = 1.0
    bias: bool = True
    stem: bool = True
    head: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be built; bring equal values to equal text."""
        if self.order == next(iter(self.orders)):
            object.__setattr__(self, "order", None)
        plain_numbers(self)
        validity.check_stack(self)

    @property
    def orders(self) -> dict[str, Order]:
        """The orders this kind of block can have, the default first."""
        return RESIDUAL_ORDERS if self.residual else PLAIN_ORDERS

    @property
    def placement(self) -> Order:
        """The order of the blocks, spelled out.

        >>> Perceptron().placement.branch
        ('weight', 'norm', 'act')
        """
        return self.orders[self.order or next(iter(self.orders))]


@dataclass(frozen=True, kw_only=True, repr=False)
class Perceptron(Stack):
    """A perceptron: weight layers are matrices, a sample is a vector (anything else is flattened).

    >>> Perceptron(residual=True, norm="rms", depth=2, width=4).build(seed=0).blocks[1]
    ResidualBlock(
      x + branch
      (norm): RMSNorm((4,), eps=1e-05, elementwise_affine=True)
      (act): ReLU()
      (weight): Linear(in_features=4, out_features=4, bias=True)
    )
    """

    inputs: int = 64
    outputs: int = 10

    def assemble(self, generator: torch.Generator) -> torch.nn.Module:
        """The module, in float64, with weights drawn from the generator."""
        from skipnorm.networks.perceptron import PerceptronNetwork

        return PerceptronNetwork(self, generator)


@dataclass(frozen=True, kw_only=True, repr=False)
class ConvNet(Stack):
    """A convolutional network of one resolution, with ``dims`` 1 (series) or 2 (images).

    ``inputs`` counts channels; a missing channel dimension is added. ``kernel`` is odd, ``padding``
    ``"zeros"`` or ``"circular"``. The head averages over all positions.

    >>> str(ConvNet(dims=2, kernel=5))
    'ConvNet(dims=2, kernel=5)'
    """

    inputs: int = 1
    outputs: int = 10
    dims: int = 1
    kernel: int = 3
    padding: Literal["zeros", "circular"] = "zeros"

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        super().__post_init__()
        validity.check_convolution(self)

    def assemble(self, generator: torch.Generator) -> torch.nn.Module:
        """The module, in float64, with weights drawn from the generator."""
        from skipnorm.networks.convnet import ConvolutionalNetwork

        return ConvolutionalNetwork(self, generator)


@dataclass(frozen=True, kw_only=True, repr=False)
class OneLayer(Recipe):
    """The essay's first network: one layer ``o = sigma(W x)``, without bias unless asked for.

    Its gradient in closed form: :func:`skipnorm.formulas.layers.one_layer_gradient`.

    >>> OneLayer(inputs=3, outputs=2).build(seed=0)
    Sequential(
      (weight): Linear(in_features=3, out_features=2, bias=False)
      (act): Sigmoid()
    )
    """

    inputs: int = 64
    outputs: int = 10
    activation: str = "sigmoid"
    initializer: str = "lecun"
    bias: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        plain_numbers(self)
        validity.check_one_layer(self)

    def assemble(self, generator: torch.Generator) -> torch.nn.Module:
        """The module, in float64, with weights drawn from the generator."""
        from skipnorm.networks.perceptron import one_layer_network

        return one_layer_network(self, generator)


def plain_numbers(recipe: Recipe) -> None:
    """Turn ``np.int64(3)`` into ``3``, ``1`` into ``1.0`` where a float is meant, and so on."""
    convert: dict[str, Callable[[object], object]] = {
        "int": operator.index,  # type: ignore[dict-item]
        "float": float,  # type: ignore[dict-item]
        "bool": bool,
    }
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        kind = str(field.type)
        if kind in convert:
            try:
                object.__setattr__(recipe, field.name, convert[kind](value))
            except (TypeError, ValueError):
                raise NetworkError(
                    f"{type(recipe).__name__}({field.name}=...): expected {kind}, found {value!r}."
                ) from None
