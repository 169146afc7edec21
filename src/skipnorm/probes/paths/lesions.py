"""Taking one side of a skip away while the network runs: the block deleted, or the shortcut cut."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from skipnorm.anatomy.alter import Edit, Occasion
from skipnorm.anatomy.discover import observe
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.sites import Anatomy, Skip
from skipnorm.probes.objective import inputs_of

__all__ = ["Junction", "Survey", "junctions_of", "rooted", "survey", "without"]

Side = Literal["shortcut", "branch"]
Span = tuple[int, int, int]
"""A part of a concatenation: dimension, start, length."""


@dataclass(frozen=True)
class Junction:
    """A skip and what is needed to part its two sides.

    Attributes:
        site: the skip.
        spans: of a concatenation, where `shortcut` and `branch` lie.
        reason: why its sides cannot be parted; empty where they can.
    """

    site: Skip
    spans: tuple[tuple[Span, ...], tuple[Span, ...]] = ((), ())
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of the skip."""
        return self.site.name


@dataclass(frozen=True)
class Survey:
    """What one look at a network on a batch tells about its skips.

    Attributes:
        anatomy: the sites.
        junctions: the skips.
        squares: for each skip, the squared norms of branch and shortcut.
        begun: the values at which the signal becomes differentiable (embeddings), if it was not from the start.
    """

    anatomy: Anatomy
    junctions: tuple[Junction, ...]
    squares: Tensor
    begun: tuple[Tensor, ...]


def survey(network: nn.Module, batch: Any) -> Survey:
    """Run a network once and note its skips; the network stays as it was."""
    args, named, _ = inputs_of(batch)
    sides = _Sides()
    with untouched(network) as ledger, torch.enable_grad():
        args, named = rooted(args, _root), rooted(named, _root)
        observer, _ = observe(network, args, named, ledger, sides)
        found = Anatomy(type(network).__name__, observer.sites, observer.notes())
    junctions = tuple(_junction(site, sides) for site in found.skips)
    squares = torch.tensor(
        [[sides.squares.get((site.index, side), 0.0) for side in _SIDES] for site in found.skips],
        dtype=torch.float64,
    )
    return Survey(found, junctions, squares.reshape(-1, 2), tuple(sides.begun))


def rooted(inputs: Any, root: Callable[[Tensor], Tensor]) -> Any:
    """The same inputs with tensors of their own: those of real numbers as roots of the graph, except labels."""
    if isinstance(inputs, Tensor):
        return root(inputs) if inputs.is_floating_point() else inputs.clone()
    if isinstance(inputs, Mapping):
        return {
            name: each if name == "labels" else rooted(each, root) for name, each in inputs.items()
        }
    if type(inputs) in (tuple, list):
        return type(inputs)(rooted(each, root) for each in inputs)
    return inputs


def junctions_of(surveys: Iterable[Survey]) -> tuple[Junction, ...]:
    """The junctions that all surveys agree on; where they do not, the reason says so."""
    first, *others = surveys
    agreed = []
    for position, junction in enumerate(first.junctions):
        same = all(
            len(other.junctions) == len(first.junctions)
            and other.junctions[position].spans == junction.spans
            for other in others
        )
        doubt = "the batches differ in what they concatenate, or in their skips"
        agreed.append(junction if same else Junction(junction.site, reason=doubt))
    return tuple(agreed)


def without(junction: Junction, side: Side) -> Edit:
    """The edit that takes a side of a skip away.

    Of a sum the operand is removed, not multiplied by zero, so NaN there never reaches the output; in a concatenation
    zeros take its place. Without the `branch` a block is its shortcut, a projection included.
    """
    kept: Side = "shortcut" if side == "branch" else "branch"

    def edit(occasion: Occasion) -> Tensor:
        if junction.site.merge == "concat":
            joined = occasion.original().clone()
            for span in junction.spans[_ENDS.index(side)]:
                joined.narrow(*span).zero_()
            return joined
        stays, goes = occasion[kept], occasion[side]
        shape = torch.broadcast_shapes(stays.shape, goes.shape)  # type: ignore[no-untyped-call]
        return stays.to(torch.result_type(stays, goes)).expand(shape).clone()

    return edit


def _root(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_().clone()


_SIDES = ("branch", "shortcut")
_ENDS = ("shortcut", "branch")


class _Sides:
    """Listens to a network: how large the two sides of each skip are, and how they were joined."""

    edges = False

    def __init__(self) -> None:
        self.squares: dict[tuple[int, str], float] = {}
        self.slots: dict[int, tuple[Span, ...]] = {}
        self.whole: dict[int, int] = {}
        self.more_terms: set[int] = set()
        self.begun: list[Tensor] = []
        self._shortcut: Tensor | None = None
        self._expected: Tensor | None = None

    def adopt(self, tensor: Tensor) -> Tensor:
        """The signal becomes differentiable here, if the network was not given real numbers."""
        self.begun.append(tensor.detach().clone())
        return _root(tensor)

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        """Measure the sides of a skip; compare a summed stack with the sum of the two."""
        finding = sighting.finding
        if finding.kind != "skip":
            return
        tensor = tensor.detach()
        if port in _SIDES:
            norm = torch.linalg.vector_norm(tensor, dtype=torch.float64)
            self.squares[sighting.index, port] = float(norm.square())
        if port == "output" and finding.slots:
            self.slots[sighting.index] = finding.slots
            self.whole[sighting.index] = tensor.shape[finding.slots[0][0]]
        if finding.operation in ("sum", "mean"):
            self._compare(sighting.index, port, tensor)

    def _compare(self, index: int, port: str, tensor: Tensor) -> None:
        if port == "shortcut":
            self._shortcut = tensor
        elif port == "branch" and self._shortcut is not None:
            self._expected, self._shortcut = self._shortcut + tensor, None
        elif port == "output" and self._expected is not None:
            if not torch.allclose(self._expected, tensor, rtol=1e-4, atol=1e-6, equal_nan=True):
                self.more_terms.add(index)
            self._expected = None


def _junction(site: Skip, sides: _Sides) -> Junction:
    if site.index in sides.more_terms:
        return Junction(site, reason="its two sides are not all that is summed")
    if site.merge == "add":
        return Junction(site)
    slots = sides.slots[site.index]
    shortcut, branch = slots
    if len(site.shortcuts) == 1:
        return Junction(site, ((shortcut,), (branch,)))
    dim, start, length = branch
    ends = start + length == sides.whole[site.index]
    if ends and sorted(site.shortcuts) == list(range(site.branch)):
        return Junction(site, (((dim, 0, start),), (branch,)))
    return Junction(site, reason="it joins several shortcuts whose places are not known")
