"""What a claim predicts, written before the run: a band in which its effect should lie."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr

from skipnorm.errors import ClaimError
from skipnorm.evidence.wording import number, percent

Target = float | Callable[[xr.Dataset], xr.DataArray]
"""A number, or a function of the evidence that gives one number for every case."""


@dataclass(frozen=True)
class Band:
    """The closed range of effects that a prediction allows; either end may be infinite.

    >>> Band(1.0, 2.0).holds(1.1, 2.0), Band(1.0, 2.0).excludes(2.1, 3.0)
    (True, True)
    """

    low: float
    high: float

    def holds(self, low: float, high: float) -> bool:
        """Whether the whole interval [low, high] lies inside."""
        return self.low <= low and high <= self.high

    def excludes(self, low: float, high: float) -> bool:
        """Whether the whole interval [low, high] lies outside, on one side."""
        return high < self.low or low > self.high

    @property
    def edges(self) -> tuple[float, ...]:
        """The finite ends, against which an effect is tested."""
        return tuple(edge for edge in (self.low, self.high) if math.isfinite(edge))


@dataclass(frozen=True)
class AtLeast:
    """The effect is `value` or more: the smallest effect that matters."""

    value: Target

    def band(self, target: float) -> Band:
        """The allowed effects, for the number that `value` stands for in one case."""
        return Band(target, math.inf)

    def words(self, target: float) -> str:
        """The prediction in print, for the number that stands in it in one case."""
        return f"at least {number(target)}"


@dataclass(frozen=True)
class AtMost:
    """The effect is `value` or less."""

    value: Target

    def band(self, target: float) -> Band:
        """The allowed effects, for the number that `value` stands for in one case."""
        return Band(-math.inf, target)

    def words(self, target: float) -> str:
        """The prediction in print, for the number that stands in it in one case."""
        return f"at most {number(target)}"


@dataclass(frozen=True)
class Near:
    """The effect equals `target`, a theory's number, as far as matters: within `tolerance` of it.

    With `relative=True` the tolerance is a share of the target: `Near(2.0, 0.05, relative=True)`
    allows 1.9 to 2.1.
    """

    target: Target
    tolerance: float
    relative: bool = False

    def __post_init__(self) -> None:
        """Refuse a tolerance that allows nothing."""
        _positive(self.tolerance)

    @property
    def value(self) -> Target:
        """The target, under the name that the other predictions use."""
        return self.target

    def band(self, target: float) -> Band:
        """The allowed effects, for the number that the target stands for in one case."""
        reach = self.tolerance * abs(target) if self.relative else self.tolerance
        return Band(target - reach, target + reach)

    def words(self, target: float) -> str:
        """The prediction in print, for the number that stands in it in one case."""
        reach = percent(self.tolerance) if self.relative else number(self.tolerance)
        return f"{number(target)} ± {reach}"


@dataclass(frozen=True)
class Equivalent:
    """No difference that matters: two things compared are equal, within a margin or a factor.

    The effect is a difference within `margin` of 0, or a ratio between `1 / factor` and `factor`;
    either end is the smallest effect that matters. Supported by two one-sided tests (the whole
    interval lies inside), which a difference that is merely not significant does not pass: few or
    noisy seeds leave it undecided. A difference that is significant but too small to matter
    supports it.

    Args:
        margin: the smallest difference that matters; for effects on the linear scale.
        factor: the smallest ratio that matters, above 1; on the log scale, or on the linear.

    Raises:
        ClaimError: neither or both are given, or nothing could lie within them.

    Source: Schuirmann 1987; Lakens 2017.

    >>> Equivalent(0.01).band(0.0), Equivalent(factor=1.25).band(1.0)
    (Band(low=-0.01, high=0.01), Band(low=0.8, high=1.25))
    """

    margin: float | None = None
    factor: float | None = None

    def __post_init__(self) -> None:
        """Refuse what allows nothing, and what leaves open which of the two is meant."""
        if (self.margin is None) == (self.factor is None):
            raise ClaimError(
                f"expected a margin (of a difference) or a factor (of a ratio), found "
                f"margin={self.margin} and factor={self.factor}; give Equivalent(0.01) or "
                "Equivalent(factor=1.1)"
            )
        if self.margin is not None:
            _positive(self.margin, "margin")
        if self.factor is not None and not (self.factor > 1 and math.isfinite(self.factor)):
            raise ClaimError(
                f"expected a factor above 1, found {self.factor}; Equivalent(factor=1.1) allows "
                "ratios from 1/1.1 to 1.1"
            )

    @property
    def value(self) -> Target:
        """No difference, 0, or no ratio, 1, under the name that the other predictions use."""
        return 0.0 if self.factor is None else 1.0

    def band(self, target: float) -> Band:
        """The differences or ratios that do not matter."""
        if self.factor is not None:
            return Band(target / self.factor, target * self.factor)
        assert self.margin is not None
        return Band(target - self.margin, target + self.margin)

    def words(self, target: float) -> str:
        """The prediction in print."""
        if self.factor is not None:
            return f"equal within a factor of {number(self.factor)}"
        assert self.margin is not None
        return f"equal within {number(self.margin)}"


@dataclass(frozen=True)
class Identity:
    """The effect is zero to within rounding: judged by `tolerance` alone, without seeds."""

    tolerance: float

    def __post_init__(self) -> None:
        """Refuse a tolerance that allows nothing."""
        _positive(self.tolerance)

    @property
    def value(self) -> Target:
        """Zero, under the name that the other predictions use."""
        return 0.0

    def band(self, target: float = 0.0) -> Band:
        """The allowed deviations."""
        return Band(target - self.tolerance, target + self.tolerance)

    def words(self, target: float = 0.0) -> str:
        """The prediction in print, for the number that stands in it in one case."""
        return f"{number(target)} ± {number(self.tolerance)}"


Prediction = AtLeast | AtMost | Near | Equivalent | Identity


def _positive(width: float, word: str = "tolerance") -> None:
    if not (width > 0 and math.isfinite(width)):
        raise ClaimError(
            f"expected a {word} above 0, found {width}; nothing or everything would meet it"
        )
