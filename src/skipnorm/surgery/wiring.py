"""What goes into the modules of a network and who takes what comes out, seen in one forward pass."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from skipnorm.anatomy.checkpoints import run_straight
from skipnorm.anatomy.discover import observe
from skipnorm.anatomy.operations import Role, operation
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.tensors import fresh, operands_of
from skipnorm.surgery.patient import Patient

__all__ = ["Call", "calls_of", "followers_of", "pairs_behind", "pairs_of"]


@dataclass(frozen=True)
class Call:
    """The one call of a module that runs once: shapes of its only tensor and of what it returns."""

    input: tuple[int, ...]
    output: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


@dataclass
class _Watch:
    calls: dict[str, list[Call | None]] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)


def _watched(patient: Patient, mode: Callable[[_Watch], Any] | None = None) -> _Watch:
    """One forward pass with a hook on every module, which leaves nothing behind."""
    watch = _Watch()

    def note(path: str, tensors: list[Tensor], output: Any) -> None:
        plain = len(tensors) == 1 and isinstance(output, Tensor)
        call = (
            Call(tuple(tensors[0].shape), tuple(output.shape), output.dtype, output.device)
            if plain
            else None
        )
        watch.calls.setdefault(path, []).append(call)
        if plain:
            watch.outputs[path] = output

    modules = [(path, module) for path, module in patient.network.named_modules() if path]
    seen = nullcontext() if mode is None else mode(watch)
    with untouched(patient.network), torch.no_grad(), run_straight(), _hooked(modules, note), seen:
        patient.network(*fresh(patient.inputs), **fresh(patient.named))
    return watch


@contextmanager
def _hooked(
    modules: Iterable[tuple[str, nn.Module]], note: Callable[[str, list[Tensor], Any], None]
) -> Iterator[None]:
    """Tell of every call of these modules: path, tensors among the arguments, and what was returned."""

    def behind(path: str) -> Any:
        return lambda module, args, kwargs, output: note(
            path, list(operands_of(args, kwargs)), output
        )

    handles = [
        module.register_forward_hook(behind(path), with_kwargs=True) for path, module in modules
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def calls_of(patient: Patient) -> dict[str, Call]:
    """The modules that run once, on one tensor, and return one tensor, by path in the order of their ends."""
    watch = _watched(patient)
    return {
        path: calls[0]
        for path, calls in watch.calls.items()
        if len(calls) == 1 and calls[0] is not None
    }


class _Takers(TorchFunctionMode):
    """Counts, for the output of each module, the calls that take it, and keeps the last one's role."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch
        self.counts: Counter[str] = Counter()
        self.roles: dict[str, Role] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        op = operation(function)
        if op.role not in (Role.QUERY, Role.FRESH):
            given = {id(each) for each in operands_of(args, kwargs or {})}
            for path, output in self._watch.outputs.items():
                if id(output) in given:
                    self.counts[path] += 1
                    self.roles[path] = op.role
        return function(*args, **(kwargs or {}))


def _takers_of(patient: Patient) -> dict[str, tuple[int, Role | None]]:
    """How many torch calls take the output of each module (that runs once) as it is, and what the last one does."""
    modes: list[_Takers] = []

    def mode(watch: _Watch) -> _Takers:
        modes.append(_Takers(watch))
        return modes[0]

    watch = _watched(patient, mode)
    return {
        path: (modes[0].counts[path], modes[0].roles.get(path))
        for path, calls in watch.calls.items()
        if len(calls) == 1
    }


def followers_of(patient: Patient) -> dict[str, str]:
    """For each module whose output goes to one call only, `norm` or `activation` if that is what takes it."""
    kinds = {Role.NORM: "norm", Role.ACTIVATION: "activation"}
    return {
        path: kinds[role]
        for path, (count, role) in _takers_of(patient).items()
        if count == 1 and role in kinds
    }


class _Pairs:
    """A listener that notes which site takes the very tensor that the site before it returned."""

    edges = False

    def __init__(self) -> None:
        self.last: tuple[int, Tensor, int] | None = None
        self.pairs: list[tuple[int, int]] = []
        self.takers: Counter[int] = Counter()

    def adopt(self, tensor: Tensor) -> Tensor:
        return tensor

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        if port == "output":
            self.last = (sighting.index, tensor, tensor._version)
        elif port == "input" and self.last is not None:
            before, held, _ = self.last
            same = tensor.untyped_storage().data_ptr() == held.untyped_storage().data_ptr()
            if same and tensor.shape == held.shape and sighting.index == before + 1:
                self.pairs.append((before, sighting.index))


class _Elsewhere(TorchFunctionMode):
    """Counts the calls that take what a site returned, until the next site has returned something."""

    def __init__(self, listener: _Pairs) -> None:
        super().__init__()
        self._listener = listener
        self._kept: dict[int, tuple[weakref.ref[Tensor], int, int]] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if self._listener.last is not None:
            index, tensor, version = self._listener.last
            self._kept[id(tensor)] = weakref.ref(tensor), index, version
        if operation(function).role not in (Role.QUERY, Role.FRESH):
            for each in {id(each): each for each in operands_of(args, kwargs or {})}.values():
                reference, index, version = self._kept.get(id(each), (None, 0, 0))
                if reference is not None and reference() is each and each._version == version:
                    self._listener.takers[index] += 1
        return function(*args, **(kwargs or {}))


class _Sources:
    """A listener that notes which module returned the very tensor that a site takes."""

    edges = False

    def __init__(self, outputs: dict[str, Tensor]) -> None:
        self._outputs = outputs
        self.found: dict[int, str] = {}

    def adopt(self, tensor: Tensor) -> Tensor:
        return tensor

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        if port == "input":
            for path, output in self._outputs.items():
                if output is tensor:
                    self.found[sighting.index] = path


def pairs_behind(patient: Patient) -> dict[str, str]:
    """By name of site: the leaf module (that runs once) whose output is, untouched, the site's input."""
    outputs: dict[str, Tensor] = {}
    listener = _Sources(outputs)
    names = {site.index: site.name for site in patient.anatomy.sites}

    def note(path: str, tensors: list[Tensor], output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[path] = output

    leaves = [
        (path, module)
        for path, module in patient.network.named_modules()
        if path and not any(True for _ in module.children())
    ]
    with untouched(patient.network) as ledger, torch.no_grad(), _hooked(leaves, note):
        observe(patient.network, patient.inputs, patient.named, ledger, listener)
    once = calls_of(patient)
    return {names[index]: path for index, path in listener.found.items() if path in once}


def pairs_of(patient: Patient) -> list[tuple[int, int]]:
    """The sites, by index, that stand directly one behind the other: nobody else takes what is between them."""
    listener = _Pairs()
    with untouched(patient.network) as ledger, torch.no_grad(), _Elsewhere(listener):
        observe(patient.network, patient.inputs, patient.named, ledger, listener)
    return [(one, two) for one, two in listener.pairs if listener.takers[one] <= 1]
