"""Norms put in where there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from skipnorm.anatomy.alter import Occasion
from skipnorm.anatomy.sites import Address, Site, Skip
from skipnorm.errors import SurgeryError, nearest
from skipnorm.surgery.channels import Kind, fresh_norm
from skipnorm.surgery.loading import tolerate
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient, Signal
from skipnorm.surgery.wiring import calls_of, followers_of

__all__ = ["InsertNorm"]

_NAME = "inserted_norm"


@dataclass(frozen=True, kw_only=True, repr=False)
class InsertNorm(Operation):
    """Put a norm where none is: behind linear maps, or at the end of residual branches.

    `after="linear"` (the default) acts on modules that multiply one tensor by a weight and are not followed by a norm
    at once; `where` is then a glob over their paths. `after="branch"` acts on skips whose branch holds no norm since
    the skip before. The new norms have scale 1 and shift 0, and keys of their own.

    Args:
        where, expect: see `Operation`.
        to: the kind of norm, per channel as `SwapNorm` makes it.
        after: `linear` or `branch`.
        groups: of `group`; by default 32, or the largest smaller number that divides the channels.
        affine: whether the new norms have a scale and a shift.

    Raises:
        SurgeryError: an unknown kind or place, or a norm that such a signal cannot have.
    """

    to: Kind
    after: Literal["linear", "branch"] = "linear"
    groups: int | None = None
    affine: bool = True
    changes: ClassVar[str] = "places without a norm"

    def __post_init__(self) -> None:
        """Refuse a kind of norm or a place that there is not."""
        super().__post_init__()
        if self.to not in get_args(Kind):
            raise SurgeryError(f"InsertNorm: {nearest(str(self.to), get_args(Kind))}")
        if self.after not in ("linear", "branch"):
            raise SurgeryError(
                f"InsertNorm: after: {nearest(str(self.after), ('linear', 'branch'))}"
            )

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """Linear maps that no norm follows at once, or skips whose branch holds none."""
        if self.after == "branch":
            return _without_norm(patient)
        normed = {path for path, follower in followers_of(patient).items() if follower == "norm"}
        return [
            Site(
                name=path,
                module=path,
                operation=type(patient.module(path)).__name__,
                index=index,
                shape=call.output,
                address=Address(path, "forward", "", 1),
            )
            for index, (path, call) in enumerate(calls_of(patient).items())
            if _is_linear(patient.module(path)) and path not in normed
        ]

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Send the signal through new norms: by a hook behind a module, by a gate at a sum."""
        if self.after == "branch":
            signals = patient.signals(("branch",))
            edits = {}
            for site in sites:
                norm = self._norm(site, signals[site.name, "branch"])
                edits[site] = _NormedBranch(patient.hold(site, "norm", norm))
            patient.gate(edits)
            return
        calls = calls_of(patient)
        made = {}
        for site in sites:
            call, module = calls[site.module], patient.module(site.module)
            channels = 1 if isinstance(module, _ConvNd) else len(call.output) - 1
            signal = Signal(call.output, call.dtype, call.device, channels)
            made[site.module] = self._norm(site, signal)
        _behind(patient, made)

    def _norm(self, site: Site, signal: Signal) -> nn.Module:
        try:
            return fresh_norm(self.to, signal, groups=self.groups, affine=self.affine)
        except SurgeryError as error:
            raise SurgeryError(f"{self} at {site.name}: {error}") from error


def _behind(patient: Patient, norms: Mapping[str, nn.Module]) -> None:
    for path, norm in norms.items():
        module = patient.module(path)
        module.add_module(_NAME, norm.train(module.training))
        module.register_forward_hook(_through_norm)
        added = {f"{_NAME}.{key}": value for key, value in norm.state_dict().items()}
        tolerate(module, before={}, after=added)


def _through_norm(module: nn.Module, args: object, output: Tensor) -> Tensor:
    normed: Tensor = module.get_submodule(_NAME)(output)
    return normed


def _is_linear(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    leaf = not any(True for _ in module.children())
    return leaf and isinstance(weight, Tensor) and weight.dim() > 1 and not _is_table(module)


def _is_table(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding | nn.EmbeddingBag)


def _without_norm(patient: Patient) -> list[Site]:
    """The skips with no norm between the skip before and themselves."""
    found: list[Site] = []
    normed = False
    for site in patient.anatomy.sites:
        if isinstance(site, Skip):
            if not normed and site.merge == "add":
                found.append(site)
            normed = False
        normed = normed or site.kind == "norm"
    return found


@dataclass(frozen=True)
class _NormedBranch:
    """The edit that normalises the branch before it meets the shortcut."""

    name: str

    def __call__(self, at: Occasion) -> Tensor:
        assert isinstance(at.site, Skip)
        shortcuts = [part for place, part in enumerate(at.parts()) if place in at.site.shortcuts]
        normed = at.module.get_submodule(self.name)(at["branch"])
        return at.join([*shortcuts, normed])
