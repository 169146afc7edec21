"""One run of a network in which every torch call is noted: how a trace is taken."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.frames import Frame
from skipnorm.anatomy.observe import Observer
from skipnorm.anatomy.operations import Operation, Role
from skipnorm.anatomy.preserve import Ledger, untouched
from skipnorm.anatomy.sites import Anatomy
from skipnorm.anatomy.taps import tapped
from skipnorm.anatomy.tensors import fresh, operands_of, tensors_in
from skipnorm.audit.arguments import arguments_of
from skipnorm.audit.trace import Operand, Step, Trace

__all__ = ["traced"]


class _Tracer(Observer):
    """An observer that keeps every call, and no tensor."""

    def __init__(self, network: nn.Module, ledger: Ledger) -> None:
        super().__init__(network, ledger)
        self.steps: list[Step] = []

    def on_call(
        self,
        op: Operation,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out the call, and note what it took and what it made."""
        frame = self.frame
        if self._blind or frame is None:
            return super().on_call(op, function, args, kwargs)
        operands = tuple(map(self._operand, operands_of(args, kwargs)))
        named = {
            name: self._operand(value) if isinstance(value, Tensor) else value
            for name, value in arguments_of(function, args, kwargs).items()
        }
        step = Step(len(self.steps), op, frame.call, operands, named)
        known = len(self.sightings)
        result = super().on_call(op, function, args, kwargs)
        self._close(step, args[0] if op.in_place and args else result)
        step.sighting = self.sightings[known] if len(self.sightings) > known else None
        return result

    def on_exit(self, frame: Frame, result: Any) -> Any:
        """Note the call of a leaf module that was one site."""
        opaque = self._opaque.get(frame.call)
        result = super().on_exit(frame, result)
        if opaque is not None:
            shape = tuple(frame.inputs[0].shape) if _is_plain(frame.inputs) else ()
            operands = tuple(Operand(node, shape, None) for node in opaque.parents)
            role = Role.NORM if opaque.sighting.finding.kind == "norm" else Role.ACTIVATION
            op = Operation(opaque.sighting.finding.operation, role)
            step = Step(len(self.steps), op, frame.call, operands, {}, opaque=True)
            step.sighting = opaque.sighting
            self._close(step, result)
        return result

    def _close(self, step: Step, result: Any) -> None:
        tensors = list(tensors_in(result))
        step.results = tuple(node for each in tensors if (node := self.lineage[each]))
        step.shape = tuple(tensors[0].shape) if tensors else ()
        self.steps.append(step)

    def _operand(self, tensor: Tensor) -> Operand:
        parameter = tensor if isinstance(tensor, nn.Parameter) else None
        return Operand(self.lineage[tensor], tuple(tensor.shape), parameter)


def _is_plain(args: Sequence[Any]) -> bool:
    return len(args) == 1 and isinstance(args[0], Tensor)


def traced(
    network: nn.Module, anatomy: Anatomy, inputs: tuple[Any, ...], named: dict[str, Any]
) -> Trace:
    """The trace of one run of a network whose anatomy has been taken: that it runs is known."""
    with untouched(network) as ledger, torch.no_grad():
        tracer = _Tracer(network, ledger)
        for tensor in tensors_in((inputs, named)):
            ledger.keep(tensor)
        tracer.root((inputs, named))
        with tapped(tracer, network):
            outputs = network(*fresh(inputs), **fresh(named))
        returned = frozenset(node for each in tensors_in(outputs) if (node := tracer.lineage[each]))
        sites = tracer.sites
        for step in tracer.steps:
            if step.sighting is not None:
                step.site = sites[step.sighting.index]
    return Trace(network, anatomy, tracer.steps, returned)
