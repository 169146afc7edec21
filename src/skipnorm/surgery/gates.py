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

from skipnorm.anatomy.alter import Alteration, Edit
from skipnorm.anatomy.checkpoints import torch_prepared
from skipnorm.anatomy.sites import Address, Site
from skipnorm.anatomy.subclasses import class_like, methods_of
from skipnorm.anatomy.taps import tidy
from skipnorm.errors import SurgeryError

__all__ = ["Gate", "gate", "is_gated", "plain_class"]

_GATES = "_skipnorm_gates"
_PLAIN = "_skipnorm_plain"
_CLASSES: dict[tuple[type[nn.Module], int, bool], type[nn.Module]] = {}


class Gate:
    """The edits of one operation, shared by the modules that it stands in."""

    def __init__(self, edits: Mapping[Address, tuple[Site, Edit]]) -> None:
        self._edits = dict(edits)
        self._tap: _Standing | None = None

    @property
    def tap(self) -> "_Standing":
        """What watches the calls; a copy of the network has one of its own."""
        if self._tap is None:
            self._tap = _Standing(self._edits)
        return self._tap

    def __deepcopy__(self, memo: dict[int, Any]) -> "Gate":
        twin = memo[id(self)] = Gate(self._edits)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return Gate, (self._edits,)


class _Standing(Alteration):
    """A tap that stands in the modules themselves, which know where in the network they are."""

    def path_of(self, module: nn.Module) -> str:
        path: str = next(path for each, path in module.__dict__[_GATES] if each._tap is self)
        return path

    def _run(self, frame: Any, job: Callable[[], Any]) -> Any:
        if self._stack.entered:
            return super()._run(frame, job)
        with torch_prepared():
            return super()._run(frame, job)


def gate(network: nn.Module, edits: Mapping[Address, tuple[Site, Edit]], *, shared: bool) -> None:
    """Let `edits`, by address, say what their sites return in this network from now on.

    The modules that own the sites are gated with all that is in them, so that nobody else's calls are counted as
    theirs; and those that are gated already, so that an earlier operation is always the inner one.

    Args:
        network: the root, which is changed.
        edits: functions of an `Occasion`, values that can be pickled.
        shared: whether some module runs more than once in a pass: then every module is gated, to count the runs.
    """
    standing = Gate(edits)
    owners = {tidy(address.label) for address in edits}
    for path, module in list(network.named_modules()):
        path = tidy(path)
        inside = any(not owner or path == owner or path.startswith(f"{owner}.") for owner in owners)
        if shared or inside or is_gated(module):
            _put_on(module, standing, path)


def is_gated(module: nn.Module) -> bool:
    """Whether an edit stands in this very module (or in what it is part of)."""
    return _GATES in module.__dict__


def plain_class(module: nn.Module) -> type[nn.Module]:
    """The class that the module was written as."""
    kind: type[nn.Module] = type(module).__dict__.get(_PLAIN, type(module))
    return kind


def _put_on(module: nn.Module, standing: Gate, path: str) -> None:
    gates = module.__dict__.get(_GATES, ())
    module.__class__ = _gated_class(
        plain_class(module), len(gates) + 1, by_call="forward" in module.__dict__
    )
    module.__dict__[_GATES] = (*gates, (standing, path))


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
        gates = self.__dict__.get(_GATES)
        if gates is None:  # not put together yet, as while it is unpickled
            return function(self, *args, **kwargs)
        if _is_traced(args, kwargs):
            raise SurgeryError(
                f"expected {type(self).__name__} to be run, found it being compiled or traced, which would drop what "
                "was done to it. Run it eagerly; the operations that replace modules can be compiled."
            )
        return gates[layer][0].tap.enter(self, name, function, args, kwargs)

    return method


def _is_traced(args: Iterable[Any], kwargs: Mapping[str, Any]) -> bool:
    if torch.compiler.is_compiling() or _compiler_listens():
        return True
    return any(isinstance(each, fx.Proxy) for each in (*args, *kwargs.values()))


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
