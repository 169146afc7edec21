"""How well a network in training answers: loss and accuracy on each part of its task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from skipnorm.errors import TaskError
from skipnorm.evidence.schema import Quantity

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

    from skipnorm.probes.problem import Problem
    from skipnorm.probes.scores_marks import Marks

__all__ = ["SCORES", "scored"]

CHUNK = 1000
"""Samples that are answered at once, and the most of the training part that are asked."""

PARTS = {"train": "training", "validation": "validation", "test": "test"}

Row = tuple[int, float, float, float]
"""Of one batch: its samples, its loss, how many answers are right, of how many that are asked about."""

SCORES = "scores@1()"
"""What names these readings among a trial's."""

QUANTITIES = tuple(
    Quantity(
        f"{part}_{score}", (), unit, f"{meaning} of the {part} samples, in evaluation mode", source
    )
    for part in PARTS.values()
    for score, unit, meaning, source in (
        ("loss", "loss", "mean loss", "definition"),
        ("accuracy", "1", "accuracy", "definition"),
    )
)


def scored(network: nn.Module | None, task: Any) -> xr.Dataset:
    """Loss and accuracy on training, validation and test samples, with the network in evaluation mode.

    Of the training part a fixed 1000 samples are asked. A part that a task does not have, or cannot
    hand out whole, is NaN, as is an accuracy where targets are no classes; and so is all of it where
    there is no network, because its training diverged. The network is left as it was.

    >>> import torch
    >>> from skipnorm.tasks import Digits
    >>> silent = torch.nn.Linear(64, 10)
    >>> _ = torch.nn.init.zeros_(silent.weight), torch.nn.init.zeros_(silent.bias)
    >>> found = scored(silent, Digits(flat=True))
    >>> round(float(found["test_loss"]), 4)  # ln 10: one of ten classes, by guessing
    2.3026
    """
    from skipnorm.evidence import label

    values = {quantity.name: math.nan for quantity in QUANTITIES}
    if network is not None:
        with _evaluating(network):
            values |= _marks(network, task)
    return label(values, QUANTITIES, {}, {})


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode, and afterwards in its own."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _marks(network: nn.Module, task: Any) -> dict[str, float]:
    """Loss and accuracy on each part, all of them posed as one problem."""
    parts = {name: _samples(task, split) for split, name in PARTS.items()}
    chunks = {name: list(_chunks(each)) for name, each in parts.items() if each is not None}
    batches = [_beside(network, each) for several in chunks.values() for each in several]
    found = iter(_rows(network, batches, task.loss) if batches else [])
    values = {}
    for name, several in chunks.items():
        rows = list(islice(found, len(several)))
        total = sum(samples for samples, *_ in rows)
        values[f"{name}_loss"] = sum(loss * samples for samples, loss, *_ in rows) / total
        right, asked = (sum(row[at] for row in rows) for at in (2, 3))
        values[f"{name}_accuracy"] = right / asked if asked else math.nan
    return values


def _rows(network: nn.Module, batches: list[Any], loss: Any) -> list[Row]:
    """One for each batch; where an answer is not plainly one class a sample, as `scores` reads it."""
    from skipnorm.probes.problem import posed
    from skipnorm.probes.scores_marks import form_of, marked

    with posed(network, batches, loss=loss, where=None) as problem:
        rows: list[Row] = []
        while len(rows) < len(batches) and (row := _plain(problem, len(rows), loss)) is not None:
            rows.append(row)
        if len(rows) == len(batches):
            return rows
        return [_row(each) for each in marked(problem, form_of(problem, loss), loss)]


def _plain(problem: Problem, number: int, loss: Any) -> Row | None:
    """One batch of classes, one a sample: a tenth of what all marks cost. None where it is something else."""
    import torch

    from skipnorm.probes.scores_marks import IGNORED, targets_of
    from skipnorm.tasks.losses import loss_of

    targets = targets_of(problem.batches[number])
    if not isinstance(targets, torch.Tensor) or targets.dim() != 1 or targets.dtype != torch.int64:
        return None
    with torch.no_grad():
        outputs = problem.outputs(batch=number)
        if not isinstance(outputs, torch.Tensor) or outputs.dim() != 2:
            return None
        value = float(loss_of(outputs, targets, loss, differentiable=False))
        asked = targets != IGNORED
        right = float((outputs.argmax(1) == targets)[asked].sum())
        broken = bool(outputs[asked].isnan().any())  # then it has chosen no class
    return len(targets), value, math.nan if broken else right, float(asked.sum())


def _row(marks: Marks) -> Row:
    part = marks.parts.get("accuracy")
    right, asked = (math.nan, 1.0) if part is None else (float(half.sum()) for half in part)
    return marks.samples, marks.loss, right, asked


def _samples(task: Any, split: str) -> Any:
    """The samples of a part, or None where the task has no such part or no end."""
    count: Callable[[str], int] | None = getattr(task, "count", None)
    try:
        if split == "train" and count is not None:
            return task.batch(min(CHUNK, count(split)), 0, split=split)
        full = task.full(split)
    except (AttributeError, NotImplementedError, TaskError):
        return None
    return full if split != "train" else next(_chunks(full))


def _chunks(samples: Any) -> Iterator[Any]:
    from skipnorm.anatomy.tensors import mapped, tensors_in

    total = len(next(iter(tensors_in(samples))))
    for start in range(0, total, CHUNK):
        yield mapped(itemgetter(slice(start, start + CHUNK)), samples)


def _beside(network: nn.Module, batch: Any) -> Any:
    """The batch on the network's device."""
    from skipnorm.anatomy.tensors import mapped

    weights = next(network.parameters(), None)
    return batch if weights is None else mapped(lambda tensor: tensor.to(weights.device), batch)
