"""Curvature over a stated step: what the Hessian of a network with kinks leaves out."""

from collections.abc import Sequence

import torch
from torch import Tensor

from skipnorm.probes.curvature.operator import apart
from skipnorm.probes.problem import Problem

__all__ = ["finite_curvature", "step_of"]


def step_of(problem: Problem, names: Sequence[str], length: float) -> float:
    """A step as a fraction of the length of these parameters; of 1 where all of them are zero."""
    squares = sum(
        float(problem.parameters[name].detach().double().square().sum()) for name in names
    )
    return float(length * (squares**0.5 or 1.0))


def finite_curvature(
    problem: Problem, names: Sequence[str], directions: Tensor, step: float
) -> Tensor:
    """The mean second derivative of the loss over [w - h u, w + h u], kinks included, for each unit vector u.

    `<grad L(w + h u) - grad L(w - h u), u> / (2 h)`: a ReLU's derivative jumps where its second derivative is zero on
    either side, and the jumps within the step are counted at their full height.

    Args:
        problem: what is differentiated.
        names: the parameters that the directions are about; the others stay.
        directions: (d, n), unit vectors.
        step: h.

    Returns:
        (d,), float64.
    """
    shapes = [problem.parameters[name].detach() for name in names]
    pieces = apart(directions, shapes)
    found = []
    for row in range(len(directions)):
        along = {name: piece[row] for name, piece in zip(names, pieces, strict=True)}
        slopes = []
        for sign in (1.0, -1.0):
            moved = {
                name: value + sign * step * along[name]
                for name, value in zip(names, shapes, strict=True)
            }
            gradient = problem.gradient({**problem.parameters, **moved})
            slopes.append(
                sum((gradient[name].double() * along[name].double()).sum() for name in names)
            )
        found.append(torch.as_tensor((slopes[0] - slopes[1]) / (2 * step)))
    return torch.stack(found) if found else torch.zeros(0, dtype=torch.float64)
