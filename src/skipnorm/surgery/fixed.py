"""What a norm learns or remembers, frozen or taken away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from skipnorm.anatomy.sites import Norm, Site
from skipnorm.errors import SurgeryError
from skipnorm.surgery.channels import agree, eps_of, fresh_norm
from skipnorm.surgery.loading import tolerate
from skipnorm.surgery.operation import OfNorms, Operation
from skipnorm.surgery.patient import Patient, Signal

__all__ = ["FixedBatchNorm", "FreezeAffine", "FreezeStatistics", "RemoveAffine"]

_AFFINE = ("weight", "bias")
_OF_TORCH = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, kw_only=True, repr=False)
class FreezeAffine(OfNorms):
    """Let scale and shift of the norms stay as they are: they are trained no more. Twice is once.

    Raises:
        SurgeryError: a norm that stands in another module's code, whose parameters cannot be told apart; or one
            without scale and shift.
    """

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Switch the gradients of their parameters off."""
        found = {site.name: _own_parameters(self, patient, site) for site in sites}
        for parameters in found.values():
            for parameter in parameters:
                parameter.requires_grad_(False)


@dataclass(frozen=True, kw_only=True, repr=False)
class RemoveAffine(OfNorms):
    """Take scale and shift away from the norms: a scale of 1, a shift of 0, and no parameters.

    A norm of torch's own keeps its class and its statistics; another one gives way to torch's norm of its family. Where
    nothing was to remove, nothing changes.

    Raises:
        SurgeryError: a norm that stands in another module's code, or one that is none of torch's.
    """

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Remove the parameters, or the module that holds them."""
        signals = patient.signals()
        new = {}
        for place in patient.places(sites):
            site = place.sites[0]
            assert isinstance(site, Norm)
            if place.path is None:
                raise _inside_others_code(self, site)
            module, signal = patient.module(place.path), signals[site.name, "input"]
            if isinstance(module, _OF_TORCH):
                _without_affine(module)
            else:
                new[place] = self._plain(module, site, signal)
        patient.put(new)

    def _plain(self, module: nn.Module, site: Norm, signal: Signal) -> nn.Module:
        """Torch's norm of the family, if that is what the module is but for scale and shift."""
        if site.family != "other":
            groups = getattr(module, "num_groups", None)
            eps = eps_of(module)
            plain = fresh_norm(site.family, signal, groups=groups, eps=eps, affine=False)
            if agree(module, plain, site.family, signal):
                return plain
        raise SurgeryError(
            f"{self} at {site.name}: expected a norm that is one of torch's but for scale and shift, found a "
            f"{type(module).__name__}. Try SwapNorm(to=..., affine=False)."
        )


@dataclass(frozen=True, kw_only=True, repr=False)
class FreezeStatistics(OfNorms):
    """Let batch norms use their running statistics in training too, and never update them. Twice is once.

    In evaluation mode the outputs are the same, bit for bit. Only batch norms keep statistics.

    Raises:
        SurgeryError: a batch norm without running statistics, or one that stands in another module's code.
    """

    changes: ClassVar[str] = "batch norms"

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """Every batch norm."""
        return [site for site in patient.anatomy.norms if site.family == "batch"]

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Put norms whose statistics stand still in their places."""
        new: dict[str, nn.Module] = {}
        for site in sites:
            module = patient.module(site.module)
            if isinstance(module, FixedBatchNorm):
                continue
            if not isinstance(module, _NormBase) or not patient.is_module(site):
                raise _inside_others_code(self, site)
            if module.running_mean is None:
                raise SurgeryError(
                    f"{self} at {site.name}: expected running statistics, found a batch norm that keeps none "
                    "(track_running_stats=False). Try SwapNorm(to='static')."
                )
            new[site.module] = FixedBatchNorm(module)
        for path, fixed in new.items():
            patient.replace(path, fixed)


class FixedBatchNorm(_NormBase):
    """A batch norm that uses its running statistics in every mode and never updates them."""

    def __init__(self, norm: _NormBase) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        self._parameters, self._buffers = norm._parameters, norm._buffers

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of positions will do."""

    def forward(self, input: Tensor) -> Tensor:
        """The signal by its running statistics."""
        return functional.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=False,
            eps=self.eps,
        )


def _own_parameters(operation: Operation, patient: Patient, site: Site) -> list[nn.Parameter]:
    if not patient.is_module(site):
        raise _inside_others_code(operation, site)
    parameters = list(patient.module(site.module).parameters())
    if not parameters:
        raise SurgeryError(
            f"{operation} at {site.name}: expected a scale or a shift, found none. Leave this norm out of `where`."
        )
    return parameters


def _without_affine(module: nn.Module) -> None:
    before = dict(module.state_dict())
    for name in _AFFINE:
        if isinstance(getattr(module, name, None), nn.Parameter):
            module.register_parameter(name, None)
    for flag in ("affine", "elementwise_affine"):
        if hasattr(module, flag):
            setattr(module, flag, False)
    tolerate(module, before=before, after=module.state_dict())


def _inside_others_code(operation: Operation, site: Site) -> SurgeryError:
    return SurgeryError(
        f"{operation} at {site.name}: expected a norm that is a module of its own, found a call of {site.operation} in "
        f"the code of {site.module or 'the network'}. Try SwapNorm there."
    )
