"""Is this torch call a norm, an activation or a skip? Decided from the call and the lineage of its operands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from skipnorm.anatomy.kinship import Relation, common_ancestors, relate_all
from skipnorm.anatomy.lineage import Lineage
from skipnorm.anatomy.node import Node
from skipnorm.anatomy.operations import NORM_FAMILIES, Operation, Role, source_of
from skipnorm.anatomy.sites import Family
from skipnorm.anatomy.statistics import inline_family, is_normalised
from skipnorm.anatomy.terms import terms_of

__all__ = ["Finding", "recognise"]

_JOINS = {"hstack": 1, "vstack": 0, "dstack": 2, "column_stack": 1}
LARGEST_BOUND = 1e3  # a clamp beyond this guards against overflow and is no activation


@dataclass
class Finding:
    """What a torch call (or a leaf module's call) is, and where its values are to be read.

    Attributes:
        kind: `norm`, `activation`, `skip`, or empty where only the lineage has something to learn.
        ports: how to get the tensor at each port before the call is carried out.
        gates: the activations whose output this call multiplies with another signal.
        parents: the nodes of a sum's terms, where they are not the operands themselves.
        slots: where shortcut and branch lie in a concatenation: dimension, start and length of each.
    """

    kind: str
    operation: str
    ports: dict[str, Callable[[], Tensor]] = field(default_factory=dict)
    family: Family | None = None
    gate: bool = False
    shortcut: Literal["identity", "projection"] | None = None
    merge: Literal["add", "concat"] | None = None
    shortcuts: tuple[int, ...] = ()
    branch: int = -1
    ancestor: Node | None = None
    source: Node | None = None
    gates: tuple[int, ...] = ()
    parents: tuple[Node, ...] = ()
    slots: tuple[tuple[int, int, int], ...] = ()
    terms: tuple[int, tuple[Node | None, ...]] | None = None
    centred: bool = False

    def shares(self, gradient: Tensor, shapes: Sequence[torch.Size]) -> tuple[Tensor, ...]:
        """What of the gradient of a skip's output is that of its shortcut's term, and of its branch's."""
        if self.merge == "concat":
            return tuple(gradient.narrow(*slot) for slot in self.slots)
        return tuple(gradient.sum_to_size(shape) for shape in shapes)


def recognise(
    op: Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any], lineage: Lineage
) -> Finding | None:
    """What this call is; None where it is nothing to note."""
    source = source_of(op, args, kwargs)
    node = lineage[source] if source is not None else None
    signal = node is not None and node.signal
    if op.role is Role.NORM and signal:
        return _pointed("norm", op, source, node, family=NORM_FAMILIES[op.name])
    if op.role is Role.ACTIVATION and signal:
        return _pointed("activation", op, source, node, gate=op.name == "glu")
    if op.role is Role.SUM or op.name in ("sum", "mean"):
        return _sum(op, args, kwargs, lineage)
    if op.role is Role.CONCAT:
        return _concat(op, args, kwargs, lineage)
    if op.name == "stack":
        return _stack(args, kwargs, lineage)
    if op.name in ("mul", "multiply", "div", "truediv", "divide", "true_divide"):
        return _product(op, args, lineage)
    if op.name in ("clamp", "clip", "clamp_min") and signal and _is_rectifier(op, args, kwargs):
        return _pointed("activation", op, source, node)
    if op.name in ("maximum", "minimum", "fmax", "fmin", "where"):
        return _selection(op, args, kwargs, lineage)
    return None


def _pointed(
    kind: str, op: Operation, source: Tensor | None, node: Node | None, **details: Any
) -> Finding:
    assert source is not None
    return Finding(kind, op.name, {"input": lambda: source}, source=node, **details)


