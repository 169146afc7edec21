"""How far the gradient at hand can be trusted: loss range, gradient predictiveness and effective smoothness."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.evidence.schema import Quantity
from skipnorm.formulas.directions import length
from skipnorm.probes.findings import Findings
from skipnorm.probes.objective import Loss
from skipnorm.probes.problem import Parameters, Problem, Statistics, posed

__all__ = ["QUANTITIES", "smoothness"]

_SOURCE = "Santurkar et al. 2018, figure 4"

QUANTITIES = (
    Quantity(
        "loss_along_gradient",
        ("length",),
        "loss",
        "the loss after a step of this length",
        _SOURCE + "a",
    ),
    Quantity(
        "gradient_change",
        ("length",),
        "loss/parameter",
        "how far the gradient there is from the one here: ||g(w) - g(w - s g)||",
        _SOURCE + "b",
    ),
    Quantity(
        "smoothness",
        ("length",),
        "loss/parameter^2",
        "the change of the gradient per distance: ||g(w) - g(w - s g)|| / ||s g||",
        _SOURCE + "c",
    ),
    Quantity("loss_here", (), "loss", "the loss before any step", "definition"),
    Quantity(
        "gradient_norm",
        (),
        "loss/parameter",
        "the length of the gradient before any step",
        "definition",
    ),
    Quantity(
        "loss_range", (), "loss", "the largest loss after a step less the smallest", _SOURCE + "a"
    ),
    Quantity(
        "gradient_predictiveness",
        (),
        "loss/parameter",
        "the largest change of the gradient: small where the gradient here predicts those ahead",
        _SOURCE + "b",
    ),
    Quantity(
        "effective_smoothness",
        (),
        "loss/parameter^2",
        "the largest change of the gradient per distance: an estimate of the Lipschitz constant beta along the step",
        _SOURCE + "c",
    ),
)


def smoothness(
    network: nn.Module,
    batch: Any,
    *,
    loss: Loss = None,
    lengths: Sequence[float] = (0.5, 1.0, 2.0, 4.0),
    lr: float = 0.1,
    statistics: Statistics = "as_is",
    where: str = "*",
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """How much loss and gradient change along one gradient step, for steps of several lengths.

    With the gradient ``g`` of the mean loss at the weights ``w``, and ``w_s = w - s lr g`` for each of the lengths
    ``s``: the loss at ``w_s``, the change ``||g(w) - g(w_s)||`` and its ratio to the distance ``||s lr g||``; over all
    lengths, the loss range (largest less smallest), the gradient predictiveness (the largest change) and the effective
    beta-smoothness (the largest ratio). Nothing is trained: these are evaluations. A quantity that is NaN at one
    length is NaN over all; where the gradient is zero the ratio is 0/0, NaN.

    Args:
        network: any module, in the mode in which it is to be looked at.
        batch: as `measure` takes it, or a list of such, whose mean loss is meant.
        loss: as `measure` takes it.
        lengths: of the steps, as multiples of the learning rate; Santurkar et al. took [1/2, 4] for VGG.
        lr: the learning rate; 0.1 with the usual lengths reaches the 0.4 gradients at which they stopped.
        statistics: what BatchNorm normalises by: "as_is", "batch", "running" or "recalibrated".
        where: glob over names of parameters: those that are stepped and differentiated.
        progress: told how many gradients are done, and of how many.

    Raises:
        ProbeError: lengths or a learning rate that make no step, or a batch or loss that does not fit.

    Source: Santurkar et al. 2018, section 3.1 and figure 4.

    >>> import torch
    >>> bowl = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> nn.init.constant_(bowl.weight, 1.0).item()
    1.0
    >>> point = (torch.tensor([[3.0]]).double(), torch.tensor([[0.0]]).double())
    >>> found = smoothness(bowl, point, loss="mse", lengths=[0.5, 1.0], lr=0.01)  # L = 9 w^2, so beta is 18
    >>> round(float(found.values["effective_smoothness"]), 6), round(float(found.values["loss_along_gradient"][1]), 4)
    (18.0, 6.0516)
    """
    steps = _steps(lengths, lr)
    with posed(network, batch, loss=loss, statistics=statistics, where=where) as problem:
        here = {name: value.detach() for name, value in problem.parameters.items()}
        loss_here, gradient = _mean_loss(problem, here), problem.gradient(here)
        norm = float(length(gradient))
        total = len(steps) + 1
        rows = []
        for index, step in enumerate(steps):
            _tell(progress, index + 1, total)
            rows.append(_at(problem, here, gradient, step))
        _tell(progress, total, total)
        settings = _settings(problem, lr)
    losses, changes = (np.array(column) for column in zip(*rows, strict=True))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratios = changes / (np.asarray(steps) * norm)
        values = {
            "loss_along_gradient": losses,
            "gradient_change": changes,
            "smoothness": ratios,
            "loss_here": loss_here,
            "gradient_norm": norm,
            "loss_range": losses.max() - losses.min(),
            "gradient_predictiveness": changes.max(),
            "effective_smoothness": ratios.max(),
        }
    broken = [name for name, value in values.items() if not np.isfinite(value).all()]
    notes = (f"not finite: {', '.join(broken)}",) if broken else ()
    return Findings(QUANTITIES, values, {"length": list(map(float, lengths))}, settings, notes)


def _at(
    problem: Problem, here: Parameters, gradient: dict[str, Tensor], step: float
) -> tuple[float, float]:
    """Loss, and distance of the gradient from the first, after this step."""
    there = {name: value - step * gradient[name] for name, value in here.items()}
    loss, other = _mean_loss(problem, there), problem.gradient(there)
    apart = {name: gradient[name].double() - other[name].double() for name in other}
    return loss, float(length(apart))


def _mean_loss(problem: Problem, point: Parameters) -> float:
    return float(problem.mean(problem.losses(point).double()))


def _steps(lengths: Sequence[float], lr: float) -> list[float]:
    given = [float(each) for each in lengths]
    if not given or not all(np.isfinite(each) and each > 0 for each in given):
        raise ProbeError(
            f"expected positive lengths, as multiples of the learning rate, found {given}; try (0.5, 1, 2, 4)"
        )
    if len(set(given)) < len(given):
        raise ProbeError(f"expected every length once, found {given}")
    if not (np.isfinite(lr) and lr > 0):
        raise ProbeError(f"expected a positive learning rate, found {lr}; try 0.1")
    return [each * lr for each in given]


def _tell(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _settings(problem: Problem, lr: float) -> dict[str, str]:
    return {
        "lr": f"{lr:g}",
        "lengths": "multiples of the learning rate",
        "statistics": problem.statistics,
        "mode": "training" if problem.network.training else "evaluation",
        "samples": f"{sum(problem.weights)} in {len(problem.weights)} batches",
        "attention": "computed step by step, not fused",
    }
