"""Directions through the space of weights: tensors by name, of the shapes that the weights have."""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from torch import Tensor

__all__ = [
    "Within",
    "filter_normalised",
    "gaussian",
    "inner",
    "layer_normalised",
    "length",
    "orthogonalised",
    "principal",
    "scaled",
]

Tensors = Mapping[str, Tensor]
Within = Literal["filter", "layer", "whole"]


def gaussian(weights: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    """Independent standard normal numbers for every tensor with two or more dimensions, zero for the others.

    Drawn on the CPU in float32, in the order of the weights and whatever their precision, device or size, so that two
    networks whose matrices have the same shapes get the same draw: biases, and gains and shifts of norms, use none up.

    Source: Li et al. 2018, section 4.

    >>> weights = {"matrix": torch.zeros(2, 3), "bias": torch.zeros(2)}
    >>> drawn = gaussian(weights, torch.Generator().manual_seed(0))
    >>> bool((drawn["matrix"] != 0).all()), drawn["bias"]
    (True, tensor([0., 0.]))
    """
    drawn = {}
    for name, weight in weights.items():
        if weight.dim() < 2:
            drawn[name] = torch.zeros_like(weight, memory_format=torch.contiguous_format)
            continue
        numbers = torch.randn(weight.shape, generator=generator, dtype=torch.float32)
        drawn[name] = numbers.to(weight.device, _at_least(weight.dtype))
    return drawn


def filter_normalised(direction: Tensors, weights: Tensors) -> dict[str, Tensor]:
    """The direction with every filter as long as that of the weights: ``d_i ||w_i|| / ||d_i||``.

    A filter is what the first index of a tensor with two or more dimensions selects: what feeds one output channel of
    a convolution, one neuron of a linear layer. Tensors of fewer dimensions get zero, and so does a filter whose
    weights, or whose direction, are zero. Each result has the precision of its weights.

    Source: Li et al. 2018, section 4 (their code adds 1e-10 to the divisor where here zero stays zero).

    >>> weights = {"w": torch.tensor([[3.0, 4.0], [0.0, 1.0]])}
    >>> filter_normalised({"w": torch.tensor([[2.0, 0.0], [0.0, -2.0]])}, weights)["w"]
    tensor([[ 5.,  0.],
            [ 0., -1.]])
    """
    found = {}
    for name, weight in weights.items():
        wide = direction[name].to(torch.float64)
        if weight.dim() < 2:
            found[name] = torch.zeros_like(weight)
            continue
        ratio = _ratio(_row_norms(weight), _row_norms(wide))
        found[name] = (wide * ratio.reshape(-1, *[1] * (weight.dim() - 1))).to(weight.dtype)
    return found


def layer_normalised(direction: Tensors, weights: Tensors) -> dict[str, Tensor]:
    """The direction with every tensor as long as that of the weights: ``d_l ||w_l|| / ||d_l||``; 1-D tensors get zero.

    Source: Li et al. 2018, their code's option ``norm='layer'``.

    >>> weights = {"w": torch.tensor([[3.0, 0.0], [0.0, 4.0]])}
    >>> layer_normalised({"w": torch.tensor([[0.0, 2.0], [0.0, 0.0]])}, weights)["w"]
    tensor([[0., 5.],
            [0., 0.]])
    """
    found = {}
    for name, weight in weights.items():
        wide = direction[name].to(torch.float64)
        if weight.dim() < 2:
            found[name] = torch.zeros_like(weight)
            continue
        ratio = _ratio(length({"": weight}), length({"": wide}))
        found[name] = (wide * ratio).to(weight.dtype)
    return found


def orthogonalised(
    direction: Tensors, against: Tensors, *, within: Within = "whole"
) -> dict[str, Tensor]:
    """The direction less its part along another: ``d - a <a, d> / <a, a>``.

    Args:
        direction: the tensors that change.
        against: those that they become orthogonal to.
        within: where: filter by filter or layer by layer, so that rescaling filters or layers afterwards keeps the
            right angle (a filter or layer with one element is left as it is), or on the whole.

    >>> turned = orthogonalised({"w": torch.tensor([1.0, 1.0])}, {"w": torch.tensor([2.0, 0.0])})
    >>> turned["w"]
    tensor([0., 1.])
    """
    if within == "whole":
        share = _ratio(inner(direction, against), inner(against, against))
        return {name: each - share.to(each) * against[name] for name, each in direction.items()}
    found = {}
    for name, each in direction.items():
        rows = len(each) if within == "filter" and each.dim() > 1 else 1
        mine, other = (tensor.reshape(rows, -1).double() for tensor in (each, against[name]))
        share = _ratio((mine * other).sum(1), other.square().sum(1)).unsqueeze(1)
        kept = mine if mine.shape[1] < 2 else mine - share * other
        found[name] = kept.reshape(each.shape).to(each.dtype)
    return found


def principal(
    states: Sequence[Tensors], count: int
) -> tuple[list[dict[str, Tensor]], Tensor, Tensor]:
    """The directions in which the states of a trajectory spread most: its principal components.

    With ``t_i`` the states less their mean, the eigenvectors of ``sum_i t_i t_i^T`` by way of the small matrix of the
    inner products ``<t_i, t_j>``, in float64. Each has unit length, and the sign that puts the first state on the
    negative side.

    Args:
        states: the weights at several steps.
        count: how many components.

    Returns:
        The components, their share of the variance, and the coordinates of the states, relative to the mean
        (states x components). A component that carries no variance is zero.

    Source: Li et al. 2018, section 7.2.

    >>> path = [{"w": torch.tensor([float(i), 1.0])} for i in range(3)]
    >>> components, shares, coordinates = principal(path, 1)
    >>> components[0]["w"], shares.tolist(), coordinates.flatten().round().abs().tolist()
    (tensor([1., 0.]), [1.0], [1.0, 0.0, 1.0])
    """
    gram = torch.zeros(len(states), len(states), dtype=torch.float64)
    for name in states[0]:
        rows = _centred(states, name)
        gram += (rows @ rows.T).cpu()
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0)[:count].clamp(min=0), vectors.flip(1)[:, :count]
    vectors = vectors * -torch.sign(vectors[0]).where(vectors[0] != 0, torch.tensor(-1.0))
    weighty = values > len(states) * torch.finfo(torch.float64).eps * gram.trace()
    scale = torch.where(weighty, values, torch.inf).rsqrt()
    components: list[dict[str, Tensor]] = [{} for _ in range(len(values))]
    for name, each in states[0].items():
        rows = _centred(states, name)
        mixed = (vectors * scale).T.to(rows) @ rows
        for component, row in zip(components, mixed, strict=True):
            component[name] = row.reshape(each.shape).to(each.dtype)
    return components, values / gram.trace(), vectors * values.sqrt()


