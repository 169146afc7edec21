"""How a run went: its loss along the updates, and where and why it diverged, as evidence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from skipnorm.evidence.schema import Quantity, label
from skipnorm.training.steps import log_spaced
from skipnorm.training.training import Training

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.training.state import State

__all__ = ["history"]

POINTS = 41
"""Of a curve, at most: updates by equal factors, so that each decade is seen as often."""

_ENDS = (
    Quantity(
        "diverged_at", (), "update", "update in which the run diverged; NaN if none", "definition"
    ),
    Quantity("diverged_because", (), "1", "what was the first thing to go wrong", "definition"),
    Quantity("last_step", (), "update", "after how many updates it was read last", "definition"),
)
_CURVES = (
    Quantity(
        "loss_curve",
        ("update",),
        "loss",
        "mean loss of the training batches since the label before, each before its update",
        "definition",
    ),
    Quantity("learning_rate", ("update",), "1", "learning rate of this update", "definition"),
)


def history(state: State | None, training: Training, last: int) -> xr.Dataset:
    """The run up to a state, small enough to be kept with every trial.

    The curves stand along ``update``, the number of updates made, by equal factors up to the last of
    the training: where the run did not come so far they are NaN. ``diverged_at`` counts updates
    from 0; ``diverged_because`` is empty where the run did not diverge. ``last_step`` is the last
    step that was asked for, also where the run did not come so far: variants may differ in it.
    """
    lost = None if state is None else state.diverged
    at = math.nan if lost is None else float(lost.step)
    values = {"diverged_at": at, "diverged_because": "" if lost is None else lost.cause}
    values["last_step"] = last
    ends = log_spaced(training.steps, POINTS)[1:]
    if not ends:
        return label(values, _ENDS, {}, {})
    losses = np.array([]) if state is None else state.losses
    rates = np.array([]) if state is None else state.rates
    curves = {
        "loss_curve": _means(losses, ends),
        "learning_rate": [rates[end - 1] if end <= len(rates) else math.nan for end in ends],
    }
    return label(values | curves, (*_ENDS, *_CURVES), {"update": list(ends)}, {})


def _means(losses: np.ndarray, ends: tuple[int, ...]) -> list[float]:
    """The mean of each stretch; of one that the run did not finish, NaN."""
    stretches = [losses[start:end] for start, end in zip((0, *ends), ends, strict=False)]
    whole = [end <= len(losses) for end in ends]
    return [
        float(part.mean()) if done else math.nan
        for part, done in zip(stretches, whole, strict=True)
    ]
