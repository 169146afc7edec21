"""What is read of a network: how identically distributed its activations' inputs are, and what couples its samples.

torch is imported when a network is read; the network is left as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label
from skipnorm.inquiries.shift.readings import in_training, passed

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor, nn

    from skipnorm.probes.shift.null import Level

__all__ = ["READINGS", "alike", "by_depth", "coupling", "two_moments"]

UNITS = 16
"""So many units of each place are read, evenly spread."""

BATCHES = 4
"""The samples that are read go through in so many batches."""

DRAWS = 3
"""Reassignments by which the level of chance is estimated; units, places and seeds average over more."""

READINGS: Mapping[str, str] = {
    "batches": "of one batch to the other batches",
    "units": "of one unit to all units of the place together",
    "test": "of test data in use to training data in training",
    "gaussian": "of a standardised unit to the standard Gaussian",
}
_PLACE = ("block",)
_SD = "standard deviations"
_DISTANCES = tuple(
    quantity
    for name, meaning in READINGS.items()
    for quantity in (
        Quantity(
            f"apart_{name}", _PLACE, _SD, f"mean Wasserstein-1 distance {meaning}", "definition"
        ),
        Quantity(
            f"chance_{name}", _PLACE, _SD, f"what chance makes of it: {meaning}", "Good 2005, ch. 3"
        ),
    )
)
_TAILS = Quantity(
    "kurtosis_size", _PLACE, "1", "mean over units of |excess kurtosis|", "definition"
)
_ALIKE = (*_DISTANCES, _TAILS)
_BY_DEPTH = (
    Quantity(
        "depth_gaussian",
        ("layer",),
        _SD,
        "mean Wasserstein-1 distance of a standardised unit to the standard Gaussian",
        "definition",
    ),
    Quantity(
        "depth_kurtosis", ("layer",), "1", "mean over units of |excess kurtosis|", "definition"
    ),
    Quantity(
        "depth_units",
        ("layer",),
        _SD,
        "mean Wasserstein-1 distance of one unit to all units of the layer together",
        "definition",
    ),
)
_COUPLING = (
    Quantity(
        "coupled",
        (),
        "1",
        "how far the outputs of other samples move when one sample is replaced, over their spread",
        "definition",
    ),
    Quantity(
        "use_gap",
        (),
        "1",
        "how far outputs in training lie from those in use, over their spread",
        "definition",
    ),
)
_MOMENTS = tuple(
    Quantity(name, (), "1", meaning, "Ioffe & Szegedy 2015, algorithm 1")
    for name, meaning in {
        "mean_error": "largest |mean of a norm's output - shift| over |scale|",
        "variance_error": "largest |variance of a norm's output / scale^2 - var / (var + eps)|",
        "shape_error": "largest change that a norm makes to a unit's distance to its Gaussian",
    }.items()
)


def alike(network: nn.Module, batch: Any, task: Any) -> xr.Dataset:
    """Distances between batches, units, training and test data, and to the Gaussian, beside the level of chance.

    Training data go through in four batches in training mode, test data at once in evaluation mode: as the network
    meets them. Each distance is over the pooled standard deviation.
    """
    import torch

    from skipnorm.anatomy.preserve import untouched

    samples, _ = batch
    test, _ = task.full("test")
    with in_training(network), torch.no_grad():
        parts = [
            passed(network, {}, part, seed=number)
            for number, part in enumerate(samples.chunk(BATCHES))
        ]
    with untouched(network), torch.no_grad():
        network.eval()
        used = passed(network, {}, test[: len(samples)])
    columns: dict[str, list[float]] = {quantity.name: [] for quantity in _ALIKE}
    for place in used:
        found = _apart([_units(part[place]) for part in parts], _units(used[place]))
        for name, number in found.items():
            columns[name].append(number)
    return label(columns, _ALIKE, {"block": list(used)}, {"draws": str(DRAWS)})


def by_depth(networks: Sequence[nn.Module], batch: Any) -> xr.Dataset:
    """The shape of what enters every activation and how much units differ, mean over the networks."""
    import torch

    from skipnorm.formulas.distances import wasserstein_to_gaussian, wasserstein_to_pool
    from skipnorm.probes.shift.null import mean_of_varying, standardised

    samples, _ = batch
    table = []
    for network in networks:
        with in_training(network), torch.no_grad():
            seen = passed(network, {}, samples, every=True)
        rows = []
        for values in seen.values():
            units = values.T.double()
            shape = mean_of_varying(wasserstein_to_gaussian(standardised(units)), units)
            differ = wasserstein_to_pool(units).mean() / units.std(correction=0)
            rows.append([float(shape), _kurtosis(units), float(differ)])
        table.append(rows)
    means = np.mean(table, axis=0)
    columns = {quantity.name: means[:, at] for at, quantity in enumerate(_BY_DEPTH)}
    return label(columns, _BY_DEPTH, {"layer": list(range(1, len(means) + 1))}, {})


def coupling(network: nn.Module, batch: Any) -> xr.Dataset:
    """Whether a sample's answer depends on the other samples, and on whether the network is in training or in use."""
    import torch

    from skipnorm.anatomy.preserve import untouched

    samples = batch[0][:32]
    other = samples.clone()
    other[0] = -samples[0]
    with untouched(network), torch.no_grad():
        network.train()
        here, there = (network(each).double() for each in (samples, other))
    with untouched(network), torch.no_grad():
        network.eval()
        used = network(samples).double()
    values = {
        "coupled": _relative(there[1:] - here[1:], here[1:]),
        "use_gap": _relative(here - used, used),
    }
    return label(values, _COUPLING, {}, {"samples": "32"})


