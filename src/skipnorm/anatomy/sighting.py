"""A site as it is met in one run, and how it comes by its name once the run is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from skipnorm.anatomy.frames import Call
from skipnorm.anatomy.recognise import Finding
from skipnorm.anatomy.sites import Activation, Address, Norm, Site, Skip

__all__ = ["Listener", "Sighting", "named_sites"]


@dataclass
class Sighting:
    """A site that has been met in this run; what it is called is settled when the run is over.

    Attributes:
        operand: which tensor among the arguments of the call the site acts on.
        computed: the ports whose value is no tensor of the network's, such as the weighted terms of a `lerp`.
    """

    index: int
    finding: Finding
    call: Call
    address: Address
    ordinal: int
    leaf: bool
    shape: tuple[int, ...] = ()
    gate: bool = False
    operand: int = 0
    computed: frozenset[str] = frozenset()


class Listener(Protocol):
    """Somebody who wants to see the values at the sites while the network runs.

    Attributes:
        edges: whether to note where each value stands in autograd's graph.
    """

    edges: bool

    def adopt(self, tensor: Tensor) -> Tensor:
        """A signal has no gradient to its name: what shall the network go on with in its place."""

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        """The value of a port (`input`, `output`, `shortcut`, `branch`), before anything can overwrite it."""


def named_sites(sightings: Sequence[Sighting]) -> tuple[Site, ...]:
    """The sites with names that are stable, readable and unique."""
    alone = _alone(sightings)
    taken: set[str] = set()
    return tuple(_site(sighting, alone=alone, taken=taken) for sighting in sightings)


def _alone(sightings: Sequence[Sighting]) -> set[Call]:
    counts: dict[Call, int] = {}
    for sighting in sightings:
        counts[sighting.call] = counts.get(sighting.call, 0) + 1
    return {call for call, number in counts.items() if number == 1}


def _site(sighting: Sighting, *, alone: set[Call], taken: set[str]) -> Site:
    finding, call = sighting.finding, sighting.call
    stem = ".".join(part for part in (call.label, finding.operation) if part)
    if sighting.leaf and call in alone and call.label:
        stem = call.label
    name, number = (
        (stem if sighting.ordinal == 1 else f"{stem}#{sighting.ordinal}"),
        sighting.ordinal,
    )
    while name in taken:
        number += 1
        name = f"{stem}#{number}"
    taken.add(name)
    common: dict[str, Any] = {
        "name": name,
        "module": call.path,
        "operation": finding.operation,
        "index": sighting.index,
        "shape": sighting.shape,
        "address": sighting.address,
        "operand": sighting.operand,
    }
    if finding.kind == "norm":
        return Norm(**common, family=finding.family or "other")
    if finding.kind == "activation":
        return Activation(**common, gate=sighting.gate)
    assert finding.shortcut is not None
    assert finding.merge is not None
    return Skip(
        **common,
        shortcut=finding.shortcut,
        merge=finding.merge,
        shortcuts=finding.shortcuts,
        branch=finding.branch,
    )
