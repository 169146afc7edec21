"""In which order samples come: a function of the seed and the step alone. Needs no torch.

Every epoch and every step has random numbers of its own, so no state runs along: networks that draw
differently many numbers see the same samples, and a run that goes on needs nothing but its step.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TrainingError

__all__ = ["AUGMENT", "NOISE", "ORDER", "number", "permutation"]

ORDER, AUGMENT, NOISE = 1, 2, 3
"""What random numbers are for: the order of the samples, their augmentation, the network's own draws."""


def number(seed: int, *path: int) -> int:
    """A seed below 2^63 for this purpose, epoch or step; unrelated for any two paths.

    >>> number(0, ORDER, 4) == number(0, ORDER, 4) != number(0, ORDER, 5)
    True
    """
    return int(_sequence(seed, *path).generate_state(1, np.uint64)[0] >> np.uint64(1))


def permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of ``count`` samples in this epoch.

    >>> sorted(permutation(seed=0, epoch=3, count=4).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng(_sequence(seed, ORDER, epoch)).permutation(count)


def _sequence(seed: Any, *path: int) -> np.random.SeedSequence:
    try:
        found = operator.index(seed)
    except TypeError:
        found = -1
    if found < 0:
        raise TrainingError(f"expected a seed as a whole number from 0 up, found {seed!r}.")
    return np.random.SeedSequence((found, *path))
