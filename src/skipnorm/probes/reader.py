"""The listener that hands what passes at each place to the probes, and its gradient when that comes by."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from skipnorm.anatomy.channels import channel_dimension
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.sites import Anatomy
from skipnorm.probes.probe import Flow, Numbers, Place, Port, Probe

__all__ = ["Reader"]

_SIDES: tuple[Port, Port] = ("shortcut", "branch")


@dataclass
class _Skip:
    """The edges of a skip in autograd's graph, until the gradient comes by."""

    shortcut: GradientEdge | None = None
    branch: GradientEdge | None = None
    parts: tuple[Tensor, Tensor] | None = None


class Reader:
    """The listener that hands what passes at each place to the probes."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes
        self.roots: list[Tensor] = []
        self.notes: list[str] = []
        self._values = [probe.on_value for probe in probes if probe.on_value is not None]
        self._gradients = [
            (probe.on_gradient, _Memory()) for probe in probes if probe.on_gradient is not None
        ]
        self._flows = [probe.on_flow for probe in probes if probe.on_flow is not None]
        self.edges = bool(self._flows)
        self._numbers: dict[str, dict[Place, Tensor | float]] = {
            quantity.name: {} for probe in probes for quantity in probe.quantities
        }
        self._seen: dict[tuple[int, int], tuple[weakref.ref[Tensor], list[Place], Numbers]] = {}
        self._skips: dict[int, _Skip] = {}
        self._shapes: dict[int, list[torch.Size]] = {}
        self._handles: list[Any] = []
        self._places: list[Place] = []
        self._pulling = False

    def rooted(self, value: Any) -> Any:
        """The same inputs as roots of the graph, in copies that the network may write into."""
        if isinstance(value, Tensor):
            return self.adopt(value) if value.is_floating_point() else value.clone()
        if isinstance(value, Mapping):
            return {key: self.rooted(each) for key, each in value.items()}
        if isinstance(value, tuple | list):
            return (
                type(value)(self.rooted(each) for each in value)
                if type(value) in (tuple, list)
                else value
            )
        return value

    def adopt(self, tensor: Tensor) -> Tensor:
        """A root of the graph with the tensor's values; what is handed out may be written into."""
        root = tensor.detach().clone().requires_grad_()
        self.roots.append(root)
        return root.clone()

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        """Read the values now, and the gradient when it comes."""
        if not (tensor.is_floating_point() and tensor.dim()):
            return
        place: Place = (sighting.index, port)  # type: ignore[assignment]
        if port in ("shortcut", "branch"):
            self._shapes.setdefault(sighting.index, []).append(tensor.shape)
        self._places.append(place)
        key = (id(tensor), tensor._version)
        known = self._seen.get(key)
        if known is not None and known[0]() is tensor:
            known[1].append(place)
            self._note([place], known[2])
        else:
            self._read(sighting, key, place, tensor, channel_dimension(tensor, channels))
        if port == "output" and sighting.computed and tensor.requires_grad and self._gradients:
            self._hook(tensor, self._on_output(sighting, channel_dimension(tensor, channels)))
        if self._flows and sighting.finding.kind == "skip" and tensor.requires_grad:
            self._follow(sighting, port, tensor)

    def close(self) -> None:
        """Let go of the graph, which through our hooks would otherwise hold itself."""
        for handle in self._handles:
            handle.remove()
        self.roots, self._handles = [], []
        self._skips.clear()
        self._seen.clear()

    def _hook(self, tensor: Tensor, function: Callable[[Tensor], None]) -> None:
        self._handles.append(tensor.register_hook(function))  # type: ignore[no-untyped-call]

    def settled(self) -> dict[str, dict[Place, float]]:
        """Every number as a float; what was never written stays away."""
        return {
            name: {place: float(number) for place, number in numbers.items()}
            for name, numbers in self._numbers.items()
        }

    def _read(
        self, sighting: Sighting, key: tuple[int, int], place: Place, tensor: Tensor, channels: int
    ) -> None:
        with torch.no_grad():
            found: dict[str, Tensor | float] = {}
            values, at = tensor.detach(), channels
            if values.dim() == 1:  # one number a sample is one channel
                values, at = values.unsqueeze(1), 1
            for read in self._values:
                found |= read(values, at)
        places = [place]
        self._seen[key] = (weakref.ref(tensor), places, found)
        self._note(places, found)
        computed = place[1] in sighting.computed
        if self._gradients and tensor.requires_grad and not computed:
            self._hook(tensor, self._on_gradient(places, channels))

    def without_gradient(self, anatomy: Anatomy) -> list[str]:
        """A sentence that names the places where a value was read and no gradient came by."""
        names = [
            quantity.name
            for probe in self._probes
            if probe.on_gradient
            for quantity in probe.quantities
        ]
        if not names:
            return []
        reached = self._numbers[names[0]]
        missed = [
            f"{anatomy.sites[index].name}:{port}"
            for index, port in dict.fromkeys(self._places)
            if (index, port) not in reached
        ]
        return [f"no gradient came by at {', '.join(missed)}"] if missed else []

    def _note(self, places: Sequence[Place], found: Numbers) -> None:
        for name, number in found.items():
            for place in places:
                self._numbers[name][place] = number

    def _on_gradient(self, places: list[Place], channels: int) -> Callable[[Tensor], None]:
        def read(gradient: Tensor) -> None:
            if self._pulling:  # it passes for the sake of one side of a skip
                return
            with torch.no_grad():
                for probe, memory in self._gradients:
                    self._note(places, probe(gradient, channels, memory.of_pass))

        return read

    def _on_output(self, sighting: Sighting, channels: int) -> Callable[[Tensor], None]:
        """A term that we computed stands in no graph: its gradient is its share of the sum's."""

        def read(gradient: Tensor) -> None:
            if self._pulling:
                return
            shapes = self._shapes[sighting.index]
            for port, part in zip(_SIDES, sighting.finding.shares(gradient, shapes), strict=True):
                if port in sighting.computed:
                    for probe, memory in self._gradients:
                        self._note([(sighting.index, port)], probe(part, channels, memory.of_pass))

        return read

    def _follow(self, sighting: Sighting, port: str, tensor: Tensor) -> None:
        skip = self._skips.setdefault(sighting.index, _Skip())
        if port == "shortcut":
            skip.shortcut = get_gradient_edge(tensor)
        elif port == "branch":
            skip.branch = get_gradient_edge(tensor)
        elif port == "output":
            ancestor = sighting.finding.ancestor
            edge = ancestor.edge if ancestor is not None else None
            if edge is None or skip.shortcut is None or skip.branch is None:
                return
            self._hook(tensor, self._on_sum(sighting, skip, edge))
            settle = self._on_ancestor(sighting, skip, edge.output_nr)
            self._handles.append(edge.node.register_prehook(settle))

    def _on_sum(
        self, sighting: Sighting, skip: _Skip, ancestor: GradientEdge
    ) -> Callable[[Tensor], None]:
        def share(gradient: Tensor) -> None:
            if self._pulling:
                return
            ends = [edge for edge in (skip.shortcut, skip.branch) if edge is not None]
            self._pulling = True
            try:
                parts = sighting.finding.shares(gradient, self._shapes[sighting.index])
                first, second = (
                    self._pull(edge, ancestor, part) for edge, part in zip(ends, parts, strict=True)
                )
            except RuntimeError as error:
                self.notes.append(f"flow through {sighting.address.label or 'the root'}: {error}")
                return
            finally:
                self._pulling = False
            skip.parts = (first, second)

        return share

    @staticmethod
    def _pull(end: GradientEdge, ancestor: GradientEdge, gradient: Tensor) -> Tensor:
        if end.node is ancestor.node and end.output_nr == ancestor.output_nr:
            return gradient.detach()
        (pulled,) = torch.autograd.grad(
            [end], [ancestor], [gradient.detach()], retain_graph=True, allow_unused=True
        )
        return torch.zeros(()) if pulled is None else pulled.detach()

    def _on_ancestor(
        self, sighting: Sighting, skip: _Skip, output: int
    ) -> Callable[[tuple[Tensor, ...]], None]:
        def settle(gradients: tuple[Tensor, ...]) -> None:
            total = gradients[output]
            if self._pulling or skip.parts is None or total is None:
                return
            shortcut, branch = skip.parts
            skip.parts = None
            with torch.no_grad():
                for flow in self._flows:
                    numbers = flow(
                        Flow(total.detach(), shortcut.expand_as(total), branch.expand_as(total))
                    )
                    self._note([(sighting.index, "output")], numbers)

        return settle


class _Memory:
    def __init__(self) -> None:
        self.of_pass: dict[Any, Any] = {}
