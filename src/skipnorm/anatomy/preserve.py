"""Leave no trace: everything that looking at a network could change is put back, also when it raises."""

import copy
import functools
import operator
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skipnorm.anatomy.tensors import memory_of

__all__ = ["Ledger", "random_states_kept", "untouched"]

_LEAVES = (
    str,
    bytes,
    int,
    float,
    complex,
    bool,
    type,
    FunctionType,
    MethodType,
    ModuleType,
    torch.dtype,
)
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, type})
_DICTS = frozenset({dict, OrderedDict})
_DEPTH = 4


@contextmanager
def untouched(network: nn.Module) -> Iterator["Ledger"]:
    """Put the network, torch's global flags and every random state back to what they were on entry.

    Covers buffers and other tensors that the modules hold, `.grad`, mode, hooks and whatever else is in each module's
    `__dict__`: counters, caches, lists of tensors. Parameters are not copied: the ledger that is handed out
    takes a copy of one at the moment before it is written into.
    """
    with ExitStack() as stack:
        stack.enter_context(random_states_kept())
        stack.enter_context(_flags())
        ledger = Ledger(network)
        try:
            yield ledger
        finally:
            ledger.restore()


class Ledger:
    """What a network's modules held, by value where it is small and by reference where that is enough."""

    def __init__(self, network: nn.Module) -> None:
        self._tensors: dict[int, tuple[Tensor, Tensor]] = {}
        self._holders: list[tuple[Any, Any]] = []
        self._empty: list[dict[Any, Any]] = []
        self._undo: list[Callable[[], Any]] = []
        self._grads = [(parameter, parameter.grad) for parameter in network.parameters()]
        for parameter, _ in self._grads:
            parameter.grad = None  # a backward pass within the network would add to it
        self._parameters = {
            memory_of(parameter): parameter
            for parameter in network.parameters()
            if memory_of(parameter)
        }
        seen: set[int] = set()
        for module in network.modules():
            self._note(module.__dict__, seen, _DEPTH)

    def _note(self, value: Any, seen: set[int], depth: int) -> None:
        if value is None or isinstance(value, _LEAVES) or id(value) in seen or depth < 0:
            return
        seen.add(id(value))
        if isinstance(value, nn.Parameter | nn.Module):
            return
        if isinstance(value, Tensor):
            self.keep(value)
        elif isinstance(value, dict):
            self._holders.append((value, dict(value)))
            for each in list(value.values()):
                kind = type(each)
                if kind in _DICTS and not each:
                    self._empty.append(
                        each
                    )  # most of what a module holds: hooks that nobody has set
                elif kind not in _PLAIN:
                    self._note(each, seen, depth)
        elif isinstance(value, np.ndarray):
            self._undo.append(functools.partial(np.copyto, value, value.copy()))
        elif (undo := _generator(value)) is not None:
            self._undo.append(undo)
        elif isinstance(value, list | set | deque):
            self._holders.append((value, copy.copy(value)))
            for each in value:
                self._note(each, seen, depth - 1)
        elif isinstance(value, tuple):
            for each in value:
                self._note(each, seen, depth - 1)
        elif hasattr(value, "__dict__"):
            self._note(value.__dict__, seen, depth - 1)

    def keep(self, tensor: Tensor) -> None:
        """Remember the tensor's values."""
        with torch.no_grad():
            self._tensors.setdefault(id(tensor), (tensor, tensor.detach().clone()))

    def holds(self, tensor: Tensor) -> bool:
        """Whether the tensor is one of those that the modules hold."""
        return id(tensor) in self._tensors

    def before_write(self, tensor: Tensor) -> None:
        """Somebody is about to write into this tensor: if it is memory of a parameter, remember that parameter."""
        parameter = self._parameters.get(memory_of(tensor))
        if parameter is not None:
            self.keep(parameter)

    def restore(self) -> None:
        """Put everything back."""
        for empty in self._empty:
            empty.clear()
        for holder, content in self._holders:
            if _alike(holder, content):
                continue
            holder.clear()
            holder.extend(content) if isinstance(holder, list | deque) else holder.update(content)
        for undo in self._undo:
            undo()
        for tensor, value in self._tensors.values():
            with torch.no_grad(), torch.inference_mode(tensor.is_inference()):
                if not _same(tensor, value):
                    tensor.data.copy_(value)
        for parameter, grad in self._grads:
            if parameter.grad is not grad:
                parameter.grad = grad


def _generator(value: Any) -> Callable[[], Any] | None:
    """How to put a generator of random numbers back to its present state."""
    if isinstance(value, torch.Generator):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        return functools.partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return functools.partial(value.setstate, value.getstate())
    return None


def _alike(holder: Any, content: Any) -> bool:
    """Whether a container holds the very things it held."""
    if len(holder) != len(content):
        return False
    if isinstance(holder, dict):
        same_keys = holder.keys() == content.keys()
        return same_keys and all(map(operator.is_, holder.values(), content.values()))
    return all(map(operator.is_, holder, content))


def _same(tensor: Tensor, value: Tensor) -> bool:
    if tensor.shape != value.shape:
        return False
    return tensor.is_meta or torch.equal(tensor, value)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Put the random states of Python, numpy and torch back to what they were on entry."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    accelerators = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if accelerators:
            torch.cuda.set_rng_state_all(accelerators)


def _determinism() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


@contextmanager
def _flags() -> Iterator[None]:
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    deterministic = _determinism()
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    cudnn = torch.backends.cudnn
    switches = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if _determinism() != deterministic:  # torch loads its compiler to set it
            torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.set_float32_matmul_precision(precision)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = switches
