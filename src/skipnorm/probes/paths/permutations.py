"""Putting blocks of equal shape into each other's places, as if their order did not matter."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import nn

from skipnorm.anatomy.sites import Skip
from skipnorm.anatomy.tensors import tensors_in
from skipnorm.probes.problem import Problem

__all__ = ["Group", "exchangeable", "order_kept", "random_swaps", "swapped"]

Swap = tuple["Group", str, str]


@dataclass(frozen=True, eq=False)
class Group:
    """Blocks that could stand in each other's places.

    Attributes:
        path: of the container.
        container: the ModuleList or Sequential that holds them.
        keys: their names in it, in order.
    """

    path: str
    container: nn.Module = field(repr=False)
    keys: tuple[str, ...]


def exchangeable(problem: Problem, skips: Sequence[Skip]) -> tuple[list[Group], list[str]]:
    """The groups of blocks that may be permuted, and why others may not.

    A block is a child of a ModuleList or a Sequential that holds skips. Blocks may be permuted if they are of one
    class, have parameters and buffers of equal names and shapes, are called once each, and return the shape they
    take. Of groups within each other the outermost counts.
    """
    containers: dict[str, nn.Module] = {
        name: module
        for name, module in problem.network.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential)
    }
    owners = [site.module for site in skips]
    holds = {
        path: [key for key in container._modules if _owns(_under(path, key), owners)]
        for path, container in containers.items()
    }
    signatures = _signatures(problem, {p: (containers[p], keys) for p, keys in holds.items()})
    groups: list[Group] = []
    reasons: list[str] = []
    permuted: list[str] = []
    for path, keys in holds.items():
        if len(keys) < 2 or any(path.startswith(outer + ".") for outer in permuted):
            continue
        for kind in Counter(signatures[path, key] for key in keys):
            alike = tuple(key for key in keys if signatures[path, key] == kind)
            if len(alike) > 1 and isinstance(kind, tuple):
                groups.append(Group(path, containers[path], alike))
                permuted += [_under(path, key) for key in alike]
            else:
                why = kind if isinstance(kind, str) else "no other block there is like it"
                where = ", ".join(_under(path, key) for key in alike)
                reasons.append(f"not permuted: {where} ({why})")
    if not groups:
        reasons.append("not permuted: no ModuleList or Sequential holds two like blocks with skips")
    return groups, reasons


@contextmanager
def swapped(swaps: Sequence[Swap]) -> Iterator[None]:
    """Let pairs of blocks stand in each other's places for the duration of the context."""
    held = [(group.container._modules, dict(group.container._modules)) for group, _, _ in swaps]
    try:
        for group, one, other in swaps:
            modules = group.container._modules
            modules[one], modules[other] = modules[other], modules[one]
        yield
    finally:
        for modules, before in reversed(held):
            modules.update(before)


def random_swaps(groups: Sequence[Group], pairs: int, draw: np.random.Generator) -> list[Swap]:
    """So many pairs of different blocks, each pair from one group."""
    left = {group: list(group.keys) for group in groups}
    swaps: list[Swap] = []
    for _ in range(pairs):
        open_ = [group for group in groups if len(left[group]) > 1]
        weights = np.array([len(left[group]) // 2 for group in open_], dtype=np.float64)
        group = open_[int(draw.choice(len(open_), p=weights / weights.sum()))]
        one, other = sorted(draw.choice(len(left[group]), size=2, replace=False).tolist())
        swaps.append((group, left[group][one], left[group][other]))
        left[group] = [k for k in left[group] if k not in swaps[-1][1:]]
    return swaps


def order_kept(groups: Sequence[Group], swaps: Sequence[Swap]) -> float:
    """How much of the blocks' order is left: Kendall's tau, 1 where none was swapped."""
    places = [(group.path, key) for group in groups for key in group.keys]
    after = list(range(len(places)))
    for group, one, other in swaps:
        i, j = places.index((group.path, one)), places.index((group.path, other))
        after[i], after[j] = after[j], after[i]
    return float(kendalltau(range(len(places)), after).statistic)


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _owns(path: str, owners: Sequence[str]) -> bool:
    return any(owner == path or owner.startswith(path + ".") for owner in owners)


def _signatures(
    problem: Problem, holds: dict[str, tuple[nn.Module, list[str]]]
) -> dict[tuple[str, str], tuple[Any, ...] | str]:
    """What must be equal of two blocks, by container and key; a sentence where one cannot be permuted."""
    shapes: dict[int, list[Any]] = {}

    def note(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        before = next((tuple(t.shape) for t in tensors_in((args, kwargs))), None)
        after = next((tuple(t.shape) for t in tensors_in(output)), None)
        shapes.setdefault(id(module), []).append((before, after))

    blocks = {(p, k): c._modules[k] for p, (c, keys) in holds.items() for k in keys}
    handles = [
        block.register_forward_hook(note, with_kwargs=True)
        for block in blocks.values()
        if block is not None
    ]
    try:
        with torch.no_grad():
            problem.outputs()
    finally:
        for handle in handles:
            handle.remove()
    return {
        place: _signature(block, shapes) for place, block in blocks.items() if block is not None
    }


def _signature(block: nn.Module, shapes: dict[int, list[Any]]) -> tuple[Any, ...] | str:
    calls = shapes.get(id(block), [])
    if len(calls) != 1:
        return f"called {len(calls)} times by its container"
    if calls[0][0] != calls[0][1]:
        return f"it turns {calls[0][0]} into {calls[0][1]}"
    held = [(name, tuple(tensor.shape)) for name, tensor in block.state_dict().items()]
    return type(block), tuple(held), calls[0]
