"""What a training hands out: the network after so many updates, and how it came there."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

__all__ = ["CAUSES", "Cause", "Divergence", "State"]

Cause = Literal["loss", "gradient", "parameters", "blow_up"]

CAUSES: dict[Cause, str] = {
    "loss": "the loss was not finite",
    "gradient": "the loss was finite, its gradient was not",
    "parameters": "loss and gradient were finite, the parameters after the update were not",
    "blow_up": "the loss rose above the bound blow_up",
}
"""What was the first thing to go wrong."""


@dataclass(frozen=True)
class Divergence:
    """Where and why a run came to its end.

    Args:
        step: the update, counted from 0, in which it was: ``losses[step]`` is its loss.
        cause: what was the first thing to go wrong, see `CAUSES`.

    >>> print(Divergence(12, "gradient"))
    diverged at step 12: the loss was finite, its gradient was not
    """

    step: int
    cause: Cause

    def __str__(self) -> str:
        """In words."""
        return f"diverged at step {self.step}: {CAUSES[self.cause]}"


@dataclass(frozen=True, eq=False)
class State:
    """A network after so many updates.

    Args:
        step: how many updates were made. Of a run that diverged, that in which it did is counted
            too, so that no state before has this number: ``step == diverged.step + 1``, or 0 of a
            network that was not finite from the start.
        network: the very module that is being trained, in training mode: measure it, or copy its
            state, but do not keep it.
        losses: the loss of every update so far, each before its update and on its own batch.
        rates: the learning rate of every update so far.
        diverged: where and why the run ended early; None while it goes on.
        notes: what a person should know: a checkpoint that was damaged.
    """

    step: int
    network: nn.Module
    losses: NDArray[np.float64]
    rates: NDArray[np.float64]
    diverged: Divergence | None = None
    notes: tuple[str, ...] = ()

    @property
    def history(self) -> dict[str, Any]:
        """Losses, rates and divergence as plain values, to be kept beside other numbers."""
        return {
            "losses": self.losses.tolist(),
            "rates": self.rates.tolist(),
            "diverged_at": None if self.diverged is None else self.diverged.step,
            "cause": None if self.diverged is None else self.diverged.cause,
        }
