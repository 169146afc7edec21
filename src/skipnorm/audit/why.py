"""Why a group matters, or does not: which mechanisms changed when it was taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skipnorm.audit.mechanisms import MECHANISMS, Mechanism, mechanisms
from skipnorm.evidence.wording import number

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.audit.arms import Arm
    from skipnorm.audit.contest import Contest, Tuned

__all__ = ["Change", "at_initialisation", "changes", "usable"]

SEEDS = range(5)
_SURE = 2.78
"""Student's t for five seeds at 95 %: a change must stand out from the seeds by this."""


@dataclass(frozen=True)
class Change:
    """One mechanism with the group, and without it.

    Attributes:
        mechanism: its name.
        title: for tables.
        before: with the group: mean over the seeds, geometric where ratios count.
        after: without it.
        before_within: whether the first lies in the band in which training is expected to work.
        after_within: whether the second does.
        size: by how many times the smallest change that is spoken of; 0 where it does not stand out.
        sentence: what changed, in words; empty where nothing did.
    """

    mechanism: str
    title: str
    before: float
    after: float
    before_within: bool
    after_within: bool
    size: float
    sentence: str


def at_initialisation(contest: Contest, arms: Sequence[Arm], wave: int) -> xr.Dataset:
    """Every mechanism of every arm before any training, over variant and seed."""
    from dataclasses import replace

    from skipnorm.studies.run import run
    from skipnorm.studies.study import Study

    batch = min(contest.training.batch, 64)
    variants = {
        arm.name: replace(contest.variant(arm, 1, ()), training=None, rates=(), batch=batch)
        for arm in arms
    }
    study = Study(f"initial-{wave}", variants, seeds=SEEDS, probes=(mechanisms,), at=("initial",))
    contest.say(f"at initialisation: {len(arms)} arms, {len(SEEDS)} draws each")
    return run(
        study,
        contest.folder / f"initial-{wave}",
        executor=contest.executor,
        progress=contest.progress,
        failures="keep",
    )


def changes(original: xr.Dataset, arm: xr.Dataset) -> tuple[Change, ...]:
    """Every mechanism that was read of both, over the same seeds; what changed most first."""
    found = []
    for each in MECHANISMS:
        mine, other = (np.asarray(part[each.name].values, float) for part in (original, arm))
        if not np.isnan(mine).all() and not np.isnan(other).all():
            found.append(_change(each, mine, other))
    return tuple(sorted(found, key=lambda change: -change.size))


def usable(original: Tuned, arm: Tuned, rates: int) -> Change:
    """At how many of the rates each could be trained."""
    fewer = original.usable - arm.usable
    word = "fewer" if fewer > 0 else "more"
    words = f"it can be trained at {word} learning rates ({arm.usable} of {rates}, with it {original.usable})"
    stands_out = abs(fewer) >= 2
    return Change(
        "usable_rates",
        "usable learning rates",
        float(original.usable),
        float(arm.usable),
        original.usable > 0,
        arm.usable > 0,
        float(abs(fewer)) if stands_out else 0.0,
        words if stands_out else "",
    )


def _change(each: Mechanism, mine: np.ndarray, other: np.ndarray) -> Change:
    distances = each.distance(mine, other)
    size, up = _size(distances)
    before, after = _middle(mine, log=each.log), _middle(other, log=each.log)
    words = ""
    if size >= 1:
        left = (
            ""
            if each.within(after) or not each.within(before)
            else ", out of the band in which training works"
        )
        words = f"{each.rises if up else each.falls} ({number(before)} to {number(after)}{left})"
    return Change(
        each.name,
        each.title,
        before,
        after,
        each.within(before),
        each.within(after),
        size if size >= 1 else 0.0,
        words,
    )


def _size(distances: np.ndarray) -> tuple[float, bool]:
    """How many smallest changes, and whether upwards; 0 where it does not stand out from the seeds."""
    known = distances[~np.isnan(distances)]
    if len(known) < 2:
        return 0.0, False
    if not np.isfinite(known).all():
        signs = np.sign(known)
        return (math.inf, bool(signs[0] > 0)) if abs(signs.sum()) == len(signs) else (0.0, False)
    mean, error = float(known.mean()), float(known.std(ddof=1)) / math.sqrt(len(known))
    return (abs(mean) if abs(mean) > _SURE * error else 0.0), mean > 0


def _middle(values: np.ndarray, *, log: bool) -> float:
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan
    if not log or bool((known <= 0).any()):
        return float(known.mean())
    return float(np.exp(np.log(known).mean()))
