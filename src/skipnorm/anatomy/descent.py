"""What one torch call did to the signal, written into the node of its result."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from torch import Tensor, nn

from skipnorm.anatomy.lineage import Lineage
from skipnorm.anatomy.node import Node
from skipnorm.anatomy.operations import Operation, Role
from skipnorm.anatomy.recognise import Finding

__all__ = ["descend"]


def descend(
    lineage: Lineage,
    op: Operation,
    operands: Sequence[Tensor],
    nodes: Sequence[Node | None],
    finding: Finding | None,
    learned: AbstractSet[int],
) -> Node:
    """The node of what a call returns. `learned` holds the identities of the tensors that are parameters."""
    known = [node for node in nodes if node is not None]
    parents = finding.parents if finding is not None and finding.parents else known
    node = lineage.node(parents, signal=any(parent.signal for parent in parents))
    signals = [each for each in known if each.signal]
    node.pointwise = op.role in (Role.POINTWISE, Role.SHAPE, Role.SUM, Role.ACTIVATION)
    looked_up = op.name == "getitem" and nodes[0] is not None and not nodes[0].signal
    if op.role is Role.MIXING or looked_up:
        node.weighted = _weighted(operands, nodes, learned)
        node.transforms = not node.weighted
        node.blend = op.role is Role.MIXING and len(signals) > 1
    elif op.role in (Role.NORM, Role.ACTIVATION, Role.REDUCTION):
        node.transforms = True
    if node.pointwise and len(signals) == 1:
        node.gate_of, node.centred = signals[0].gate_of, signals[0].centred
    if finding is not None:
        node.terms, node.centred = finding.terms, node.centred or finding.centred
    return node


def _weighted(
    operands: Sequence[Tensor], nodes: Sequence[Node | None], learned: AbstractSet[int]
) -> bool:
    """Whether features are mixed with a parameter, or with what was computed from parameters alone."""
    return any(
        id(tensor) in learned
        or isinstance(tensor, nn.Parameter)
        or (node is not None and node.learned)
        for tensor, node in zip(operands, nodes, strict=True)
        if node is None or not node.signal
    )
