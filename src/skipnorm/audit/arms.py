"""What is done to a network in place of what it has: each arm is a list of operations that is really run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from skipnorm.anatomy.sites import Anatomy, Norm, Site
from skipnorm.audit.groups import Group
from skipnorm.errors import SkipnormError
from skipnorm.surgery import (
    AddSkips,
    CutSkips,
    DropBranches,
    Operation,
    Reinitialize,
    ScaleSkips,
    SwapNorm,
    operate,
)

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NO_OP", "ORIGINAL", "Arm", "arms_of", "feasible", "no_op", "removal_of"]

Role = Literal["original", "no-op", "removal", "substitute", "addition"]

ORIGINAL, NO_OP = "original", "no-op"

_REDRAWN = {"relu": "he", "gelu": "he", "silu": "he", "leaky_relu": "he", "tanh": "glorot"}
"""How weights are drawn where no norm sets the scale, by the activation that the network has most of."""


@dataclass(frozen=True)
class Arm:
    """One alteration of the network, by operations.

    Attributes:
        name: what tables call it.
        role: `removal` answers for a group; a `substitute` may stand in for it; an `addition` tries
            what is missing; the other two are controls.
        group: the name of the group; empty for controls and additions.
        operations: what is done, in order; a `Reinitialize` comes first and is sown by the trial's seed.
        what: in words.
        keeps: norms and skips that are left, by which simpler is told from less simple.
    """

    name: str
    role: Role
    group: str = ""
    operations: tuple[Operation, ...] = ()
    what: str = ""
    keeps: int = 0

    @property
    def redraw(self) -> Reinitialize | None:
        """The operation that draws weights anew, if there is one."""
        first = self.operations[0] if self.operations else None
        return first if isinstance(first, Reinitialize) else None

    @property
    def rest(self) -> tuple[Operation, ...]:
        """The operations that are not sown."""
        return self.operations[1:] if self.redraw else self.operations


def arms_of(groups: Sequence[Group], anatomy: Anatomy) -> tuple[Arm, ...]:
    """Every arm that answers for a group or may stand in for one, without the controls."""
    sites = len(anatomy.norms) + len(anatomy.skips)
    found: list[Arm] = []
    for group in groups:
        left = sites - len(group.sites)
        found += _removals(group, anatomy, left)
        if group.level == 0 and group.kind == "norms":
            found += _substitutes(group, anatomy, sites)
    wide = [group for group in groups if group.level == 0]
    if len(wide) == 2:
        both = tuple(removal_of(group, anatomy) for group in wide)
        left = sites - sum(len(group.sites) for group in wide)
        found.append(
            Arm("neither norms nor skips", "substitute", wide[0].name, both, "both taken out", left)
        )
    if not anatomy.skips:
        found.append(
            Arm("skips added", "addition", "", (AddSkips(),), "a shortcut around each block", sites)
        )
    return tuple(found)


def no_op(anatomy: Anatomy, groups: Sequence[Group]) -> Arm | None:
    """An edit that changes nothing, through the same machinery; None where no site allows one."""
    skips = tuple(skip.name for skip in anatomy.skips if skip.merge == "add")
    if skips:
        operation: Operation = ScaleSkips(where=_where(skips, anatomy.skips), branch=1.0)
        return Arm(NO_OP, "no-op", operations=(operation,), what="branches multiplied by 1")
    families = Counter(norm.family for norm in anatomy.norms if norm.family != "other")
    if not families:
        return None
    family = families.most_common(1)[0][0]
    same = tuple(norm.name for norm in anatomy.norms if norm.family == family)
    operation = SwapNorm(where=_where(same, anatomy.norms), to=family)
    return Arm(
        NO_OP, "no-op", operations=(operation,), what="norms swapped for norms of their kind"
    )


def feasible(
    arms: Sequence[Arm], network: nn.Module, inputs: Any
) -> tuple[tuple[Arm, ...], tuple[tuple[str, str], ...]]:
    """Those arms that can be applied to this network, and the others with the reason why not."""
    kept: list[Arm] = []
    refused: list[tuple[str, str]] = []
    for arm in arms:
        try:
            if arm.operations:
                operate(network, *arm.operations, inputs=inputs, keep_original=False)
            kept.append(arm)
        except SkipnormError as error:
            refused.append((arm.name, str(error)))
    return tuple(kept), tuple(refused)


def _where(names: Sequence[str], every: Sequence[Site]) -> str | tuple[str, ...]:
    """The shortest way to say which sites."""
    return "*" if len(names) == len(every) else tuple(names)


def removal_of(group: Group, anatomy: Anatomy) -> Operation:
    """The operation that takes the sites of a group out."""
    if group.kind == "norms":
        return SwapNorm(where=_where(group.sites, anatomy.norms), to="none")
    kind = CutSkips if group.kind == "shortcuts" else DropBranches
    return kind(where=_where(group.sites, anatomy.skips))


def _removals(group: Group, anatomy: Anatomy, left: int) -> list[Arm]:
    """The plain one, and with weights drawn for a network without norms, where all of them go."""
    taken = removal_of(group, anatomy)
    found = [Arm(f"without {group.name}", "removal", group.name, (taken,), "taken out", left)]
    if group.kind == "norms" and group.level == 0:
        fresh = Reinitialize(scheme=_scheme(anatomy))  # type: ignore[arg-type]
        found.append(
            Arm(
                f"without {group.name}, {fresh.scheme} weights",
                "removal",
                group.name,
                (fresh, taken),
                "taken out, and weights drawn for a network without norms",
                left,
            )
        )
    return found


def _scheme(anatomy: Anatomy) -> str:
    counted = Counter(site.operation.lower() for site in anatomy.activations)
    most = counted.most_common(1)[0][0] if counted else ""
    return next((scheme for word, scheme in _REDRAWN.items() if word in most), "glorot")


def _substitutes(group: Group, anatomy: Anatomy, sites: int) -> list[Arm]:
    """What is cheaper than the norms and may do their work."""
    found = []
    taken = removal_of(group, anatomy)
    additive = tuple(skip.name for skip in anatomy.skips if skip.merge == "add")
    if additive:
        scaled = ScaleSkips(where=_where(additive, anatomy.skips), branch=0, learnable=True)
        found.append(
            Arm(
                "SkipInit for the norms",
                "substitute",
                group.name,
                (taken, scaled),
                "taken out; each branch is scaled by a learned number that starts at 0",
                sites - len(group.sites),
            )
        )
    static = SwapNorm(where=_where(group.sites, anatomy.norms), to="static")
    found.append(
        Arm(
            "static norms",
            "substitute",
            group.name,
            (static,),
            "each a fixed map per channel, by its statistics at the start",
            sites - len(group.sites) // 2,  # what is fixed can be folded into the next map
        )
    )
    batch = [norm for norm in anatomy.norms if norm.family == "batch" and norm.name in group.sites]
    if batch:
        to = _other(batch[0])
        where = _where([norm.name for norm in batch], anatomy.norms)
        found.append(
            Arm(
                f"{to} norm for batch norm",
                "substitute",
                group.name,
                (SwapNorm(where=where, to=to),),  # type: ignore[arg-type]
                "independent of the batch",
                sites,
            )
        )
    return found


def _other(norm: Norm) -> str:
    return "group" if len(norm.shape) > 2 else "layer"
