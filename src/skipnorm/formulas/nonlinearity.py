"""How much of a non-linearity a unit uses: what a straight line cannot explain, how often it is on, where it is flat.

Matrices have one row per unit; samples and positions run along the columns. Theory for Gaussian input is in
`skipnorm.formulas.quadrature`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LineFit", "affine_misfit", "co_activation", "secant_slopes", "steepest_slope"]


@dataclass(frozen=True)
class LineFit:
    """What is needed of pairs (x, y), unit by unit, to fit a straight line; two of them add up.

    Attributes:
        count: number of pairs.
        means: of x and y, shape (2, units).
        products: sums of products of deviations: xx, xy, yy, shape (3, units).
        ranges: lowest and highest x, lowest and highest y, shape (4, units).
    """

    count: int
    means: Tensor
    products: Tensor
    ranges: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "LineFit":
        """The fit to two matrices of equal shape (units, n)."""
        x, y = x.double(), y.double()
        means = torch.stack([x.mean(dim=1), y.mean(dim=1)])
        dx, dy = x - means[0].unsqueeze(1), y - means[1].unsqueeze(1)
        products = torch.stack([(dx * dx).sum(1), (dx * dy).sum(1), (dy * dy).sum(1)])
        ranges = torch.stack([x.amin(1), x.amax(1), y.amin(1), y.amax(1)])
        return cls(x.shape[1], means, products, ranges)

    def __add__(self, other: "LineFit") -> "LineFit":
        """The fit to all pairs of both (Chan, Golub & LeVeque 1983)."""
        count = self.count + other.count
        gap = other.means - self.means
        between = torch.stack([gap[0] * gap[0], gap[0] * gap[1], gap[1] * gap[1]])
        low, high = (0, 2), (1, 3)
        ranges = torch.empty_like(self.ranges)
        ranges[low, :] = torch.minimum(self.ranges[low, :], other.ranges[low, :])
        ranges[high, :] = torch.maximum(self.ranges[high, :], other.ranges[high, :])
        return LineFit(
            count,
            self.means + gap * (other.count / count),
            self.products + other.products + between * (self.count * other.count / count),
            ranges,
        )

    @property
    def still(self) -> Tensor:
        """Which units have an output that never changes: there is nothing to explain."""
        return (self.ranges[2] == self.ranges[3]) & self.ranges[2].isfinite()

    @property
    def slope(self) -> Tensor:
        """Of the best straight line."""
        return self.products[1] / self.products[0]

    @property
    def intercept(self) -> Tensor:
        """Of the best straight line."""
        return self.means[1] - self.slope * self.means[0]

    @property
    def misfit(self) -> Tensor:
        """``1 - R^2``: which share of the output's variance the best line leaves; NaN where there is none."""
        xx, xy, yy = self.products
        left = 1 - (xy * xy) / (xx * yy)
        left = torch.where(left < 0, torch.zeros_like(left), left)  # rounding
        return torch.where(self.still, torch.nan, left)


def affine_misfit(x: Tensor, y: Tensor) -> Tensor:
    """The non-linearity index of each unit: ``1 - R^2`` of the best affine fit of output on input.

    0: the unit acts as a straight line on what it sees. 1: no line explains anything. NaN where the
    output never changes (a dead unit). Shapes ``(units, n)`` give ``(units,)``. For Gaussian input
    ``R^2 = E[phi']^2 var(z) / var(phi(z))`` (Stein 1981).

    >>> x = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0], [-1.0, -2.0, -3.0]])
    >>> affine_misfit(x, x.relu())
    tensor([0.0000, 0.2500,    nan], dtype=torch.float64)
    """
    return LineFit.of(x, y).misfit


def co_activation(on: Tensor, samples: int) -> Tensor:
    """How often two different samples both switch a unit on: per unit, averaged over positions.

    From the number of samples ``k`` that are on, shape ``(units, positions)``: the mean over positions of
    ``k (k-1) / (n (n-1))``. 1/4 for centred independent signals, 1/2 once all samples look alike
    (Balduzzi et al. 2017, section 3). NaN for a single sample.

    >>> co_activation(torch.tensor([[2.0], [4.0], [1.0]]), samples=4)
    tensor([0.1667, 1.0000, 0.0000], dtype=torch.float64)
    """
    counts = on.double()
    pairs = samples * (samples - 1)
    both = counts * (counts - 1)
    return (both / pairs if pairs else torch.full_like(both, torch.nan)).mean(dim=1)


def secant_slopes(x: Tensor, y: Tensor) -> Tensor:
    """The slope of each unit's function at its samples, from the samples alone.

    With samples in order, `(y_(i+k) - y_(i-k)) / (x_(i+k) - x_(i-k))` with `k = ceil(n / 200)`: wide enough that
    rounding does not matter. NaN where these coincide. For functions that autograd cannot look into.
    Shape (units, n), in the samples' order.

    >>> secant_slopes(torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[4.0, 0.0, 1.0]]))
    tensor([[3., 1., 2.]], dtype=torch.float64)
    """
    n = x.shape[1]
    order = x.argsort(dim=1)
    ordered, images = x.double().gather(1, order), y.double().gather(1, order)
    places, reach = torch.arange(n, device=x.device), -(-n // 200)
    right, left = (places + reach).clamp(max=n - 1), (places - reach).clamp(min=0)
    run = ordered[:, right] - ordered[:, left]
    slopes = torch.where(run == 0, torch.nan, (images[:, right] - images[:, left]) / run)
    return torch.empty_like(slopes).scatter_(1, order, slopes)


def steepest_slope(function: Callable[[Tensor], Tensor], channels: int = 1) -> float:
    """The largest ``|phi'|`` of a pointwise function between -10 and 10, by autograd on a grid.

    ``function`` maps a tensor of shape (grid, channels) to one of the same shape.

    >>> round(steepest_slope(torch.sigmoid), 6), round(steepest_slope(torch.tanh), 6)
    (0.25, 1.0)
    """
    grid = torch.linspace(-10, 10, 801, dtype=torch.float64)[:, None].repeat(1, channels)
    with torch.enable_grad():
        grid.requires_grad_()
        (slopes,) = torch.autograd.grad(function(grid.clone()).sum(), grid)
    return float(slopes.abs().max())
