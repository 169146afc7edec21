"""What a Krylov space tells of a symmetric matrix: eigenpairs, spectral density, trace."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skipnorm.formulas.krylov import Krylov

__all__ = ["Ritz", "cells", "density", "hutchinson", "quadrature", "ritz_pairs"]


@dataclass(frozen=True)
class Ritz:
    """Eigenpairs of a matrix as far as a Krylov space knows them, in ascending order.

    Attributes:
        values: (m,), float64.
        coordinates: (m, m), columns: the vectors in the basis of the space.
        residuals: (m,), ||A u - value u|| of the unit vectors u.
    """

    values: Tensor
    coordinates: Tensor
    residuals: Tensor

    def settled(self, chosen: Tensor, tolerance: float, precision: float) -> bool:
        """Whether the chosen pairs have a residual below `tolerance |value|`, or below rounding.

        Args:
            chosen: indices into the pairs.
            tolerance: relative to the eigenvalue itself.
            precision: relative to the largest eigenvalue; what lies below is zero.
        """
        allowed = torch.maximum(
            tolerance * self.values.abs()[chosen], precision * self.values.abs().amax()
        )
        return bool((self.residuals[chosen] <= allowed).all())


def ritz_pairs(space: Krylov) -> Ritz:
    """The eigenpairs of the projected matrix, with the residual that they have in the whole space.

    >>> from skipnorm.formulas.krylov import block_lanczos
    >>> matrix = torch.diag(torch.tensor([1.0, 2.0, 4.0]))
    >>> pairs = ritz_pairs(block_lanczos(lambda rows: rows @ matrix, torch.ones(1, 3), most=3))
    >>> pairs.values.round(decimals=4).tolist(), pairs.residuals.tolist()
    ([1.0, 2.0, 4.0], [0.0, 0.0, 0.0])
    """
    values, coordinates = torch.linalg.eigh(space.projected)
    residuals = torch.linalg.vector_norm(space.leaving @ coordinates, dim=0)
    return Ritz(values, coordinates, residuals)


def quadrature(space: Krylov, pairs: Ritz | None = None) -> tuple[Tensor, Tensor]:
    """Stochastic Lanczos quadrature: nodes and weights that stand for the spectrum of the matrix.

    `mean f(eigenvalue)` over all eigenvalues is about `sum weights f(nodes)`, where the weights add up to 1: for each
    Ritz vector u the average over the start vectors v of `<v, u>^2 / <v, v>`. Exact for polynomials of a degree below
    twice the number of blocks, apart from the sampling by the start vectors.

    Source: Ubaru, Chen & Saad 2017, algorithm 1; Ghorbani et al. 2019, section 2.
    """
    pairs = pairs or ritz_pairs(space)
    heads = pairs.coordinates[: space.start.shape[1]]
    shares = (space.start @ heads).square()
    lengths = space.start.square().sum(dim=1, keepdim=True)
    return pairs.values, (shares / lengths).mean(dim=0)


def cells(nodes: Tensor, *, smoothing: float = 0.01, count: int = 512) -> tuple[Tensor, float]:
    """Where a smoothed density is to be read: the edges of equal cells, and the width of the smoothing.

    The width is `smoothing` times the range of the nodes (times the largest where they coincide); the cells reach
    six widths beyond them, so that 2e-9 of the mass is left out.

    >>> edges, width = cells(torch.tensor([0.0, 10.0]), count=4)
    >>> [round(edge, 3) for edge in edges.tolist()], round(width, 3)
    ([-0.6, 2.2, 5.0, 7.8, 10.6], 0.1)
    """
    low, high = float(nodes.min()), float(nodes.max())
    largest = max(abs(low), abs(high))
    spread = high - low if high - low > 1e-9 * largest else (largest or 1.0)
    width = smoothing * spread
    return torch.linspace(low - 6 * width, high + 6 * width, count + 1, dtype=torch.float64), width


def density(nodes: Tensor, weights: Tensor, edges: Tensor, width: float) -> Tensor:
    """The weights spread by a Gaussian around their nodes, as mean density within each cell.

    A cell holds the mass between its edges, not the height at its middle, so `sum(density * cell)` is the sum of the
    weights however narrow the smoothing is.

    >>> edges = torch.tensor([-9.0, 0.0, 9.0])
    >>> density(torch.tensor([0.0]), torch.tensor([1.0]), edges, 1.0) * 9
    tensor([0.5000, 0.5000])
    """
    below = torch.special.ndtr((edges[:, None] - nodes[None, :]) / width)
    heights: Tensor = (below.diff(dim=0) @ weights.to(below)) / edges.diff()
    return heights


def hutchinson(products: Tensor, probes: Tensor) -> tuple[float, float]:
    """The trace from random vectors z with unit covariance: mean and standard error of `<z, A z>`.

    Args:
        products: (p, n), A z.
        probes: (p, n), z.

    Source: Hutchinson 1990.

    >>> z = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    >>> hutchinson(z @ torch.diag(torch.tensor([3.0, 4.0])), z)
    (7.0, 0.0)
    """
    samples = (products.double() * probes.double()).sum(dim=1)
    error = samples.std() / math.sqrt(len(samples)) if len(samples) > 1 else math.nan
    return float(samples.mean()), float(error)
