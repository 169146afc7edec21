"""The optimiser and the course of its learning rate, as torch has them."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn, optim
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from skipnorm.errors import StudyError, TrainingError, nearest
from skipnorm.reference import load
from skipnorm.training.training import SCHEDULES, Training

__all__ = ["optimizer_of", "schedule_of"]

_NEEDS_CLOSURE = ("lbfgs",)


def optimizer_of(training: Training, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
    """The optimiser that a training names, over those of the parameters that are to be trained.

    Raises:
        TrainingError: an unknown name, settings that the optimiser refuses, or nothing to train.

    >>> training = Training(rate=0.5, settings={"momentum": 0.9})
    >>> optimizer_of(training, nn.Linear(1, 1).parameters()).defaults["momentum"]
    0.9
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise TrainingError(
            "expected a network with parameters that require a gradient, found none."
        )
    made = _function(training.optimizer, _optimizers(), "optimizer")
    try:
        optimizer = made(trained, lr=training.rate, **training.options)
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"expected settings that the optimiser {training.optimizer!r} takes, found "
            f"{training.options}: {error}"
        ) from error
    if not isinstance(optimizer, optim.Optimizer):
        raise TrainingError(
            f"expected a torch.optim.Optimizer from {training.optimizer!r}, found "
            f"{type(optimizer).__name__}."
        )
    return optimizer


def schedule_of(training: Training, optimizer: optim.Optimizer) -> LRScheduler | None:
    """The course of the learning rate, stepped after every update; None where it never changes.

    >>> optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> course, rates = schedule_of(Training(steps=6, rate=1.0, warmup=3), optimizer), []
    >>> for _ in range(5):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 6))
    ...     optimizer.step()
    ...     course.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    steps, warmup, named = training.steps, training.warmup, training.schedule
    if named == "one_cycle":
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=training.rate,
            total_steps=steps,
            pct_start=training.rise / steps,
            cycle_momentum=False,
        )
    if named == "constant" and not warmup:
        return None
    main = _main(training, optimizer, steps - warmup)
    if not warmup:
        return main
    rising = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return lr_scheduler.SequentialLR(optimizer, [rising, main], milestones=[warmup])


def _main(training: Training, optimizer: optim.Optimizer, left: int) -> LRScheduler:
    """What follows the warm-up, over the steps that are left."""
    left = max(left, 1)
    if training.schedule == "constant":
        return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    if training.schedule == "linear":
        return lr_scheduler.LinearLR(optimizer, 1.0, end_factor=0.0, total_iters=left)
    if training.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=left)
    if training.schedule == "step":
        falls = [round(share * training.steps) - training.warmup for share in training.milestones]
        return lr_scheduler.MultiStepLR(optimizer, falls, gamma=training.gamma)
    factor = _function(training.schedule, dict.fromkeys(SCHEDULES, float), "schedule")
    return lr_scheduler.LambdaLR(optimizer, lambda step: float(factor(step / left)))


def _optimizers() -> dict[str, Callable[..., Any]]:
    return {
        name.lower(): kind
        for name, kind in vars(optim).items()
        if isinstance(kind, type)
        and issubclass(kind, optim.Optimizer)
        and kind is not optim.Optimizer
        and name.lower() not in _NEEDS_CLOSURE
    }


def _function(named: Any, choices: dict[str, Callable[..., Any]], what: str) -> Callable[..., Any]:
    if not isinstance(named, str):
        found: Callable[..., Any] = named
    elif ":" in named:
        found = _imported(named, what)
    elif named in choices:
        found = choices[named]
    else:
        raise TrainingError(f"{what}: {nearest(named, choices)}")
    return found


def _imported(path: str, what: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = load(path)
    except StudyError as error:
        raise TrainingError(f"{what}: {error}") from error
    return found
