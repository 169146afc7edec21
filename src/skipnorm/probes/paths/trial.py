"""A network on its batches as it is, and the price of altering it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np
import torch

from skipnorm.anatomy.alter import altered
from skipnorm.probes.objective import Loss
from skipnorm.probes.paths.lesions import Junction, Side, Survey, without
from skipnorm.probes.problem import Problem
from skipnorm.probes.scores import mark_of
from skipnorm.probes.scores_marks import Form, Marks, estimated, form_of, marked

__all__ = ["Tick", "Trial"]

Tick = Callable[[], None]
Price = tuple[float, float]
"""How much worse, and the standard error of the paired difference."""


class Trial:
    """What a network does when it is altered, against what it does as it is.

    Attributes:
        junctions: its skips.
        able: those of them whose sides can be parted.
        form: how answers and targets face each other.
    """

    def __init__(
        self,
        problem: Problem,
        survey: Survey,
        junctions: Sequence[Junction],
        loss: Loss,
        shift: bool | None,
    ) -> None:
        self.junctions = tuple(junctions)
        self.able = tuple(each for each in junctions if not each.reason)
        self.form: Form = form_of(problem, loss, shift)
        self._problem, self._survey, self._loss = problem, survey, loss

    @cached_property
    def base(self) -> list[Marks]:
        """What the network does as it is."""
        return marked(self._problem, self.form, self._loss)

    def scores(self) -> dict[str, float]:
        """Loss and accuracy of the network as it is."""
        total = sum(each.samples for each in self.base)
        loss = sum(each.loss * each.samples for each in self.base) / total
        return {"loss": loss, "accuracy": mark_of(self.base, "accuracy")[0]}

    def at_each_skip(self, tick: Tick) -> dict[str, np.ndarray]:
        """The price of taking either side of each skip away; NaN where it cannot be done."""
        values: dict[str, np.ndarray] = {}
        sides: Mapping[str, Side] = {"deletion": "branch", "cut": "shortcut"}
        for name, side in sides.items():
            for mark in ("loss", "accuracy"):
                values[f"{name}_{mark}_price"] = np.full(len(self.junctions), np.nan)
                values[f"{name}_{mark}_price_error"] = np.full(len(self.junctions), np.nan)
            for position, junction in enumerate(self.junctions):
                if junction.reason:
                    continue
                prices = self.prices(self.taken([junction], side))
                for mark, (price, error) in prices.items():
                    values[f"{name}_{mark}_price"][position] = price
                    values[f"{name}_{mark}_price_error"][position] = error
                tick()
        return values

    def together(
        self, name: str, contexts: Sequence[Sequence[AbstractContextManager[None]]], tick: Tick
    ) -> dict[str, np.ndarray]:
        """The prices within each of these contexts."""
        values = {
            f"{name}_{mark}_price": np.full((len(contexts), len(contexts[0])), np.nan)
            for mark in ("loss", "accuracy")
        }
        for row, several in enumerate(contexts):
            for column, context in enumerate(several):
                for mark, (price, _) in self.prices(context).items():
                    values[f"{name}_{mark}_price"][row, column] = price
                tick()
        return values

    def taken(self, junctions: Sequence[Junction], side: Side) -> AbstractContextManager[None]:
        """The context in which these skips lack a side."""
        edits = {junction.name: without(junction, side) for junction in junctions}
        return altered(self._problem.network, self._survey.anatomy, edits)

    def some(self, number: int, draw: np.random.Generator) -> AbstractContextManager[None]:
        """The context in which so many random blocks are deleted."""
        chosen = sorted(draw.choice(len(self.able), size=number, replace=False).tolist())
        return self.taken([self.able[position] for position in chosen], "branch")

    def prices(self, context: AbstractContextManager[None]) -> dict[str, Price]:
        """By how much the loss is higher, and the accuracy lower, within a context."""
        base = self.base
        with context:
            worse = marked(self._problem, self.form, self._loss)
        price, error = _difference(worse, base, "loss")
        fall, spread = _difference(worse, base, "accuracy")
        return {"loss": (price, error), "accuracy": (-fall, spread)}

    def notes(self) -> list[str]:
        """What could not be priced, and why."""
        notes = [
            f"{each.name}: not parted, {each.reason}" for each in self.junctions if each.reason
        ]
        notes += [self.form.note] if self.form.note else []
        return notes


def _difference(worse: Sequence[Marks], base: Sequence[Marks], name: str) -> Price:
    pairs = list(zip(worse, base, strict=True))
    shares = [float(each.samples) for each in base] if name == "loss" else None
    if all(name in each.parts for each in (*worse, *base)):
        parts = [
            (new.parts[name][0] - old.parts[name][0], old.parts[name][1]) for new, old in pairs
        ]
        return estimated(parts, shares)
    if name != "loss":
        return float("nan"), float("nan")
    rises: list[Any] = [
        torch.tensor([new.loss - old.loss], dtype=torch.float64) for new, old in pairs
    ]
    return estimated([(rise, torch.ones_like(rise)) for rise in rises], shares)
