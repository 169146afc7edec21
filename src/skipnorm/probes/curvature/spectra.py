"""How the loss curves around a network's parameters: eigenpairs, trace and spectral density from one Krylov run."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from skipnorm.errors import ProbeError, nearest
from skipnorm.probes.curvature.findings import differences_beside, findings_of
from skipnorm.probes.curvature.operator import KINDS, Kind, apart
from skipnorm.probes.curvature.run import ORDERS, Order, Plan
from skipnorm.probes.curvature.study import PER, Per, studied
from skipnorm.probes.findings import Findings
from skipnorm.probes.objective import Loss
from skipnorm.probes.problem import Statistics

__all__ = ["curvature", "leading_directions"]


def curvature(
    network: nn.Module,
    batch: Any,
    *,
    loss: Loss = None,
    kind: Kind = "hessian",
    statistics: Statistics = "as_is",
    where: str = "*",
    per: Per = "network",
    top: int = 5,
    order: Order = "largest",
    tolerance: float = 1e-3,
    lengths: Sequence[float] = (1e-3,),
    vectors: int = 2,
    steps: int = 12,
    most: int = 200,
    samples: int = 8,
    smoothing: float = 0.01,
    cells: int = 512,
    memory_gib: float | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """How sharply the loss curves, in how many directions, and how its curvatures are spread.

    The matrix is the Hessian of the mean loss with respect to the parameters, or its generalised Gauss-Newton part.
    Block Lanczos from random vectors runs until the top eigenpairs have settled; the same Krylov space yields the
    spectral density (stochastic Lanczos quadrature) and the larger part of the trace, of which only the rest is sampled
    (Hutchinson). The second derivative of a ReLU is zero: what its kinks add to the curvature is in
    `finite_difference_curvature`, beside `curvature_along` the same directions.

    Args:
        network: any module, in the mode in which it is to be measured.
        batch: as `measure` takes it, or a list of such, over whose samples the loss is averaged.
        loss: as `measure` takes it.
        kind: `hessian`, or `ggn`: J^T (d2L/dz2) J with J the Jacobian of the outputs z, which is never negative for a
            convex loss.
        statistics: what BatchNorm normalises by: `as_is`, `batch`, `running` or `recalibrated` (estimated anew from the
            batches at this point, then held fixed).
        where: glob over names of parameters; the others are constants.
        per: the whole `network`, or each `layer` (module that owns parameters) or `parameter` by itself: the diagonal
            blocks of the matrix, along the dimension `layer`.
        top: how many eigenpairs.
        order: the `largest` first, or the largest in `magnitude`.
        tolerance: of the residual `||H v - lambda v|| / |lambda|`.
        lengths: steps of the finite differences, as fractions of the parameters' norm; empty for none.
        vectors: how many random vectors the run starts from.
        steps: how many blocks at least; the density matches 2 * steps moments of the spectrum.
        most: how many products the Krylov space may take.
        samples: how many random vectors sample the trace outside of the Krylov space.
        smoothing: width of the Gaussian that smooths the density, as a fraction of the range of the spectrum.
        cells: how many cells the density is read in.
        memory_gib: what the run may take; by default four fifths of what is free.
        seed: of the random vectors.
        progress: told (products done, products at most).

    Raises:
        ProbeError: settings that make no sense, a network that cannot be differentiated twice, or too little memory.

    >>> import torch
    >>> line = nn.Linear(1, 1, bias=False)
    >>> data = (torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1))
    >>> float(curvature(line, data, loss="mse").values["trace"])  # 2/N X'X = 2/2 (1 + 4)
    5.0
    """
    plan = Plan(top, order, tolerance, vectors, steps, most, samples, smoothing, cells, seed)
    _check(plan, kind, per, lengths, memory_gib)
    with studied(network, batch, loss, kind, statistics, where, per, plan, memory_gib) as study:
        found, differences = [], []
        for spread in study.spectra(progress):
            found.append(spread)
            differences.append(differences_beside(study.problem, spread, lengths, top))
            spread.vectors = spread.vectors[:0]  # a layer's vectors are not kept for the next
        return findings_of(study, found, differences, lengths, layered=per != "network")


def leading_directions(
    network: nn.Module,
    batch: Any,
    count: int = 2,
    *,
    loss: Loss = None,
    kind: Kind = "hessian",
    statistics: Statistics = "as_is",
    where: str = "*",
    order: Order = "largest",
    tolerance: float = 1e-3,
    most: int = 200,
    memory_gib: float | None = None,
    seed: int = 0,
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """The top eigenvalues of the curvature matrix and their unit eigenvectors, by name of parameter.

    For planes of a landscape, or for looking at what a sharp direction is made of. Arguments as in `curvature`.

    >>> import torch
    >>> line = nn.Linear(2, 1, bias=False)
    >>> data = (torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.zeros(2, 1))
    >>> values, directions = leading_directions(line, data, 1, loss="mse")
    >>> round(float(values[0]), 4), directions[0]["weight"].abs().round(decimals=3).tolist()
    (9.0, [[0.0, 1.0]])
    """
    plan = Plan(count, order, tolerance, 1, 1, most, 2, 0.01, 16, seed)
    _check(plan, kind, "network", (), memory_gib)
    with studied(
        network, batch, loss, kind, statistics, where, "network", plan, memory_gib
    ) as study:
        (found,) = study.spectra()
        if not len(found.vectors):
            raise ProbeError(f"expected finite curvature, found none: {found.notes[0]}.")
        shapes = [study.problem.parameters[name].detach() for name in found.names]
        pieces = apart(found.vectors[1:], shapes)
        directions = [
            {name: piece[row].clone() for name, piece in zip(found.names, pieces, strict=True)}
            for row in range(len(found.vectors) - 1)
        ]
        return found.eigenvalues[: len(directions)], directions


def _check(
    plan: Plan, kind: str, per: str, lengths: Sequence[float], memory_gib: float | None
) -> None:
    for name, value, known in (
        ("kind", kind, KINDS),
        ("per", per, PER),
        ("order", plan.order, ORDERS),
    ):
        if value not in known:
            raise ProbeError(f"{name}: {nearest(str(value), known)}")
    least = {"top": 1, "vectors": 1, "steps": 1, "samples": 2, "cells": 16}
    for name, floor in least.items():
        value = getattr(plan, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < floor:
            raise ProbeError(
                f"{name}: expected a whole number of at least {floor}, found {value!r}."
            )
    for name, number in {"tolerance": plan.tolerance, "smoothing": plan.smoothing}.items():
        if not 0 < number < 1:
            raise ProbeError(
                f"{name}: expected a number between 0 and 1, found {number!r}; try 1e-3."
            )
    needed = max(plan.steps * plan.vectors, plan.top)
    if plan.most < needed:
        raise ProbeError(
            f"most: expected at least {needed}, for {plan.steps} steps of {plan.vectors} vectors and {plan.top} "
            f"eigenpairs, found {plan.most}. Raise most= or lower steps=, vectors= or top=."
        )
    if any(not (0 < length < math.inf) for length in lengths) or len(set(lengths)) < len(lengths):
        raise ProbeError(
            "lengths: expected different positive fractions of the parameters' norm, "
            f"found {list(lengths)}; try (1e-3,)."
        )
    if memory_gib is not None and not memory_gib > 0:
        raise ProbeError(f"memory_gib: expected a positive number or None, found {memory_gib!r}.")
