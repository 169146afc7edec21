"""Alterations that stay: modules whose class lets edits say what sites return, in this network and in every copy of it.

A gated module's class is a generated subclass of its own: same name, `isinstance` as before, same attributes and
keys. It rebuilds itself when it is copied or unpickled. A tap is entered by whichever gated method comes first, so the
alteration holds under every entry point and in what gradient checkpointing computes for a second time.
"""

import copyreg
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import fx, nn

from skipnorm.anatomy.alter import Edit
from skipnorm.anatomy.frames import SEPARATOR
from skipnorm.anatomy.sites import Address, Site
from skipnorm.anatomy.subclasses import class_like, methods_of
from skipnorm.anatomy.taps import tidy
from skipnorm.errors import SurgeryError
from skipnorm.surgery.watch import GATES, Gate, Standing

__all__ = ["become", "gate", "inherit", "is_gated", "plain_class"]

_PLAIN = "_skipnorm_plain"
_is_compiling = torch.compiler.is_compiling  # asked at every call of a module
_CLASSES: dict[tuple[type[nn.Module], int, bool], type[nn.Module]] = {}


def gate(network: nn.Module, edits: Mapping[Address, tuple[Site, Edit]], *, shared: bool) -> None:
    """Let `edits`, by address, say what their sites return in this network from now on.

    The modules that own the sites are gated with all that is in them, so that nobody else's calls are counted as
    theirs; and those that are gated already, so that an earlier operation is always the inner one.

    Args:
        network: the root, which is changed.
        edits: functions of an `Occasion`, values that can be pickled.
        shared: whether some module runs more than once in a pass: then every module is gated, to count the runs.
    """
    new = Gate(edits)
    owners = {_path_in(address.label) for address in edits}
    for path, module in list(network.named_modules()):
        path = tidy(path)
        if shared or GATES in module.__dict__ or any(_holds(owner, path) for owner in owners):
            quiet = not any(_holds(path, owner) for owner in owners)
            _put_on(module, Standing(new, path, quiet))


def is_gated(module: nn.Module) -> bool:
    """Whether an edit stands in this very module, or in one that it has in it."""
    return any(not standing.quiet for standing in module.__dict__.get(GATES, ()))


def inherit(old: nn.Module, new: nn.Module) -> None:
    """Let a module that takes the place of an ungated one keep its calls to itself, as that one did."""
    for standing in old.__dict__.get(GATES, ()):
        for path, module in new.named_modules():
            _put_on(module, Standing(standing.gate, _below(standing.path, path), quiet=True))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def plain_class(module: nn.Module) -> type[nn.Module]:
    """The class that the module was written as."""
    kind: type[nn.Module] = type(module).__dict__.get(_PLAIN, type(module))
    return kind


def become(module: nn.Module, kind: type[nn.Module]) -> None:
    """Make a module one of another class, with the gates that stand in it around that class's methods."""
    gates = module.__dict__.get(GATES, ())
    by_call = "forward" in module.__dict__
    module.__class__ = _gated_class(kind, len(gates), by_call=by_call) if gates else kind


def _path_in(label: str) -> str:
    return tidy(".".join(part.partition(SEPARATOR)[0] for part in label.split(".")))


def _holds(outer: str, inner: str) -> bool:
    """Whether the module at one path is, or has in it, the one at another."""
    return not outer or inner == outer or inner.startswith(f"{outer}.")


def _put_on(module: nn.Module, standing: Standing) -> None:
    gates = module.__dict__.get(GATES, ())
    module.__class__ = _gated_class(
        plain_class(module), len(gates) + 1, by_call="forward" in module.__dict__
    )
    module.__dict__[GATES] = (*gates, standing)


def _gated_class(plain: type[nn.Module], layers: int, *, by_call: bool) -> type[nn.Module]:
    """The class with so many gates around each method, the first of them innermost."""
    key = (plain, layers, by_call)
    if key not in _CLASSES:
        inner = plain if layers == 1 else _gated_class(plain, layers - 1, by_call=by_call)
        announce = functools.partial(_announced, layers - 1)
        reduction = {"__reduce_ex__": _reduction(plain, layers, by_call), _PLAIN: plain}
        methods: dict[str, Any] = methods_of(inner, announce, by_call=by_call)
        _CLASSES[key] = class_like(inner, methods | reduction)
    return _CLASSES[key]


def _announced(layer: int, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def method(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        gates: tuple[Standing, ...] | None = self.__dict__.get(GATES)
        if gates is None:  # not put together yet, as while it is unpickled
            return function(self, *args, **kwargs)
        standing = gates[layer]
        compiling = _is_compiling()
        if standing.quiet:
            if compiling:
                return function(self, *args, **kwargs)
            return standing.gate.tap.pass_by(self, standing.path, function, args, kwargs)
        if compiling or (not standing.gate.tap.inside and _is_traced(args, kwargs)):
            raise SurgeryError(
                f"expected {type(self).__name__} to be run, found it being compiled or traced, which would drop what "
                "was done to it. Run it eagerly; the operations that replace modules can be compiled."
            )
        return standing.gate.tap.enter(self, name, function, args, kwargs)

    return method


def _is_traced(args: Iterable[Any], kwargs: Mapping[str, Any]) -> bool:
    return _compiler_listens() or any(
        isinstance(each, fx.Proxy) for each in (*args, *kwargs.values())
    )


def _compiler_listens() -> bool:
    """Whether a frame that is entered now would be handed to torch's compiler."""
    if "torch._dynamo" not in sys.modules:
        return False
    return callable(torch._C._dynamo.eval_frame.get_eval_frame_callback())


def _reduction(plain: type[nn.Module], layers: int, by_call: bool) -> Callable[..., Any]:
    def reduce(self: nn.Module, protocol: Any) -> Any:
        reduced = plain.__reduce_ex__(self, protocol)
        if isinstance(reduced, str) or reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
            raise SurgeryError(
                f"expected {plain.__name__} to be copied as torch's modules are, found a reduction of its own, which "
                "would drop what was done to it. Operate after copying."
            )
        return (_regated, (plain, layers, by_call), *reduced[2:])

    return reduce


def _regated(plain: type[nn.Module], layers: int, by_call: bool) -> nn.Module:
    kind = _gated_class(plain, layers, by_call=by_call)
    return kind.__new__(kind)