def scaled(direction: Tensors, to: float) -> dict[str, Tensor]:
    """The direction with this length on the whole.

    >>> scaled({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}, to=10.0)
    {'a': tensor([6.]), 'b': tensor([8.])}
    """
    ratio = float(_ratio(torch.tensor(to, dtype=torch.float64), length(direction)))
    return {name: each * ratio for name, each in direction.items()}


def length(direction: Tensors) -> Tensor:
    """The Euclidean length of all tensors together, a scalar in float64.

    >>> length({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])})
    tensor(5., dtype=torch.float64)
    """
    norms = [
        torch.linalg.vector_norm(each, dtype=torch.float64).cpu() for each in direction.values()
    ]
    return cast(Tensor, torch.linalg.vector_norm(torch.stack(norms)))


def inner(one: Tensors, other: Tensors) -> Tensor:
    """The inner product over all tensors together, a scalar in float64.

    >>> inner({"a": torch.tensor([3.0, 1.0])}, {"a": torch.tensor([2.0, 0.0])})
    tensor(6., dtype=torch.float64)
    """
    parts = [(each.double() * other[name].double()).sum().cpu() for name, each in one.items()]
    return torch.stack(parts).sum()


def _at_least(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.float64 else torch.float32


def _row_norms(tensor: Tensor) -> Tensor:
    return cast(
        Tensor, torch.linalg.vector_norm(tensor.flatten(1).double(), dim=1)
    )  # the first index selects


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """Top over bottom, zero where the bottom is zero: what has no length stays as it is."""
    return torch.where(bottom == 0, torch.zeros_like(bottom), top / bottom)


def _centred(states: Sequence[Tensors], name: str) -> Tensor:
    rows = torch.stack([state[name].detach().reshape(-1).double() for state in states])
    return rows - rows.mean(0)
