"""Watching every torch call that a network makes, and knowing whose call it is.

Two things work together. A `TorchFunctionMode` sees each call. Frames say who made it: for as long as a network is
tapped, each of its modules has a generated subclass of its own class whose methods announce themselves. The mode
is entered by whichever tapped method comes first, so it is there under any entry point of the model and in the
recomputation of gradient checkpointing, whatever thread that runs in.
"""

import functools
import inspect
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from skipnorm.anatomy.operations import Operation, Role, operation
from skipnorm.anatomy.sites import Address
from skipnorm.errors import SurgeryError

__all__ = ["Call", "Frame", "Tap", "tapped"]

_SEPARATOR = "#"


class Call:
    """One call of one module.

    Attributes:
        label: the module's path, with `#2` behind a module that is called for the second time within its caller's call.
        children: how often each module has been called within this call.
        named: how often each kind of operation has been met within this call.
    """

    __slots__ = ("children", "label", "methods", "module", "named", "path")

    def __init__(self, module: nn.Module | None, path: str, label: str) -> None:
        self.module, self.path, self.label = module, path, label
        self.children: Counter[str] = Counter()
        self.methods: Counter[str] = Counter()
        self.named: Counter[str] = Counter()


class Frame:
    """One activation of one method within a call, in which operations are counted for their addresses."""

    __slots__ = ("call", "counts", "inputs", "method")

    def __init__(self, call: Call, method: str, inputs: tuple[Any, ...]) -> None:
        self.call, self.method, self.inputs = call, method, inputs
        self.counts: Counter[str] = Counter()

    def address(self, name: str) -> Address:
        """The address of the next operation of that name."""
        self.counts[name] += 1
        return Address(self.call.label, self.method, name, self.counts[name])


class _Stack(threading.local):
    def __init__(self) -> None:
        self.frames: list[Frame] = []


class _Memory(NamedTuple):
    label: str
    method: str
    first: weakref.ref[torch.Tensor] | None
    ambiguous: bool


class Tap(TorchFunctionMode):
    """Sees every torch call of a tapped network. Subclasses say what to do with it.

    A subclass overrides `on_call`, and may override `on_enter` and `on_exit` for the calls of modules.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.open = True
        self.paths = {id(module): _tidy(name) for name, module in network.named_modules()}
        self._stack = _Stack()
        self._memory: dict[tuple[Any, ...], _Memory] = {}

    @property
    def frame(self) -> Frame | None:
        """The innermost method that is running in this thread."""
        frames = self._stack.frames
        return frames[-1] if frames else None

    recalls = False
    """Whether calls that gradient checkpointing repeats are to be known again."""

    def on_call(
        self,
        op: Operation,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out one torch call and say its result. The mode is off meanwhile."""
        return function(*args, **kwargs)

    def on_enter(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module is about to be called."""

    def on_exit(self, frame: Frame, result: Any) -> Any:
        """A module has been called; what is returned here is what its caller gets."""
        return result

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        op = operation(function)
        if op.role is Role.QUERY or not self._stack.frames:
            return function(*args, **(kwargs or {}))
        return self.on_call(op, function, args, kwargs or {})

    def enter(
        self,
        module: nn.Module,
        method: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run a method of a tapped module in a frame of its own."""
        if not self.open:
            return function(module, *args, **kwargs)
        frames = self._stack.frames
        above = frames[-1].call if frames else Call(None, "", "")
        inner = above.module is module
        call = above if inner else self._called(module, above)
        call.methods[method] += 1
        times = call.methods[method]
        frame = Frame(call, method if times == 1 else f"{method}{_SEPARATOR}{times}", args)
        if self.recalls:
            self._recall(frame, module, method, (args, kwargs))
        if not inner:
            self.on_enter(frame, args, kwargs)
        frames.append(frame)
        try:
            if len(frames) == 1:
                with self:
                    result = function(module, *args, **kwargs)
            else:
                result = function(module, *args, **kwargs)
        finally:
            frames.pop()
        return result if inner else self.on_exit(frame, result)

    def _recall(self, frame: Frame, module: nn.Module, method: str, inputs: Any) -> None:
        """A recomputation starts without its callers: it is known by where its inputs lie in memory."""
        tensors = [tensor for group in inputs for tensor in _tensors(group)]
        key = (id(module), method, *(tensor.data_ptr() for tensor in tensors))
        repeated = not self._stack.frames and torch._C._current_graph_task_id() != -1
        if repeated and key in self._memory:
            known = self._memory[key]
            if known.ambiguous:
                raise SurgeryError(
                    f"expected checkpointed calls of {frame.call.path!r} to differ in their inputs, found two on the "
                    "same tensor, of which the recomputation cannot be told. Switch checkpointing off, or clone."
                )
            frame.call.label, frame.method = known.label, known.method
        elif not repeated:
            if not self._stack.frames:
                self._memory.clear()
            first = weakref.ref(tensors[0]) if tensors else None
            earlier = self._memory.get(key)
            again = earlier is not None and first is not None and earlier.first == first
            self._memory[key] = _Memory(frame.call.label, frame.method, first, ambiguous=again)

    def _called(self, module: nn.Module, above: Call) -> Call:
        path, frames = self.paths[id(module)], self._stack.frames
        below = path.startswith(above.path + ".") if above.path else above.module is not None
        counter = above if below or not frames else frames[0].call
        counter.children[path] += 1
        label = above.label + path[len(above.path) :] if below and above.path else path
        times = counter.children[path]
        return Call(module, path, label if times == 1 else f"{label}{_SEPARATOR}{times}")


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, torch.Tensor):
            yield value


