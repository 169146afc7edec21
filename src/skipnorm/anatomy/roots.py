"""Where the gradient of a signal ends: at the input, and wherever a signal has no gradient to its name."""

import weakref
from typing import Any

import torch
from torch import Tensor

from skipnorm.anatomy.lineage import Lineage
from skipnorm.anatomy.node import Node
from skipnorm.anatomy.sighting import Listener
from skipnorm.anatomy.tensors import mapped, memory_of

__all__ = ["Roots"]


class Roots:
    """The tensors that stand in for signals without a gradient; without a listener there are none."""

    def __init__(self, lineage: Lineage, listener: Listener | None) -> None:
        self._lineage, self._listener = lineage, listener
        self._roots: dict[int, tuple[weakref.ref[Tensor], int, Tensor]] = {}

    def rooted(self, given: Any) -> Any:
        """Signals that have no gradient, such as one behind a `detach()`, give way to roots of the graph."""
        return mapped(self._with_gradient, given) if torch.is_grad_enabled() else given

    def _with_gradient(self, tensor: Tensor) -> Tensor:
        node = self._lineage[tensor]
        rootless = node is not None and node.signal and not tensor.requires_grad
        return self._stand_in(tensor) if rootless and tensor.is_floating_point() else tensor

    def _stand_in(self, tensor: Tensor) -> Tensor:
        """One root for one value, whoever asks."""
        version = tensor._version
        known = self._roots.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1] == version:
            return known[2]
        node = self._lineage[tensor]
        assert self._listener is not None
        assert node is not None
        root = self._listener.adopt(tensor)
        twin = self._lineage.copy(node)
        self.mark(twin, root)
        self._lineage.attach(root, twin)
        self._roots[id(tensor)] = (weakref.ref(tensor), version, root)
        return root

    def adopted(self, result: Tensor, operands: list[Tensor], nodes: list[Node | None]) -> Tensor:
        """Where the signal begins to be differentiable (an embedding, say), its gradient has its root."""
        if not result.is_floating_point() or not torch.is_grad_enabled():
            return result
        for tensor, node in zip(operands, nodes, strict=True):
            if node is not None and node.signal and tensor.requires_grad:
                return result
        if any(memory_of(each) == memory_of(result) is not None for each in operands):
            return result  # an alias must stay one
        assert self._listener is not None
        return self._listener.adopt(result)

    def mark(self, node: Node, tensor: Tensor) -> None:
        """Note where the value stands in autograd's graph, if the listener wants to know."""
        if self._listener is not None and self._listener.edges and tensor.requires_grad:
            node.edge = torch.autograd.graph.get_gradient_edge(tensor)
