"""How the gradient grows along a residual network with batch norm, for placements where that can be derived.

Per block the squared gradient is multiplied by 1 + g: what comes through the shortcut is uncorrelated with what
comes through the branch. g is the product of what each step of the branch does to a squared gradient: He weights 2, a
ReLU on a signal of mean 0 one half, a batch norm one over its input's channel variance. Wide networks, large batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from skipnorm.formulas.theory import RELU_VARIANCE

__all__ = ["GROWTH", "ratio", "squared_mean"]

A = RELU_VARIANCE
"""The variance of a ReLU of a normalised Gaussian, (1 - 1/pi) / 2."""

GROWTH: dict[str, Callable[[int], float]] = {
    # W relu N W relu N: every branch adds 2 A to the variance
    "full-preactivation": lambda block: 1 / (2 * A * (1 + 2 * A * block)),
    # N W relu N W relu: every branch adds 1; before the first norm the variance is 2 A times the stream's
    "act-only-preactivation": lambda block: 1 / (4 * A * A * (1 + block)),
    # relu N W relu N W: every branch adds A
    "act-before-addition": lambda block: 1 / (4 * A * (1 + A * block)),
}
"""g by block, counted from 0, for a stream that enters with variance 1."""


def ratio(order: str, blocks: int) -> float:
    """The squared gradient in front of so many blocks over the one behind them.

    >>> round(ratio("full-preactivation", 10), 1)
    49.2
    """
    return math.prod(1 + GROWTH[order](block) for block in range(blocks))


def squared_mean(blocks: int) -> float:
    """The squared channel mean of a stream to which every branch adds a ReLU's mean, 1/sqrt(2 pi).

    >>> round(squared_mean(10), 2)
    15.92
    """
    return blocks**2 / (2 * math.pi)
