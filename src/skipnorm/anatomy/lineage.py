"""Which tensor came from which: the nodes of all living tensors.

A node holds no tensor, and a tensor is known by its identity under a weak reference: so the memory of a forward
without gradients stays what it was.
"""

import weakref
from collections.abc import Iterable
from itertools import count

import torch

from skipnorm.anatomy.node import Node
from skipnorm.anatomy.tensors import memory_of

__all__ = ["Lineage"]


class Lineage:
    """The nodes of all living tensors, keyed by identity under weak references."""

    def __init__(self) -> None:
        self._nodes: dict[int, tuple[weakref.ref[torch.Tensor], Node]] = {}
        self._count = count()

    def __getitem__(self, tensor: torch.Tensor) -> Node | None:
        """The node of a tensor; none where it descends neither from the input nor from parameters."""
        entry = self._nodes.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    @property
    def empty(self) -> bool:
        """Whether nothing has been followed."""
        return not self._nodes

    def node(self, parents: Iterable[Node], *, signal: bool) -> Node:
        """A new node after these parents."""
        return Node(next(self._count), tuple(parents), signal=signal)

    def copy(self, node: Node) -> Node:
        """A node for another result of the operation that made this one."""
        return node.copy(next(self._count))

    def attach(self, tensor: torch.Tensor, node: Node) -> None:
        """Make the node that of the tensor."""
        key, nodes = id(tensor), self._nodes

        def forget(reference: weakref.ref[torch.Tensor]) -> None:
            entry = nodes.get(key)
            if entry is not None and entry[0] is reference:
                del nodes[key]

        nodes[key] = (weakref.ref(tensor, forget), node)

    def overwrite(self, tensor: torch.Tensor, node: Node) -> None:
        """The tensor was written into: so were all that share its memory."""
        self.attach(tensor, node)
        memory = memory_of(tensor)
        if memory is None:
            return
        for reference, old in list(self._nodes.values()):
            other = reference()
            if other is None or other is tensor or memory_of(other) != memory:
                continue
            renewed = self.node((old, node), signal=old.signal or node.signal)
            renewed.pointwise, renewed.channels = True, old.channels
            self.attach(other, renewed)
