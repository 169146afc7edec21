"""What one use of a parameter adds to the gradient of each sample, and to the inner products between samples.

A use knows what went in and, after the backward pass, the gradient of what came out. The gradient of sample i with
respect to the parameter is `sum_t out_it (outer) in_it` over the rows t of that sample. The matrix of inner products
between samples, the Gram matrix, needs no such gradient where samples have few rows:
`G_ij = sum_ts <in_it, in_js> <out_it, out_js>`; else it is summed over slices of the parameter's rows.
"""

from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ROOM", "Convolution", "Elementwise", "Lookup", "Matrix", "Use", "product_of"]

ROOM = 2**24  # numbers that a slice of per-sample gradients may hold at a time


class Use(Protocol):
    """One use of a parameter.

    Attributes:
        rows: the length of the parameter's first dimension, along which its gradient can be sliced.
        width: how many numbers a row of the parameter's gradient holds.
    """

    rows: int
    width: int

    def slab(self, gradient: Tensor, samples: int, start: int, stop: int) -> Tensor:
        """The samples' gradients with respect to rows `start` to `stop`: samples x rows x width."""

    def gram(self, gradient: Tensor, samples: int) -> Tensor | None:
        """The Gram matrix without gradients of samples, or None where slices are cheaper."""


@dataclass
class Matrix:
    """`out = in W^T` (or `in W` where `turned`): rows of W are features of the output (of the input)."""

    inputs: Tensor
    turned: bool
    rows: int
    width: int

    def slab(self, gradient: Tensor, samples: int, start: int, stop: int) -> Tensor:
        """As `Use` says."""
        left, right = self._sides(gradient, samples)
        return torch.bmm(left[:, :, start:stop].transpose(1, 2), right)

    def gram(self, gradient: Tensor, samples: int) -> Tensor | None:
        """As `Use` says."""
        left, right = self._sides(gradient, samples)
        length = left.shape[1]
        if not _few_rows(samples, length, self.rows, self.width):
            return self._product(left, right)
        if length == 1:
            return (left[:, 0] @ left[:, 0].T).mul_(right[:, 0] @ right[:, 0].T)
        return _crossed(left, right)

    def _product(self, left: Tensor, right: Tensor) -> Tensor | None:
        """By way of the samples' gradients, if all of them fit.

        With a row of zeros where they would lie a multiple of 4 KiB apart, which would crowd them into a few cache
        lines (a quarter slower, measured).
        """
        numbers = self.rows * self.width
        if len(left) * (numbers + self.width) > ROOM:
            return None
        crowded = numbers * left.element_size() % 4096 == 0
        padded = F.pad(left, (0, 1)) if crowded else left
        return product_of(torch.bmm(padded.transpose(1, 2), right))

    def _sides(self, gradient: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        left = gradient.reshape(samples, -1, gradient.shape[-1])
        right = self.inputs.reshape(samples, -1, self.inputs.shape[-1])
        return (right, left) if self.turned else (left, right)


@dataclass
class Convolution:
    """A convolution of any dimension, as a matrix that acts on windows."""

    inputs: Tensor
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    rows: int
    width: int

    def slab(self, gradient: Tensor, samples: int, start: int, stop: int) -> Tensor:
        """As `Use` says: the weight gradient of one convolution in which samples are groups of channels."""
        first, last = (start, stop) if self.groups == 1 else (0, self.rows)
        images = _beside(self.inputs, samples)
        maps = _beside(gradient.narrow(1, first, last - first), samples)
        shape = (samples * (last - first), self.width // prod(self.kernel), *self.kernel)
        _, found, _ = torch.ops.aten.convolution_backward(
            maps,
            images,
            maps.new_zeros(()).expand(shape),
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,
            [0] * len(self.kernel),
            samples * self.groups,
            [False, True, False],
        )
        rows: Tensor = found.reshape(samples, last - first, self.width)
        return rows if self.groups == 1 else rows[:, start:stop]

    def gram(self, gradient: Tensor, samples: int) -> Tensor | None:
        """As `Use` says."""
        length = gradient.numel() // (samples * self.rows)
        if self.groups > 1 or not _few_rows(samples, length, self.rows, self.width):
            return None
        maps = gradient.reshape(samples, -1, self.rows, gradient[0, 0].numel())
        windows = self._windows(samples)[:, :, 0]
        left, right = (side.transpose(2, 3).flatten(1, 2) for side in (maps, windows))
        return _crossed(left, right)

    def _windows(self, samples: int) -> Tensor:
        """Samples x images of a sample x groups x window x place."""
        inputs, dims = self.inputs, len(self.kernel)
        margins = [margin for pad in reversed(self.padding) for margin in (pad, pad)]
        if dims == 2:
            flat = F.unfold(inputs, self.kernel, self.dilation, self.padding, self.stride)
            return flat.reshape(samples, -1, self.groups, self.width, flat.shape[-1])
        found = F.pad(inputs, margins)
        for axis in range(dims):
            reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            found = found.unfold(2 + axis, reach, self.stride[axis])[..., :: self.dilation[axis]]
        places = found.shape[2 : 2 + dims]
        found = found.movedim(tuple(range(2, 2 + dims)), tuple(range(-dims, 0)))
        return found.reshape(samples, -1, self.groups, self.width, places.numel())


@dataclass
class Lookup:
    """Rows of a table, picked by integers: a matrix whose inputs are one-hot."""

    indices: Tensor
    padding: int | None
    rows: int
    width: int

    def slab(self, gradient: Tensor, samples: int, start: int, stop: int) -> Tensor:
        """As `Use` says."""
        found, indices = self._sides(gradient, samples)
        inside = (indices >= start) & (indices < stop)
        slab = found.new_zeros(samples, stop - start, self.width)
        where = (indices - start).clamp(0, stop - start - 1)[:, :, None].expand_as(found)
        return slab.scatter_add_(1, where, found * inside[:, :, None])

    def gram(self, gradient: Tensor, samples: int) -> Tensor | None:
        """As `Use` says: only pairs of places that look up the same row count."""
        found, indices = self._sides(gradient, samples)
        used, places = torch.unique(indices, return_inverse=True)
        if not _few_rows(samples, indices.shape[1], len(used), self.width):
            table = found.new_zeros(samples, len(used), self.width)
            table.scatter_add_(1, places[:, :, None].expand_as(found), found)
            return product_of(table)
        chunk = max(1, ROOM // (samples * indices.shape[1] ** 2))
        parts = []
        for start in range(0, samples, chunk):
            some, these = found[start : start + chunk], indices[start : start + chunk]
            alike = torch.einsum("itd,jsd->ijts", some, found)
            same = these[:, None, :, None] == indices[None, :, None, :]
            parts.append((alike * same).sum((2, 3)))
        return torch.cat(parts)

    def _sides(self, gradient: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        found = gradient.reshape(samples, -1, self.width)
        indices = self.indices.reshape(samples, -1)
        if self.padding is not None:
            found = found * (indices != self.padding)[:, :, None]
        return found, indices


@dataclass
class Elementwise:
    """A parameter that multiplies (or, without `inputs`, is added to) every row along some of its dimensions.

    Attributes:
        dims: which dimensions of the output the parameter's dimensions are.
        centre, scale: where given, it is `(inputs - centre) * scale` that is multiplied.
    """

    inputs: Tensor | None
    dims: tuple[int, ...]
    rows: int
    width: int
    centre: Tensor | None = None
    scale: Tensor | None = None

    def slab(self, gradient: Tensor, samples: int, start: int, stop: int) -> Tensor:
        """As `Use` says."""
        product = self._product(gradient)
        if product.dim() == 2 and len(product) == samples and self.dims == (1,):
            return product.reshape(samples, self.rows, self.width)[:, start:stop]
        product = product.reshape(samples, -1, *product.shape[1:])
        kept = {dim + 1 for dim in self.dims}
        over = [dim for dim in range(1, product.dim()) if dim not in kept]
        several = [dim for dim in over if product.shape[dim] > 1]
        summed = product.sum(several) if several else product
        return summed.reshape(samples, self.rows, self.width)[:, start:stop]

    def gram(self, gradient: Tensor, samples: int) -> Tensor | None:
        """None: gradients of samples are small here."""
        return None

    def _product(self, gradient: Tensor) -> Tensor:
        if self.inputs is None:
            return gradient
        if self.centre is None or self.scale is None:
            return gradient * self.inputs
        return (self.inputs - self.centre).mul_(self.scale).mul_(gradient)


def _beside(values: Tensor, samples: int) -> Tensor:
    """The samples' channels side by side, images of one sample as the batch."""
    own = values.reshape(samples, -1, *values.shape[1:]).transpose(0, 1)
    return own.reshape(own.shape[0], -1, *values.shape[2:])


def product_of(table: Tensor) -> Tensor:
    """Inner products between the samples of a slab."""
    rows = table.flatten(1)
    return rows @ rows.T


def _few_rows(samples: int, length: int, rows: int, width: int) -> bool:
    """Whether inner products between all rows of all samples cost less than the samples' gradients."""
    pairs = samples * samples * length * length
    direct = samples * rows * width * (length + samples)
    return pairs * (rows + width) < direct and pairs <= 4 * ROOM


def _crossed(left: Tensor, right: Tensor) -> Tensor:
    samples, length, _ = left.shape
    first = left.reshape(samples * length, -1)
    second = right.reshape(samples * length, -1)
    pairs = (first @ first.T).mul_(second @ second.T)
    return pairs.reshape(samples, length, samples, length).sum((1, 3))
