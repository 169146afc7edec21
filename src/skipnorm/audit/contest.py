"""Arms trained side by side: each at a rate of its own, the same seeds for all, the open questions longest."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from skipnorm.audit.arms import NO_OP, ORIGINAL, Arm
from skipnorm.audit.budget import FINALISTS, TUNERS, Course, Purse, short
from skipnorm.audit.models import Redrawn
from skipnorm.errors import StudyError
from skipnorm.evidence.outcomes import outcomes
from skipnorm.studies.run import run
from skipnorm.studies.study import Study, Variant

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.training.training import Training

__all__ = ["Contest", "Score", "Tuned"]

Score = Literal["accuracy", "loss"]

TUNING_SEED = 10_000
"""The first of the seeds by which rates are chosen; those that are judged begin at 0."""

CONTROLS = 3
"""Seeds with which the edit that changes nothing is trained."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Tuned:
    """How an arm did while its rate was chosen: on validation data, with seeds of their own."""

    arm: str
    rate: float
    score: float
    failed: int
    edge: str
    usable: int


@dataclass
class Contest:
    """The trainings of one audit: what is common to all of them, and what has come out so far."""

    model: Any
    task: Any
    training: Training
    score: Score
    folder: Path
    purse: Purse
    executor: Any = "in_process"
    progress: Any = "off"
    say: Say = lambda text: None
    results: dict[str, dict[int, float]] = field(default_factory=dict)
    rounds: list[xr.Dataset] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    controls: list[tuple[xr.Dataset, xr.Dataset]] = field(default_factory=list)

    def variant(self, arm: Arm, steps: int, rates: Sequence[float]) -> Variant:
        """One side of the comparison."""
        training = replace(self.training, steps=steps)
        network = self.model
        if arm.redraw is not None:
            network = Redrawn(self.model, arm.redraw, self.task, training.batch)
        return Variant(
            network,
            self.task,
            batch=training.batch,
            training=training,
            rates=tuple(rates),
            operations=arm.rest,
        )

    def tune(self, arms: Sequence[Arm], course: Course, wave: int) -> dict[str, Tuned]:
        """A learning rate for each arm: all rates for a short while, the best few to the end."""
        rates = course.rates
        few: dict[str, tuple[float, ...]] = {arm.name: rates for arm in arms}
        usable = {arm.name: len(rates) for arm in arms}
        if len(rates) > FINALISTS:
            steps = short(course.steps)
            variants = {arm.name: self.variant(arm, steps, rates) for arm in arms}
            tried = self._run(f"tuning-short-{wave}", variants, [TUNING_SEED], steps, len(rates))
            scores = _costs(tried, self.score, "validation")
            few = {name: _best_few(scores, name, rates) for name in few}
            usable = {name: _usable(scores, name) for name in usable}
        variants = {arm.name: self.variant(arm, course.steps, few[arm.name]) for arm in arms}
        seeds = range(TUNING_SEED, TUNING_SEED + TUNERS)
        ended = self._run(
            f"tuning-{wave}", variants, seeds, course.steps, min(len(rates), FINALISTS)
        )
        found = _costs(ended, self.score, "validation")
        return {
            arm.name: _chosen(found, arm.name, few[arm.name], rates, usable[arm.name])
            for arm in arms
            if arm.name in found
        }

    def judge(
        self,
        arms: Sequence[Arm],
        rates: Mapping[str, float],
        steps: int,
        seeds: Sequence[int],
        number: int,
    ) -> None:
        """Every arm with these seeds, at its rate; what comes out joins the results."""
        others = [arm for arm in arms if arm.role != "no-op"]
        variants = {arm.name: self.variant(arm, steps, (rates[arm.name],)) for arm in others}
        found = self._run(f"judging-{number}", variants, seeds, steps, 1)
        self._take(found)
        for arm in arms:
            if arm.role == "no-op":
                self._control(arm, rates[ORIGINAL], steps, list(seeds)[:CONTROLS], found)

    def _control(
        self, arm: Arm, rate: float, steps: int, seeds: Sequence[int], judged: xr.Dataset
    ) -> None:
        """The edit that changes nothing, trained under a key of its own beside the original."""
        found = self._run("control", {NO_OP: self.variant(arm, steps, (rate,))}, seeds, steps, 1)
        for seed in seeds:
            pair = (
                each.sel(variant=name, seed=seed, rate=rate)
                for each, name in ((judged, ORIGINAL), (found, NO_OP))
            )
            self.controls.append((next(pair), next(pair)))

    def effects(self, arm: str) -> np.ndarray:
        """What the absence costs, seed by seed: accuracy lost, or the logarithm of the ratio of losses.

        Infinite where the arm diverged, minus infinite where the original did, NaN where both.
        """
        original, other = self.results.get(ORIGINAL, {}), self.results.get(arm, {})
        shared = [seed for seed in original if seed in other]
        with np.errstate(invalid="ignore", divide="ignore"):
            one, two = (
                np.array([each[seed] for seed in shared], float) for each in (original, other)
            )
            if self.score == "accuracy":
                return np.asarray(one - two)
            return np.asarray(np.log(two) - np.log(one))

    def _take(self, evidence: xr.Dataset) -> None:
        self.rounds.append(evidence)
        ended = outcomes(evidence, f"test_{self.score}")
        for name in ended["variant"].values:
            row = ended.sel(variant=name)
            values = row.max("rate")  # each arm has one; the others never ran
            place = self.results.setdefault(str(name), {})
            for seed, value in zip(values["seed"].values, values.values, strict=True):
                if not np.isnan(value):
                    place[int(seed)] = float(value)

    def _run(
        self, name: str, variants: dict[str, Variant], seeds: Sequence[int], steps: int, each: int
    ) -> xr.Dataset:
        """One study of the audit, its trials counted against the purse."""
        trials = len(variants) * len(seeds) * each
        self.say(
            f"{name}: {len(variants)} arms, {trials} trainings of {steps} updates, about "
            f"{self.purse.price(trials, steps):.0f} s; {self.purse.left:.0f} s of the budget are left"
        )
        study = Study(name, variants, seeds=seeds, probes=(), at=("end",))
        folder, begun = self.folder / name, self.purse.clock()
        before = _files(folder)
        found = run(study, folder, executor=self.executor, progress=self.progress, failures="keep")
        done = _files(folder) - before
        if done > trials / 2:
            self.purse.learn(done, steps, self.purse.clock() - begun)
        shutil.rmtree(folder / "states", ignore_errors=True)
        self._note_failures(folder, variants)
        if ORIGINAL in variants and ORIGINAL not in found["variant"].values:
            raise StudyError(
                f"The network itself could not be trained, so nothing can be compared with it: "
                f"{self.failures.get(ORIGINAL, 'see ' + str(folder))}"
            )
        return found

    def _note_failures(self, folder: Path, variants: Mapping[str, Variant]) -> None:
        from skipnorm.studies.outcome import reason_of

        names = {_plain(name): name for name in variants}
        for path in sorted((folder / "failed").rglob("*.json")):
            name = names.get(path.parent.name.rsplit("-", 1)[0]) or names.get(path.parent.name)
            if name is not None:
                self.failures[name] = reason_of(path)[0]


