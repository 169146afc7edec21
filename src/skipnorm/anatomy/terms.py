"""The terms of a sum, however it is written: `a + b`, `torch.add(a, b, alpha=2)`, `lerp`, `addcmul`, a summed stack."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skipnorm.anatomy.lineage import Lineage
from skipnorm.anatomy.node import Node
from skipnorm.anatomy.operations import Operation

__all__ = ["Terms", "terms_of"]


@dataclass(frozen=True)
class Terms:
    """The terms of a sum: their nodes, and how to compute each as it enters the sum."""

    nodes: tuple[Node | None, ...]
    values: tuple[Callable[[], Tensor], ...]
    difference: bool = False

    def ports(self, shortcuts: Sequence[int]) -> dict[str, Callable[[], Tensor]]:
        """The sum in two: what came by shortcuts, and everything else, which is the branch."""
        sides: dict[str, list[Callable[[], Tensor]]] = {"shortcut": [], "branch": []}
        for position, value in enumerate(self.values):
            sides["shortcut" if position in shortcuts else "branch"].append(value)
        return {port: _together(values) for port, values in sides.items()}


def _together(values: Sequence[Callable[[], Tensor]]) -> Callable[[], Tensor]:
    if len(values) == 1:
        return values[0]
    return lambda: functools.reduce(torch.add, (value() for value in values))


def terms_of(
    op: Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any], lineage: Lineage
) -> Terms | None:
    """The terms of a sum, with factors (`alpha`, the weight of a `lerp`) included."""
    if op.name in ("sum", "mean"):
        return _stacked_terms(op, args, kwargs, lineage)
    first = args[0] if args else kwargs.get("input")
    second = (
        args[1] if len(args) > 1 else kwargs.get("other", kwargs.get("end", kwargs.get("tensor1")))
    )
    if op.name == "lerp":
        return _lerp_terms(first, second, args[2] if len(args) > 2 else kwargs["weight"], lineage)
    if op.name.startswith("add") and op.name != "add":
        third = args[2] if len(args) > 2 else kwargs.get("tensor2", kwargs.get("mat2"))
        return _product_terms(op, first, second, third, kwargs, lineage)
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
        return None
    left, right = first, second
    if op.name == "rsub":
        left, right = right, left
    negative = op.name != "add"
    alpha = kwargs.get("alpha", 1)
    factor = -alpha if negative else alpha
    values = (lambda: left, (lambda: right) if factor == 1 else (lambda: right * factor))
    return Terms((lineage[left], lineage[right]), values, difference=negative or alpha < 0)


def _virtual(
    lineage: Lineage, parents: Sequence[Node | None], *, mixes: bool = False
) -> Node | None:
    known = [parent for parent in parents if parent is not None]
    if not any(parent.signal for parent in known):
        return None
    node = lineage.node(known, signal=True)
    node.pointwise, node.channels = not mixes, known[0].channels
    node.weighted = mixes and any(not parent.signal for parent in known)
    node.transforms = mixes and not node.weighted
    return node


def _lerp_terms(first: Any, second: Any, weight: Any, lineage: Lineage) -> Terms:
    gate = lineage[weight] if isinstance(weight, Tensor) else None
    nodes = tuple(_virtual(lineage, (lineage[end], gate)) for end in (first, second))
    return Terms(nodes, (lambda: first * (1 - weight), lambda: second * weight))


def _product_terms(
    op: Operation, first: Any, second: Any, third: Any, kwargs: Mapping[str, Any], lineage: Lineage
) -> Terms | None:
    if not all(isinstance(each, Tensor) for each in (first, second, third)):
        return None
    scale = kwargs.get("value", kwargs.get("alpha", 1))
    mixes = op.name != "addcmul"
    factors = [lineage[second], lineage[third]]
    if mixes and any(isinstance(each, torch.nn.Parameter) for each in (second, third)):
        learned = lineage.node((), signal=False)
        learned.learned = True
        factors.append(learned)
    beta = kwargs.get("beta", 1)

    def product() -> Any:
        return (second @ third if mixes else second * third) * scale

    return Terms(
        (lineage[first], _virtual(lineage, factors, mixes=mixes)),
        (lambda: first if beta == 1 else first * beta, product),
    )


def _stacked_terms(
    op: Operation, args: Sequence[Any], kwargs: Mapping[str, Any], lineage: Lineage
) -> Terms | None:
    stack = args[0] if args else kwargs.get("input")
    if not isinstance(stack, Tensor):
        return None
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    dim = dim[0] if isinstance(dim, list | tuple) and len(dim) == 1 else dim
    if not isinstance(dim, int) or not stack.dim():
        return None
    node, at = lineage[stack], dim % stack.dim()
    if lineage.empty:  # in a second run, of a site that is known to be a sum
        nodes: tuple[Node | None, ...] = (None,) * stack.shape[at]
    elif node is None or node.terms is None or node.terms[0] != at:
        return None
    else:
        nodes = node.terms[1]
    share = 1 / len(nodes) if op.name == "mean" else 1
    values = tuple(
        (lambda i=i: stack.select(at, i) if share == 1 else stack.select(at, i) * share)
        for i in range(len(nodes))
    )
    return Terms(nodes, values)
