"""Which part of a tensor a slicing call takes: two parts that share no element never meet again."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from skipnorm.anatomy.node import Part
from skipnorm.anatomy.operations import SLICES, Operation

__all__ = ["part_of"]


def part_of(op: Operation, args: Sequence[Any], call: int, piece: int) -> Part | None:
    """The part that is the n-th result of a call, or None where the call takes the whole."""
    if op.name not in SLICES or op.in_place:
        return None
    return Part(call, piece, _spans(args) if op.name == "getitem" else ())


def _spans(args: Sequence[Any]) -> tuple[tuple[int, int, int], ...]:
    tensor, index = args[0], args[1] if isinstance(args[1], tuple) else (args[1],)
    if not isinstance(tensor, Tensor):
        return ()
    if Ellipsis in [each for each in index if each is Ellipsis or isinstance(each, slice | int)]:
        at = next(position for position, each in enumerate(index) if each is Ellipsis)
        rest = sum(each is not None for each in index[at + 1 :])
        taken = sum(each is not None for each in index[:at])
        fill = (slice(None),) * (tensor.dim() - taken - rest)
        index = (*index[:at], *fill, *index[at + 1 :])
    spans = []
    for each, size in zip((each for each in index if each is not None), tensor.shape, strict=False):
        if isinstance(each, slice):
            spans.append(each.indices(size))
        elif isinstance(each, int):
            spans.append((each % size, each % size + 1, 1))
        else:
            spans.append((0, size, 1))  # an index tensor may take anything
    return tuple(spans)
