"""What was done to a network: printed with it, and the way back."""

import copy
from dataclasses import dataclass
from typing import Any

from torch import nn

from skipnorm.errors import SurgeryError
from skipnorm.surgery.operation import Operation

__all__ = ["Done", "operations_of", "original", "recorded"]

_RECORD = "_skipnorm_record"


@dataclass(frozen=True)
class Done:
    """One operation with the names of the sites that it altered."""

    operation: Operation
    sites: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(self.sites[:6]) + (", ..." if len(self.sites) > 6 else "")
        plural = "site" if len(self.sites) == 1 else "sites"
        return f"{self.operation}: {len(self.sites)} {plural} ({shown})"


@dataclass(frozen=True)
class _Record:
    """All that was done, first to last. Copies of a network share it; nobody changes the original."""

    done: tuple[Done, ...]
    original: nn.Module | None

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Record":
        return self


@dataclass
class _Description:
    """What a network prints of itself: as ever, and then what was done to it."""

    network: nn.Module

    def __call__(self) -> str:
        lines = [
            type(self.network).extra_repr(self.network),
            *map(str, operations_of(self.network)),
        ]
        return "\n".join(line for line in lines if line)


def operations_of(network: nn.Module) -> tuple[Done, ...]:
    """What was done to a network, first to last; nothing for one that was never operated.

    >>> operations_of(nn.ReLU())
    ()
    """
    record: _Record | None = vars(network).get(_RECORD)
    return record.done if record is not None else ()


def original(network: nn.Module) -> nn.Module:
    """A fresh copy of the network as it was before its first operation, with the weights that it had then.

    Raises:
        SurgeryError: the network was never operated, or without keeping the original.
    """
    record: _Record | None = vars(network).get(_RECORD)
    if record is None:
        raise SurgeryError(
            f"expected a network that came from operate(), found a {type(network).__name__} that was never operated."
        )
    if record.original is None:
        raise SurgeryError(
            "expected a network that remembers its original, found one made by operate(..., keep_original=False)."
        )
    return copy.deepcopy(record.original)


def recorded(network: nn.Module, done: Done, before: nn.Module | None) -> None:
    """Write into a network what was done to it; `before` is kept if it is the first time."""
    record: _Record | None = vars(network).get(_RECORD)
    if record is None:
        network.__dict__[_RECORD] = _Record((done,), before)
        network.__dict__["extra_repr"] = _Description(network)
    else:
        network.__dict__[_RECORD] = _Record((*record.done, done), record.original)
