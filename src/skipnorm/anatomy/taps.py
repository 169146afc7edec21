"""Watching every torch call that a network makes, and knowing whose call it is.

Two things work together. A `TorchFunctionMode` sees each call. Frames say who made it: for as long as a network is
tapped, each of its modules has a generated subclass of its own class whose methods announce themselves. The mode is
entered by whichever tapped method comes first, so it is there under any entry point of the model and in the
recomputation of gradient checkpointing, whatever thread that runs in.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from skipnorm.anatomy.checkpoints import at_work, torch_prepared
from skipnorm.anatomy.frames import SEPARATOR, Call, Frame, copied
from skipnorm.anatomy.operations import PEEKS, Operation, Role, operation
from skipnorm.anatomy.subclasses import _TAPS, announcing, announcing_class
from skipnorm.errors import AnatomyError, SkipnormError, SurgeryError

__all__ = ["Tap", "tapped", "tidy"]


class _Stack(threading.local):
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.entered = False


class Tap(TorchFunctionMode):
    """Sees every torch call of a tapped network. Subclasses say what to do with it.

    A subclass overrides `on_call`, and may override `on_enter` and `on_exit` for the calls of modules.

    Attributes:
        straight: whether checkpointed functions simply run, because the tap only looks.
        attentive: whether the tap wants to hear of the calls of modules.
        refusal: the error to raise where the network cannot be tapped.
    """

    straight = False
    attentive = True
    refusal: type[SkipnormError] = AnatomyError

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        self.open = True
        modules = () if network is None else network.named_modules()
        self._paths = {id(module): tidy(name) for name, module in modules}
        self._stack = _Stack()

    def path_of(self, module: nn.Module) -> str:
        """Where a tapped module stands in its network; the network itself stands at the empty path."""
        return self._paths[id(module)]

    @property
    def inside(self) -> bool:
        """Whether a tapped method is running in this thread, seen by this tap."""
        return self._stack.entered

    @property
    def frame(self) -> Frame | None:
        """The innermost method that is running in this thread."""
        frames = self._stack.frames
        return frames[-1] if frames else None

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
            if self.straight and op.name in PEEKS and args[0].requires_grad:
                args = (args[0].detach(), *args[1:])  # the network may look at its own input
            if (
                self.straight
                and op.name == "requires_grad"
                and op.in_place
                and args[0].requires_grad
            ):
                return args[0]  # one that the network was given has a gradient already
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
        inner = self._is_inner(module, method)
        call = frames[-1].call if inner else self._called(module)
        call.methods[method] += 1
        times = call.methods[method]
        frame = Frame(call, method if times == 1 else f"{method}{SEPARATOR}{times}", args)
        if inner or not self.attentive:
            return self._run(frame, function, (module, *args), kwargs)
        with self._apart():
            self.on_enter(frame, args, kwargs)
        result = self._run(frame, function, (module, *args), kwargs)
        with self._apart():
            return self.on_exit(frame, result)

    def _apart(self) -> AbstractContextManager[None]:
        """What a tap that only looks does between calls is no call of the network's: no other tap may see it."""
        return torch._C.DisableTorchFunction() if self.straight else nullcontext()

    def remembered(self, function: Callable[..., Any], *, runs_first: bool) -> Callable[..., Any]:
        """The function, with the frames of this moment around it whenever it runs again."""
        frames, first = copied(self._stack.frames), runs_first

        def again(*args: Any, **kwargs: Any) -> Any:
            nonlocal first
            if first:
                first = False
                return function(*args, **kwargs)
            if not self.open:
                raise SurgeryError(
                    "expected the backward pass of a checkpointed network to run while the network is altered, found "
                    "it behind the end of the context: it would recompute another network. Move it inside."
                )
            *callers, top = copied(frames)
            outside, self._stack.frames = self._stack.frames, callers
            try:
                return self._run(top, function, args, kwargs)
            finally:
                self._stack.frames = outside

        return again if frames else function

    def _run(
        self,
        frame: Frame,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The function in a frame; the outermost one brings the mode, unless there is nothing for it to see."""
        stack = self._stack
        stack.frames.append(frame)
        try:
            if stack.entered:
                return function(*args, **kwargs)
            if frame.quiet:
                with at_work(self):
                    return function(*args, **kwargs)
            stack.entered = True
            try:
                with self, at_work(self):
                    return function(*args, **kwargs)
            finally:
                stack.entered = False
        finally:
            stack.frames.pop()

    def _is_inner(self, module: nn.Module, method: str) -> bool:
        """Whether a method runs within a call of its module; the network's own `forward` is a call of its own."""
        frames = self._stack.frames
        if not frames or frames[-1].call.module is not module:
            return False
        if frames[-1].call.path or method != "forward":
            return True
        return any(frame.call.module is module and frame.method == method for frame in frames)

    def _called(self, module: nn.Module) -> Call:
        path, frames = self.path_of(module), self._stack.frames
        if not path or not frames:
            return Call(module, path, path)
        above = frames[-1].call
        below = not above.path or path.startswith(above.path + ".")
        counter = above if below else self._trunk()
        counter.children[path] += 1
        label = above.label + path[len(above.path) :] if below and above.path else path
        times = counter.children[path]
        return Call(module, path, label if times == 1 else f"{label}{SEPARATOR}{times}")

    def _trunk(self) -> Call:
        """The call of the network itself that is running, else the outermost one."""
        frames = self._stack.frames
        own = [frame.call for frame in frames if not frame.call.path]
        return own[-1] if own else frames[0].call


def tidy(path: str) -> str:
    """A module's path without what torch.compile adds to it."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


@contextmanager
def tapped(tap: Tap, network: nn.Module) -> Iterator[None]:
    """Let a tap watch the network that it was made for; the classes of its modules are put back afterwards.

    Raises:
        AnatomyError, SurgeryError: the network, or a module of it, is tapped already: what one tap alters another one
            would not see.
    """
    modules = list(network.modules())
    if any(announcing(module) is not None for module in modules):
        raise tap.refusal(
            f"expected {type(network).__name__} by itself, found it (or a part of it) being looked at or altered "
            "already. Leave the other context first; several alterations go into one call."
        )
    classes = [(module, type(module)) for module in modules]
    try:
        for module in modules:
            _TAPS[id(module)] = tap.enter
            module.__class__ = announcing_class(module)
        with _eager(), torch_prepared():
            yield
    finally:
        tap.open = False
        for module, kind in classes:
            module.__class__ = kind
            _TAPS.pop(id(module), None)


@contextmanager
def _eager() -> Iterator[None]:
    if "torch._dynamo" in sys.modules:  # nothing can have been compiled before that was imported
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield
