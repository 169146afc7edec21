"""Where each weight of a network stands: in a residual branch or outside, first or last, behind which activation."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from skipnorm.anatomy.node import Node
from skipnorm.networks.initializers import Role
from skipnorm.surgery.following import Follower, Run, Sum, followed
from skipnorm.surgery.maps import maps_of
from skipnorm.surgery.patient import Patient

__all__ = ["Standing", "Standings", "standings_of"]


@dataclass
class Standing:
    """Where a module that holds weights stands.

    Attributes:
        path: of the module.
        shape: of what it returns in its first run.
        role: `last` of a residual branch (the innermost it is part of), `stem` if no weight comes before it, `head` if
            neither weight nor norm nor activation comes behind it, else `inner`, as one that the signal does not pass
            (it makes a position bias, say).
        layers: how many weights a signal passes, at most, on its way through that branch; 1 outside of branches.
        before: the activations, by index of site, that its input comes from with no weight in between.
        alone: whether its input comes from nothing but those.
        normed: whether a norm lies between those and its input.
        behind: the activations that take what it returns with no weight in between.
    """

    path: str
    shape: tuple[int, ...]
    role: Role = "inner"
    layers: int = 1
    before: frozenset[int] = frozenset()
    alone: bool = False
    normed: bool = False
    behind: frozenset[int] = frozenset()


@dataclass
class Standings:
    """The weights of a network in order of execution, by path, and how its activations stand to them.

    Attributes:
        opposed: pairs of ReLUs, by index of site, of which the second acts on the first one's input with the sign
            turned: concatenated ReLUs.
        others: what else takes an activation's output with no weight in between: names of sites, by index.
        headless: names of the residual skips whose branch ends in no weight of a known module.
    """

    weights: dict[str, Standing] = field(default_factory=dict)
    opposed: set[frozenset[int]] = field(default_factory=set)
    others: dict[int, list[str]] = field(default_factory=dict)
    headless: list[str] = field(default_factory=list)


def standings_of(patient: Patient) -> Standings:
    """Where the weights stand that the patient's inputs reach, in order of execution."""
    follower, returned = followed(patient)
    return _Reading(patient, follower, returned).standings()


