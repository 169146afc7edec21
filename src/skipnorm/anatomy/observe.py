"""A tap that follows the signal: it keeps the lineage of every tensor and reports each site as it is met."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.behaviour import behaviour
from skipnorm.anatomy.channels import channels_after, channels_of
from skipnorm.anatomy.descent import descend
from skipnorm.anatomy.frames import Call, Frame
from skipnorm.anatomy.lineage import Lineage
from skipnorm.anatomy.node import Gate, Node
from skipnorm.anatomy.operations import BOUNDED, LIKENESSES, Operation, Role
from skipnorm.anatomy.parts import part_of
from skipnorm.anatomy.preserve import Ledger
from skipnorm.anatomy.recognise import Finding, recognise
from skipnorm.anatomy.roots import Roots
from skipnorm.anatomy.sighting import Listener, Sighting, named_sites
from skipnorm.anatomy.sites import Address, Site
from skipnorm.anatomy.statistics import statistic_after
from skipnorm.anatomy.suspicion import Suspicions
from skipnorm.anatomy.taps import Tap
from skipnorm.anatomy.tensors import operands_of, tensors_in

__all__ = ["Observer"]


@dataclass
class _Opaque:
    sighting: Sighting
    parents: list[Node] = field(default_factory=list)


class Observer(Tap):
    """Follows the signal through a network and notes each site.

    Attributes:
        sightings: the sites met so far, in order of execution.
        listeners_error: what the listener raised, if it did: no fault of the network's.
    """

    straight = True

    def __init__(
        self, network: nn.Module, ledger: Ledger, listener: Listener | None = None
    ) -> None:
        super().__init__(network)
        self.lineage = Lineage()
        self.sightings: list[Sighting] = []
        self._ledger, self._listener = ledger, listener
        self._roots = Roots(self.lineage, listener)
        self.listeners_error: Exception | None = None
        self._blind = False
        self._opaque: dict[Call, _Opaque] = {}
        self._suspicions = Suspicions(ledger)
        self._leaves = {
            id(module): not any(True for _ in module.children()) for module in network.modules()
        }
        self._parameters = {id(parameter) for parameter in network.parameters()}

    def root(self, inputs: Any) -> None:
        """Everything that comes from these tensors' values is signal."""
        for tensor in tensors_in(inputs):
            if tensor.dtype is not torch.bool:
                node = self.lineage.node((), signal=True)
                node.floating = tensor.is_floating_point()
                self._roots.mark(node, tensor)
                self.lineage.attach(tensor, node)

    def on_enter(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Try a hand-written leaf module: one that behaves as a norm or an activation is one site."""
        call, module = frame.call, frame.call.module
        parents = [
            node
            for tensor in tensors_in((args, kwargs))
            if (node := self.lineage[tensor]) and node.signal
        ]
        if not parents or self._blind:
            return
        self._suspicions.called(call)
        if not self._leaves[id(module)] or type(module).__module__.startswith("torch.nn."):
            return
        self._blind = True
        try:
            found = behaviour(module, args, kwargs)
            if found is None:
                return
            source = next(operands_of(args, kwargs))
            finding = Finding(
                found.kind, type(module).__name__, {"input": lambda: source}, family=found.family
            )
            finding.source = self.lineage[source]
            address = Address(call.label, frame.method, "", 1)
            sighting = self._sight(
                finding, call, address, list(operands_of(args, kwargs)), leaf=True
            )
            self._opaque[call] = _Opaque(sighting, parents)
        finally:
            self._blind = call in self._opaque

    def on_exit(self, frame: Frame, result: Any) -> Any:
        """Close a leaf module that was one site."""
        opaque = self._opaque.pop(frame.call, None)
        if opaque is None:
            return result
        try:
            op = Operation(opaque.sighting.finding.operation, Role.NORM)
            node = self.lineage.node(opaque.parents, signal=True)
            node.transforms = True
            node.pointwise = opaque.sighting.finding.kind == "activation"
            if node.pointwise:
                node.gate_of = Gate(opaque.sighting.index, opaque.parents[0], bounded=False)
            node.channels = opaque.parents[0].channels
            return self._arrived(op, result, node, opaque.sighting, in_place=False)
        finally:
            self._blind = False

    def _inside_leaf(
        self, op: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], frame: Frame | None
    ) -> None:
        """A norm may hold an activation, such as that of a gate; an activation is one whatever it calls."""
        if frame is None or op.role is not Role.ACTIVATION or frame.call not in self._opaque:
            return
        finding = recognise(op, args, kwargs, self.lineage)
        if finding is not None and self._opaque[frame.call].sighting.finding.kind == "norm":
            operands = list(operands_of(args, kwargs))
            sighting = self._sight(finding, frame.call, frame.address(op.name), operands, leaf=True)
            sighting.gate = finding.source is not self._opaque[frame.call].sighting.finding.source
            sighting.shape = tuple(args[0].shape)

    def on_call(
        self,
        op: Operation,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out one torch call, note a site if it is one, and keep the lineage of what it returns."""
        frame = self.frame
        written = args[0] if op.in_place else kwargs.get("out")
        if isinstance(written, Tensor):
            self._ledger.before_write(written)
        if self._blind or frame is None:
            self._inside_leaf(op, args, kwargs, frame)
            return function(*args, **kwargs)
        address = frame.address(op.name)
        if self._listener is not None and written is None and op.role is not Role.SHAPE:
            args, kwargs = self._roots.rooted((args, kwargs))
        operands = list(operands_of(args, kwargs))
        operands = operands[:1] if op.name in LIKENESSES else operands
        nodes = [self.lineage[tensor] for tensor in operands]
        if op.role is Role.FRESH or not any(node and (node.signal or node.mask) for node in nodes):
            result = function(*args, **kwargs)
            self._constant(op, result, operands, nodes)
            return result
        finding = recognise(op, args, kwargs, self.lineage)
        node = descend(self.lineage, op, operands, nodes, finding, self._learned(frame))
        sighting = None
        if finding is not None and finding.kind:
            sighting = self._met(op, finding, node, address, operands, frame)
        elif op.role in (Role.SUM, Role.CONCAT) and finding is None:
            self._suspicions.summed(op, operands, nodes, frame.call)
        result = function(*args, **kwargs)
        if finding is not None:
            for index in finding.gates:
                self.sightings[index].gate = True
        if self._listener is not None and isinstance(result, Tensor) and not op.in_place:
            result = self._roots.adopted(result, operands, nodes)
        node.channels = channels_after(op, args, kwargs, result, nodes)
        node.statistic = statistic_after(op, args, kwargs, operands, nodes)
        in_place = isinstance(written, Tensor)
        target = written if in_place else result
        return self._arrived(
            op, target, node, sighting, in_place=in_place, returned=result, args=args
        )

    def _met(
        self,
        op: Operation,
        finding: Finding,
        node: Node,
        address: Address,
        operands: Sequence[Tensor],
        frame: Frame,
    ) -> Sighting:
        leaf = self._leaves[id(frame.call.module)]
        channels = channels_of(op, operands[0].dim()) if finding.kind == "norm" else None
        sighting = self._sight(finding, frame.call, address, operands, leaf=leaf, channels=channels)
        if finding.kind == "activation" and finding.source is not None:
            node.gate_of = Gate(sighting.index, finding.source, bounded=op.name in BOUNDED)
        return sighting

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites met, with their final names."""
        return named_sites(self.sightings)

    def notes(self) -> tuple[str, ...]:
        """What looked like a site but could not be seen to be one."""
        return self._suspicions.notes(self.sightings)

    def _sight(
        self,
        finding: Finding,
        call: Call,
        address: Address,
        operands: Sequence[Tensor],
        *,
        leaf: bool,
        channels: int | None = None,
    ) -> Sighting:
        call.named[finding.operation] += 1
        index, ordinal = len(self.sightings), call.named[finding.operation]
        sighting = Sighting(index, finding, call, address, ordinal, leaf, gate=finding.gate)
        self.sightings.append(sighting)
        if "input" in finding.ports:
            source = finding.ports["input"]()
            sighting.operand = next(at for at, each in enumerate(operands) if each is source)
        if self._listener is not None:
            self._show(sighting, channels)
        finding.ports = {}  # nothing may keep a tensor alive
        return sighting

    def _show(self, sighting: Sighting, channels: int | None) -> None:
        for port, value in sighting.finding.ports.items():
            tensor = value()
            node = self.lineage[tensor]
            if node is None:
                sighting.computed |= {port}
                node = next(iter(sighting.finding.parents), None)
            known = node.channels if node is not None else None
            self._say(sighting, port, tensor, known if channels is None else channels)

    def _tell(self, sighting: Sighting, port: str, tensor: Tensor) -> None:
        if self._listener is not None:
            node = self.lineage[tensor]
            self._say(sighting, port, tensor, node.channels if node else None)

    def _say(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        assert self._listener is not None
        try:
            self._listener.value(sighting, port, tensor, channels)
        except Exception as error:
            self.listeners_error = error
            raise

    def _learned(self, frame: Frame) -> set[int]:
        """The identities of what is a parameter, to the network or to the module at work."""
        own = frame.call.module._parameters
        if all(id(each) in self._parameters for each in own.values() if each is not None):
            return self._parameters
        return self._parameters | {id(each) for each in own.values()}  # as under functional_call

    def _constant(
        self, op: Operation, result: Any, operands: list[Tensor], nodes: list[Node | None]
    ) -> None:
        """Keep the lineage of what carries no signal: from parameters, or from nothing."""
        from_values = op.role is not Role.FRESH
        learned = from_values and any(isinstance(tensor, nn.Parameter) for tensor in operands)
        for tensor in tensors_in(result):
            if isinstance(tensor, nn.Parameter):
                continue
            node = self.lineage.node([each for each in nodes if each and from_values], signal=False)
            node.learned = node.learned or learned
            self.lineage.attach(tensor, node)

    def _arrived(
        self,
        op: Operation,
        target: Any,
        node: Node,
        sighting: Sighting | None,
        *,
        in_place: bool,
        returned: Any = None,
        args: tuple[Any, ...] = (),
    ) -> Any:
        tensors = list(tensors_in(target))
        for piece, tensor in enumerate(tensors):
            each = node if len(tensors) == 1 else self.lineage.copy(node)
            each.part = part_of(op, args, node.index, piece)
            if tensor.dtype is torch.bool:
                each = self.lineage.copy(node)
                each.signal, each.mask = False, True
            elif not (tensor.is_floating_point() or tensor.is_complex()):
                if any(parent.signal and parent.floating for parent in node.parents):
                    continue  # an index that was found from values carries none of them
                each.floating = False
            self._roots.mark(each, tensor)
            (self.lineage.overwrite if in_place else self.lineage.attach)(tensor, each)
        if sighting is not None and tensors:
            sighting.shape = tuple(tensors[0].shape)
            self._tell(sighting, "output", tensors[0])
        return target if returned is None and not in_place else returned
