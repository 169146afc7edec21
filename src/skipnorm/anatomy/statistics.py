"""Inline norms betray themselves by their statistic: a mean square, variance or length, and its inverse root."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from skipnorm.anatomy.kinship import common_ancestors
from skipnorm.anatomy.node import Node, Statistic
from skipnorm.anatomy.operations import Operation, Role
from skipnorm.anatomy.sites import Family

__all__ = ["inline_family", "is_normalised", "statistic_after"]

_LENGTHS = frozenset("norm vector_norm linalg_vector_norm linalg_norm".split())
_MEASURES = frozenset("mean var std var_mean std_mean nanmean sum".split()) | _LENGTHS


def statistic_after(
    op: Operation,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    operands: Sequence[Tensor],
    nodes: Sequence[Node | None],
) -> Statistic | None:
    """What the result measures, if it measures the size of a signal."""
    signals = [
        (tensor, node) for tensor, node in zip(operands, nodes, strict=True) if node and node.signal
    ]
    if len(signals) != 1:
        return None
    tensor, node = signals[0]
    if op.name in _MEASURES:
        rooted = op.name in ("std", "std_mean") or op.name in _LENGTHS
        if node.statistic is not None:
            return node.statistic._replace(rooted=rooted or node.statistic.rooted)
        return Statistic(op.name, _dims(op, args, kwargs, tensor.dim()), tensor.dim(), rooted)
    old = node.statistic
    if old is None or op.role not in (Role.POINTWISE, Role.SHAPE, Role.SUM):
        return None
    if op.name == "sqrt":
        return old._replace(rooted=True)
    if op.name == "rsqrt":
        return old._replace(rooted=True, inverse=not old.inverse)
    if op.name in ("reciprocal", "rdiv") or (
        op.name in ("div", "truediv") and args[0] is not tensor
    ):
        return old._replace(inverse=not old.inverse)
    if op.name == "pow":
        exponent = kwargs.get("exponent", args[1] if len(args) > 1 else None)
        if exponent in (0.5, -0.5):
            return old._replace(rooted=True, inverse=old.inverse != (exponent < 0))
        return old._replace(inverse=not old.inverse) if exponent == -1 else None
    return old


def _dims(
    op: Operation, args: Sequence[Any], kwargs: Mapping[str, Any], rank: int
) -> tuple[int, ...]:
    positional = (
        args[2] if op.name in _LENGTHS and len(args) > 2 else args[1] if len(args) > 1 else None
    )
    chosen = kwargs.get("dim", kwargs.get("axis", positional))
    if op.name in _LENGTHS and "dim" not in kwargs and len(args) <= 2:
        chosen = None
    if isinstance(chosen, bool) or chosen is None:
        return tuple(range(rank))
    listed = chosen if isinstance(chosen, list | tuple) else [chosen]
    return tuple(int(dim) % rank for dim in listed)


def is_normalised(op: Operation, first: Node, second: Node) -> tuple[Node, Statistic] | None:
    """Which of two factors is the signal and which its own inverse size, if this product normalises."""
    product = op.name in ("mul", "multiply")
    pairs = ((first, second), (second, first)) if product else ((first, second),)
    for signal, size in pairs:
        measure = size.statistic
        if measure is None or not measure.rooted or measure.inverse != product:
            continue
        if (
            signal.statistic is not None
        ):  # one size against another, as in global response normalisation
            continue
        meeting = next(common_ancestors(signal, size), None)
        if meeting is not None and meeting.first.heaviest == meeting.second.heaviest == 0:
            return signal, measure
    return None


def inline_family(signal: Node, measure: Statistic) -> Family:
    """The family that the reduced dimensions and the centring tell."""
    if measure.measure in _LENGTHS:
        return "other"
    if 0 in measure.dims and measure.rank > 1:
        return "batch"
    if measure.rank == 4 and set(measure.dims) == {2, 3}:
        return "instance"
    return "layer" if signal.centred or measure.measure.startswith(("var", "std")) else "rms"
