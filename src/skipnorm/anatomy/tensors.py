"""The tensors in what a network or a torch function is called with."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ["fresh", "mapped", "memory_of", "operands_of", "tensors_in"]


def tensors_in(value: Any, depth: int = 6) -> Iterator[Tensor]:
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


def mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same nested lists, tuples and dicts, made anew, with a function applied to the tensors in them."""
    if isinstance(value, Tensor):
        return function(value)
    if type(value) is dict:
        return {key: mapped(function, each) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(mapped(function, each) for each in value)
    return value


def fresh(value: Any) -> Any:
    """The same tensors in containers of their own, from which a network may take things out."""
    return mapped(lambda tensor: tensor, value)


def memory_of(tensor: Tensor) -> int | None:
    """What tells whether two tensors share memory; None where that cannot be told (wrappers of functorch)."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):
        return None


def operands_of(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors among the arguments of a torch function, those in a list included."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            for each in value:
                if isinstance(each, Tensor):
                    yield each