def _tidy(path: str) -> str:
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


_TAPS: dict[int, Tap] = {}


@contextmanager
def tapped(tap: Tap) -> Iterator[None]:
    """Let the tap watch its network for the duration of the context; the network's classes are put back afterwards."""
    classes: list[tuple[nn.Module, type[nn.Module]]] = []
    earlier = {key: _TAPS[key] for key in tap.paths if key in _TAPS}
    try:
        for module in tap.network.modules():
            _TAPS[id(module)] = tap
            kind = type(module)
            if not getattr(kind, "_skipnorm_tapped", False):
                classes.append((module, kind))
                module.__class__ = _tapped_class(kind)
        with _eager():
            yield
    finally:
        tap.open = False
        for module, kind in classes:
            module.__class__ = kind
        for key in tap.paths:
            _TAPS.pop(key, None)
        _TAPS.update(earlier)


@contextmanager
def _eager() -> Iterator[None]:
    if "torch._dynamo" in sys.modules:  # nothing can have been compiled before that was imported
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


_OWN = frozenset(dir(nn.Module)) - {"forward"}


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _tapped_class(kind: type[nn.Module]) -> type[nn.Module]:
    if kind not in _CLASSES:
        _CLASSES[kind] = type(kind)(kind.__name__, (kind,), _space(kind))  # type: ignore[misc]
    return _CLASSES[kind]


def _space(kind: type[nn.Module]) -> dict[str, Any]:
    space: dict[str, Any] = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "_skipnorm_tapped": True,
    }
    for ancestor in reversed(kind.__mro__):
        if ancestor is object or ancestor is nn.Module:
            continue
        for name, value in vars(ancestor).items():
            if name == "forward" or _is_method(ancestor, name, value):
                space[name] = _announced(name, value)
    return space


def _is_method(owner: type, name: str, value: Any) -> bool:
    ours = isinstance(value, FunctionType) and name not in _OWN and not name.startswith("__")
    built_in = owner.__module__.startswith("torch.nn.") and name != "forward"
    return ours and not built_in and not inspect.isgeneratorfunction(value)


def _announced(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def method(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        tap = _TAPS.get(id(self))
        if tap is None:
            return function(self, *args, **kwargs)
        return tap.enter(self, name, function, args, kwargs)

    return method
