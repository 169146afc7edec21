"""Every torch call of one run and where its values come from: what lint reads an architecture off."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import nn

from skipnorm.anatomy.frames import Call
from skipnorm.anatomy.node import Node
from skipnorm.anatomy.operations import Operation
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.sites import Anatomy, Site

__all__ = ["Operand", "Step", "Trace", "walked_back"]


class Operand(NamedTuple):
    """A tensor that a call takes: what is known of its value, its shape, and the parameter that it is, if it is one."""

    node: Node | None
    shape: tuple[int, ...]
    parameter: nn.Parameter | None

    @property
    def signal(self) -> bool:
        """Whether it descends from the network's input."""
        return self.node is not None and self.node.signal


@dataclass(eq=False)
class Step:
    """One torch call, or one call of a leaf module that is a single site.

    Attributes:
        named: the arguments by name, where the function is one whose names are known; tensors as `Operand`.
        opaque: whether it is a module's call, whose torch calls were not looked at.
        ancestor: where it is a skip, the signal that its two sides share.
    """

    number: int
    op: Operation
    call: Call
    operands: tuple[Operand, ...]
    named: Mapping[str, Any]
    results: tuple[Node, ...] = ()
    shape: tuple[int, ...] = ()
    site: Site | None = None
    opaque: bool = False
    sighting: Sighting | None = None

    @property
    def signals(self) -> list[Operand]:
        """The operands that descend from the network's input."""
        return [each for each in self.operands if each.signal]

    @property
    def ancestor(self) -> Node | None:
        """The signal that the two sides of a skip share."""
        return self.sighting.finding.ancestor if self.sighting else None


@dataclass(eq=False)
class Trace:
    """The calls of one run, and what its network returned.

    Attributes:
        made: the call that made each value.
        takers: the calls that take each value.
        uses: how many calls take each parameter, by identity.
        holders: how many modules hold each parameter, by identity.
        names: of the parameters, by identity.
        labels: of the calls of each module that made torch calls, by path.
    """

    network: nn.Module
    anatomy: Anatomy
    steps: list[Step]
    returned: frozenset[Node]
    made: dict[Node, Step] = field(default_factory=dict)
    takers: dict[Node, list[Step]] = field(default_factory=dict)
    uses: dict[int, int] = field(default_factory=dict)
    holders: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the calls."""
        for step in self.steps:
            self.labels.setdefault(step.call.path, set()).add(step.call.label)
            for node in step.results:
                self.made.setdefault(node, step)
            for node in dict.fromkeys(each.node for each in step.operands if each.node):
                self.takers.setdefault(node, []).append(step)
            for each in step.operands:
                if each.parameter is not None:
                    key = id(each.parameter)
                    self.uses[key] = self.uses.get(key, 0) + 1
        for module in self.network.modules():
            for parameter in module._parameters.values():
                if parameter is not None:
                    self.holders[id(parameter)] = self.holders.get(id(parameter), 0) + 1
        self.names = {id(each): name for name, each in self.network.named_parameters()}

    def only_taker(self, node: Node) -> Step | None:
        """The call that alone takes this value; None where several do, or the network returns it."""
        takers = self.takers.get(node, ())
        return takers[0] if len(takers) == 1 and node not in self.returned else None

    def own(self, parameter: nn.Parameter | None) -> bool:
        """Whether no second call uses the parameter, and no second module holds it."""
        if parameter is None:
            return False
        key = id(parameter)
        return self.uses.get(key, 0) <= 1 and self.holders.get(key, 1) == 1

    def runs(self, path: str) -> int:
        """How many different calls of the module at this path were made."""
        return len(self.labels.get(path, ()))


def walked_back(starts: Sequence[Node], until: int = -1) -> Iterator[Node]:
    """The signals that these come from, themselves included, as far back as what was made after number `until`."""
    queue, seen = list(starts), set(starts)
    while queue:
        node = queue.pop()
        if not node.signal or node.index <= until:
            continue
        yield node
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                queue.append(parent)