def _plain(name: str) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip("-.") or "variant"


def _files(folder: Path) -> int:
    return sum(1 for path in (folder / "trials").rglob("*.nc")) if folder.exists() else 0


Costs = dict[str, dict[float, list[float]]]
"""Of each arm and rate, over the tuning seeds: lower is better, infinite where it diverged."""


def _costs(evidence: xr.Dataset, score: Score, part: str) -> Costs:
    found = outcomes(evidence, f"{part}_{score}")
    sign = -1.0 if score == "accuracy" else 1.0
    costs: Costs = {}
    for name in map(str, found["variant"].values):
        row = found.sel(variant=name)
        for rate in row["rate"].values:
            values = [
                sign * float(v) for v in np.ravel(row.sel(rate=rate).values) if not np.isnan(v)
            ]
            if values:
                costs.setdefault(name, {})[float(rate)] = values
    return costs


def _best_few(costs: Costs, name: str, rates: Sequence[float]) -> tuple[float, ...]:
    """The rates that did best in the short try; the smallest where all of them diverged."""
    order = sorted(costs.get(name, {}), key=lambda rate: (_rank(costs[name][rate]), rate))
    return tuple(sorted(order[:FINALISTS])) or tuple(rates[:1])


def _rank(values: Sequence[float]) -> tuple[int, float]:
    """Fewest diverged, then the better middle."""
    finite = [value for value in values if np.isfinite(value)]
    return len(values) - len(finite), float(np.median(finite)) if finite else np.inf


def _usable(costs: Costs, name: str) -> int:
    """At how many rates a network did about as well as at its best: a loss of at most twice, a tenth of accuracy."""
    scores = [_rank(values) for values in costs.get(name, {}).values()]
    whole = [middle for failed, middle in scores if not failed]
    if not whole:
        return 0
    best = min(whole)
    bar = best + 0.1 if best < 0 else 2 * best
    return sum(middle <= bar for middle in whole)


def _chosen(
    costs: Costs, name: str, few: Sequence[float], rates: Sequence[float], usable: int
) -> Tuned:
    tried = costs[name]
    rate = min(tried, key=lambda each: (_rank(tried[each]), each))
    failed, middle = _rank(tried[rate])
    at = rates.index(rate) if rate in rates else 0
    edge = {0: "lowest", len(rates) - 1: "highest"}.get(at, "") if len(rates) > 1 else "only"
    return Tuned(name, rate, middle, failed, edge, usable)