def two_moments(network: nn.Module, batch: Any) -> xr.Dataset:
    """What batch norm fixes exactly, and what it leaves alone: moments and shape at every norm, in double precision."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    from skipnorm.formulas.distances import wasserstein_to_gaussian
    from skipnorm.probes.shift.null import standardised

    double = copy.deepcopy(network).double().train()
    errors: dict[str, list[float]] = {quantity.name: [] for quantity in _MOMENTS}

    def look(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        (entered,) = args
        assert isinstance(module, _BatchNorm)
        variance = torch.var(entered, dim=0, correction=0)
        left, centre = torch.var_mean(output, dim=0, correction=0)
        expected = variance / (variance + module.eps)
        shapes = [wasserstein_to_gaussian(standardised(each.T)) for each in (entered, output)]
        errors["mean_error"].append(float(((centre - module.bias) / module.weight).abs().max()))
        errors["variance_error"].append(
            float((left / module.weight.square() - expected).abs().max())
        )
        errors["shape_error"].append(float((shapes[0] - shapes[1]).abs().max()))

    norms = [module for module in double.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.register_forward_hook(look)
    with torch.no_grad():
        double(batch[0].double())
    return label({name: max(found) for name, found in errors.items()}, _MOMENTS, {}, {})


def _apart(parts: Sequence[Tensor], used: Tensor) -> dict[str, float]:
    """All distances at one place; values come as (units, samples, 1), as the probe `identical` takes them."""
    import torch

    from skipnorm.formulas.distances import wasserstein_to_gaussian
    from skipnorm.probes.shift.null import (
        Chance,
        between_groups,
        between_units,
        gaussian_level,
        mean_of_varying,
        standardised,
    )

    chance = Chance(DRAWS, 0)
    pooled = torch.cat(list(parts), dim=1)
    single = pooled.squeeze(2)
    shape = float(mean_of_varying(wasserstein_to_gaussian(standardised(single)), single))
    levels: dict[str, Level] = {
        "batches": between_groups(parts, chance),
        "units": between_units(pooled, chance),
        "test": between_groups([pooled, used], chance),
        "gaussian": gaussian_level(shape, single, chance),
    }
    found = {f"apart_{name}": level.found for name, level in levels.items()}
    found |= {f"chance_{name}": level.null for name, level in levels.items()}
    return found | {"kurtosis_size": _kurtosis(single.double())}


def _units(values: Tensor) -> Tensor:
    chosen = np.linspace(0, values.shape[1] - 1, min(UNITS, values.shape[1])).round().astype(int)
    return values[:, chosen.tolist()].T.unsqueeze(2)


def _kurtosis(units: Tensor) -> float:
    from skipnorm.probes.shift.null import mean_of_varying, standardised

    excess = standardised(units).pow(4).mean(dim=1) - 3
    return float(mean_of_varying(excess.abs(), units))


def _relative(moved: Tensor, outputs: Tensor) -> float:
    spread = outputs - outputs.mean(dim=0)
    return float(moved.norm() / spread.norm())
