"""What is known of the value of one tensor: where it comes from and what was done to it on the way."""

from collections.abc import Iterator
from typing import NamedTuple

from torch.autograd.graph import GradientEdge

__all__ = ["Gate", "Node", "Part", "Statistic"]


class Statistic(NamedTuple):
    """That a node measures the size of a signal: by what, over which dimensions, and how near to its inverse root."""

    measure: str
    dims: tuple[int, ...]
    rank: int
    rooted: bool = False
    inverse: bool = False


class Part(NamedTuple):
    """A part of a tensor: of the pieces that one call made the n-th, and which elements along each dimension."""

    call: int
    piece: int
    spans: tuple[tuple[int, int, int], ...] = ()

    def apart(self, other: "Part") -> bool:
        """Whether two parts of one tensor share no element, as far as that can be told."""
        if self.call == other.call:
            return self.piece != other.piece
        for (start, stop, step), (start2, stop2, step2) in zip(
            self.spans, other.spans, strict=False
        ):
            if stop <= start2 or stop2 <= start:
                return True
            if step == step2 and (start - start2) % step:
                return True
        return False


class Gate(NamedTuple):
    """An activation: its place in the order of execution, what it acted on, and whether it ends between 0 and 1."""

    number: int
    source: "Node"
    bounded: bool


class Node:
    """The value of one tensor at one moment.

    Attributes:
        index: order of creation, so parents have smaller ones.
        signal: descends from the values of the network's input.
        learned: descends from parameters.
        floating: holds real numbers, no indices.
        weighted: the operation that made it mixes features with a parameter.
        blend: that operation mixes two signals, as a product of matrices does: no shortcut leads through it.
        transforms: that operation is a norm, a non-linearity or mixes features without a parameter.
        pointwise: that operation only moves values or acts on each by itself.
        channels: the dimension that counts channels, where known.
        mask: a comparison of signals: it selects, and carries no signal itself.
        centred: a signal less its own mean.
        part: which part of its parent this is, where it is not the whole.
        gate_of: the activation whose output this is, unmixed.
        terms: the nodes that a stack holds, and along which dimension.
        statistic: set where this measures the size of a signal.
        edge: where the value stands in autograd's graph, if asked for.
    """

    __slots__ = (
        "__weakref__",
        "blend",
        "centred",
        "channels",
        "edge",
        "floating",
        "gate_of",
        "index",
        "learned",
        "mask",
        "parents",
        "part",
        "pointwise",
        "signal",
        "statistic",
        "terms",
        "transforms",
        "weighted",
    )

    def __init__(self, index: int, parents: tuple["Node", ...], *, signal: bool) -> None:
        self.index, self.parents, self.signal = index, parents, signal
        self.weighted = self.transforms = self.pointwise = self.mask = self.centred = False
        self.floating, self.blend = True, False
        self.part: Part | None = None
        self.learned: bool = any(parent.learned for parent in self.parents)
        self.channels: int | None = None
        self.gate_of: Gate | None = None
        self.terms: tuple[int, tuple[Node | None, ...]] | None = None
        self.statistic: Statistic | None = None
        self.edge: GradientEdge | None = None

    def copy(self, index: int) -> "Node":
        """A node for another result of the same operation."""
        twin = Node(index, self.parents, signal=self.signal)
        for name in Node.__slots__:
            if name not in ("__weakref__", "index"):
                setattr(twin, name, getattr(self, name))
        return twin

    def unmixed_ancestors(self, depth: int = 12) -> Iterator["Node"]:
        """This node and those it comes from by pointwise steps alone, as far as the last split."""
        frontier, seen = [self], {self}
        for _ in range(depth):
            yield from frontier
            frontier = [
                parent
                for node in frontier
                if node.pointwise and node.part is None
                for parent in node.parents
                if parent.signal and parent not in seen and not seen.add(parent)  # type: ignore[func-returns-value]
            ]
