"""The copy on the table: what an operation may look at, and the few ways in which it may alter it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skipnorm.anatomy.alter import Edit, Occasion
from skipnorm.anatomy.discover import anatomy, observe
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.sites import Anatomy, Site
from skipnorm.surgery.gates import gate, inherit, is_gated, plain_class
from skipnorm.surgery.loading import tolerate

__all__ = ["Patient", "Place", "Signal", "Through"]


class Signal(NamedTuple):
    """A tensor at a port of a site, without its values; `channels`: the dimension that counts them, if known."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    channels: int | None


@dataclass(frozen=True)
class Place:
    """Where one new module goes: in place of a module, or (`path` is None) in place of one call in a module's code.

    Attributes:
        sites: the executions that it answers for: several where a shared module is replaced.
    """

    sites: tuple[Site, ...]
    path: str | None


@dataclass(frozen=True)
class Through:
    """The edit that sends a site's input through a module which its owner holds, in place of the call."""

    name: str
    port: str = "input"

    def __call__(self, at: Occasion) -> Tensor:
        """What the module makes of the signal."""
        module = at.module._modules[self.name]
        assert module is not None
        result: Tensor = module(at[self.port])
        return result


class Patient:
    """A copy of a network under operation.

    Attributes:
        network: the copy, which operations alter.
        anatomy: its sites before this operation.
        inputs, named: what it is called with.
    """

    def __init__(self, network: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.network, self.inputs, self.named = network, inputs, named
        self.anatomy: Anatomy = anatomy(network, *inputs, **named)

    def module(self, path: str) -> nn.Module:
        """The module at a path; the network itself at the empty one."""
        return self.network.get_submodule(path)

    def read(
        self, function: Callable[[Tensor, int | None], Any], ports: Sequence[str] = ("input",)
    ) -> dict[tuple[str, str], Any]:
        """What a function of (tensor, channel dimension) says of the value at these ports of every site.

        One forward pass without gradients, in the network's own mode. By (name of site, port).
        """
        listener = _Reader(function, frozenset(ports))
        with untouched(self.network) as ledger, torch.no_grad():
            observer, _ = observe(self.network, self.inputs, self.named, ledger, listener)
        names = {site.index: site.name for site in observer.sites}
        return {(names[index], port): value for (index, port), value in listener.found.items()}

    def signals(self, ports: Sequence[str] = ("input",)) -> dict[tuple[str, str], Signal]:
        """Shape, type and place of the values at these ports, by (name of site, port)."""
        return self.read(
            lambda tensor, channels: Signal(
                tuple(tensor.shape), tensor.dtype, tensor.device, channels
            ),
            ports,
        )

    def is_module(self, site: Site) -> bool:
        """Whether the site is all that its module computes, so that the module can give way to another."""
        if not site.module or any(True for _ in self.module(site.module).children()):
            return False
        if is_gated(self.module(site.module)):
            return False
        if not site.address.operation:
            return True
        forward = inspect.getmodule(plain_class(self.module(site.module)).forward)
        mine = [each for each in self.anatomy.sites if each.address.label == site.address.label]
        return len(mine) == 1 and forward is not None and forward.__name__.startswith("torch.nn.")

    def places(self, sites: Sequence[Site]) -> list[Place]:
        """Where new modules go for these sites: one for a shared module all of whose executions are meant."""
        found: list[Place] = []
        taken: set[str] = set()
        for site in sites:
            runs = tuple(each for each in self.anatomy.sites if each.module == site.module)
            if not self.is_module(site) or not set(runs) <= set(sites):
                found.append(Place((site,), None))
            elif site.module not in taken:
                taken.add(site.module)
                found.append(Place(runs, site.module))
        return found

    def put(self, modules: Mapping[Place, nn.Module]) -> None:
        """Send the signal at each place through its new module.

        Where a module can be replaced it is, so that nothing runs at run time but the new one. A checkpoint of the
        original still loads: its keys that have no use any more are passed over.
        """
        edits: dict[Site, Edit] = {}
        for place, module in modules.items():
            if place.path is not None:
                self.replace(place.path, module)
                continue
            (site,) = place.sites
            edits[site] = Through(self.hold(site, type(module).__name__.lower(), module))
        if edits:
            self.gate(edits)

    def replace(self, path: str, module: nn.Module) -> None:
        """Let a new module stand wherever the one at this path is registered, in the same mode."""
        old = self.module(path)
        module.train(old.training)
        for name, value in vars(old).items():  # what others may ask a norm for, such as its eps
            if not name.startswith("_") and name not in vars(module) and not hasattr(module, name):
                module.__dict__[name] = value
        tolerate(module, before=old.state_dict(), after=module.state_dict())
        inherit(old, module)
        for parent in list(self.network.modules()):
            for name, child in parent._modules.items():
                if child is old:
                    parent._modules[name] = module

    def hold(self, site: Site, tag: str, value: nn.Module | nn.Parameter | Tensor) -> str:
        """Register something new in the module that owns a site, and say under which name.

        A parameter is seen by optimisers, a plain tensor becomes a buffer. The name holds the site's operation, so
        that several sites of one module have their own.
        """
        owner = self.module(site.module)
        ordinal = site.name.partition("#")[2]
        stem = f"{site.operation}{ordinal}_{tag}".replace(".", "_")
        name, number = stem, 1
        while hasattr(owner, name):
            number += 1
            name = f"{stem}_{number}"
        if isinstance(value, nn.Module):
            owner.add_module(name, value.train(owner.training))
            added = {f"{name}.{key}": each for key, each in value.state_dict().items()}
        else:
            if isinstance(value, nn.Parameter):
                owner.register_parameter(name, value)
            else:
                owner.register_buffer(name, value)
            added = {name: value.detach()}
        tolerate(owner, before={}, after=added)
        return name

    def gate(self, edits: Mapping[Site, Edit]) -> None:
        """Let edits say what these sites return from now on. An edit is a value that can be pickled."""
        shared = any("#" in site.address.label for site in self.anatomy.sites)
        gate(
            self.network,
            {site.address: (site, edit) for site, edit in edits.items()},
            shared=shared,
        )


class _Reader:
    edges = False

    def __init__(self, function: Callable[[Tensor, int | None], Any], ports: frozenset[str]):
        self._function, self._ports = function, ports
        self.found: dict[tuple[int, str], Any] = {}

    def adopt(self, tensor: Tensor) -> Tensor:
        return tensor

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        if port in self._ports:
            self.found[sighting.index, port] = self._function(tensor, channels)
