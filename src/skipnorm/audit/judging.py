"""The docket: which arms are judged, with how many seeds, and which questions are still open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skipnorm.audit.arms import ORIGINAL, Arm
from skipnorm.audit.rulings import LOOKS, Standing, alpha_at, ruled

if TYPE_CHECKING:
    import numpy as np

    from skipnorm.audit.budget import Course
    from skipnorm.audit.contest import Contest, Tuned
    from skipnorm.audit.subject import Subject

__all__ = ["Docket"]

_HOPELESS = 2.5
"""A substitute that is worse by so many margins while its rate is chosen is not judged."""

_MOST = LOOKS[-1][0]


@dataclass
class Docket:
    """The judged part of a contest, look by look.

    `looked` holds the seeds that each arm had when it was last ruled on.
    """

    subject: Subject
    contest: Contest
    course: Course
    margin: float
    seeds: tuple[int, ...] | None = None
    tuned: dict[str, Tuned] = field(default_factory=dict)
    judged: list[Arm] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)
    looked: dict[str, int] = field(default_factory=dict)
    rounds: list[str] = field(default_factory=list)

    @property
    def original(self) -> Arm:
        """The network as it is."""
        return Arm(ORIGINAL, "original", keeps=self.parts)

    @property
    def parts(self) -> int:
        """How many norms and skips it has."""
        return len(self.subject.anatomy.norms) + len(self.subject.anatomy.skips)

    @property
    def reserve(self) -> float:
        """Seconds to be kept for the questions about whole groups that are open, until the second look."""
        if self.seeds is not None:
            return 0.0
        removals = [arm.name for arm in self.judged if arm.role == "removal"]
        known = [self.standings[name] for name in removals if name in self.standings]
        waiting = sum(each.ruling == "undecided" for each in known)
        more = LOOKS[1][0] - self.course.seeds
        return self.contest.purse.price((waiting + 1) * more, self.course.steps) if waiting else 0.0

    def tune(self, arms: Sequence[Arm], number: int) -> None:
        """Choose a rate for each of these arms, and in the first wave for the original."""
        both = [self.original, *arms] if number == 1 else list(arms)
        self.tuned |= self.contest.tune(both, self.course, number)

    def judge(self, arms: Sequence[Arm], number: int) -> None:
        """Judge those that are worth it with the first seeds; in the first wave with the original and its control."""
        chosen = self._chosen(arms)
        control = [] if self.subject.control is None else [self.subject.control]
        beside = [self.original, *control] if number == 1 else []
        self.judged += chosen
        first = list(self.seeds or range(self.course.seeds))
        self._look([*beside, *chosen], first)

    def settle(self) -> None:
        """Give what is left of the budget to the questions that are open."""
        done = len(self.seeds or range(self.course.seeds))
        while self.seeds is None and done < _MOST:
            waiting, most = self._next(done)
            if not waiting:
                return
            self._look([self.original, *waiting], list(range(done, most)))
            done = most

    def _chosen(self, arms: Sequence[Arm]) -> list[Arm]:
        """Of several ways to take the same out the one that did best; no substitute that has no hope."""
        ways: dict[str, list[Arm]] = {}
        kept = []
        for arm in arms:
            if arm.name not in self.tuned:
                continue
            if arm.role == "removal":
                ways.setdefault(arm.group, []).append(arm)
            elif self._hopeless(arm):
                self.stopped.append(
                    (
                        arm.name,
                        "stopped after its rate was chosen: clearly worse on validation samples",
                    )
                )
            else:
                kept.append(arm)
        for several in ways.values():
            best = min(
                several, key=lambda arm: (self.tuned[arm.name].failed, self.tuned[arm.name].score)
            )
            kept.append(best)
            self.stopped += [
                (arm.name, f"tuned, and no better than {best.name!r}")
                for arm in several
                if arm is not best
            ]
        return kept

    def _hopeless(self, arm: Arm) -> bool:
        mine, other = self.tuned[arm.name], self.tuned[ORIGINAL]
        if not math.isfinite(mine.score):
            return True
        if not math.isfinite(other.score):
            return False
        scale = self.contest.score == "accuracy"
        cost = mine.score - other.score if scale else math.log(mine.score / other.score)
        return cost > _HOPELESS * self.margin

    def _look(self, arms: Sequence[Arm], seeds: list[int]) -> None:
        if not arms:
            return
        number = len(self.rounds) + 1
        rates = {name: each.rate for name, each in self.tuned.items()}
        self.contest.judge(arms, rates, self.course.steps, seeds, number)
        self.rounds.append(f"judging-{number}")
        for family in self._families():
            effects = {arm.name: self.contest.effects(arm.name) for arm in family}
            self._rule({name: values for name, values in effects.items() if len(values)})

    def _rule(self, effects: dict[str, np.ndarray]) -> None:
        """Rule on the arms of a family that have new seeds, each with what its own looks have left to spend."""
        fresh: dict[float, list[str]] = {}
        for name, values in effects.items():
            before = self.looked.get(name, 0)
            if len(values) > before:
                fresh.setdefault(alpha_at(len(values), before), []).append(name)
                self.looked[name] = len(values)
        for alpha, names in fresh.items():
            found = ruled(effects, self.margin, alpha=alpha)
            self.standings |= {name: found[name] for name in names}

    def _families(self) -> list[list[Arm]]:
        """Questions that share one chance of error: removals of one kind and level; all that may stand in."""
        groups = {group.name: group for group in self.subject.groups}
        families: dict[tuple[str, int], list[Arm]] = {}
        for arm in self.judged:
            group = groups.get(arm.group)
            removal = arm.role == "removal" and group is not None
            key = (
                (group.kind if group.level else "whole", group.level)
                if removal and group
                else ("", 0)
            )
            families.setdefault(key, []).append(arm)
        return list(families.values())

    def _next(self, done: int) -> tuple[list[Arm], int]:
        """The open questions that can still be paid for, and how many seeds there will be then."""
        known = [arm for arm in self.judged if arm.name in self.standings]  # a failed one has none
        open_ = [arm for arm in known if self._standing(arm).ruling == "undecided"]
        open_.sort(key=lambda arm: (arm.role != "removal", self._more(arm)))
        target = next((most for most, _ in LOOKS if most > done), done)
        purse, steps = self.contest.purse, self.course.steps
        while open_:
            one = purse.price(len(open_) + 1, steps)
            extra = min(target - done, int(0.95 * purse.left / one) if one > 0 else target - done)
            wanted = min(self._more(arm) for arm in open_)
            if extra >= min(target - done, max(2, wanted)):
                return open_, done + extra
            open_.pop()
        return [], done

    def _standing(self, arm: Arm) -> Standing:
        return self.standings[arm.name]

    def _more(self, arm: Arm) -> float:
        more = self._standing(arm).more
        return more if math.isfinite(more) else 10.0**6
