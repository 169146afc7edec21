"""After how many updates a network is looked at. Needs no torch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from skipnorm.errors import TrainingError, nearest

__all__ = ["At", "linear", "log_spaced", "resolved"]

#: Numbers of updates, the names "initial", "half" and "end", or a function from the last to those.
At = int | str | Sequence[int | str] | Callable[[int], Sequence[int | str]]

_NAMED: dict[str, Callable[[int], int]] = {
    "initial": lambda steps: 0,
    "half": lambda steps: steps // 2,
    "end": lambda steps: steps,
}


def linear(steps: int, count: int = 11) -> tuple[int, ...]:
    """Evenly spaced steps from 0 to ``steps``, both included: at most ``count`` of them.

    Raises:
        TrainingError: fewer than two are asked for.

    >>> linear(1000, 5)
    (0, 250, 500, 750, 1000)
    """
    gaps = _checked(steps, count) - 1
    return tuple(sorted({(2 * steps * k + gaps) // (2 * gaps) for k in range(gaps + 1)}))


def log_spaced(steps: int, count: int = 11) -> tuple[int, ...]:
    """The initial state, and steps from 1 to ``steps`` by equal factors: at most ``count`` of them.

    What happens to a network happens early; by equal factors each decade is seen as often.

    Raises:
        TrainingError: fewer than two are asked for.

    >>> log_spaced(1000, 5)
    (0, 1, 10, 100, 1000)
    """
    gaps = _checked(steps, count) - 2
    spaced = {round(steps ** (k / gaps)) for k in range(gaps)} if steps and gaps else set()
    return tuple(sorted({0, steps, *spaced}))


def resolved(at: At, steps: int) -> tuple[int, ...]:
    """The steps meant, as numbers in rising order, each once.

    Args:
        at: numbers of updates; ``"initial"``, ``"half"``, ``"end"``; or a function from ``steps``
            to those, such as ``functools.partial(log_spaced, count=8)``.
        steps: how many updates there are.

    Raises:
        TrainingError: an unknown name, a step outside 0 to ``steps``, or no step at all.

    >>> resolved(("end", 10, "initial", 10), steps=1000)
    (0, 10, 1000)
    """
    asked: Any = at(steps) if callable(at) else at
    several = [asked] if isinstance(asked, int | str) else list(asked)
    if not several:
        raise TrainingError("expected at least one step at which to look, found none: try 'end'.")
    return tuple(sorted({_number(each, steps) for each in several}))


def _number(step: Any, steps: int) -> int:
    if isinstance(step, str):
        if step not in _NAMED:
            raise TrainingError(f"Unknown step: {nearest(step, _NAMED)}")
        return _NAMED[step](steps)
    try:
        found = operator.index(step)
    except TypeError:
        found = -1
    if not 0 <= found <= steps:
        raise TrainingError(
            f"expected steps from 0 to {steps}, which is the end, found {step!r}. A state is named by "
            "the number of updates before it."
        )
    return found


def _checked(steps: int, count: int) -> int:
    if count < 2 or steps < 0:
        raise TrainingError(
            f"expected at least 2 states, the first and the last, and steps from 0 up; found "
            f"count={count} and steps={steps}."
        )
    return count
