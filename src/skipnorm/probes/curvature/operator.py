"""The Hessian and the generalised Gauss-Newton matrix of a loss, as products with vectors."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from skipnorm.anatomy.tensors import tensors_in
from skipnorm.errors import ProbeError
from skipnorm.probes.objective import Loss, inputs_of, loss_of
from skipnorm.probes.problem import Problem

__all__ = ["KINDS", "Kind", "Operator"]

Kind = Literal["hessian", "ggn"]
KINDS: tuple[Kind, ...] = ("hessian", "ggn")

_Rows = list[Tensor]
_ONCE = (
    "expected a network that can be differentiated twice, found {} Replace the operation, or switch off what fuses it "
    "(torch.backends.cudnn.enabled = False for recurrent layers)."
)


class Operator:
    """Products of a curvature matrix of the mean loss with vectors, at the network's own parameters.

    With L the loss, averaged over the batches by their number of samples, and z the outputs: the Hessian is d2L/dw2,
    the generalised Gauss-Newton matrix J^T (d2L/dz2) J with J = dz/dw (Schraudolph 2002), which leaves out the
    curvature of the network itself.

    Attributes:
        gradient: dL/dw by name of parameter.
        notes: what did not go as planned.
    """

    def __init__(
        self, problem: Problem, loss: Loss, kind: Kind, *, retained: bool, at_once: int
    ) -> None:
        self.problem, self.loss, self.kind = problem, loss, kind
        self.retained, self.at_once = retained, at_once
        self.notes: list[str] = []
        self._proven = at_once == 1
        total = sum(problem.weights)
        self.shares = [weight / total for weight in problem.weights]
        self._graphs: dict[int, _Graph] = {}
        self.gradient = {
            name: torch.zeros_like(value) for name, value in problem.parameters.items()
        }
        for batch, share in enumerate(self.shares):
            for name, part in self._graph(batch).gradient.items():
                self.gradient[name] += share * part.detach()

    def times(self, rows: Tensor, names: Sequence[str]) -> Tensor:
        """The matrix times each row; only the block of the matrix that belongs to these parameters.

        Args:
            rows: (c, n), the parameters side by side.
            names: the parameters in that order.
        """
        shapes = [self.problem.parameters[name] for name in names]
        product = torch.zeros_like(rows)
        for batch, share in enumerate(self.shares):
            graph = self._graph(batch)
            for first in range(0, len(rows), self.at_once):
                some = slice(first, first + self.at_once)
                pieces = apart(rows[some], shapes)
                product[some] += share * self._several(graph, pieces, names)
        return product

    def _graph(self, batch: int) -> "_Graph":
        if batch in self._graphs:
            return self._graphs[batch]
        with _refusing():
            graph = _Graph(self.problem, batch, self.loss, self.kind)
        if self.retained:
            self._graphs[batch] = graph
        return graph

    def _several(self, graph: "_Graph", pieces: _Rows, names: Sequence[str]) -> Tensor:
        """One graph, several vectors: in one sweep where that works and gives the same, else one by one."""
        if self.at_once > 1:
            try:
                together = _side_by_side(graph.times(pieces, names, batched=True), pieces)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, NotImplementedError) as error:
                self._one_by_one(str(error).strip().splitlines()[0])
            else:
                if self._proven or self._same(graph, pieces, names, together):
                    return together
        with _refusing():
            columns = [
                graph.times([piece[row] for piece in pieces], names, batched=False)
                for row in range(len(pieces[0]))
            ]
        return torch.stack([torch.cat([part.reshape(-1) for part in parts]) for parts in columns])

    def _same(self, graph: "_Graph", pieces: _Rows, names: Sequence[str], together: Tensor) -> bool:
        with _refusing():
            alone = graph.times([piece[0] for piece in pieces], names, batched=False)
        flat = torch.cat([part.reshape(-1) for part in alone])
        distance = torch.linalg.vector_norm(flat - together[0])
        bound = 1e4 * torch.finfo(flat.dtype).eps * torch.linalg.vector_norm(flat)
        self._proven = not bool(distance > bound)
        if not self._proven:
            self._one_by_one("in one sweep they came out different")
        return self._proven

    def _one_by_one(self, reason: str) -> None:
        self.at_once = 1
        self.notes.append(f"vectors are multiplied one by one: {reason}")


class _Graph:
    """One batch: its gradient as a function that can be differentiated again, kept for many products."""

    def __init__(self, problem: Problem, batch: int, loss: Loss, kind: Kind) -> None:
        self.point = {
            name: value.detach().requires_grad_() for name, value in problem.parameters.items()
        }
        arguments = {**self.point, **_own_statistics(problem.network)}
        outputs = problem.outputs(arguments, batch=batch)
        value = loss_of(outputs, inputs_of(problem.batches[batch])[2], loss)
        self.ends: _Rows = []
        names, leaves = list(self.point), list(self.point.values())
        if kind == "ggn":
            self.ends, self.slopes = _ends(outputs, value)
        parts = torch.autograd.grad(
            value, leaves, create_graph=kind == "hessian", retain_graph=True, allow_unused=True
        )
        self.gradient = {
            name: part for name, part in zip(names, parts, strict=True) if part is not None
        }
        if kind == "ggn":
            self._linearise()
        if batch == 0:
            _check_twice([*self.gradient.values(), *(getattr(self, "back", {}).values())])

    def _linearise(self) -> None:
        """Write J^T u as a function of a dummy u: its derivative by u is J."""
        leaves = list(self.point.values())
        self.dummies = [torch.zeros_like(end, requires_grad=True) for end in self.ends]
        back = torch.autograd.grad(
            self.ends, leaves, self.dummies, create_graph=True, allow_unused=True
        )
        self.back = dict(zip(self.point, back, strict=True))
        slopes = [slope.detach() for slope in self.slopes]
        through = torch.autograd.grad(
            self.ends, leaves, slopes, retain_graph=True, allow_unused=True
        )
        for name, other in zip(self.point, through, strict=True):
            self._check_way(name, other)

    def _check_way(self, name: str, through: Tensor | None) -> None:
        """The gradient by way of the outputs must be all of the gradient."""
        zero = torch.zeros_like(self.point[name])
        part, other = self.gradient.get(name, zero), zero if through is None else through
        apart_by, size = (part - other).abs().amax(), part.abs().amax()
        if bool(apart_by > 1e-3 * size + 1e-7):  # a NaN is reported elsewhere
            raise ProbeError(
                f"expected a loss that depends on {name!r} through the outputs only, as the Gauss-Newton matrix needs "
                "it, found another way (a penalty on weights, an auxiliary loss, outputs made from each other). "
                "Try kind='hessian', or a network that returns its logits alone and loss= a function of them."
            )

    def times(self, pieces: _Rows, names: Sequence[str], *, batched: bool) -> _Rows:
        """The curvature matrix of this batch times one vector or, batched, several."""
        leaves = [self.point[name] for name in names]
        if not self.ends:
            firsts = {name: self.gradient.get(name) for name in names}
            return _pulled(firsts, leaves, pieces, batched)
        along = {name: self.back[name] for name in names}
        pushed = _pulled(along, self.dummies, pieces, batched)
        slopes = dict(enumerate(self.slopes))
        bent = _pulled(slopes, self.ends, pushed, batched)
        return _pulled(dict(enumerate(self.ends)), leaves, bent, batched)


def apart(rows: Tensor, like: Sequence[Tensor]) -> _Rows:
    """Rows over all parameters, (c, n), taken apart into (c, *shape) for each parameter."""
    pieces = torch.split(rows, [each.numel() for each in like], dim=1)
    return [
        piece.reshape(len(rows), *each.shape).to(each)
        for piece, each in zip(pieces, like, strict=True)
    ]


def _pulled(
    tops: Mapping[Any, Tensor | None], bottoms: Sequence[Tensor], covectors: _Rows, batched: bool
) -> _Rows:
    """Vector-Jacobian products of those tops that depend on anything; zeros where a bottom has no part in them."""
    pairs = [
        (top, covector)
        for top, covector in zip(tops.values(), covectors, strict=True)
        if top is not None and top.requires_grad
    ]
    sizes = (len(covectors[0]),) if batched else ()
    if not pairs:
        return [bottom.new_zeros(*sizes, *bottom.shape) for bottom in bottoms]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a missing batching rule costs time only
        parts = torch.autograd.grad(
            [top for top, _ in pairs],
            list(bottoms),
            [covector for _, covector in pairs],
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
    return [
        bottom.new_zeros(*sizes, *bottom.shape) if part is None else part.detach()
        for part, bottom in zip(parts, bottoms, strict=True)
    ]


def _side_by_side(parts: _Rows, pieces: _Rows) -> Tensor:
    return torch.cat([part.reshape(len(pieces[0]), -1) for part in parts], dim=1)


def _ends(outputs: Any, value: Tensor) -> tuple[_Rows, _Rows]:
    """The outputs that the loss is a function of, and its slope there."""
    logits = (
        outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    )
    found = [logits] if isinstance(logits, Tensor) else tensors_in(outputs)
    found = [each for each in found if each.requires_grad and each is not value]
    slopes = (
        torch.autograd.grad(value, found, create_graph=True, allow_unused=True) if found else ()
    )
    pairs = [(end, slope) for end, slope in zip(found, slopes, strict=True) if slope is not None]
    if not pairs:
        raise ProbeError(
            "expected a loss that is a function of the network's outputs, as the Gauss-Newton matrix needs it, found "
            "none of them on the way to the loss. Return the logits, or try kind='hessian'."
        )
    return [end for end, _ in pairs], [slope for _, slope in pairs]


def _check_twice(tops: Sequence[Tensor | None]) -> None:
    """Refuse a graph that autograd would cut in silence: behind a derivative that has none itself, it returns zero."""
    ahead = [top.grad_fn for top in tops if top is not None and top.grad_fn is not None]
    seen = set(ahead)
    while ahead:
        node = ahead.pop()
        if node.name().rsplit("::", 1)[-1] in ("Error", "DelayedError", "NotImplemented"):
            raise ProbeError(
                _ONCE.format("a function whose backward pass is not (once_differentiable).")
            )
        fresh = {other for other, _ in node.next_functions if other is not None} - seen
        seen |= fresh
        ahead.extend(fresh)


def _own_statistics(network: nn.Module) -> dict[str, Tensor]:
    """Copies of the running statistics, so that a later batch does not write into what this graph has kept."""
    return {
        f"{path}.{name}" if path else name: value.clone()
        for path, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
        for name, value in module.named_buffers(recurse=False)
    }


@contextmanager
def _refusing() -> Iterator[None]:
    """Say what to try where a network cannot be differentiated twice."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        words = str(error).strip().splitlines()[0]
        if not any(hint in words for hint in ("derivative", "not implemented", "double backward")):
            raise
        raise ProbeError(_ONCE.format(words)) from error
