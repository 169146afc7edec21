"""Weights standardised in each forward pass, which takes the place of a norm."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skipnorm.anatomy.alter import Occasion, altered
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sites import Activation, Site
from skipnorm.anatomy.tensors import fresh
from skipnorm.errors import SurgeryError
from skipnorm.formulas.quadrature import gaussian_mean
from skipnorm.networks.layers import (
    Standardized,
    StandardizedConv1d,
    StandardizedConv2d,
    StandardizedConv3d,
    StandardizedLinear,
)
from skipnorm.surgery.gates import become, plain_class
from skipnorm.surgery.loading import tolerate
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient
from skipnorm.surgery.roles import Standing, standings_of
from skipnorm.surgery.weights import site_of

__all__ = ["StandardizeWeights"]

_KINDS: dict[type[nn.Module], type[Standardized]] = {
    nn.Linear: StandardizedLinear,
    nn.Conv1d: StandardizedConv1d,
    nn.Conv2d: StandardizedConv2d,
    nn.Conv3d: StandardizedConv3d,
}


@dataclass(frozen=True, kw_only=True, repr=False)
class StandardizeWeights(Operation):
    """Standardise the weights of linear maps and convolutions in each forward pass, with a learned gain per output.

    `What_i = g_i * factor * (W_i - mean_i) / sqrt(fan_in * var_i)` for output unit i, g from 1. The factor makes up for
    the activation that the unit's input comes from: `1 / sqrt(Var phi(z))` for a standard Gaussian z, found by
    quadrature of the very function; 1 where a norm or anything else lies in front. So a unit keeps the variance
    that the signal had before the activation. Together with `SwapNorm(to="none")` and `ScaleSkips` the network
    is a normaliser-free one. The maps stay where they are under their keys and get a `gain`.

    Sites are modules, named by their paths; by default all but the head, which Brock et al. leave as it is. Twice is
    an error: they are standardised already.

    Source: Brock et al. 2021, equation 1 and section 4.1.

    Raises:
        SurgeryError: an output unit with a single input, whose weight less its mean is 0; a weight that is computed
            from others.
    """

    changes: ClassVar[str] = "maps that can be standardised"

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """The plain linear maps and convolutions that the inputs reach."""
        return [
            site_of(each, patient)
            for each in standings_of(patient).weights.values()
            if _plain_kind(patient.module(each.path)) is not None
            and (self.where != "*" or each.role != "head")
        ]

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Let the maps be of the class that standardises its weight."""
        for site in sites:
            self._refuse(patient.module(site.module), site)
        weights = standings_of(patient).weights
        factors = _factors(patient, [weights[site.module] for site in sites])
        for site, factor in zip(sites, factors, strict=True):
            module = patient.module(site.module)
            kind = _plain_kind(module)
            assert kind is not None
            before = dict(module.state_dict())
            become(module, _KINDS[kind])
            assert isinstance(module, Standardized)
            module.scaled_by(factor)
            tolerate(module, before=before, after=module.state_dict())

    def _refuse(self, module: nn.Module, site: Site) -> None:
        weight = module._parameters.get("weight")
        if weight is None:
            raise SurgeryError(
                f"{self} at {site.name}: expected a weight of its own, found one that is computed from others in each "
                "pass (weight_norm, a parametrisation). Remove that before operating."
            )
        if weight[0].numel() < 2:
            raise SurgeryError(
                f"{self} at {site.name}: expected units of two inputs or more, found weights of shape "
                f"{tuple(weight.shape)}: less their mean they are 0. Leave it out of `where`."
            )


def _plain_kind(module: nn.Module) -> type[nn.Module] | None:
    """Which of torch's own layers a module is, however it is gated; None for any other, and for a subclass."""
    kind = plain_class(module)
    return kind if kind in _KINDS and "forward" not in module.__dict__ else None


def _factors(patient: Patient, standings: Sequence[Standing]) -> list[float]:
    """For each weight what makes up for the activation in front of it."""
    wanted = [each.before if each.alone and not each.normed else frozenset() for each in standings]
    gains = _gains(patient, [patient.anatomy.sites[at] for at in frozenset().union(*wanted)])
    found = [{round(gains[at], 9) for at in each} for each in wanted]
    return [next(iter(each)) if len(each) == 1 else 1.0 for each in found]


def _gains(patient: Patient, sites: Sequence[Site]) -> dict[int, float]:
    """The variance-preserving gain of each activation, by its function as it is called; 1 for gates."""
    found = {site.index: 1.0 for site in sites}
    calls = []
    for site in sites:
        if isinstance(site, Activation) and site.gate:
            continue
        if site.address.operation:
            calls.append(site)
        else:  # a module that acts as one
            module = copy.deepcopy(patient.module(site.module)).double().cpu()
            found[site.index] = _gain(module, site)
    if calls:
        _listen(patient, calls, found)
    return found


def _listen(patient: Patient, sites: Sequence[Site], found: dict[int, float]) -> None:
    """One run in which each of these calls is made on Gaussian quadrature's nodes as well."""

    def edit(at: Occasion) -> Tensor:
        near = at["input"]
        found[at.site.index] = _gain(lambda z: at.call(z.to(near)), at.site)
        return at.original()

    edits = {site.name: edit for site in sites}
    listening = altered(patient.network, patient.anatomy, edits)
    with untouched(patient.network), torch.no_grad(), listening:
        patient.network(*fresh(patient.inputs), **fresh(patient.named))


def _gain(function: Callable[[Tensor], Tensor], site: Site) -> float:
    def phi(z: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            result = function(torch.from_numpy(z).clone())
        return result.detach().double().cpu().numpy()

    try:
        mean = gaussian_mean(phi)
        return 1 / math.sqrt(gaussian_mean(lambda z: (phi(z) - mean) ** 2))
    except Exception as error:
        raise SurgeryError(
            f"expected an activation that acts on every number alike at {site.name}, found {site.operation}, which "
            f"raised {type(error).__name__}: {error}. Leave the maps behind it out of `where`."
        ) from error
