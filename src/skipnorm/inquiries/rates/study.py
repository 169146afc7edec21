"""The networks that are taught over a grid of rates, and those that descend with the whole gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.rates.readings import ending
from skipnorm.inquiries.subjects import RATES, SEEDS, learner, taught, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Digits
from skipnorm.tasks.task import Arrays, read_only
from skipnorm.training import Training

__all__ = [
    "DESCENT_RATES",
    "FAMILIES",
    "FULL",
    "GRID",
    "QUICK",
    "FewDigits",
    "Size",
    "states",
    "study",
    "study_of",
]

FAMILIES = ("plain", "plain BN", "SkipInit", "residual BN")

GRID = (*RATES, 1.0)
"""The usual rates, and one above."""

DESCENT_RATES = (1.25, 2.5)
"""Of full-batch descent: 0.25 and 0.5 of a loss of half the sum of squares, five times this mean over ten outputs."""

_LONG = 500
"""Updates from which on a run counts as a descent, whose course is read."""


@dataclass(frozen=True, repr=False, kw_only=True)
class FewDigits(Digits):
    """500 of the digits to learn and 125 to validate, each class as a unit vector to be met in square.

    >>> FewDigits(flat=True).count("train"), FewDigits(flat=True).loss
    (500, 'mse')
    """

    def arrays(self) -> Arrays:
        """The first 625 training images of `Digits`, and its test images."""
        return _few()

    @property
    def loss(self) -> str:
        """The mean squared error over samples and outputs."""
        return "mse"

    @property
    def classes(self) -> None:
        """Targets are real numbers."""
        return


@cache
def _few() -> Arrays:
    whole = Digits().arrays()
    found = {
        "train_inputs": whole["train_inputs"][:625],
        "train_targets": np.eye(10, dtype=np.float32)[whole["train_targets"][:625]],
        "test_inputs": whole["test_inputs"],
        "test_targets": np.eye(10, dtype=np.float32)[whole["test_targets"]],
    }
    return read_only(found)


@dataclass(frozen=True)
class Size:
    """How many networks are taught, and for how long they descend; smaller ones are for tests."""

    scale: Scale = "quick"
    seeds: Sequence[int] = SEEDS["quick"]
    grid: tuple[float, ...] = GRID
    depth: int = 16
    updates: int | None = None
    descent: int = 1600
    samples: int = 256


QUICK = Size()
FULL = Size("full", SEEDS["full"], descent=4000)


def states(steps: int) -> tuple[int, ...]:
    """Where runs are read: learners at their end, descents every eighth of the way.

    >>> states(150), states(1600)
    ((150,), (0, 200, 400, 600, 800, 1000, 1200, 1400, 1600))
    """
    return (steps,) if steps < _LONG else tuple(steps * k // 8 for k in range(9))


def study(scale: Scale) -> Study:
    """The study of the inquiry `rates`."""
    return study_of({"quick": QUICK, "full": FULL}[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    fields = {} if size.updates is None else {"steps": size.updates}
    taught_ones = {
        family: taught(
            learner(family, size.depth),
            size.scale,
            training=teaching(size.scale, **fields),
            rates=size.grid,
            probes=(ending,),
            batch=size.samples,
        )
        for family in FAMILIES
    }
    return Study("rates", taught_ones | _descents(size), seeds=size.seeds, at=states)


def _descents(size: Size) -> dict[str, Variant]:
    """Gradient descent on all samples at once: small tanh perceptrons, without and with BN.

    The rate rises over the first eighth: at once, the larger one is above what the initial sharpness allows.
    """
    shape: dict[str, Any] = {"depth": 1, "width": 32, "activation": "tanh", "initializer": "lecun"}
    names = {"descent": "none", "descent BN": "batch"}
    return {
        name: Variant(
            Perceptron(norm=norm, **shape),
            FewDigits(flat=True),
            batch=500,
            training=Training(steps=size.descent, batch=500, warmup=size.descent // 8),
            rates=DESCENT_RATES,
            probes=(ending,),
        )
        for name, norm in names.items()
    }
