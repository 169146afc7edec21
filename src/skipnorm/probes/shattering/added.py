"""The Gram matrices of all parameters, added up in float64, and scaled where float32 would lose them."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from skipnorm.probes.shattering.uses import ROOM, Elementwise, Use, product_of

__all__ = ["gram_of_all"]

_TINY = 1e-24  # below this a squared length in float32 may have lost entries to underflow
Uses = Sequence[tuple[Use, Tensor]]
"""The uses of one parameter, with the gradient at the output of each: rows of the first sample first."""


def gram_of_all(parameters: Iterable[Uses], samples: int) -> Tensor:
    """The Gram matrix, in float64, of the samples' gradients with respect to several parameters.

    Args:
        parameters: the uses of each.
        samples: how many there are.
    """
    small: list[Uses] = []
    large: list[Uses] = []
    for uses in parameters:
        alone = len(uses) == 1 and isinstance(uses[0][0], Elementwise)
        (small if alone else large).append(uses)
    total = torch.zeros(samples, samples, dtype=torch.float64)
    if small:  # gains, shifts and the like: formed, and multiplied all at once
        slabs = [use.slab(back, samples, 0, use.rows).flatten(1) for ((use, back),) in small]
        found = product_of(torch.cat(slabs, dim=1))
        if all(_sound([found])):
            total = total.to(found.device) + found
        else:
            large += small
    for some in _few(large, max(1, ROOM // samples**2)):
        grams = [_gram(uses, samples) for uses in some]
        for uses, found, sound in zip(some, grams, _sound(grams), strict=True):
            total = total.to(found.device)
            total += found if sound else _scaled(uses, samples)
    return total


def _few(parameters: Sequence[Uses], count: int) -> Iterator[Sequence[Uses]]:
    for start in range(0, len(parameters), count):
        yield parameters[start : start + count]


def _sound(grams: Sequence[Tensor]) -> list[bool]:
    """For each, whether no length has come near the ends of float32."""
    lengths = torch.stack([gram.diagonal() for gram in grams])
    found: list[bool] = ((lengths > _TINY) & (lengths < float("inf"))).all(1).tolist()
    return found


def _scaled(uses: Uses, samples: int) -> Tensor:
    """The Gram matrix by way of gradients whose largest entry is one."""
    sizes = torch.stack([_tallest(gradient, samples) for _, gradient in uses]).amax(0)
    grown = sizes.double()
    scaled = [(use, _divided(gradient, sizes)) for use, gradient in uses]
    return _gram(scaled, samples) * torch.outer(grown, grown)


def _gram(uses: Uses, samples: int) -> Tensor:
    first, gradient = uses[0]
    if len(uses) == 1:
        whole = first.gram(gradient, samples)
        if whole is not None:
            return whole
    total: Tensor | None = None
    step = max(1, min(first.rows, ROOM // max(1, samples * first.width)))
    for start in range(0, first.rows, step):
        stop = min(start + step, first.rows)
        slab = first.slab(gradient, samples, start, stop)
        for other, back in uses[1:]:
            slab = slab + other.slab(back, samples, start, stop)
        found = product_of(slab)
        total = found if total is None else total.double() + found
    return gradient.new_zeros(samples, samples) if total is None else total


def _tallest(gradient: Tensor, samples: int) -> Tensor:
    """The largest entry of each sample, 1 where all are zero: so that no product of two leaves float32."""
    tallest = torch.linalg.vector_norm(gradient.reshape(samples, -1), ord=float("inf"), dim=1)
    return torch.where(tallest > 0, tallest, torch.ones_like(tallest))


def _divided(gradient: Tensor, sizes: Tensor) -> Tensor:
    rows = gradient.reshape(len(sizes), -1) / sizes[:, None]
    return rows.reshape(gradient.shape)
