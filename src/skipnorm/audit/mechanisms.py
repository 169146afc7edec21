"""The mechanisms by which norms and skips are said to help, one number each, and the band that theory gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.errors import SkipnormError
from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

__all__ = ["MECHANISMS", "Mechanism", "mechanisms"]


@dataclass(frozen=True)
class Mechanism:
    """One of the reasons that are given for norms and skips, as a number.

    Attributes:
        name: of the variable.
        title: for tables.
        meaning: one line.
        source: who gives this reason, and where the band comes from.
        low, high: the band within which training is expected to work.
        log: whether it is compared by ratios.
        factor: the smallest change that is spoken of: a ratio where `log`, else a difference.
        rises, falls: what is said when it leaves the other's value by more than that.
    """

    name: str
    title: str
    meaning: str
    source: str
    low: float
    high: float
    log: bool
    factor: float
    rises: str
    falls: str

    @property
    def quantity(self) -> Quantity:
        """As evidence has it."""
        return Quantity(self.name, (), "1", self.meaning, self.source)

    def within(self, value: float) -> bool:
        """Whether a value lies in the band."""
        return self.low <= value <= self.high

    def distance(self, mine: np.ndarray, other: np.ndarray) -> np.ndarray:
        """How far the second lies from the first, seed by seed, in units of the smallest change that matters."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.log:
                return np.asarray((np.log(other) - np.log(mine)) / math.log(self.factor))
            return np.asarray((other - mine) / self.factor)


MECHANISMS: tuple[Mechanism, ...] = (
    Mechanism(
        "signal_growth",
        "stability of the signal",
        "mean square before the last activation over that before the first",
        "He et al. 2015; De & Smith 2020; band: a total of 1000 either way",
        1e-3,
        1e3,
        True,
        10.0,
        "the signal grows more with depth",
        "the signal grows less with depth, or fades",
    ),
    Mechanism(
        "gradient_growth",
        "gradient flow",
        "mean square of the gradient before the first activation over that before the last",
        "He et al. 2016; Yang et al. 2019; band: a total of 1000 either way",
        1e-3,
        1e3,
        True,
        10.0,
        "the gradient grows more on its way back",
        "the gradient grows less on its way back, or fades",
    ),
    Mechanism(
        "sample_likeness",
        "what tells samples apart",
        "mean correlation of two samples before the last activation",
        "Poole et al. 2016; Schoenholz et al. 2017; band: below 0.95",
        -1.0,
        0.95,
        False,
        0.2,
        "samples become alike, so that the last layers cannot tell them apart",
        "samples become less alike",
    ),
    Mechanism(
        "gradient_likeness",
        "gradient correlation",
        "mean cosine between the gradients of samples before the first activation",
        "Balduzzi et al. 2017; no band is published for the cosine",
        -1.0,
        1.0,
        False,
        0.2,
        "gradients of different samples become alike",
        "gradients of different samples have less in common",
    ),
    Mechanism(
        "dead_units",
        "non-linearity: dead units",
        "share of rectified units that no sample of the batch switches on",
        "Lu et al. 2019; band: below a half",
        0.0,
        0.5,
        False,
        0.1,
        "more units are dead",
        "fewer units are dead",
    ),
    Mechanism(
        "nonlinearity",
        "non-linearity in use",
        "share of the activations' outputs that no line through their inputs explains",
        "Ioffe & Szegedy 2015; Balduzzi et al. 2017; band: above 0.001",
        1e-3,
        1.0,
        True,
        2.0,
        "activations bend the signal more",
        "activations work in their linear part",
    ),
    Mechanism(
        "gradient_kept",
        "internal covariate shift",
        "mean cosine between a layer's gradient before and after the layers below took a step of 0.01",
        "Santurkar et al. 2018, definition 2.1; no band",
        -1.0,
        1.0,
        False,
        0.2,
        "a layer's gradient depends less on the steps of the layers below",
        "a layer's gradient turns more when the layers below take a step",
    ),
    Mechanism(
        "roughness",
        "smoothness",
        "largest change of the gradient along itself, over the length of the step",
        "Santurkar et al. 2018, effective beta-smoothness; no band, it depends on the scale of the loss",
        0.0,
        math.inf,
        True,
        2.0,
        "the loss is rougher along the gradient",
        "the loss is smoother along the gradient",
    ),
)


def mechanisms(network: nn.Module, batch: Any, *, loss: Any = None) -> xr.Dataset:
    """One number for each mechanism, read on one batch; NaN where the network has no such thing.

    The sites that are compared are the activations, which no removal takes out.
    """
    values = {each.name: math.nan for each in MECHANISMS}
    for read in (_at_sites, _units, _kept, _along):
        try:
            values |= read(network, batch, loss)
        except SkipnormError:  # the network has no such thing, or it cannot be read there: NaN
            continue
    return label(values, [each.quantity for each in MECHANISMS], {}, {})


def _at_sites(network: nn.Module, batch: Any, loss: Any) -> Mapping[str, float]:
    from skipnorm.studies.measure import measure

    probes = ("moments", "gradient", "likeness")
    found = measure(network, batch, loss=loss, probes=probes)
    acts = found.sel(site=found["kind"] == "activation", port="input")
    if acts.sizes["site"] < 1:
        return {}
    signal, gradient = acts["mean_square"].values, acts["gradient_mean_square"].values
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "signal_growth": float(signal[-1] / signal[0]),
            "gradient_growth": float(gradient[0] / gradient[-1]),
            "sample_likeness": float(acts["sample_correlation"].values[-1]),
            "gradient_likeness": float(acts["gradient_cosine"].values[0]),
        }


def _units(network: nn.Module, batch: Any, loss: Any) -> Mapping[str, float]:
    from skipnorm.studies.verbs import activation

    found = activation(network, batch)
    acts = found.sel(site=found["kind"] == "activation")
    rectifies = ["relu" in str(word).lower() for word in acts["operation"].values]
    return {
        "nonlinearity": _mean(acts["nonlinearity"].values),
        "dead_units": _mean(acts["dead_fraction"].values[rectifies]),
    }


def _kept(network: nn.Module, batch: Any, loss: Any) -> Mapping[str, float]:
    from skipnorm.studies.verbs import shift_gradient

    found = shift_gradient(network, batch, loss=loss, step=0.01)
    return {"gradient_kept": _mean(found["gradient_shift_cosine"].values[1:])}


def _along(network: nn.Module, batch: Any, loss: Any) -> Mapping[str, float]:
    from skipnorm.studies.verbs import smoothness

    found = smoothness(network, batch, loss=loss)
    return {"roughness": float(found["effective_smoothness"])}


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan
