"""What the numbers of `curvature` mean, and how they are laid out."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from skipnorm.evidence.schema import Quantity
from skipnorm.probes.curvature.kinks import finite_curvature, step_of
from skipnorm.probes.curvature.run import Spectrum
from skipnorm.probes.curvature.study import Study
from skipnorm.probes.findings import Findings
from skipnorm.probes.problem import Problem

__all__ = ["curvature_quantities", "differences_beside", "findings_of"]

_CURVATURE = "loss/parameter^2"
_LANCZOS = "Golub & Underwood 1977, block Lanczos"
_ROWS = (
    ("top_eigenvalue", ("eigenvalue",), _CURVATURE, "the top eigenvalues of the matrix, first to last", _LANCZOS),
    (
        "top_residual",
        ("eigenvalue",),
        "1",
        "||H v - lambda v|| / |lambda| of each eigenpair, checked by one more product",
        "definition",
    ),
    (
        "outlier_ratio",
        ("eigenvalue",),
        "1",
        "lambda_1 / lambda_K: at K = number of classes, how far the outliers stand out of the bulk",
        "Rao & Sohl-Dickstein 2020",
    ),
    ("lowest_eigenvalue", (), _CURVATURE, "the smallest eigenvalue: the most negative curvature", _LANCZOS),
    ("lowest_residual", (), "1", "||H v - lambda v|| / |lambda| of the lowest eigenpair", "definition"),
    (
        "trace",
        (),
        _CURVATURE,
        "sum of all eigenvalues: exact within the Krylov space, sampled outside of it",
        "Meyer et al. 2021 (Hutch++), with a Krylov space",
    ),
    (
        "trace_error",
        (),
        _CURVATURE,
        "standard error of the trace over the sampled vectors; 0 where nothing was sampled",
        "Hutchinson 1990",
    ),
    (
        "density",
        ("x",),
        "parameter^2/loss",
        "share of the eigenvalues per unit of curvature, smoothed; sum of density times spacing is 1",
        "Ubaru, Chen & Saad 2017, stochastic Lanczos quadrature",
    ),
    ("density_grid", ("x",), _CURVATURE, "the curvature in the middle of each cell of the density", "definition"),
    (
        "curvature_along",
        ("direction",),
        _CURVATURE,
        "u' H u for the unit gradient and the unit eigenvectors u, by second derivatives",
        "definition",
    ),
    (
        "finite_difference_curvature",
        ("direction", "length"),
        _CURVATURE,
        "mean second derivative of the loss over [w - h u, w + h u], kinks included",
        "definition",
    ),
    (
        "finite_difference_step",
        ("length",),
        "parameter",
        "the step h: the length times the norm of the parameters",
        "definition",
    ),
    ("gradient_norm", (), "loss/parameter", "length of the gradient of the mean loss", "definition"),
    ("parameters", (), "1", "how many parameters are varied: rows of the matrix", "definition"),
    ("products", (), "1", "how many vectors were multiplied by the matrix in all", "definition"),
)  # fmt: skip


def curvature_quantities(*, layered: bool, differences: bool) -> tuple[Quantity, ...]:
    """What is measured, once for the network or once for each layer."""
    front = ("layer",) if layered else ()
    return tuple(
        Quantity(name, front + dims, unit, meaning, source)
        for name, dims, unit, meaning, source in _ROWS
        if differences or "length" not in dims
    )


def differences_beside(
    problem: Problem, found: Spectrum, lengths: Sequence[float], top: int
) -> Tensor:
    """The finite-difference curvature along each of a run's directions, (top + 1, lengths); NaN where there is none."""
    table = torch.full((top + 1, len(lengths)), math.nan, dtype=torch.float64)
    for column, length in enumerate(lengths):
        step = step_of(problem, found.names, length)
        values = finite_curvature(problem, found.names, found.vectors, step)
        table[: len(values), column] = values.cpu()
    if not found.gradient_norm:
        table[0] = math.nan  # there is no gradient to go along
    return table


def findings_of(
    study: Study,
    found: Sequence[Spectrum],
    differences: Sequence[Tensor],
    lengths: Sequence[float],
    *,
    layered: bool,
) -> Findings:
    """The runs side by side, with their labels."""
    names = list(study.groups)
    columns: dict[str, list[Any]] = {
        "top_eigenvalue": [each.eigenvalues for each in found],
        "top_residual": [each.residuals for each in found],
        "outlier_ratio": [each.eigenvalues[0] / each.eigenvalues for each in found],
        "lowest_eigenvalue": [each.lowest[0] for each in found],
        "lowest_residual": [each.lowest[1] for each in found],
        "trace": [each.trace[0] for each in found],
        "trace_error": [each.trace[1] for each in found],
        "density": [each.density for each in found],
        "density_grid": [each.grid for each in found],
        "curvature_along": [_along(each, study.plan.top) for each in found],
        "gradient_norm": [each.gradient_norm for each in found],
        "parameters": [
            sum(study.problem.parameters[name].numel() for name in each.names) for each in found
        ],
        "products": [each.products for each in found],
    }
    if lengths:
        columns["finite_difference_curvature"] = list(differences)
        columns["finite_difference_step"] = [
            torch.tensor([step_of(study.problem, each.names, length) for length in lengths])
            for each in found
        ]
    values = {
        name: torch.stack([torch.as_tensor(each) for each in column]) if layered else column[0]
        for name, column in columns.items()
    }
    notes = [
        f"{name}: {note}" if layered else note
        for name, each in zip(names, found, strict=True)
        for note in each.notes
    ]
    return Findings(
        curvature_quantities(layered=layered, differences=bool(lengths)),
        values,
        _coordinates(study.plan.top, names if layered else [], lengths, found),
        study.settings,
        (*notes, *study.operator.notes),
    )


def _along(found: Spectrum, top: int) -> Tensor:
    values = torch.full((top + 1,), math.nan, dtype=torch.float64)
    values[0] = found.along_gradient
    values[1:] = found.eigenvalues
    return values


def _coordinates(
    top: int, layers: Sequence[str], lengths: Sequence[float], found: Sequence[Spectrum]
) -> dict[str, Any]:
    grid = found[0].grid
    readable = not layers and bool(grid.isfinite().all())
    coords: dict[str, Any] = {
        "eigenvalue": list(range(1, top + 1)),
        "direction": ["gradient", *(f"eigenvector_{place}" for place in range(1, top + 1))],
        "x": grid.numpy() if readable else list(range(len(grid))),
    }
    if lengths:
        coords["length"] = list(lengths)
    if layers:
        coords["layer"] = list(layers)
    return coords
