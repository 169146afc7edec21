"""Concatenated ReLUs in the place of plain ones, and linear maps of twice the width behind them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sites import Activation, Site
from skipnorm.anatomy.tensors import fresh, mapped, tensors_in
from skipnorm.errors import SurgeryError
from skipnorm.networks.activations import CReLU
from skipnorm.surgery.channels import channel_of
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient
from skipnorm.surgery.roles import Standing, Standings

__all__ = ["mirrored_by", "refuse_bent"]

_WIDE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LOOSE = 2e3
"""By how many roundings (of the precision at work) a linear network may miss linearity."""


def mirrored_by(
    operation: Operation, patient: Patient, chosen: Mapping[str, Standing], standings: Standings
) -> frozenset[str]:
    """Make every ReLU in front of the chosen weights a concatenated one; the weights behind them, by path.

    Raises:
        SurgeryError: before anything is altered, where that cannot be done.
    """
    mirrored, plain = set(), set()
    for path, standing in chosen.items():
        if standing.before in standings.opposed and standing.alone:
            mirrored.add(path)
        elif standing.before:
            plain.add(path)
    relus = _relus(operation, patient, chosen, plain)
    for relu in relus:
        _refuse_takers(operation, relu, standings, chosen)
    for path in plain:
        _refuse_narrow(operation, patient, path)
    signals = patient.signals()
    patient.put(
        {
            place: CReLU(channel_of(signals[place.sites[0].name, "input"]))
            for place in patient.places(relus)
        }
    )
    for path in plain:
        _widen(patient.module(path))
    return frozenset(mirrored | plain)


def _relus(
    operation: Operation, patient: Patient, chosen: Mapping[str, Standing], plain: set[str]
) -> list[Site]:
    """The ReLUs in front of these weights, each of which must be all that its weight takes."""
    found: set[int] = set()
    for path in chosen:
        if path not in plain:
            continue
        sites = [patient.anatomy.sites[index] for index in sorted(chosen[path].before)]
        names = ", ".join(site.name for site in sites)
        wrong = [site for site in sites if site.operation.lower() != "relu"]
        if wrong or any(isinstance(site, Activation) and site.gate for site in sites):
            raise SurgeryError(
                f"{operation} at {path}: expected a ReLU in front, found {(wrong or sites)[0].operation} "
                f"at {(wrong or sites)[0].name}. Try another scheme, or choose weights behind ReLUs."
            )
        if len(sites) > 1 or not chosen[path].alone:
            raise SurgeryError(
                f"{operation} at {path}: expected one ReLU in front and nothing else, found {names} together with "
                "other signals. Leave it out of `where`, or CutSkips() first if that is what joins them."
            )
        found |= chosen[path].before
    return [patient.anatomy.sites[index] for index in sorted(found)]


def _refuse_takers(
    operation: Operation, relu: Site, standings: Standings, chosen: Mapping[str, Standing]
) -> None:
    """Whoever takes a ReLU's output must be widened: only chosen weights can be."""
    others = list(standings.others.get(relu.index, ()))
    others += [
        path
        for path, each in standings.weights.items()
        if relu.index in each.before and path not in chosen
    ]
    if others:
        raise SurgeryError(
            f"{operation} at {relu.name}: expected its output of shape {relu.shape} to go to chosen linear maps only, "
            f"which can be made twice as wide; found that it also goes to {', '.join(others)}. Take norms out with "
            "SwapNorm(to='none') and skips with CutSkips() first, or choose the weights there as well."
        )


def _refuse_narrow(operation: Operation, patient: Patient, path: str) -> None:
    module = patient.module(path)
    weight = module._parameters.get("weight")
    sharing = sum(
        each is weight for other in patient.network.modules() for each in other._parameters.values()
    )
    found = ""
    if not isinstance(module, _WIDE):
        found = f"a {type(module).__name__}"
    elif getattr(module, "groups", 1) > 1:
        found = f"a convolution in {module.groups} groups"
    elif sharing > 1:
        found = "a weight that several modules share"
    if found:
        raise SurgeryError(
            f"{operation} at {path}: expected a linear map or convolution that can be made twice as wide, found "
            f"{found}. Try another scheme."
        )


def _widen(module: nn.Module) -> None:
    """Twice as many inputs; what came from the ReLU's positive half keeps its weights until they are drawn."""
    assert isinstance(module, _WIDE)
    old = module.weight
    wide = torch.cat([old.detach(), torch.zeros_like(old)], dim=1)
    module.weight = nn.Parameter(wide, requires_grad=old.requires_grad)
    if isinstance(module, nn.Linear):
        module.in_features *= 2
    else:
        module.in_channels *= 2
    module.register_load_state_dict_pre_hook(_Widening())  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Widening:
    """A hook before loading: a weight from before stands in front of zeros, `[W, 0] crelu(x) = W relu(x)`."""

    def __call__(
        self, module: nn.Module, state: dict[str, Any], prefix: str, *ignored: Any
    ) -> None:
        given, key = state.get(f"{prefix}weight"), f"{prefix}weight"
        mine = module._parameters["weight"]
        assert mine is not None
        if isinstance(given, Tensor) and 2 * given.shape[1] == mine.shape[1]:
            state[key] = torch.cat([given, torch.zeros_like(given)], dim=1)


def refuse_bent(operation: Operation, patient: Patient) -> None:
    """Raise SurgeryError if a network without norms, of real inputs, is not linear (up to a constant)."""
    inputs = list(tensors_in((patient.inputs, patient.named)))
    if patient.anatomy.norms or not all(each.is_floating_point() for each in inputs):
        return
    generator = torch.Generator().manual_seed(0)

    def other(x: Tensor) -> Tensor:
        drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
        return drawn * x.std() if x.numel() > 1 else drawn

    one = (patient.inputs, patient.named)
    two = mapped(other, one)
    seconds = iter(tensors_in(two))
    both = mapped(lambda x: x + next(seconds), one)
    outputs = [_output(patient, *each) for each in (one, two, both, mapped(torch.zeros_like, one))]
    misfit = (outputs[0] + outputs[1] - outputs[2] - outputs[3]).abs().max()
    size = max(each.abs().max() for each in outputs)
    if not misfit <= _LOOSE * torch.finfo(outputs[0].dtype).eps * size:
        raise SurgeryError(
            f"{operation}: expected a network that is linear now, found one that misses it by "
            f"{float(misfit / size):.1%} ({patient.anatomy.summary}): something besides ReLUs bends the signal, such "
            "as max pooling, or the halves of a concatenated ReLU do not reach its weights in their order. Choose "
            "the weights to draw by `where`."
        )


def _output(patient: Patient, inputs: Any, named: Any) -> Tensor:
    with untouched(patient.network), torch.no_grad():
        torch.manual_seed(0)  # the same units drop out each time
        return next(tensors_in(patient.network(*fresh(inputs), **fresh(named)))).clone()
