"""The gradient along single paths through a residual network: forward values untouched, backward one way per block."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from skipnorm.anatomy.alter import Edit, Occasion, altered
from skipnorm.anatomy.tensors import operands_of
from skipnorm.errors import ProbeError
from skipnorm.probes.objective import Loss, inputs_of, loss_of
from skipnorm.probes.paths.lesions import Junction, Span, Survey, rooted

__all__ = ["Routes", "paths_drawn", "paths_to_walk", "routes"]


@dataclass
class _Gate:
    """Which sides of a skip the gradient may take."""

    shortcut: bool = True
    branch: bool = True

    def set(self, *, shortcut: bool, branch: bool) -> None:
        self.shortcut, self.branch = shortcut, branch


class Routes:
    """A loss whose gradient can be sent along one side of each skip.

    Attributes:
        value: the loss; what the network computes is not changed.
        serial: the skips that every path from the input to the loss goes through, by position.
    """

    def __init__(
        self, objective: Tensor, roots: Sequence[Tensor], gates: Mapping[int, _Gate]
    ) -> None:
        self._objective, self._roots, self._gates = objective, list(roots), gates
        self.value = float(objective.detach())
        self.serial = tuple(position for position in gates if self._blocks_all(position))

    def norm(self, branches: Sequence[int] | None = None) -> float:
        """The norm of the gradient at the input: of all paths, or of the one through just these branches."""
        for position in self.serial:
            chosen = branches is None or position in branches
            self._gates[position].set(shortcut=branches is None or not chosen, branch=chosen)
        return self._norm()

    def _blocks_all(self, position: int) -> bool:
        self._gates[position].set(shortcut=False, branch=False)
        norm = self._norm()
        self._gates[position].set(shortcut=True, branch=True)
        return not norm > 0

    def _norm(self) -> float:
        try:
            parts = torch.autograd.grad(
                self._objective, self._roots, retain_graph=True, allow_unused=True
            )
        except RuntimeError as error:
            raise ProbeError(
                f"expected a gradient from the loss to the input, found: {error}. If reentrant gradient checkpointing "
                "is on, switch it off or set use_reentrant=False."
            ) from error
        squares = [
            torch.linalg.vector_norm(part, dtype=torch.float64).square()
            for part in parts
            if part is not None
        ]
        return math.sqrt(float(torch.stack(squares).sum())) if squares else 0.0


@contextmanager
def routes(
    network: nn.Module, batch: Any, loss: Loss, survey: Survey, junctions: Sequence[Junction]
) -> Iterator[Routes]:
    """Run the network once, with a gate in the backward pass of each skip, which holds within the context.

    Gradients arrive at the network's input, or at the embedding of an input of tokens.

    Raises:
        ProbeError: no input or embedding from which the loss could be differentiated.
    """
    args, named, targets = inputs_of(batch)
    start = _Start(survey.begun)
    gates = {n: _Gate() for n, junction in enumerate(junctions) if not junction.reason}
    edits = {junctions[n].name: _gated(junctions[n], gate) for n, gate in gates.items()}
    with torch.enable_grad(), altered(network, survey.anatomy, edits):
        args, named = rooted(args, start.root), rooted(named, start.root)
        with start:
            outputs = network(*args, **named)
        objective = loss_of(outputs, targets, loss)
        if not start.roots:
            raise ProbeError(
                "expected an input of real numbers, or tokens that are embedded, found neither: nothing to "
                "differentiate the loss by. Pass embeddings as the input."
            )
        yield Routes(objective, start.roots, gates)


def paths_drawn(
    blocks: int, draws: int, draw: np.random.Generator
) -> list[tuple[list[tuple[int, ...]], bool]]:
    """For each length, the paths to look at: all where there are no more than `draws`, else that many at random."""
    lengths = []
    for length in range(blocks + 1):
        every = math.comb(blocks, length) <= draws
        paths = (
            list(combinations(range(blocks), length))
            if every
            else [
                tuple(sorted(draw.choice(blocks, size=length, replace=False).tolist()))
                for _ in range(draws)
            ]
        )
        lengths.append((paths, every))
    return lengths


def paths_to_walk(blocks: int, draws: int, likely: int) -> int:
    """How many paths there are to look at: of each length, and `likely` ones where not all are."""
    each = [math.comb(blocks, length) for length in range(blocks + 1)]
    more = likely if max(each) > draws > 0 else 0
    return sum(min(number, draws) for number in each) + more


class _Start(TorchFunctionMode):
    """Gives the input, or the embedding of an input of tokens, a place in the graph where its gradient is read."""

    def __init__(self, begun: Sequence[Tensor]) -> None:
        super().__init__()
        self.roots: list[Tensor] = []
        self._awaited = list(begun)

    def root(self, tensor: Tensor) -> Tensor:
        """A place in the graph with the tensor's values; what is handed out may be written into."""
        root = tensor.detach().clone().requires_grad_()
        self.roots.append(root)
        return root.clone()

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if not self._awaited or not isinstance(result, Tensor):
            return result
        given = list(operands_of(args, kwargs or {}))
        looked_up = any(not each.is_floating_point() for each in given)
        if not looked_up or any(result is each for each in given):
            return result
        for number, awaited in enumerate(self._awaited):
            same = result.shape == awaited.shape and result.dtype == awaited.dtype
            if same and torch.equal(result, awaited):
                del self._awaited[number]
                return self.root(result)
        return result


def _gated(junction: Junction, gate: _Gate) -> Edit:
    def edit(occasion: Occasion) -> Tensor:
        if junction.site.merge == "concat":
            joined: Tensor = _JoinGate.apply(occasion.original(), gate, junction.spans)  # type: ignore[no-untyped-call]
            return joined
        shortcut, branch = occasion["shortcut"].clone(), occasion["branch"].clone()
        with torch.no_grad():
            value = occasion.original()
        total: Tensor = _SumGate.apply(shortcut, branch, value, gate)  # type: ignore[no-untyped-call]
        return total

    return edit


class _SumGate(torch.autograd.Function):
    """The sum that the network computed; its gradient goes to the sides whose gate is open."""

    @staticmethod
    def forward(ctx: Any, shortcut: Tensor, branch: Tensor, value: Tensor, gate: _Gate) -> Tensor:
        ctx.gate, ctx.shapes = gate, (shortcut.shape, branch.shape)
        ctx.dtypes = (shortcut.dtype, branch.dtype)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        sides = [
            gradient.sum_to_size(shape).to(dtype) if is_open else None
            for shape, dtype, is_open in zip(
                ctx.shapes, ctx.dtypes, (ctx.gate.shortcut, ctx.gate.branch), strict=True
            )
        ]
        return (*sides, None, None)


class _JoinGate(torch.autograd.Function):
    """A concatenation whose gradient is zero in the places of sides whose gate is closed."""

    @staticmethod
    def forward(
        ctx: Any, joined: Tensor, gate: _Gate, spans: tuple[tuple[Span, ...], tuple[Span, ...]]
    ) -> Tensor:
        ctx.gate, ctx.spans = gate, spans
        return joined.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0].clone()
        for spans, is_open in zip(ctx.spans, (ctx.gate.shortcut, ctx.gate.branch), strict=True):
            for span in () if is_open else spans:
                gradient.narrow(*span).zero_()
        return gradient, None, None
