"""What the numbers of `activation` mean, and how the accounts of all sites become arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from skipnorm.anatomy.sites import Site
from skipnorm.evidence.schema import Quantity
from skipnorm.probes.activation.gains import GainTally
from skipnorm.probes.activation.tally import ActivationTally

__all__ = ["DISABLED", "QUANTILES", "QUANTITIES", "labels", "site_values"]

DISABLED = 0.01
"""A norm's unit is disabled where its gain is smaller than this (Frankle et al. 2021)."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_UNIT, _SITE = ("site", "unit"), ("site",)
_FRANKLE = "Frankle, Schwab & Morcos 2021, section 5"

_OF_UNITS = {
    "on_fraction": ("how often the input is above 0", "definition"),
    "dead_fraction": ("1 where the input is never above 0", "Lu et al. 2019, dying ReLU"),
    "always_on_fraction": ("1 where the input is always above 0", "definition"),
    "co_activation": (
        "how often the inputs of two different samples are both above 0",
        "Balduzzi et al. 2017, section 3",
    ),
    "saturated_fraction": (
        "how often |phi'| is below a tenth of its largest value",
        "Glorot & Bengio 2010, section 3",
    ),
    "nonlinearity": (
        "1 - R^2 of the best affine fit of output on input; 0: acts as a straight line",
        "derived from Stein 1981",
    ),
    "still_fraction": ("1 where the output never changes", "definition"),
}
_LEFT_OUT = ("nonlinearity",)  # undefined for a unit that stands still

QUANTITIES = (
    *(
        Quantity(f"unit_{name.removesuffix('_fraction')}", _UNIT, "1", meaning, source)
        for name, (meaning, source) in _OF_UNITS.items()
    ),
    *(
        Quantity(name, _SITE, "1", f"mean over units: {meaning}", source)
        for name, (meaning, source) in _OF_UNITS.items()
    ),
    Quantity(
        "steepest_slope", _SITE, "1", "largest |phi'|, from which saturation counts", "definition"
    ),
    Quantity("unit_gain", _UNIT, "1", "what the norm multiplies the normalised unit by", _FRANKLE),
    Quantity("unit_shift", _UNIT, "1", "what the norm adds to it", _FRANKLE),
    Quantity("gain_size", _SITE, "1", "mean over units of |gain|", _FRANKLE),
    Quantity(
        "gain_size_quantile",
        ("site", "quantile"),
        "1",
        "so many units have a smaller |gain|",
        _FRANKLE,
    ),
    Quantity("disabled_fraction", _SITE, "1", "share of units with |gain| < 0.01", _FRANKLE),
    Quantity("shift_mean", _SITE, "1", "mean over units of the shift", _FRANKLE),
    Quantity("shift_size", _SITE, "1", "mean over units of |shift|", _FRANKLE),
    Quantity("units", _SITE, "units", "number of units", "definition"),
)


def labels(sites: Sequence[Site], units: Mapping[int, int]) -> dict[str, Any]:
    """The coordinates: sites that are activations or norms, and units up to the widest site's."""
    columns = {
        name: ("site", [getattr(site, name) for site in sites])
        for name in ("kind", "nature", "operation", "module", "index")
    }
    widest = max((units.get(site.index, 0) for site in sites), default=0)
    return {"site": [site.name for site in sites], "unit": list(range(widest)), **columns}


def site_values(
    sites: Sequence[Site],
    coords: Mapping[str, Any],
    activations: Mapping[int, ActivationTally],
    gains: Mapping[int, GainTally],
) -> dict[str, Tensor]:
    """Every quantity as an array; NaN where a site has no such thing, or no such unit."""
    sizes = {"site": len(sites), "unit": len(coords["unit"]), "quantile": len(QUANTILES)}
    values = {
        each.name: torch.full([sizes[dim] for dim in each.dims], torch.nan, dtype=torch.float64)
        for each in QUANTITIES
    }
    for row, site in enumerate(sites):
        if site.index in activations:
            _activation(values, row, activations[site.index])
        elif site.index in gains:
            _norm(values, row, gains[site.index].found())
    return values


def _activation(values: Mapping[str, Tensor], row: int, tally: ActivationTally) -> None:
    found = tally.by_unit()
    for name, numbers in found.items():
        values[f"unit_{name.removesuffix('_fraction')}"][row, : len(numbers)] = numbers
        moving = numbers[found["still_fraction"] != 1] if name in _LEFT_OUT else numbers
        values[name][row] = moving.mean()
    values["steepest_slope"][row] = tally.steepest_slope()
    values["units"][row] = tally.units


def _norm(values: Mapping[str, Tensor], row: int, found: tuple[Tensor, Tensor] | None) -> None:
    if found is None:
        return
    gain, shift = found
    size = gain.abs()
    values["unit_gain"][row, : len(gain)] = gain
    values["unit_shift"][row, : len(gain)] = shift
    values["gain_size"][row] = size.mean()
    values["gain_size_quantile"][row] = torch.quantile(
        size.cpu(), torch.tensor(QUANTILES, dtype=torch.float64)
    )
    disabled = torch.where(size.isnan(), torch.nan, (size < DISABLED).double())
    values["disabled_fraction"][row] = disabled.mean()
    values["shift_mean"][row], values["shift_size"][row] = shift.mean(), shift.abs().mean()
    values["units"][row] = len(gain)
