"""The tap of a gate: it stands in the modules themselves, and watches no more than it must."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from skipnorm.anatomy.alter import Alteration, Edit
from skipnorm.anatomy.checkpoints import torch_prepared
from skipnorm.anatomy.frames import Call, Frame
from skipnorm.anatomy.sites import Address, Site

__all__ = ["GATES", "Gate", "Standing", "Watch"]

GATES = "_skipnorm_gates"
"""Where a module keeps the gates that stand in it, innermost first."""


class Standing(NamedTuple):
    """A gate in one module.

    Attributes:
        path: where in the network the module is.
        quiet: whether no site of the gate's is in it, nor in a module below it.
    """

    gate: "Gate"
    path: str
    quiet: bool


class Gate:
    """The edits of one operation, shared by the modules that it stands in."""

    def __init__(self, edits: Mapping[Address, tuple[Site, Edit]]) -> None:
        self._edits = dict(edits)
        self._tap: Watch | None = None

    @property
    def tap(self) -> "Watch":
        """What watches the calls; a copy of the network has one of its own."""
        if self._tap is None:
            self._tap = Watch(self._edits, self)
        return self._tap

    def __deepcopy__(self, memo: dict[int, Any]) -> "Gate":
        twin = memo[id(self)] = Gate(self._edits)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return Gate, (self._edits,)


class Watch(Alteration):
    """A tap that is told by the modules where in the network they are."""

    def __init__(self, edits: Mapping[Address, tuple[Site, Edit]], gate: Gate) -> None:
        super().__init__(edits)
        self._gate = gate
        self._quiet: dict[str, Frame] = {}

    def path_of(self, module: nn.Module) -> str:
        """Where a gated module stands in its network."""
        standings: tuple[Standing, ...] = module.__dict__[GATES]
        for standing in standings:
            if standing.gate is self._gate:
                return standing.path
        raise KeyError(module)

    def pass_by(
        self,
        module: nn.Module,
        path: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run a method of a module that holds no site: its calls are nobody else's, and nothing need watch them."""
        stack = self._stack
        frames = stack.frames
        if not frames or frames[-1].quiet:
            return function(module, *args, **kwargs)
        frame = self._quiet.get(path)
        if frame is None:
            frame = self._quiet[path] = Frame(Call(module, path, path), "", quiet=True)
        frames.append(frame)
        asleep = stack.entered and self._off()
        stack.entered = stack.entered and not asleep
        try:
            return function(module, *args, **kwargs)
        finally:
            if asleep:
                stack.entered = True
                torch._C._push_on_torch_function_stack(self)
            frames.pop()

    def _off(self) -> bool:
        """Take the mode from the top of torch's stack; whether it was there."""
        if not torch._C._len_torch_function_stack():
            return False
        top = torch._C._pop_torch_function_stack()
        if top is not self:
            torch._C._push_on_torch_function_stack(top)
        return top is self

    def _run(
        self,
        frame: Frame,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if self._stack.entered:
            return super()._run(frame, function, args, kwargs)
        with torch_prepared():
            return super()._run(frame, function, args, kwargs)
