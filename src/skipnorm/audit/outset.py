"""What is settled before anything is compared: how to train, what to score by, and what an update costs."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from skipnorm.anatomy.sites import Anatomy
from skipnorm.audit.budget import Purse
from skipnorm.errors import StudyError
from skipnorm.training.training import Training

if TYPE_CHECKING:
    from torch import nn

    from skipnorm.audit.contest import Score

__all__ = ["default_rates", "default_training", "len_of", "paced", "scored_by", "sound"]

_WARM, _TIMED = 2, 6
"""Updates before the clock is looked at, and updates that are timed."""


def len_of(task: Any) -> int:
    """How many samples there are to train on; a large number where that is unknown."""
    count = getattr(task, "count", None)
    return int(count("train")) if count else 10**6


def default_training(anatomy: Anatomy, task: Any) -> Training:
    """SGD with momentum and a cosine; AdamW and a warm-up where most norms are layer or RMS norms."""
    batch = min(128, len_of(task))
    families = [norm.family for norm in anatomy.norms]
    if 2 * sum(family in ("layer", "rms") for family in families) > len(families):
        return Training(optimizer="adamw", rate=1e-3, batch=batch, schedule="cosine", warmup=20)
    return Training(settings={"momentum": 0.9}, rate=0.03, batch=batch, schedule="cosine")


def default_rates(plan: Training, given: Training | None) -> tuple[float, ...]:
    """Learning rates to choose from."""
    if given is not None:
        return tuple(given.rate * factor for factor in (0.1, 0.3, 1.0, 3.0))
    if plan.optimizer == "adamw":
        return (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    return (0.003, 0.01, 0.03, 0.1, 0.3)


def sound(network: nn.Module, batch: Any, loss: Any) -> None:
    """Refuse a network that has no finite loss on its first batch, or nothing to learn.

    Raises:
        StudyError: either of these.
    """
    import torch

    from skipnorm.tasks.losses import inputs_of, loss_of

    args, named, targets = inputs_of(batch)
    with torch.no_grad():
        value = float(
            loss_of(deepcopy(network)(*args, **named), targets, loss, differentiable=False)
        )
    if not math.isfinite(value):
        raise StudyError(
            f"The loss of {type(network).__name__} is {value} on its first batch, before any training: "
            "expected a finite number. Look at its weights and inputs; skipnorm measure shows where "
            "the signal breaks."
        )
    if not any(weight.requires_grad for weight in network.parameters()):
        raise StudyError(f"{type(network).__name__} has no parameter that can be trained.")


def scored_by(network: nn.Module, task: Any) -> Score:
    """Whether accuracy can be had of this network on this task; else the loss is compared.

    Raises:
        StudyError: the task has no test or no validation samples.
    """
    from skipnorm.studies.scoring import scored

    found = scored(deepcopy(network), task)
    for part in ("validation", "test"):
        if math.isnan(float(found[f"{part}_loss"])):
            raise StudyError(
                f"An audit chooses rates on validation samples and compares on test samples: expected "
                f"both, found no {part} samples in {task!r}. Give them, or a share of the training samples."
            )
    known = not math.isnan(float(found["test_accuracy"]))
    return "accuracy" if known else "loss"


def paced(network: nn.Module, task: Any, training: Training, purse: Purse) -> None:
    """Time a few updates and one evaluation, by which the purse then reckons."""
    from dataclasses import replace

    from skipnorm.studies.scoring import scored
    from skipnorm.training.train import train

    last = _WARM + _TIMED
    brief = replace(training, steps=max(last, training.warmup + 1))
    times: list[float] = []
    subject = deepcopy(network)
    for _ in train(subject, task, brief, seed=0, at=(_WARM, last)):
        times.append(purse.clock())
    begun = purse.clock()
    scored(subject.to("cpu") if training.device == "cpu" else subject, task)
    purse.overhead += purse.clock() - begun
    purse.step = (times[1] - times[0]) / _TIMED if len(times) > 1 else purse.overhead
