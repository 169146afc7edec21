"""Gain and shift that a norm applies to each unit, read off its parameters or off what it does."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from skipnorm.formulas.nonlinearity import LineFit
from skipnorm.probes.shift.samples import units_of

__all__ = ["GainTally", "parameters_of"]

TOLERANCE = 1e-3
"""A norm is taken to be `gain * normalised + shift` where this explains all but so large a share of its output."""

_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


def parameters_of(module: nn.Module | None, units: int) -> tuple[Tensor, Tensor] | None:
    """Gain and shift of one of torch's own norms, or None: another module, or parameters not one a unit."""
    if not isinstance(module, _NORMS):
        return None
    weight, bias = (getattr(module, name, None) for name in ("weight", "bias"))
    gain = torch.ones(units) if weight is None else weight.detach()
    shift = torch.zeros(units) if bias is None else bias.detach()
    if gain.numel() != units or shift.numel() != units:
        return None
    return gain.reshape(-1).double().clone(), shift.reshape(-1).double().clone()


class GainTally:
    """Gain and shift of a norm of any make, from what goes in and what comes out."""

    def __init__(self) -> None:
        self.fixed: tuple[Tensor, Tensor] | None = None
        self._fit: LineFit | None = None

    def add(self, family: str | None, training: bool, x: Tensor, y: Tensor, channels: int) -> None:
        """Account for one batch."""
        normalise = _NORMALISED.get(family or "")
        if normalise is None or x.shape != y.shape or (family == "batch" and not training):
            return
        before = normalise(units_of(x.double(), channels))
        fit = LineFit.of(before.flatten(1), units_of(y, channels).flatten(1))
        self._fit = fit if self._fit is None else self._fit + fit

    def found(self) -> tuple[Tensor, Tensor] | None:
        """Gain and shift of each unit, NaN where they do not explain what the norm does; None where unknown."""
        if self.fixed is not None:
            return self.fixed
        if self._fit is None:
            return None
        fit = self._fit
        gain, shift = fit.slope, fit.intercept
        gain = torch.where(fit.still, torch.zeros_like(gain), gain)
        shift = torch.where(fit.still, fit.means[1], shift)
        trusted = fit.still | (fit.misfit < TOLERANCE)
        return tuple(torch.where(trusted, value, torch.nan) for value in (gain, shift))  # type: ignore[return-value]


def _by_batch(values: Tensor) -> Tensor:
    return _standardised(values, (1, 2))


def _by_sample(values: Tensor) -> Tensor:
    return _standardised(values, (0,))


def _by_channel(values: Tensor) -> Tensor:
    return _standardised(values, (2,))


def _by_size(values: Tensor) -> Tensor:
    return values / values.square().mean(dim=0, keepdim=True).sqrt()


def _standardised(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    variance, mean = torch.var_mean(values, dim=dims, correction=0, keepdim=True)
    return (values - mean) / variance.sqrt()


_NORMALISED: dict[str, Callable[[Tensor], Tensor]] = {
    "batch": _by_batch,
    "layer": _by_sample,
    "instance": _by_channel,
    "rms": _by_size,
}
