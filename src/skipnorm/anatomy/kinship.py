"""What two signals have in common: whether one of them came by a shortcut from an ancestor of both."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from skipnorm.anatomy.node import Node

__all__ = ["Load", "Meeting", "Relation", "common_ancestors", "relate", "relate_all"]


@dataclass(frozen=True)
class Load:
    """What a signal went through since an ancestor.

    Attributes:
        lightest: weighted operations, and products of signals, on the path with the fewest.
        heaviest: weighted operations on the path with the most.
        wildest: norms, non-linearities and unweighted mixing on the path with the most.
        doors: the first nodes after the ancestor.
    """

    lightest: int = 0
    heaviest: int = 0
    wildest: int = 0
    doors: frozenset[Node] = frozenset()

    def after(self, node: Node) -> "Load":
        """This load and that of the operation that made the node."""
        return Load(
            self.lightest + int(node.weighted or node.blend),
            self.heaviest + int(node.weighted),
            self.wildest + int(node.transforms),
            frozenset({node}),
        )

    def __or__(self, other: "Load") -> "Load":
        return Load(
            min(self.lightest, other.lightest),
            max(self.heaviest, other.heaviest),
            max(self.wildest, other.wildest),
            self.doors | other.doors,
        )

    def apart(self, other: "Load") -> bool:
        """Whether the two sides took disjoint parts of the ancestor and so never meet."""
        pairs = [(mine, theirs) for mine in self.doors for theirs in other.doors]
        return bool(pairs) and all(
            mine.part is not None and theirs.part is not None and mine.part.apart(theirs.part)
            for mine, theirs in pairs
        )


class Meeting(NamedTuple):
    """An ancestor that two signals share, what each went through since, and whether every path leads through it."""

    ancestor: Node
    first: Load
    second: Load
    bottleneck: bool


def common_ancestors(first: Node, second: Node) -> Iterator[Meeting]:
    """The ancestors that two signals share, the latest first."""
    loads: tuple[dict[Node, Load], dict[Node, Load]] = ({first: Load()}, {second: Load()})
    queued = {first, second}
    heap = [(-node.index, id(node), node) for node in queued]
    heapq.heapify(heap)
    while heap:
        _, _, node = heapq.heappop(heap)
        if node in loads[0] and node in loads[1]:
            yield Meeting(node, loads[0][node], loads[1][node], bottleneck=not heap)
        for parent in node.parents:
            if not parent.signal:
                continue
            for side in loads:
                if node in side:
                    load = side[node].after(node)
                    side[parent] = side[parent] | load if parent in side else load
            if parent not in queued:
                queued.add(parent)
                heapq.heappush(heap, (-parent.index, id(parent), parent))


class Relation(NamedTuple):
    """That one of two signals came by a shortcut from an ancestor of both."""

    shortcut: Literal[0, 1]
    kind: Literal["identity", "projection"]
    ancestor: Node


def relate(first: Node, second: Node, *, difference: bool = False) -> Relation | None:
    """Which of two signals came by a shortcut, if either did.

    From a common ancestor on, the shortcut is the side with the lighter path: without weighted operation an identity
    shortcut, with one a projection. The latest ancestor that makes an identity shortcut is taken, else the latest that
    makes a projection; no ancestor is asked beyond one that every path leads through. Where neither side
    holds weights, the shortcut is the side without transform; the *difference* of such a pair is a filter (centring,
    high-pass) and no skip. Equal sides are parallel branches, and disjoint parts of the ancestor never meet.
    """
    projection: Relation | None = None
    for ancestor, one, two, bottleneck in common_ancestors(first, second):
        if one.heaviest == two.heaviest == 0:
            if (one.wildest == 0) != (two.wildest == 0) and not one.apart(two):
                shortcut: Literal[0, 1] = 0 if one.wildest == 0 else 1
                return None if difference else Relation(shortcut, "identity", ancestor)
        else:
            found = _weigh(ancestor, one, two)
            if found is not None and found.kind == "identity":
                return found
            projection = projection or found
        if bottleneck:
            break
    return projection


def _weigh(ancestor: Node, one: Load, two: Load) -> Relation | None:
    keys = [(load.lightest, load.heaviest) for load in (one, two)]
    if keys[0] == keys[1] or one.apart(two):
        return None
    shortcut: Literal[0, 1] = 0 if keys[0] < keys[1] else 1
    light, heavy = keys[shortcut], keys[1 - shortcut]
    if light[0] > 1 or heavy[1] <= light[0]:
        return None
    return Relation(shortcut, "identity" if light[0] == 0 else "projection", ancestor)


def relate_all(
    nodes: Sequence[Node | None], *, difference: bool = False, identity_only: bool = False
) -> tuple[tuple[int, ...], int, Relation] | None:
    """Which terms of a sum (or concatenation) came by a shortcut, which by the branch, and how the first does."""
    known = [
        (position, node) for position, node in enumerate(nodes) if node is not None and node.signal
    ]
    if len(known) < 2:
        return None
    branches = sorted(known, key=lambda pair: -pair[1].index)
    for branch, heavy in branches if len(known) <= 8 else branches[:1]:
        found: list[tuple[int, Relation]] = []
        for position, node in known:
            if position == branch:
                continue
            relation = relate(node, heavy, difference=difference)
            if (
                relation
                and relation.shortcut == 0
                and (relation.kind == "identity" or not identity_only)
            ):
                found.append((position, relation))
        if found:
            best = min(found, key=lambda pair: pair[1].kind == "projection")[1]
            return tuple(at for at, relation in found if relation.kind == best.kind), branch, best
    return None