def _is_rectifier(op: Operation, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    low = kwargs.get("min", args[1] if len(args) > 1 else None)
    high = kwargs.get("max", args[2] if len(args) > 2 else None)
    bounds = [bound for bound in (low, high) if bound is not None]
    if not all(isinstance(bound, int | float) and abs(bound) <= LARGEST_BOUND for bound in bounds):
        return False
    return low == 0 or len(bounds) == 2


def _selection(
    op: Operation, args: Sequence[Any], kwargs: Mapping[str, Any], lineage: Lineage
) -> Finding | None:
    """`where(x > 0, x, a * x)` and `maximum(x, a * x)` are activations written by hand."""
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    nodes = [lineage[tensor] for tensor in tensors]
    if op.name == "where":
        if not nodes or nodes[0] is None or not nodes[0].mask:
            return None
        compared = {parent for parent in nodes[0].parents if parent.signal}
        for tensor, node in zip(tensors[1:], nodes[1:], strict=True):
            if node and node.signal and compared & set(node.unmixed_ancestors()):
                return _pointed("activation", op, tensor, node)
        return None
    signals = [
        (tensor, node) for tensor, node in zip(tensors, nodes, strict=True) if node and node.signal
    ]
    if len(tensors) == 2 and len(signals) == 1 and min(map(Tensor.numel, tensors)) == 1:
        return _pointed("activation", op, *signals[0])
    if len(signals) == 2:
        near = set(signals[0][1].unmixed_ancestors(3)) & set(signals[1][1].unmixed_ancestors(3))
        return _pointed("activation", op, *signals[0]) if near else None
    return None


def _product(op: Operation, args: Sequence[Any], lineage: Lineage) -> Finding | None:
    factors = [value for value in args[:2] if isinstance(value, Tensor)]
    nodes = [node for factor in factors if (node := lineage[factor]) is not None and node.signal]
    if len(nodes) != 2:
        return None
    normalised = is_normalised(op, nodes[0], nodes[1])
    if normalised is not None:
        signal, measure = normalised
        source = factors[nodes.index(signal)]
        return _pointed("norm", op, source, signal, family=inline_family(signal, measure))
    gates = _gates(nodes[0], nodes[1]) if op.name in ("mul", "multiply") else ()
    return Finding("", op.name, gates=gates) if gates else None


def _gates(first: Node, second: Node) -> tuple[int, ...]:
    """The activations among two factors that scale the other one.

    `x * sigmoid(x)` is no gate: both factors come pointwise from the same signal. Of two activations, such as those
    of an LSTM, the one that ends between 0 and 1 is the gate.
    """
    found = []
    for factor, other in ((first, second), (second, first)):
        gate, rival = factor.gate_of, other.gate_of
        if gate is None or (rival is not None and rival.bounded and not gate.bounded):
            continue
        meeting = next(common_ancestors(factor, other), None)
        feeds_other = meeting is not None and meeting.ancestor.gate_of is gate
        if not feeds_other and not set(gate.source.unmixed_ancestors()) & set(
            other.unmixed_ancestors()
        ):
            found.append(gate.number)
    return tuple(found)


def _sum(
    op: Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any], lineage: Lineage
) -> Finding | None:
    terms = terms_of(op, args, kwargs, lineage)
    if terms is None:
        return None
    signals = [node for node in terms.nodes if node is not None and node.signal]
    if len(signals) < 2:
        made = op.name not in ("add", "sub", "subtract", "rsub") and signals
        return Finding("", op.name, parents=tuple(signals)) if made else None
    centred = terms.difference and any(node.statistic for node in signals)
    noted = Finding("", op.name, parents=tuple(signals), centred=bool(centred))
    if all(value.numel() == 1 for value in (*args, *kwargs.values()) if isinstance(value, Tensor)):
        return noted  # a sum of losses joins no signals
    found = relate_all(terms.nodes, difference=terms.difference)
    if found is None:
        return noted
    return _skip(noted, found, terms.ports(found[0]), "add")


def _skip(
    noted: Finding,
    found: tuple[tuple[int, ...], int, Relation],
    ports: Mapping[str, Callable[[], Tensor]],
    merge: Literal["add", "concat"],
) -> Finding:
    noted.shortcuts, noted.branch, relation = found
    noted.kind, noted.merge, noted.shortcut = "skip", merge, relation.kind
    noted.ancestor, noted.ports = relation.ancestor, dict(ports)
    return noted


def _concat(
    op: Operation, args: Sequence[Any], kwargs: Mapping[str, Any], lineage: Lineage
) -> Finding | None:
    tensors = list(args[0] if args else kwargs.get("tensors", ()))
    nodes = [lineage[tensor] for tensor in tensors]
    found = relate_all(nodes, identity_only=True)
    if found is None:
        return None
    shortcut, branch = tensors[found[0][0]], tensors[found[1]]
    ports = {"shortcut": lambda: shortcut, "branch": lambda: branch}
    finding = _skip(Finding("", op.name), found, ports, "concat")
    given = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
    dim = _JOINS.get(op.name, given) % tensors[0].dim()
    starts = [
        sum(each.shape[dim] for each in tensors[:position]) for position in range(len(tensors))
    ]
    finding.slots = tuple(
        (dim, starts[position], tensors[position].shape[dim])
        for position in (finding.shortcuts[0], finding.branch)
    )
    return finding


def _stack(args: Sequence[Any], kwargs: Mapping[str, Any], lineage: Lineage) -> Finding | None:
    tensors = list(args[0] if args else kwargs.get("tensors", ()))
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    if not tensors:
        return None
    return Finding(
        "", "stack", terms=(dim % (tensors[0].dim() + 1), tuple(lineage[each] for each in tensors))
    )
