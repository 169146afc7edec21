"""So that a checkpoint of the original loads into the altered network, with `strict=True` too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

__all__ = ["refuse", "tolerate"]


@dataclass(frozen=True)
class _Tolerance:
    """A hook before loading: keys without use are passed over, and what is new keeps its value if it is not given."""

    gone: frozenset[str]
    new: frozenset[str]

    def __call__(
        self, module: nn.Module, state: dict[str, Any], prefix: str, *ignored: Any
    ) -> None:
        for key in self.gone:
            state.pop(prefix + key, None)
        mine = module.state_dict() if self.new else {}
        for key in self.new:
            given = state.get(prefix + key)
            if given is None or given.shape != mine[key].shape:
                state[prefix + key] = mine[key]


@dataclass(frozen=True)
class _Refusal:
    """A hook before loading: a checkpoint that holds what is no more cannot be loaded."""

    gone: frozenset[str]
    reason: str

    def __call__(self, module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        errors: list[str] = rest[-1]
        if any(prefix + key in state for key in self.gone):
            errors.append(f"{prefix}: {self.reason}")


def refuse(module: nn.Module, *, gone: Mapping[str, Tensor], reason: str) -> None:
    """Let no checkpoint be loaded that holds, for this module, any of these keys."""
    hook = _Refusal(frozenset(gone), reason)
    module.register_load_state_dict_pre_hook(hook)  # type: ignore[no-untyped-call]


def tolerate(
    module: nn.Module, *, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> None:
    """Let checkpoints be loaded that hold, for this module, the keys of `before` in place of those of `after`."""
    new = {
        key for key, value in after.items() if key not in before or before[key].shape != value.shape
    }
    gone = before.keys() - after.keys()
    if gone or new:
        hook = _Tolerance(frozenset(gone), frozenset(new))
        module.register_load_state_dict_pre_hook(hook)  # type: ignore[no-untyped-call]
