"""Catching the signal at two places of a network, so that one can be differentiated by the other."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from skipnorm.anatomy.discover import anatomy, observe
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.tensors import tensors_in
from skipnorm.errors import ProbeError, nearest
from skipnorm.probes.shattering.noted import rooted
from skipnorm.probes.shattering.samples import main_output, rooted_inputs
from skipnorm.probes.shattering.statistics import Run

__all__ = ["Caught", "Span", "caught"]

PORTS = ("input", "output", "shortcut", "branch")


@dataclass(frozen=True)
class Caught:
    """The signal at a place: where it stands in autograd's graph, and a copy that nothing overwrites."""

    edge: GradientEdge
    copy: Tensor


@dataclass(frozen=True)
class Span:
    """What lies between two places."""

    name: str
    start: Caught
    end: Caught


@dataclass
class _Net:
    """Catches what passes; `spans` are whole modules, `places` single ports."""

    places: dict[str, Caught] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    open: dict[int, list[Caught | None]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)


class _Listener:
    """Catches the ports of sites."""

    edges = False

    def __init__(self, net: _Net, wanted: Mapping[tuple[int, str], str]) -> None:
        self._net, self._wanted = net, wanted

    def adopt(self, tensor: Tensor) -> Tensor:
        """Give the signal a place in the graph where it has none."""
        return rooted(tensor)

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        """Catch the port if it is wanted."""
        name = self._wanted.get((sighting.index, port))
        if name is not None and tensor.requires_grad:
            self._net.places[name] = _catch(tensor)


def caught(
    run: Run,
    inputs: tuple[Any, dict[str, Any]],
    between: tuple[str, str],
    modules: str | None,
) -> list[Span]:
    """The spans asked for, in one forward pass.

    Raises:
        ProbeError: a place or module that does not exist, was not met, or carries no real numbers.
    """
    network, net = run.network, _Net()
    given, roots = rooted_inputs(inputs)
    named = {name: module for name, module in network.named_modules() if name}
    chosen: list[str] = []
    if modules is not None:
        chosen = [name for name in named if fnmatchcase(name, modules)]
        if not chosen:
            raise ProbeError(f"no module is called like {modules!r}: {nearest(modules, named)}")
    wanted = [] if modules is not None else [place for place in between if place not in PORTS[:2]]
    sites, ports = _resolved(run, inputs, wanted, named)
    with ExitStack() as stack:
        for name in chosen:
            for handle in _span_hooks(net, name, named[name]):
                stack.callback(handle.remove)
        for place, (name, port) in ports.items():
            stack.callback(_port_hook(net, place, named[name], port).remove)
        outputs = run(*given, call=_observed(network, net, sites) if sites else None)
    if roots:
        net.places["input"] = Caught(get_gradient_edge(roots[0]), roots[0])
    if modules is not None:
        return net.spans
    out = main_output(outputs)
    if out.requires_grad:
        net.places["output"] = Caught(get_gradient_edge(out), out)
    return [_between(net, between)]


def _between(net: _Net, between: tuple[str, str]) -> Span:
    for place in between:
        if place not in net.places:
            hint = (
                "The inputs are integers: start behind the embedding, between=('embeddings', 'output')."
                if place == "input"
                else "It was not met in this pass, or carries no real numbers that depend on anything."
            )
            raise ProbeError(f"expected a signal at {place!r}, found none. {hint}")
    start, end = between
    return Span(f"{start} -> {end}", net.places[start], net.places[end])


def _resolved(
    run: Run, inputs: Any, places: Sequence[str], named: Mapping[str, nn.Module]
) -> tuple[dict[tuple[int, str], str], dict[str, tuple[str, str]]]:
    """Places as ports of sites (by index) or of modules (by path)."""
    sites: dict[tuple[int, str], str] = {}
    modules: dict[str, tuple[str, str]] = {}
    known: dict[str, int] | None = None
    for place in places:
        name, _, port = place.rpartition(":")
        if not name:
            name, port = place, "output"
        if port not in PORTS:
            raise ProbeError(f"place {place!r}: port {nearest(port, PORTS)}")
        if name in named and port in PORTS[:2]:
            modules[place] = (name, port)
            continue
        if known is None:
            known = {s.name: s.index for s in anatomy(run.network, *inputs[0], **inputs[1])}
        if name not in known:
            raise ProbeError(f"place {place!r}: {nearest(name, [*known, *named])}")
        sites[known[name], port] = place
    return sites, modules


def _observed(
    network: nn.Module, net: _Net, sites: Mapping[tuple[int, str], str]
) -> Callable[..., Any]:
    def call(args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        with untouched(network) as ledger:
            return observe(network, args, named, ledger, _Listener(net, sites))[1]

    return call


def _catch(tensor: Tensor) -> Caught:
    with torch._C.DisableTorchFunction():
        return Caught(get_gradient_edge(tensor), tensor.clone())


def _first(value: Any) -> Tensor | None:
    for tensor in tensors_in(value):
        if tensor.is_floating_point() and tensor.dim():
            return tensor
    return None


def _span_hooks(net: _Net, name: str, module: nn.Module) -> list[Any]:
    """Give the module its first real argument as a copy, so that nothing but the module lies between."""

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        start: Caught | None = None

        def isolated(value: Any) -> Any:
            nonlocal start
            if start is not None or not (isinstance(value, Tensor) and value.is_floating_point()):
                return value
            inner = (value if value.requires_grad else value.detach().requires_grad_()).clone()
            start = Caught(get_gradient_edge(inner), inner.detach())
            return inner

        with torch._C.DisableTorchFunction():
            changed = tuple(isolated(value) for value in args)
            named = {key: isolated(value) for key, value in kwargs.items()}
        net.open.setdefault(id(module), []).append(start)
        return changed, named

    def after(module: nn.Module, args: Any, output: Any) -> None:
        start, out = net.open[id(module)].pop(), _first(output)
        net.calls[name] = net.calls.get(name, 0) + 1
        label = name if net.calls[name] == 1 else f"{name}#{net.calls[name]}"
        if start is not None and out is not None and out.requires_grad:
            net.spans.append(Span(label, start, _catch(out)))

    return [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after),
    ]


def _port_hook(net: _Net, place: str, module: nn.Module, port: str) -> Any:
    def keep(tensor: Tensor | None) -> None:
        if tensor is not None and tensor.requires_grad and place not in net.places:
            net.places[place] = _catch(tensor)

    if port == "input":

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            keep(_first((args, kwargs)))

        return module.register_forward_pre_hook(before, with_kwargs=True)

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, Tensor) and output.is_floating_point() and not output.requires_grad:
            with torch._C.DisableTorchFunction():
                output = rooted(output)  # frozen weights on integers: the signal begins here
            keep(output)
            return output
        keep(_first(output))
        return None

    return module.register_forward_hook(after)
