"""The tensors in what a network or a torch function is called with."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ["operands_of", "tensors_in"]


def tensors_in(value: Any, depth: int = 6) -> Iterable[Tensor]:
    """The tensors in nested lists, dicts, dataclasses and plain objects."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_in(each, depth - 1)
    elif depth and isinstance(value, list | tuple | set):
        for each in value:
            yield from tensors_in(each, depth - 1)
    elif depth and hasattr(value, "__dict__") and not isinstance(value, type | nn.Module):
        yield from tensors_in(vars(value), depth - 1)


def operands_of(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterable[Tensor]:
    """The tensors among the arguments of a torch function, those in a list included."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            for each in value:
                if isinstance(each, Tensor):
                    yield each
