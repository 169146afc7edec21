"""What a probe is: a function of what passes at a site, bound to its settings and to what its numbers mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from skipnorm.evidence.schema import Quantity

__all__ = ["PORTS", "Flow", "Numbers", "Place", "Port", "Probe"]

Port = Literal["input", "output", "shortcut", "branch"]
PORTS: tuple[Port, ...] = ("input", "output", "shortcut", "branch")

Place = tuple[int, Port]
"""A site, by its order of execution, and a port of it."""

Numbers = Mapping[str, Tensor | float]
"""What a probe finds at one place: by name of quantity, a scalar."""


@dataclass(frozen=True)
class Flow:
    """The gradient that reached the two ends of a skip, as seen from the ancestor that they share.

    Attributes:
        total: dE/d(ancestor), from the ordinary backward pass.
        shortcut: what of it arrived through the shortcut: a vector-Jacobian product of its own.
        branch: what of it arrived through the residual branch, likewise.
    """

    total: Tensor
    shortcut: Tensor
    branch: Tensor


@dataclass(frozen=True)
class Probe:
    """A measurement on a network at one instant.

    It says what to compute from the values at each site as they pass (`on_value`), from their gradients
    (`on_gradient`), or from the gradient at the two sides of a skip (`on_flow`). Each gets plain tensors and
    returns scalars; nothing else is kept. `on_gradient` also gets a dict that lives for one pass.

    Attributes:
        name: what it is called in the catalogue.
        version: raised whenever its numbers change, so that stored readings are not mixed up.
        quantities: what its numbers mean.
        on_value: from (values, channel dimension).
        on_gradient: from (gradient, channel dimension, memory).
        on_flow: from a Flow.
        settings: what its functions were bound to, for the record.
        cost: in the terms of the bare network, for the catalogue.
    """

    name: str
    version: int
    quantities: tuple[Quantity, ...]
    on_value: Callable[[Tensor, int], Numbers] | None = None
    on_gradient: Callable[[Tensor, int, dict[Any, Any]], Numbers] | None = None
    on_flow: Callable[[Flow], Numbers] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    cost: str = ""

    @property
    def needs_gradient(self) -> bool:
        """Whether a backward pass is needed."""
        return self.on_gradient is not None or self.on_flow is not None

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in sorted(self.settings.items()))
        return f"{self.name}@{self.version}({settings})"
