"""Distances between distributions beside the level that chance alone reaches, by reassigning samples at random."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skipnorm.formulas.distances import wasserstein, wasserstein_to_gaussian, wasserstein_to_pool

__all__ = [
    "Chance",
    "Level",
    "between_groups",
    "between_units",
    "gaussian_level",
    "mean_of_varying",
    "standardised",
]


class Level(NamedTuple):
    """A distance, its mean under chance, and what chance exceeds in one case of twenty."""

    found: float
    null: float
    high: float


@dataclass(frozen=True)
class Chance:
    """Where the reassignments come from: the same at every place, whatever torch's own random state.

    The high level is the order statistic of rank `0.95 (draws + 1)`: were what was found one more draw of chance, it
    would lie above with probability 1/20, exactly (Good 2005, section 3.2). With fewer than 19 draws it is the largest.

    Attributes:
        draws: how many.
        seed: of the first.
    """

    draws: int
    seed: int

    def level(self, found: float, drawn: Callable[[torch.Generator], Tensor]) -> Level:
        """What was found, beside `draws` numbers that chance makes."""
        source = torch.Generator().manual_seed(self.seed)
        null = torch.stack([drawn(source).double() for _ in range(self.draws)])
        spoilt = bool(null.isnan().any())
        rank = min(self.draws, math.ceil(0.95 * (self.draws + 1)))
        high = torch.nan if spoilt else float(null.sort().values[rank - 1])
        return Level(found, float(null.mean()), high)

    def one_position(self, values: Tensor) -> Tensor:
        """One position of every sample, drawn, so that values are as independent as samples: (units, samples)."""
        source = torch.Generator().manual_seed(self.seed)
        chosen = torch.randint(values.shape[2], (1, values.shape[1], 1), generator=source)
        return values.gather(2, chosen.to(values.device).expand(len(values), -1, -1)).squeeze(2)


def mean_of_varying(distances: Tensor, values: Tensor) -> Tensor:
    """The mean over units that vary at all; NaN where none does, or where one holds NaN."""
    rows = values.flatten(1)
    low, high = rows.amin(dim=1), rows.amax(dim=1)
    return distances[~((low == high) & low.isfinite())].mean()


def standardised(rows: Tensor) -> Tensor:
    """Rows less their mean, over their standard deviation; a row that does not vary becomes NaN."""
    variance, mean = torch.var_mean(rows.double(), dim=1, correction=0, keepdim=True)
    still = (rows.amin(dim=1) == rows.amax(dim=1)).unsqueeze(1)
    return torch.where(still, torch.nan, (rows - mean) / variance.sqrt())


def between_groups(groups: Sequence[Tensor], chance: Chance) -> Level:
    """How far each group of samples lies from all others, unit by unit: W1 over the pooled standard deviation.

    Groups are (units, samples, positions). Under chance, whole samples change places between groups. Two groups
    that are one and the same tensor, value by value, have the distance 0.
    """
    pooled = torch.cat([group.double() for group in groups], dim=1)
    scale = pooled.flatten(1).std(dim=1, correction=0)
    sizes = [group.shape[1] for group in groups]

    def distance(samples: Tensor) -> Tensor:
        parts = torch.split(samples, sizes, dim=1)
        apart = [_to_rest(parts, number) for number in range(len(parts) if len(parts) > 2 else 1)]
        return mean_of_varying(torch.stack(apart).mean(dim=0) / scale, pooled)

    def shuffled(source: torch.Generator) -> Tensor:
        order = torch.randperm(pooled.shape[1], generator=source).to(pooled.device)
        return distance(pooled[:, order])

    return chance.level(float(distance(pooled)), shuffled)


def _to_rest(parts: Sequence[Tensor], number: int) -> Tensor:
    rest = [part.flatten(1) for other, part in enumerate(parts) if other != number]
    return wasserstein(parts[number].flatten(1), torch.cat(rest, dim=1))


def between_units(values: Tensor, chance: Chance) -> Level:
    """How far each unit lies from all units pooled: W1 over the pooled standard deviation.

    Under chance, units change places within every sample, each sample by itself.
    """
    values = values.double()
    scale = values.std(correction=0)

    def distance(samples: Tensor) -> Tensor:
        lowest, highest = samples.amin(), samples.amax()
        apart = wasserstein_to_pool(samples.flatten(1)).mean() / scale
        return torch.where((lowest == highest) & lowest.isfinite(), torch.nan, apart)

    def shuffled(source: torch.Generator) -> Tensor:
        keys = torch.rand(values.shape[:2], generator=source).to(values.device)
        labels = keys.argsort(dim=0).unsqueeze(2).expand_as(values)
        return distance(values.gather(0, labels))

    return chance.level(float(distance(values)), shuffled)


def gaussian_level(found: float, values: Tensor, chance: Chance) -> Level:
    """What the mean distance to the Gaussian would be were every unit one: drawn with as many samples and units."""
    varying = mean_of_varying(torch.ones(len(values), device=values.device), values)
    rows = values.flatten(1)
    count = int((rows.amin(dim=1) != rows.amax(dim=1)).sum())
    if not count or not bool(varying.isfinite()):
        return Level(found, torch.nan, torch.nan)

    def drawn(source: torch.Generator) -> Tensor:
        sample = torch.randn(count, rows.shape[1], generator=source, dtype=torch.float64)
        return wasserstein_to_gaussian(standardised(sample)).mean()

    return chance.level(found, drawn)
