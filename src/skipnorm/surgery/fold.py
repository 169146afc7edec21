"""Batch norms folded into the linear map before them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from skipnorm.anatomy.sites import Norm, Site
from skipnorm.errors import SurgeryError
from skipnorm.surgery.fixed import FixedBatchNorm
from skipnorm.surgery.loading import refuse
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient
from skipnorm.surgery.wiring import followers_of, pairs_behind

__all__ = ["FoldNorm"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


_UNFOLDED = (
    "expected weights with this norm folded in, found those of before. Load them before folding."
)


@dataclass(frozen=True, kw_only=True, repr=False)
class FoldNorm(Operation):
    """Fold each batch norm into the linear map before it, so that at inference it costs nothing.

    Exact (to rounding) in evaluation mode: `W' = W gamma / sqrt(var + eps)` per output channel and
    `b' = (b - mean) gamma / sqrt(var + eps) + beta`. Afterwards there is no norm to train. By default every norm that
    can be folded is; a norm that is named and cannot be is refused with the reason.

    Source: Jacob et al. 2018, section 3.2; the arithmetic is torch's own.

    Raises:
        SurgeryError: a norm in training mode or without running statistics; one that is no batch norm; one whose
            input does not come straight from a linear or convolution layer, or goes elsewhere too; a shared module.
    """

    changes: ClassVar[str] = "norms"

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """Every norm that can be folded; where some are named, every norm."""
        if self.where != "*":
            return patient.anatomy.norms
        before, followers = pairs_behind(patient), followers_of(patient)
        obstacles = {
            site: _obstacle(patient, site, before, followers) for site in patient.anatomy.norms
        }
        found = [site for site, obstacle in obstacles.items() if not obstacle]
        if obstacles and not found:
            listed = "; ".join(f"{site.name}: {why}" for site, why in [*obstacles.items()][:3])
            raise SurgeryError(f"{self}: expected a norm that can be folded, found {listed}")
        return found

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Alter the weights of the maps, and let the places of the norms pass their signals on."""
        before, followers = pairs_behind(patient), followers_of(patient)
        for site in sites:
            assert isinstance(site, Norm)
            obstacle = _obstacle(patient, site, before, followers)
            if obstacle:
                raise SurgeryError(
                    f"{self} at {site.name}: expected a batch norm that can be folded, found {obstacle}"
                )
        for site in sites:
            norm, passing = patient.module(site.module), nn.Identity()
            refuse(passing, gone=norm.state_dict(), reason=_UNFOLDED)
            _fold(patient.module(before[site.name]), norm)
            patient.replace(site.module, passing)


def _obstacle(
    patient: Patient, site: Norm, before: dict[str, str], followers: dict[str, str]
) -> str:
    """Why folding this norm would not be exact; empty if it would."""
    norm = patient.module(site.module)
    if site.family != "batch":
        return f"a {site.family} norm, whose statistics come from each input anew. Its scale could be folded forwards."
    if not isinstance(norm, _NormBase) or not patient.is_module(site):
        return f"a call of {site.operation} in the code of {site.module or 'the network'}."
    if norm.running_mean is None:
        return "one that keeps no running statistics."
    if norm.training and not isinstance(norm, FixedBatchNorm):
        return "one in training mode. Call network.eval() before operating, or FreezeStatistics() first."
    if sum(each.module == site.module for each in patient.anatomy.sites) > 1:
        return "one that runs more than once."
    path = before.get(site.name)
    if path is None:
        return "one whose input does not come straight from a linear or convolution layer that runs once."
    if followers.get(path) != "norm":
        return f"that what {path} returns goes elsewhere too."
    layer = patient.module(path)
    if not isinstance(layer, (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)):
        return f"a {type(layer).__name__} before it."
    if isinstance(layer, _TRANSPOSED) and layer.groups > 1:
        return "a transposed convolution in groups before it."
    weight = layer.weight
    sharing = sum(
        each is weight
        for module in patient.network.modules()
        for each in module._parameters.values()
    )
    return "a weight that several modules share." if sharing > 1 else ""


def _fold(layer: nn.Module, norm: nn.Module) -> None:
    assert isinstance(layer, (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED))
    assert isinstance(norm, _NormBase)
    mean, variance = norm.running_mean, norm.running_var
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    scale = torch.ones_like(variance) if norm.weight is None else norm.weight
    shift = torch.zeros_like(mean) if norm.bias is None else norm.bias
    if isinstance(layer, nn.Linear):
        layer.weight, layer.bias = fuse_linear_bn_weights(
            layer.weight, layer.bias, mean, variance, norm.eps, scale, shift
        )
        return
    layer.weight, layer.bias = fuse_conv_bn_weights(
        layer.weight,
        layer.bias,
        mean,
        variance,
        norm.eps,
        scale,
        shift,
        transpose=isinstance(layer, _TRANSPOSED),
    )