class _Reading:
    """What the nodes of one run say of where the weights stand."""

    def __init__(self, patient: Patient, seen: Follower, returned: Sequence[Node]) -> None:
        self.patient, self.seen, self.returned = patient, seen, returned
        self.names = {site.index: site.name for site in patient.anatomy.sites}
        self.made = {run.output: run.path for run in seen.runs}

    def standings(self) -> Standings:
        found = Standings(opposed=self.seen.opposed)
        for run in self.seen.runs:
            if run.path not in found.weights:
                found.weights[run.path] = self._standing(run)
        self._branches(found)
        self._ends(found)
        self._takers(found)
        return found

    def _standing(self, run: Run) -> Standing:
        ends = list(self._nearest(run.inputs))
        activations = [self.seen.activated[each] for each in ends if each in self.seen.activated]
        return Standing(
            run.path,
            run.shape,
            before=frozenset(activations),
            alone=bool(ends) and len(activations) == len(ends),
            normed=any(each in self.seen.normed for each in _back(run.inputs, self._is_end)),
        )

    def _nearest(self, starts: Iterable[Node]) -> Iterator[Node]:
        """The first weights, activations and inputs of the network that one meets on the way back."""
        return (node for node in _back(starts, self._is_end) if self._is_end(node))

    def _is_end(self, node: Node) -> bool:
        first = not any(each.signal for each in node.parents)
        return first or self._weighs(node) or node in self.seen.activated

    def _weighs(self, node: Node) -> bool:
        return node.weighted or node in self.made

    def _branches(self, found: Standings) -> None:
        """Roles and numbers of layers within residual branches; an inner branch comes before the outer one."""
        placed: set[str] = set()
        for each in self.seen.sums.values():
            if each.merge != "add" or each.ancestor is None:
                continue
            inside = self._inside(each)
            last = {
                self.made[node]
                for node in _back(self._branch(each), self._weighs, inside)
                if node in self.made
            }
            if not last:
                found.headless.append(self.names[each.index])
            layers = self._longest(inside)
            for path in {self.made[node] for node in inside if node in self.made} - placed:
                found.weights[path].role = "last" if path in last else "inner"
                found.weights[path].layers = layers
                placed.add(path)

    def _branch(self, each: Sum) -> list[Node]:
        """The terms that came by no shortcut, as nodes."""
        branch, shortcut = each.terms.get("branch"), each.terms.get("shortcut")
        if branch is not None:
            return [branch]
        return [parent for parent in each.parents if parent is not shortcut]

    def _inside(self, each: Sum) -> set[Node]:
        """What lies between the ancestor and the end of the branch."""
        assert each.ancestor is not None
        start = each.ancestor.index
        walked = _back(self._branch(each), lambda node: node.index <= start)
        return {node for node in walked if node.index > start}

    def _longest(self, inside: set[Node]) -> int:
        """How many weights lie on the path with the most."""
        counts: dict[Node, int] = {}
        for node in sorted(inside, key=lambda each: each.index):
            above = max((counts.get(parent, 0) for parent in node.parents), default=0)
            path = self.made.get(node)
            counts[node] = above + (self._number(path) if path is not None else 0)
        return max(1, *counts.values())

    def _number(self, path: str) -> int:
        return min(2, len(maps_of(self.patient.module(path))))

    def _ends(self, found: Standings) -> None:
        """The first and the last weights of the network, as far as they are in no branch."""
        takers = [node for _, _, node in self.seen.taken]
        takers += [node for run in self.seen.runs for node in run.inputs]
        followed = {self.made[node] for node in _back(takers, self._weighs) if node in self.made}
        followed |= {run.path for run in self.seen.runs if not run.output.signal}
        led = {run.path: self._is_led(run) for run in reversed(self.seen.runs)}
        branched = {path for path, each in found.weights.items() if each.role == "last"}
        branched |= {
            self.made[node]
            for each in self.seen.sums.values()
            if each.merge == "add" and each.ancestor is not None
            for node in self._inside(each)
            if node in self.made
        }
        for path, each in found.weights.items():
            if path not in branched:
                each.role = "head" if path not in followed else each.role
                each.role = "stem" if not led[path] and path in followed else each.role

    def _is_led(self, run: Run) -> bool:
        before = any(self._weighs(node) for node in _back(run.inputs, self._weighs))
        return before or not run.output.signal

    def _takers(self, found: Standings) -> None:
        """Who takes what the activations return, and which activations take what the weights return."""
        behind: dict[str, set[int]] = {}
        for index, kind, node in self.seen.taken:
            for end in self._nearest([node]):
                if end in self.seen.activated:
                    self._note(found, end, self.names[index])
                elif end in self.made and kind == "activation":
                    behind.setdefault(self.made[end], set()).add(index)
        for each in self.seen.sums.values():
            terms = [term for term in (*each.terms.values(), *each.parents) if term is not None]
            for end in self._nearest(terms):
                self._note(found, end, self.names[each.index])
        for end in self._nearest(self.returned):
            self._note(found, end, "the output")
        for path, indices in behind.items():
            found.weights[path].behind = frozenset(indices)

    def _note(self, found: Standings, end: Node, taker: str) -> None:
        index = self.seen.activated.get(end)
        if index is not None and taker not in found.others.setdefault(index, []):
            found.others[index].append(taker)


def _back(
    starts: Iterable[Node],
    stop: Callable[[Node], bool],
    within: set[Node] | None = None,
) -> Iterator[Node]:
    """The nodes that a signal came from, those at which `stop` holds included but nothing before them."""
    queue, seen = list(starts), set(starts)
    while queue:
        node = queue.pop()
        if not node.signal or (within is not None and node not in within):
            continue
        yield node
        if stop(node):
            continue
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                queue.append(parent)
