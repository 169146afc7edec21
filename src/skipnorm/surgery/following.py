"""One run of a network in which what goes through its weights, norms, activations and skips is followed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.node import Node
from skipnorm.anatomy.observe import Observer
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.taps import tapped
from skipnorm.anatomy.tensors import fresh, tensors_in
from skipnorm.surgery.maps import is_map
from skipnorm.surgery.patient import Patient

__all__ = ["Follower", "Run", "Sum", "followed"]


@dataclass
class Run:
    """One run of a module that holds weights: what came from where, without the tensors."""

    path: str
    inputs: list[Node]
    output: Node
    shape: tuple[int, ...]


@dataclass
class Sum:
    """One skip: where its terms come from."""

    index: int
    terms: dict[str, Node | None] = field(default_factory=dict)
    parents: tuple[Node, ...] = ()
    ancestor: Node | None = None
    merge: str = "add"


class Follower:
    """A listener that keeps the nodes (and no tensor) of what goes into the sites and of what comes out."""

    edges = False

    def __init__(self) -> None:
        self.observer: Observer | None = None
        self.runs: list[Run] = []
        self.sums: dict[int, Sum] = {}
        self.activated: dict[Node, int] = {}
        self.normed: set[Node] = set()
        self.taken: list[tuple[int, str, Node]] = []
        self.opposed: set[frozenset[int]] = set()
        self._last: tuple[int, Tensor] | None = None

    def adopt(self, tensor: Tensor) -> Tensor:
        """The tensor itself: nobody asks for gradients."""
        return tensor

    def node(self, tensor: Tensor) -> Node | None:
        """Where the value comes from."""
        assert self.observer is not None
        return self.observer.lineage[tensor]

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        """Note where the value at a port comes from."""
        node, kind = self.node(tensor), sighting.finding.kind
        if kind == "skip" and port != "output":
            found = self.sums.setdefault(sighting.index, Sum(sighting.index))
            found.terms[port] = node
            found.parents, found.ancestor = sighting.finding.parents, sighting.finding.ancestor
            found.merge = sighting.finding.merge or "add"
        elif port == "input" and node is not None:
            self.taken.append((sighting.index, kind, node))
            if kind == "activation":
                self._compare(sighting.index, tensor)
        elif port == "output" and node is not None:
            if kind == "activation":
                self.activated[node] = sighting.index
            elif kind == "norm":
                self.normed.add(node)

    def _compare(self, index: int, tensor: Tensor) -> None:
        if self._last is not None and self._last[1].shape == tensor.shape:
            before, other = self._last
            if torch.equal(other, -tensor) and bool(tensor.any()):
                self.opposed.add(frozenset((before, index)))
        self._last = (index, tensor.clone())

    def hook(self, path: str) -> Callable[..., None]:
        """What to register behind a module that holds weights."""

        def behind(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            given = (self.node(each) for each in tensors_in((args, kwargs)))
            results = [(node, each) for each in tensors_in(output) if (node := self.node(each))]
            if results:
                node, tensor = results[0]
                inputs = [each for each in given if each is not None and each.signal]
                self.runs.append(Run(path, inputs, node, tuple(tensor.shape)))

        return behind


def followed(patient: Patient) -> tuple[Follower, list[Node]]:
    """What was seen in one run on the patient's inputs, and where its outputs come from."""
    follower = Follower()
    with untouched(patient.network) as ledger, torch.no_grad(), _hooked(patient, follower):
        observer = follower.observer = Observer(patient.network, ledger, follower)
        for tensor in tensors_in((patient.inputs, patient.named)):
            ledger.keep(tensor)
        observer.root((patient.inputs, patient.named))
        with tapped(observer, patient.network):
            outputs = patient.network(*fresh(patient.inputs), **fresh(patient.named))
        returned = [node for each in tensors_in(outputs) if (node := observer.lineage[each])]
    return follower, returned


@contextmanager
def _hooked(patient: Patient, follower: Follower) -> Iterator[None]:
    handles = [
        module.register_forward_hook(follower.hook(path), with_kwargs=True)
        for path, module in patient.network.named_modules()
        if is_map(module)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
