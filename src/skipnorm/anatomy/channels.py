"""Which dimension of a tensor counts channels, followed through the operations that move dimensions about."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from skipnorm.anatomy.node import Node
from skipnorm.anatomy.operations import Operation, Role

__all__ = ["channel_dimension", "channels_after", "channels_of"]

_SECOND = ("conv", "batch_norm", "group_norm", "instance_norm")
_LAST = frozenset(
    "linear addmm embedding layer_norm rms_norm scaled_dot_product_attention multi_head_attention_forward".split()
)
_SWAPS = frozenset("transpose swapaxes swapdims".split())
_DIMENSIONS = ("dim0", "dim1", "axis0", "axis1")
_REFORMS = frozenset(
    "view reshape flatten unflatten squeeze unsqueeze select getitem ravel".split()
)


def channel_dimension(tensor: Tensor, known: int | None) -> int:
    """The dimension that counts channels: the known one, else the second of images and the last of all else."""
    if known is not None and 0 <= known < tensor.dim():
        return known
    return 1 if tensor.dim() >= 4 else tensor.dim() - 1


def channels_of(op: Operation, rank: int) -> int | None:
    """Where an operation that speaks of channels wants them, or None where it does not."""
    if op.name.startswith(_SECOND):
        return 1
    return rank - 1 if op.name in _LAST else None


def channels_after(
    op: Operation,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    result: Any,
    nodes: Sequence[Node | None],
) -> int | None:
    """Where the channels are after an operation, or None where that cannot be told."""
    if not isinstance(result, Tensor):
        pieces = result if isinstance(result, tuple | list) else ()
        result = next((piece for piece in pieces if isinstance(piece, Tensor)), None)
        if result is None:
            return None
    spoken = channels_of(op, result.dim())
    if spoken is not None:
        return spoken
    source = next(
        (
            (operand, node.channels)
            for operand, node in zip(_tensors(args, kwargs), nodes, strict=False)
            if node is not None
            and node.signal
            and node.channels is not None
            and node.channels < operand.dim()
        ),
        None,
    )
    if source is None:
        return None
    before, at = source[0], int(source[1] or 0)
    if op.name in _SWAPS:
        first, second = (int(dim) % before.dim() for dim in _given(args, kwargs, *_DIMENSIONS))
        return {first: second, second: first}.get(at, at)
    if op.name == "permute":
        dims: Sequence[int] = (
            kwargs["dims"] if "dims" in kwargs else args[1] if len(args) == 2 else args[1:]
        )
        order = [int(dim) % before.dim() for dim in dims]
        return order.index(at)
    if op.name in ("movedim", "moveaxis"):
        return _moved(before.dim(), *_given(args, kwargs, "source", "destination")).index(at)
    if op.name in ("t", "T", "mT", "mH", "adjoint"):
        return {before.dim() - 1: before.dim() - 2, before.dim() - 2: before.dim() - 1}.get(at, at)
    if op.name in _REFORMS or before.dim() != result.dim():
        return _reformed(before, at, result)
    if op.role is Role.MIXING and before.shape[at] != result.shape[at]:
        return None
    return at


def _tensors(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [each for each in value if isinstance(each, Tensor)]
    return found


def _given(args: Sequence[Any], kwargs: Mapping[str, Any], *names: str) -> list[Any]:
    """What a call was given besides its tensor: by position, then by these names."""
    positional = [value for value in args if not isinstance(value, Tensor)]
    return [*positional, *(kwargs[name] for name in names if name in kwargs)]


def _moved(rank: int, sources: Any, targets: Any) -> list[int]:
    """Which dimension stands at each place after `movedim`."""
    start = [
        int(dim) % rank for dim in (sources if isinstance(sources, list | tuple) else [sources])
    ]
    end = [int(dim) % rank for dim in (targets if isinstance(targets, list | tuple) else [targets])]
    rest = iter(dim for dim in range(rank) if dim not in start)
    return [start[end.index(place)] if place in end else next(rest) for place in range(rank)]


def _reformed(before: Tensor, at: int, result: Tensor) -> int | None:
    """The dimension of equal size with as many elements before it, or else behind it."""
    size, ahead, behind = (
        before.shape[at],
        before.shape[:at].numel(),
        before.shape[at + 1 :].numel(),
    )
    candidates = [dim for dim in range(result.dim()) if result.shape[dim] == size]
    for dim in candidates:
        if result.shape[:dim].numel() == ahead or result.shape[dim + 1 :].numel() == behind:
            return dim
    return candidates[0] if len(candidates) == 1 else None
