"""Whole blocks: shortcuts given to those that have none, and the order in which blocks come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from skipnorm.anatomy.alter import Occasion
from skipnorm.anatomy.sites import Address, Site
from skipnorm.errors import SurgeryError
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient
from skipnorm.surgery.wiring import calls_of

__all__ = ["AddSkips", "PermuteBlocks"]

_ROWS = (nn.Sequential, nn.ModuleList)


@dataclass(frozen=True, kw_only=True, repr=False)
class AddSkips(Operation):
    """Give blocks a shortcut from input to output: `x + block(x)`.

    A block is a module that takes one tensor and returns one of the same shape and type, runs once in a pass, holds
    weights and a norm or an activation, and has no skip and no smaller such block in it. `where` is a glob over paths
    of modules.
    """

    changes: ClassVar[str] = "plain blocks"

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """The plain blocks whose output could be added to their input, as sites named by the module's path."""
        calls = {
            path: call.output
            for path, call in calls_of(patient).items()
            if call.input == call.output
        }
        found = [path for path in calls if _is_plain_block(path, patient)]
        inner = [path for path in found if not any(other.startswith(f"{path}.") for other in found)]
        return [
            Site(
                name=path,
                module=path,
                operation=type(patient.module(path)).__name__,
                index=index,
                shape=calls[path],
                address=Address(path, "forward", "", 1),
            )
            for index, path in enumerate(inner)
        ]

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Add what goes into each block to what comes out."""
        patient.gate({site: _plus_input for site in sites})


def _plus_input(at: Occasion) -> Tensor:
    return at["input"] + at.original()


def _is_plain_block(path: str, patient: Patient) -> bool:
    module = patient.module(path)
    inside = [
        site
        for site in patient.anatomy.sites
        if site.module == path or site.module.startswith(f"{path}.")
    ]
    weighted = any(weight.dim() > 1 for weight in module.parameters())
    return (
        any(True for _ in module.children())
        and weighted
        and any(site.kind != "skip" for site in inside)
        and not any(site.kind == "skip" for site in inside)
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class PermuteBlocks(Operation):
    """Let the blocks that hold the chosen skips run in another order, weights and all (Veit et al. 2016).

    A block is the nearest module around a skip that stands in an `nn.Sequential` or an `nn.ModuleList`. Keys count
    places: a checkpoint of the original that is loaded afterwards restores the original order, so load first. Applied
    twice, `reverse` and a swap undo themselves.

    Args:
        where, expect: which skips; see `Operation`. Blocks that hold several of them are moved once.
        order: `reverse`, `shuffle` (by `seed`), or a permutation: at place i the block that was i-th `order[i]`.
        seed: of the shuffle.

    Raises:
        SurgeryError: blocks that pass signals of different shapes, or an order that is no permutation of them.
    """

    order: Literal["reverse", "shuffle"] | tuple[int, ...] = "reverse"
    seed: int = 0
    changes: ClassVar[str] = "skips"

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """The skips that stand in a block of a row of blocks."""
        return [site for site in patient.anatomy.skips if _block_around(site, patient) is not None]

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Move the blocks."""
        shapes: dict[str, set[tuple[int, ...]]] = {}
        for site in sites:
            path = _block_around(site, patient)
            assert path is not None
            shapes.setdefault(path, set()).add(site.shape)
        paths = list(shapes)
        if len(set().union(*shapes.values())) > 1:
            listed = "; ".join(f"{path}: {sorted(shapes[path])}" for path in paths)
            raise SurgeryError(
                f"{self}: expected blocks that pass signals of one shape, found {listed}. Choose those of one stage."
            )
        modules = [patient.module(path) for path in paths]
        for path, place in zip(paths, self._places(len(paths)), strict=True):
            row, _, name = path.rpartition(".")
            patient.module(row)._modules[name] = modules[place]

    def _places(self, number: int) -> Sequence[int]:
        if self.order == "reverse":
            return range(number)[::-1]
        if self.order == "shuffle":
            generator = torch.Generator().manual_seed(self.seed)
            return [int(each) for each in torch.randperm(number, generator=generator)]
        if sorted(self.order) != list(range(number)):
            raise SurgeryError(
                f"{self}: expected 'reverse', 'shuffle' or a permutation of 0 to {number - 1} for the {number} blocks "
                f"found, found {self.order!r}."
            )
        return self.order


def _block_around(site: Site, patient: Patient) -> str | None:
    path = site.module
    while path:
        above = path.rpartition(".")[0]
        if isinstance(patient.module(above), _ROWS):
            return path
        path = above
    return None
