"""Modules that announce their methods: a generated subclass for each class of module, put on for a while."""

import copyreg
import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from torch import nn

__all__ = ["Enter", "announcing", "announcing_class", "class_like", "methods_of"]

Enter = Callable[[nn.Module, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
Announce = Callable[[str, Callable[..., Any]], Callable[..., Any]]

_TAPS: dict[int, Enter] = {}
"""Who is told of the methods of which module, by the module's identity."""

_OWN = frozenset(dir(nn.Module)) - {"forward"}
_CLASSES: dict[tuple[type[nn.Module], bool], type[nn.Module]] = {}


def announcing(module: nn.Module) -> Enter | None:
    """Who is told of this module's methods at present."""
    return _TAPS.get(id(module))


def announcing_class(module: nn.Module) -> type[nn.Module]:
    """A subclass of the module's class, of the same name, whose methods go through whoever is told of them.

    Copies and pickles of an instance are of the plain class. Where the instance has a `forward` of its own, its call is
    announced in place of the method.
    """
    kind, by_call = type(module), "forward" in module.__dict__
    if (kind, by_call) not in _CLASSES:
        space = methods_of(kind, _announced, by_call=by_call)
        _CLASSES[kind, by_call] = class_like(
            kind, space | {"__reduce_ex__": _plain_reduction(kind)}
        )
    return _CLASSES[kind, by_call]


def class_like(kind: type[nn.Module], space: dict[str, Any]) -> type[nn.Module]:
    """A subclass of the same name and metaclass, of which no `__init_subclass__` hears."""
    metaclass: Any = type(kind)
    named = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    made: type[nn.Module] = metaclass(kind.__name__, (nn.Module,), named | space)
    if kind is not nn.Module:
        made.__bases__ = (kind,)
    return made


def methods_of(
    kind: type[nn.Module], announce: Announce, *, by_call: bool
) -> dict[str, Callable[..., Any]]:
    """Every method of a class by which a signal may come through it, announced; `__call__` in place of `forward`."""
    space: dict[str, Callable[..., Any]] = {}
    for ancestor in reversed(kind.__mro__):
        if ancestor is object or ancestor is nn.Module:
            continue
        for name, value in vars(ancestor).items():
            if name == "forward" or _is_method(ancestor, name, value):
                space[name] = announce(name, value)
    if by_call:
        space["__call__"] = announce("forward", kind.__call__)
    return space


def _plain_reduction(kind: type[nn.Module]) -> Callable[[nn.Module, Any], Any]:
    def reduce(self: nn.Module, protocol: Any) -> Any:
        reduced = kind.__reduce_ex__(self, protocol)
        if isinstance(reduced, str) or reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
            return reduced
        return (_plain, (kind,), *reduced[2:])

    return reduce


def _plain(kind: type[nn.Module]) -> nn.Module:
    return kind.__new__(kind)


def _is_method(owner: type, name: str, value: Any) -> bool:
    ours = isinstance(value, FunctionType) and name not in _OWN and not name.startswith("__")
    built_in = owner.__module__.startswith("torch.nn.") and name != "forward"
    return ours and not built_in and not inspect.isgeneratorfunction(value)


def _announced(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def method(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        enter = _TAPS.get(id(self))
        if enter is None:
            return function(self, *args, **kwargs)
        return enter(self, name, function, args, kwargs)

    return method
