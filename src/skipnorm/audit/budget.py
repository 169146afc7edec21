"""How long an audit may take, and what fits into that."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from skipnorm.audit.arms import Arm
from skipnorm.audit.groups import Group
from skipnorm.audit.rulings import LOOKS
from skipnorm.errors import StudyError
from skipnorm.studies.progress import span
from skipnorm.verdicts.statistics import FEWEST

__all__ = ["Course", "Purse", "affordable", "planned", "seconds_of", "short"]

Clock = Callable[[], float]

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_LONG, _SHORT = 300, 100
"""Updates of a training that an audit plans where nobody says how many: at most, and at least."""

FINALISTS, TUNERS = 2, 2
"""Rates of an arm that are trained whole, and with how many seeds, before one is chosen."""


def seconds_of(budget: str | float) -> float:
    """A span of time in seconds: `"90s"`, `"5m"`, `"1.5h"`, or a number of seconds.

    Raises:
        StudyError: no such span.

    >>> seconds_of("5m"), seconds_of(30)
    (300.0, 30.0)
    """
    text = str(budget).strip().lower()
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(s|m|min|h)?", text)
    if found is None or not float(found[1]) > 0:
        raise StudyError(f"A budget is a span of time such as 90s, 5m or 1h: found {budget!r}.")
    return float(found[1]) * _UNITS[found[2] or "s"]


@dataclass
class Purse:
    """What is left of the time: a clock, and how fast trials have proved to be.

    A trial is taken to cost `overhead` plus `step` for each update; what trials really took corrects both.
    """

    budget: float
    clock: Clock
    workers: int = 1
    step: float = 0.0
    overhead: float = 0.1
    pace: float = 1.0
    begun: float = field(default=0.0)

    def __post_init__(self) -> None:
        """The time begins to run."""
        self.begun = self.clock()

    @property
    def spent(self) -> float:
        """Seconds since the audit began."""
        return self.clock() - self.begun

    @property
    def left(self) -> float:
        """Seconds that may still be spent."""
        return max(0.0, self.budget - self.spent)

    def price(self, trials: float, steps: float) -> float:
        """Seconds that so many trials of so many updates are expected to take."""
        return trials * (self.overhead + self.step * steps) * self.pace / self.workers

    def learn(self, trials: int, steps: float, seconds: float) -> None:
        """What trials took in truth."""
        expected = self.price(trials, steps) / self.pace
        if trials and expected > 0 and seconds > 0:
            self.pace = max(0.05, seconds / expected)


@dataclass(frozen=True)
class Course:
    """What is going to be run.

    Attributes:
        steps: updates of each training.
        rates: learning rates that are tried for each arm.
        arms: the alterations that answer for whole groups; they come first.
        rest: all others, the most important first; they are run as far as there is time.
        seeds: with which every arm is judged first.
    """

    steps: int
    rates: tuple[float, ...]
    arms: tuple[Arm, ...]
    rest: tuple[Arm, ...]
    seeds: int


def planned(
    arms: Sequence[Arm],
    groups: Sequence[Group],
    rates: Sequence[float],
    purse: Purse,
    *,
    steps: int | None = None,
    most: int | None = None,
    begun: tuple[int, int] | None = None,
) -> Course:
    """What fits into the budget: first the whole groups, then their parts, each with enough seeds to rule.

    Args:
        arms: all that could be run.
        groups: what they answer for.
        rates: of the learning rate.
        purse: with the cost of one update measured.
        steps: of a training, where that is not for the audit to choose.
        most: seeds that there are, where the user says which.
        begun: steps and seeds of the same audit when it was begun; what is kept of it costs nothing now.

    Raises:
        StudyError: not even the whole groups fit.
    """
    ranked = sorted(arms, key=lambda arm: _rank(arm, groups))
    core = [arm for arm in ranked if _rank(arm, groups)[0] == _rank(ranked[0], groups)[0]]
    share = 0.9 * purse.left
    first = min(LOOKS[0][0], most or LOOKS[0][0])
    long = steps or _LONG
    choices = [(long, seeds) for seeds in range(first, min(FEWEST, first) - 1, -1)]
    if steps is None:
        choices += [(each, min(FEWEST, first)) for each in (200, 150, _SHORT)]
    if begun is not None:
        choices = [begun]
    for length, seeds in choices:
        if begun is not None or _cost(core, rates, length, seeds, purse) <= share:
            break
    else:
        needed = purse.spent + _cost(core, rates, length, seeds, purse) / 0.9
        raise StudyError(
            f"A budget of {span(purse.budget)} is too small: the {len(core)} arms that answer for whole "
            f"groups need {seeds} seeds and {length} updates each, about {span(needed)}. Give --budget "
            f"{_rounded(needed)}, fewer groups, a shorter training, or ignore sites."
        )
    return Course(length, tuple(rates), tuple(core), tuple(ranked[len(core) :]), seeds)


def affordable(
    arms: Sequence[Arm], course: Course, purse: Purse, reserve: float = 0.0
) -> tuple[Arm, ...]:
    """Of arms that come later those for which there is time, in their order, beside a reserve of seconds."""
    chosen: list[Arm] = []
    for arm in arms:
        price = _cost([*chosen, arm], course.rates, course.steps, course.seeds, purse, beside=0)
        if price > 0.9 * (purse.left - reserve):
            break
        chosen.append(arm)
    return tuple(chosen)


def _rank(arm: Arm, groups: Sequence[Group]) -> tuple[int, int]:
    """Removals of whole groups, then what may stand in for them, then parts, then single sites."""
    level = next((group.level for group in groups if group.name == arm.group), 0)
    if arm.role == "removal":
        return (level * 2, 0)
    return (1, 0) if arm.role == "substitute" else (1, 1)


def _cost(
    arms: Sequence[Arm],
    rates: Sequence[float],
    steps: int,
    seeds: int,
    purse: Purse,
    beside: int = 1,
) -> float:
    """Seconds for tuning and the first look, with the original and its control beside them where they come first."""
    tried = len(arms) + beside
    first = purse.price(tried * len(rates), short(steps)) if len(rates) > FINALISTS else 0.0
    second = purse.price(tried * min(FINALISTS, len(rates)) * TUNERS, steps)
    return first + second + purse.price((tried + beside) * seeds, steps)


def short(steps: int) -> int:
    """Updates of the first, short try of every rate."""
    return max(10, steps // 4)


def _rounded(seconds: float) -> str:
    return f"{-(-seconds // 60):.0f}m" if seconds > 90 else f"{-(-seconds // 10) * 10:.0f}s"
