"""Norms moved to the other side of the activation beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from skipnorm.anatomy.alter import Edit, Occasion
from skipnorm.anatomy.sites import Activation, Norm, Site
from skipnorm.errors import SurgeryError, nearest
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient
from skipnorm.surgery.wiring import pairs_of

__all__ = ["MoveNorm"]

_SIDES = ("after_activation", "before_activation")


@dataclass(frozen=True, kw_only=True, repr=False)
class MoveNorm(Operation):
    """Let each norm act on the other side of the activation that stands directly beside it.

    `after_activation` turns norm-activation into activation-norm, `before_activation` the reverse. The norm keeps its
    parameters, statistics and keys. Applied twice it is an error: no norm stands on that side any more.

    Args:
        where, expect: which norms; see `Operation`.
        to: the side to move to.

    Raises:
        SurgeryError: an unknown side, or a norm that stands in another module's code or runs more than once.
    """

    to: Literal["before_activation", "after_activation"]
    changes: ClassVar[str] = "norms beside an activation"

    def __post_init__(self) -> None:
        """Refuse a side that there is not."""
        super().__post_init__()
        if self.to not in _SIDES:
            raise SurgeryError(f"MoveNorm: to: {nearest(str(self.to), _SIDES)}")

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """The norms with an activation directly on the side to move to."""
        return [norm for norm, _ in self._pairs(patient)]

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Let the norm's place pass its signal on, and the activation's place do both."""
        first = "norm" if self.to == "before_activation" else "activation"
        gated: dict[Site, Edit] = {}
        for norm, activation in self._pairs(patient):
            if norm not in sites:
                continue
            runs = [site for site in patient.anatomy.sites if site.module == norm.module]
            if not patient.is_module(norm) or len(runs) > 1:
                raise SurgeryError(
                    f"{self} at {norm.name}: expected a norm that is a module of its own and runs once, found "
                    + (f"{len(runs)} runs." if len(runs) > 1 else f"a call of {norm.operation}.")
                )
            moved = patient.module(norm.module)
            patient.replace(norm.module, _Passing(moved))
            if _alone(patient, activation):
                both = _Both(patient.module(activation.module), moved, first)
                patient.replace(activation.module, both)
            else:
                gated[activation] = _Beside(patient.hold(activation, "norm", _Held(moved)), first)
        if gated:
            patient.gate(gated)

    def _pairs(self, patient: Patient) -> list[tuple[Norm, Activation]]:
        found = []
        for one, two in pairs_of(patient):
            before, after = patient.anatomy.sites[one], patient.anatomy.sites[two]
            norm, activation = (before, after) if self.to == "after_activation" else (after, before)
            if isinstance(norm, Norm) and isinstance(activation, Activation):
                found.append((norm, activation))
        return found


def _alone(patient: Patient, activation: Site) -> bool:
    runs = [site for site in patient.anatomy.sites if site.module == activation.module]
    return patient.is_module(activation) and len(runs) == 1


def _adopt(module: nn.Module, other: nn.Module) -> None:
    """Let a module hold another's parameters and buffers under the same keys: the very same dictionaries."""
    module._parameters, module._buffers = other._parameters, other._buffers
    module._non_persistent_buffers_set = other._non_persistent_buffers_set


class _Passing(nn.Module):
    """Stands where a norm was and keeps its keys; the signal passes as it is."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        _adopt(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        return x


class _Unlisted:
    """A hook behind `state_dict`: what stands elsewhere under its own key is not listed a second time."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for key in [*state]:
            if key.startswith(tuple(f"{prefix}{name}." for name in self.names)):
                del state[key]


class _Held(nn.Module):
    """A norm whose parameters are listed where it stood before."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.register_state_dict_post_hook(_Unlisted("norm"))  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_Known("norm"))  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed


class _Both(nn.Module):
    """An activation and the norm that has moved to its other side."""

    def __init__(self, activation: nn.Module, norm: nn.Module, first: str) -> None:
        super().__init__()
        _adopt(self, activation)
        self.activation, self.norm, self.first = activation, norm, first
        names = ("activation", "norm")
        self.register_state_dict_post_hook(_Unlisted(*names))  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_Known(*names))  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.norm, self.activation
        one, two = (one, two) if self.first == "norm" else (two, one)
        result: Tensor = two(one(x))
        return result


class _Known:
    """A hook before loading: what is listed elsewhere is loaded there."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.names:
            for key, value in module.get_submodule(name).state_dict().items():
                state.setdefault(f"{prefix}{name}.{key}", value)


@dataclass(frozen=True)
class _Beside:
    """The edit of an activation that is a call in another module's code."""

    name: str
    first: str

    def __call__(self, at: Occasion) -> Tensor:
        norm = at.module.get_submodule(self.name)
        result: Tensor = at.call(norm(at["input"])) if self.first == "norm" else norm(at.original())
        return result
