"""How far two distributions lie apart, from samples of them: Wasserstein-1 and percentiles, unit by unit.

Samples come as a matrix with one row per unit. Everything is computed in float64. A row that holds NaN has the
distance NaN.
"""

import math

import torch
from torch import Tensor

__all__ = [
    "gaussian_wasserstein",
    "percentiles",
    "wasserstein",
    "wasserstein_to_gaussian",
    "wasserstein_to_pool",
]


def wasserstein(first: Tensor, second: Tensor) -> Tensor:
    """How far each unit's two samples lie apart: Wasserstein-1, in the unit's own scale.

    ``W1 = int_0^1 |F^-1(u) - G^-1(u)| du`` with the empirical quantile functions; for equally many
    samples the mean of ``|a_(i) - b_(i)|`` over the sorted ones. Exact, whatever the numbers of
    samples. Shapes ``(units, n)`` and ``(units, m)`` give ``(units,)``. Source: Villani 2003,
    theorem 2.18.

    >>> wasserstein(torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 2.0]]))
    tensor([2.], dtype=torch.float64)
    >>> wasserstein(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    tensor([0.1667], dtype=torch.float64)
    """
    ordered, other = first.double().sort(dim=1).values, second.double().sort(dim=1).values
    n, m = ordered.shape[1], other.shape[1]
    if n == m:
        return (ordered - other).abs().mean(dim=1)
    # Steps of the two quantile functions, in integers on the scale of n * m: no rounding.
    steps = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m) * n]).sort().values
    widths = torch.diff(steps, prepend=steps.new_zeros(1)).to(ordered) / (n * m)
    steps = (steps - 1).to(ordered.device)
    gaps = (ordered[:, steps // m] - other[:, steps // n]).abs()
    distance: Tensor = gaps @ widths
    return distance


def wasserstein_to_pool(values: Tensor) -> Tensor:
    """How far each unit's sample lies from that of all units together: Wasserstein-1.

    The same number as `wasserstein(values, values.flatten() for every row)`, in
    ``O(units n log(units n))`` instead of quadratic in the units: the pool's sorted values fall into
    ``n`` runs of ``units``, of which each of a unit's sorted values faces one.

    >>> wasserstein_to_pool(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    units, n = values.shape
    own = values.double().sort(dim=1).values.T.contiguous()
    runs = values.double().flatten().sort().values.reshape(n, units)
    below = torch.searchsorted(runs, own)
    sums = torch.cat([runs.new_zeros(n, 1), runs.cumsum(dim=1)], dim=1)
    under = sums.gather(1, below)
    gaps = own * below - under + (sums[:, -1:] - under) - own * (units - below)
    return gaps.mean(dim=0) / units


def wasserstein_to_gaussian(values: Tensor) -> Tensor:
    """How far each unit's sample lies from the standard Gaussian: Wasserstein-1, exact.

    ``sum_i int_{i/n}^{(i+1)/n} |x_(i) - Phi^-1(u)| du`` in closed form, by
    ``int Phi^-1(u) du = -phi(Phi^-1(u))``. For the shape alone, standardise the rows first.

    >>> wasserstein_to_gaussian(torch.zeros(1, 3)) * math.sqrt(math.pi / 2)  # E|z| = sqrt(2/pi)
    tensor([1.], dtype=torch.float64)
    """
    x = values.double().sort(dim=1).values
    n = x.shape[1]
    edges = torch.arange(n + 1, dtype=torch.float64, device=x.device) / n
    quantiles = torch.special.ndtri(edges)
    low, high = quantiles[:-1], quantiles[1:]
    split = torch.minimum(torch.maximum(x, low), high)
    at = torch.special.ndtr(split)
    below = x * (at - edges[:-1]) - (_density(low) - _density(split))
    above = _density(split) - _density(high) - x * (edges[1:] - at)
    distance: Tensor = (below + above).sum(dim=1)
    return distance


def _density(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


def gaussian_wasserstein(shift: float, widening: float) -> float:
    """Wasserstein-1 between two Gaussians whose means differ by `shift`, standard deviations by `widening`.

    ``E|shift + widening z|`` with ``z ~ N(0, 1)``, the mean of a folded normal distribution:
    ``w sqrt(2/pi) exp(-(s/w)^2/2) + s erf(s/(w sqrt 2))``. Source: Leone, Nelson & Nottingham 1961.

    >>> gaussian_wasserstein(2.0, 0.0), round(gaussian_wasserstein(0.0, 1.0), 6)
    (2.0, 0.797885)
    """
    width = abs(widening)
    if width == 0:
        return abs(shift)
    ratio = shift / width
    folded = width * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2)
    return folded + shift * math.erf(ratio / math.sqrt(2))


def percentiles(values: Tensor, levels: tuple[float, ...] = (0.15, 0.5, 0.85)) -> Tensor:
    """Below which value so large a share of each unit's samples lies: shape (units, levels).

    Linear between neighbouring samples, as numpy's default. Ioffe & Szegedy 2015, figure 1, follow
    15, 50 and 85 per cent of a typical sigmoid's input over training.

    >>> percentiles(torch.tensor([[4.0, 0.0, 2.0]]))
    tensor([[0.6000, 2.0000, 3.4000]], dtype=torch.float64)
    """
    ordered = values.double().sort(dim=1).values
    places = torch.tensor(levels, dtype=torch.float64, device=ordered.device)
    places = places * (ordered.shape[1] - 1)
    left = places.floor().long()
    right = (left + 1).clamp(max=ordered.shape[1] - 1)
    found = torch.lerp(ordered[:, left], ordered[:, right], places - left)
    spoilt = values.isnan().any(dim=1, keepdim=True)
    return torch.where(spoilt, torch.nan, found)
