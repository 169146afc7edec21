"""Norms swapped for other norms, for the fixed map that they started as, or for nothing."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from skipnorm.anatomy.alter import Occasion
from skipnorm.anatomy.channels import channel_dimension
from skipnorm.anatomy.sites import Norm, Site
from skipnorm.errors import SurgeryError, nearest
from skipnorm.surgery.channels import affine_of, channel_of, eps_of, fresh_norm
from skipnorm.surgery.operation import OfNorms
from skipnorm.surgery.patient import Patient, Place, Signal

__all__ = ["Static", "SwapNorm"]

To = Literal["batch", "layer", "group", "instance", "rms", "none", "static"]


@dataclass(frozen=True, kw_only=True, repr=False)
class SwapNorm(OfNorms):
    """Put another norm in the place of each norm, or none at all.

    - `batch`, `layer`, `group`, `instance`, `rms`: with scale and shift per channel taken over from the old one where
      it had such and is a module (a call in other code leaves 1 and 0), and its eps. A norm of that kind already is put
      in its own place, bit for bit.
    - `none`: nothing stays, neither statistics nor scale and shift.
    - `static`: the affine map that the statistics give now, frozen (Page 2019): mean and variance become buffers, scale
      and shift stay parameters. A batch norm in evaluation mode gives its running statistics, any other norm those
      of the inputs that `operate` is given, averaged over samples, positions and, where it runs several times, runs.

    Args:
        where, expect: which norms; see `Operation`.
        to: what to put there.
        groups: of `group`; by default 32, or the largest smaller number that divides the channels.
        affine: whether the new norm has a scale and a shift.

    Raises:
        SurgeryError: an unknown kind, groups that do not divide the channels, an instance norm without positions.
    """

    to: To
    groups: int | None = None
    affine: bool = True

    def __post_init__(self) -> None:
        """Refuse a kind of norm that there is not."""
        super().__post_init__()
        if self.to not in get_args(To):
            raise SurgeryError(f"SwapNorm: {nearest(str(self.to), get_args(To))}")

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Put new modules in the places of the norms."""
        signals = patient.signals()
        read = patient.read(_statistics) if self.to == "static" else {}
        new, same = {}, {}
        for place in patient.places(sites):
            site = place.sites[0]
            if place.path is None and self._changes_nothing(site):
                same[site] = _as_it_was
                continue
            signal = signals[site.name, "input"]
            runs = [read[each.name, "input"] for each in place.sites if read]
            try:
                new[place] = self._module(patient, place, signal, _mean_of(runs))
            except SurgeryError as error:
                raise SurgeryError(f"{self} at {site.name}: {error}") from error
        patient.put(new)
        if same:
            patient.gate(same)

    def _changes_nothing(self, site: Site) -> bool:
        assert isinstance(site, Norm)
        return self.to == site.family and self.groups is None and self.affine

    def _module(
        self, patient: Patient, place: Place, signal: Signal, read: dict[str, Tensor]
    ) -> nn.Module:
        site = place.sites[0]
        assert isinstance(site, Norm)
        old = patient.module(site.module)
        if self.to == "none":
            return nn.Identity()
        if self._changes_nothing(site):
            return copy.deepcopy(old)
        affine = _scale_and_shift(old, site, signal, whole=place.path is not None)
        eps = eps_of(old)
        if self.to == "static":
            mean, variance = _frozen(old, site, read, signal)
            return Static(mean, variance, affine if self.affine else None, eps, channel_of(signal))
        module = fresh_norm(self.to, signal, groups=self.groups, eps=eps, affine=self.affine)
        if affine is not None and self.affine:
            _take_over(module, affine)
        return module


def _as_it_was(at: Occasion) -> Tensor:
    return at.original()


