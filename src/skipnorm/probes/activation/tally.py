"""What is kept of an activation or a norm while batches pass: sums, never the signal, but for the slopes."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from skipnorm.formulas.nonlinearity import LineFit, co_activation

__all__ = ["SATURATED", "ActivationTally"]

SATURATED = 0.1
"""A unit is saturated where its slope is below this share of the function's steepest slope."""


@dataclass
class ActivationTally:
    """The running account of one activation.

    Attributes:
        steepest: the function's largest slope where it is known beforehand.
        samples: how many (sample, position) pairs have passed.
    """

    steepest: float = 0.0
    samples: int = 0
    _on: Tensor | None = None
    _both: Tensor | None = None
    _pairs: int = 0
    _fit: LineFit | None = None
    _slopes: list[Tensor] = field(default_factory=list)

    def add(self, x: Tensor, y: Tensor | None, slopes: Tensor | None) -> None:
        """Account for one batch: input, output and slopes as (units, samples, positions).

        A unit that was shown NaN has NaN counts; an output of another shape than the input has no line.
        """
        spoilt = x.isnan().flatten(1).any(dim=1)
        on, count, pairs = x > 0, x[0].numel(), x.shape[1] * (x.shape[1] - 1)
        times = torch.where(spoilt, torch.nan, on.sum(dim=(1, 2), dtype=torch.float64))
        both = co_activation(on.sum(dim=1), x.shape[1]) * max(pairs, 1)
        both = torch.where(spoilt, torch.nan, both)
        self._on = times if self._on is None else self._on + times
        self._both = both if self._both is None else self._both + both
        self._pairs += max(pairs, 1)
        self.samples += count
        if y is not None and y.shape == x.shape:
            fit = LineFit.of(x.flatten(1), y.flatten(1))
            self._fit = fit if self._fit is None else self._fit + fit
        if slopes is not None:
            self._slopes.append(slopes.flatten(1).abs().to(torch.float32))

    @property
    def units(self) -> int:
        """How many there are."""
        return 0 if self._on is None else len(self._on)

    def by_unit(self) -> dict[str, Tensor]:
        """Every quantity of `activation`, unit by unit."""
        assert self._on is not None
        assert self._both is not None
        on = self._on / self.samples
        unknown = torch.full_like(on, torch.nan)
        still = self._fit.still if self._fit is not None else unknown.isfinite()
        return {
            "on_fraction": on,
            "dead_fraction": _where(on, on == 0),
            "always_on_fraction": _where(on, on == 1),
            "co_activation": self._both / self._pairs,
            "saturated_fraction": self._saturated() if self._slopes else unknown,
            "nonlinearity": self._fit.misfit if self._fit is not None else unknown,
            "still_fraction": still.double() if self._fit is not None else unknown,
        }

    def steepest_slope(self) -> float:
        """The largest slope of the function: the known one, or a steeper one that was met."""
        met = [slopes[slopes.isfinite()].amax() for slopes in self._slopes if slopes.numel()]
        if not met:
            return float("nan")
        return max(self.steepest, *(float(slope) for slope in met))

    def _saturated(self) -> Tensor:
        threshold, device = SATURATED * self.steepest_slope(), self._slopes[0].device
        flat, known = torch.zeros(2, self.units, dtype=torch.float64, device=device)
        spoilt = torch.zeros(self.units, dtype=torch.bool, device=device)
        for slopes in self._slopes:
            flat += (slopes < threshold).sum(dim=1)
            known += slopes.isfinite().sum(dim=1)
            spoilt |= slopes.isinf().any(dim=1)
        found = flat / known
        assert self._on is not None
        return torch.where(spoilt | self._on.isnan(), torch.nan, found)


def _where(on: Tensor, truth: Tensor) -> Tensor:
    return torch.where(on.isnan(), torch.nan, truth.double())
