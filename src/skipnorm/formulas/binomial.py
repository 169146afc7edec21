"""How many of several independent events happen: the path lengths of a residual network, in theory."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import ProbeError

__all__ = ["log_path_counts", "poisson_binomial", "probabilities_of_odds"]

Array = NDArray[np.float64]


def poisson_binomial(probabilities: Sequence[float] | Array) -> Array:
    """How likely each number of successes is in independent trials with probabilities of their own.

    The coefficients of ``prod_l (1 - p_l + p_l z)``: ``len(probabilities) + 1`` numbers that add up to 1, with mean
    ``sum p_l`` and variance ``sum p_l (1 - p_l)``. Multiplied out factor by factor (Chen & Liu 1997, direct
    convolution): only sums of non-negative numbers, so nothing cancels. A NaN among the probabilities makes all NaN.

    Raises:
        ProbeError: a probability outside 0 to 1.

    >>> poisson_binomial([0.5, 0.5])
    array([0.25, 0.5 , 0.25])
    >>> poisson_binomial([1.0, 0.25])
    array([0.  , 0.75, 0.25])
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    if np.any((chances < 0) | (chances > 1)):
        wrong = chances[(chances < 0) | (chances > 1)].tolist()
        raise ProbeError(
            f"expected probabilities between 0 and 1, found {wrong}. Try probabilities_of_odds for odds."
        )
    mass = np.ones(1)
    for chance in chances:
        longer = np.zeros(len(mass) + 1)
        longer[:-1] = mass * (1 - chance)
        longer[1:] += mass * chance
        mass = longer
    return mass


def probabilities_of_odds(odds: Sequence[float] | Array) -> Array:
    """Chances from odds: ``g / (1 + g)``, which is 1 for infinite odds.

    The share of a block's branch in the gradient's power, where ``g`` is the squared gradient through the branch over
    that through the shortcut (after Veit et al. 2016).

    >>> probabilities_of_odds([1.0, 3.0, float("inf")])
    array([0.5 , 0.75, 1.  ])
    """
    ratios = np.asarray(odds, dtype=np.float64)
    with np.errstate(divide="ignore"):
        chances: Array = 1 / (1 + 1 / ratios)
    return chances


def log_path_counts(blocks: int) -> Array:
    """How many paths of each length there are through residual blocks, as natural logarithms.

    ``log C(n, k)`` for ``k = 0 .. n``: each block is either passed through or passed by (Veit et al. 2016).
    As logarithms, since 1030 blocks have more paths than a float can hold.

    >>> np.exp(log_path_counts(4)).round(6)
    array([1., 4., 6., 4., 1.])
    """
    whole = math.lgamma(blocks + 1)
    logs = [whole - math.lgamma(k + 1) - math.lgamma(blocks - k + 1) for k in range(blocks + 1)]
    return np.asarray(logs, dtype=np.float64)