class Static(nn.Module):
    """A norm whose statistics stand still: `(x - mean) / sqrt(variance + eps) * weight + bias`, all per channel.

    >>> frozen = Static(torch.tensor([1.0]), torch.tensor([4.0]), None, eps=0.0, dim=1)
    >>> frozen(torch.tensor([[5.0]]))
    tensor([[2.]])
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        mean: Tensor,
        variance: Tensor,
        affine: tuple[Tensor, Tensor] | None,
        eps: float,
        dim: int,
    ) -> None:
        super().__init__()
        self.eps, self.dim = eps, dim
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", variance)
        self.weight = nn.Parameter(affine[0]) if affine else None
        self.bias = nn.Parameter(affine[1]) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """The affine map of the signal."""
        shape = [-1] + [1] * (x.dim() - 1 - self.dim)
        scale = torch.rsqrt(self.running_var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        moved = (x - self.running_mean.view(shape)) * scale.view(shape)
        return moved if self.bias is None else moved + self.bias.view(shape)

    def extra_repr(self) -> str:
        """What a printed network says of this layer."""
        return f"{self.running_mean.numel()}, eps={self.eps}"


def _scale_and_shift(
    old: nn.Module, site: Norm, signal: Signal, *, whole: bool
) -> tuple[Tensor, Tensor] | None:
    """Those of the old norm, per channel; ones and zeros where it had none that can be told."""
    features = signal.shape[channel_of(signal)]
    plain = (
        torch.ones(features, dtype=signal.dtype, device=signal.device),
        torch.zeros(features, dtype=signal.dtype, device=signal.device),
    )
    if not whole:
        return plain
    weight, bias = getattr(old, "weight", None), getattr(old, "bias", None)
    if type(old).__module__.startswith("torch.nn.") and site.family != "other":
        if weight is not None and weight.shape != (features,):
            return plain
        return (
            plain[0] if weight is None else weight.detach().clone(),
            plain[1] if bias is None else bias.detach().clone(),
        )
    return affine_of(old, site.family, signal) or plain


def _take_over(module: nn.Module, affine: tuple[Tensor, Tensor]) -> None:
    holder = module.norm if hasattr(module, "norm") else module
    with torch.no_grad():
        for name, value in zip(("weight", "bias"), affine, strict=True):
            given = getattr(holder, name, None)
            if isinstance(given, Tensor) and given.shape == value.shape:
                given.copy_(value)


def _statistics(tensor: Tensor, channels: int | None) -> dict[str, Tensor]:
    """Mean and variance per channel, of all, and of each channel within each sample."""
    dim = channel_dimension(tensor, channels)
    wide = tensor.detach().double()
    others = [each for each in range(wide.dim()) if each != dim]
    within = [each for each in others if each != 0] or [0]
    sample = list(range(1, wide.dim())) if dim != wide.dim() - 1 else [dim]
    return {
        "mean": wide.mean(others),
        "batch": wide.var(others, unbiased=False),
        "instance": _averaged(wide.var(within, unbiased=False, keepdim=True), dim),
        "layer_mean": wide.mean(sample).mean(),
        "layer": wide.var(sample, unbiased=False).mean(),
        "rms": wide.square().mean(sample).mean(),
    }


def _mean_of(runs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The statistics of a module that runs several times, each run counting the same."""
    keys = runs[0] if runs else ()
    return {key: torch.stack([run[key] for run in runs]).mean(0) for key in keys}


def _averaged(value: Tensor, dim: int) -> Tensor:
    return value.mean([each for each in range(value.dim()) if each != dim])


def _frozen(
    old: nn.Module, site: Norm, read: dict[str, Tensor], signal: Signal
) -> tuple[Tensor, Tensor]:
    """The mean and variance per channel that the norm uses now, as nearly as fixed ones can."""
    mean, variance = getattr(old, "running_mean", None), getattr(old, "running_var", None)
    if not old.training and isinstance(mean, Tensor) and isinstance(variance, Tensor):
        return mean.clone(), variance.clone()
    per_channel = torch.ones_like(read["mean"])
    both = {
        "batch": (read["mean"], read["batch"]),
        "instance": (read["mean"], read["instance"]),
        "rms": (0 * per_channel, read["rms"] * per_channel),
    }.get(site.family, (read["layer_mean"] * per_channel, read["layer"] * per_channel))
    return both[0].to(signal.dtype), both[1].to(signal.dtype)
