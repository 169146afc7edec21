"""How often rulings err and how often they decide, found by ruling on simulated worlds.

    python -m skipnorm.verdicts.simulation                      writes the tables to the terminal
    python -m skipnorm.verdicts.simulation docs/statistics.md   writes them into a page

Every world is a draw of effects over seeds whose truth is known; it is ruled on by the code that
rules on claims. Distances are in units of the effects' standard deviation over seeds.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from skipnorm.evidence.summaries import Scale
from skipnorm.verdicts.effects import Case
from skipnorm.verdicts.predictions import AtLeast, AtMost, Equivalent, Near, Prediction
from skipnorm.verdicts.ruling import estimate, rule, ruling
from skipnorm.verdicts.verdict import RULINGS, Ruling

SEEDS = (5, 8, 12, 20)
LEVEL = 0.95

_QUARTILES = float(stats.norm.ppf(0.75) / stats.t.ppf(0.75, 3))
"""Of the normal distribution, in those of Student's t with 3 degrees of freedom."""

Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class World:
    """How effects scatter over the seeds around their truth.

    Args:
        name: what a table calls it.
        draw: the noise of so many seeds.
        diverged: the share of runs that diverge and rank worst, +inf.
        middle: where the truth lies on the scale of the noise: its mean, or, where runs diverge
            and none exists, the median of all runs.
    """

    name: str
    draw: Draw
    diverged: float = 0.0
    middle: float = 0.0

    def effects(self, random: np.random.Generator, seeds: int, truth: float) -> np.ndarray:
        """One draw of effects around a known truth."""
        noise = self.draw(random, seeds) - self.middle + truth
        return np.where(random.random(seeds) < self.diverged, np.inf, noise)


def normal(random: np.random.Generator, seeds: int) -> np.ndarray:
    """Effects as the t-test assumes them, with standard deviation 1."""
    return random.normal(size=seeds)


def heavy(random: np.random.Generator, seeds: int) -> np.ndarray:
    """Student's t with 3 degrees of freedom, with the quartiles of the normal."""
    return random.standard_t(3, seeds) * _QUARTILES


def skewed(random: np.random.Generator, seeds: int) -> np.ndarray:
    """A log-normal with sigma 1, mean 0 and standard deviation 1: a loss on the wrong scale."""
    spread = math.sqrt((math.e - 1) * math.e)
    return (random.lognormal(size=seeds) - math.sqrt(math.e)) / spread


def diverging(share: float) -> World:
    """Normal effects of which this share diverges; the truth is the median of all runs."""
    middle = float(stats.norm.ppf(0.5 / (1 - share)))
    return World(f"{share:.0%} diverge".replace("%", " %"), normal, share, middle)


WORLDS = (
    World("normal", normal),
    World("heavy tails", heavy),
    diverging(0.1),
    diverging(0.25),
    World("skewed", skewed),
)


@dataclass(frozen=True)
class Subject:
    """A prediction, and the truths at which its rulings are counted.

    Args:
        name: what a table calls it.
        prediction: what is claimed; its band reaches from an edge at 0, or 2 to either side of 0.
        edges: the truths on the border of the claim, where either ruling can be false.
        inside: truths one and two standard deviations inside the border.
        bands: the prediction for each of these two truths.
        scale: the scale of the claim; on the log scale, effects are exp of those drawn.
    """

    name: str
    prediction: Prediction
    edges: tuple[float, ...]
    inside: tuple[float, float]
    bands: tuple[Prediction, Prediction]
    scale: Scale = "linear"


SUBJECTS = (
    Subject("AtLeast", AtLeast(0.0), (0.0,), (1.0, 2.0), (AtLeast(0.0),) * 2),
    Subject("AtMost", AtMost(0.0), (0.0,), (-1.0, -2.0), (AtMost(0.0),) * 2),
    Subject("Near", Near(0.0, 2.0), (-2.0, 2.0), (0.0, 0.0), (Near(0.0, 1.0), Near(0.0, 2.0))),
    Subject(
        "Equivalent, as a ratio",
        Equivalent(factor=math.exp(2)),
        (-2.0, 2.0),
        (0.0, 0.0),
        (Equivalent(factor=math.exp(1)), Equivalent(factor=math.exp(2))),
        "log",
    ),
)


def shares(
    prediction: Prediction,
    world: World,
    truth: float,
    seeds: int,
    worlds: int,
    *,
    scale: Scale = "linear",
    level: float = LEVEL,
) -> dict[Ruling, float]:
    """The share of simulated worlds that come out supported, refuted and undecided.

    The effects of every world go through the estimate and the rule that `judge` uses for a claim
    of one case. The worlds are the same whenever the arguments are.

    Args:
        prediction: what is claimed.
        world: how effects scatter over the seeds.
        truth: the true effect, in standard deviations; on the log scale, its logarithm.
        seeds: how many effects there are in every world.
        worlds: how many worlds are simulated.
        scale: the scale of the claim.
        level: the level of the interval.
    """
    random = np.random.default_rng([seeds, worlds])
    counts = dict.fromkeys(RULINGS, 0)
    for _ in range(worlds):
        case = _case(prediction, world.effects(random, seeds, truth), scale)
        counts[ruling(case, estimate(case, scale, level))] += 1
    return {name: count / worlds for name, count in counts.items()}


def false_alarms(subject: Subject, world: World, seeds: int, worlds: int) -> tuple[float, float]:
    """The shares of claims falsely supported and falsely refuted, at the worst border."""
    found = [
        shares(subject.prediction, world, edge, seeds, worlds, scale=subject.scale)
        for edge in subject.edges
    ]
    return max(one["supported"] for one in found), max(one["refuted"] for one in found)


def power(subject: Subject, world: World, seeds: int, worlds: int) -> tuple[float, ...]:
    """The shares of true claims supported: one, and two, standard deviations inside the border."""
    return tuple(
        shares(band, world, truth, seeds, worlds, scale=subject.scale)["supported"]
        for truth, band in zip(subject.inside, subject.bands, strict=True)
    )


def family(world: World, seeds: int, worlds: int, cases: int = 6) -> float:
    """How often any of several cases on their border is ruled on falsely, under Holm's levels.

    Half of the noise of every seed is shared by all cases, as where one seed draws the networks
    of all of them.
    """
    random = np.random.default_rng([seeds, worlds, cases])
    false = 0
    for _ in range(worlds):
        common = world.effects(random, seeds, 0.0)
        rows = [(common + world.effects(random, seeds, 0.0)) / math.sqrt(2.0) for _ in range(cases)]
        found = rule([_case(AtLeast(0.0), row, "linear") for row in rows], "linear")
        false += any(row["ruling"] != "undecided" for row in found)
    return false / worlds


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, and write the tables to the terminal or into a page."""
    from skipnorm.verdicts.simulation_tables import page_with, tables

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", nargs="?", type=Path, help="a page with markers for the tables")
    parser.add_argument("--worlds", type=int, default=10_000, help="simulated worlds per number")
    chosen = parser.parse_args(arguments)
    text = tables(chosen.worlds)
    if chosen.page is None:
        sys.stdout.write(text)
        return
    chosen.page.write_text(page_with(chosen.page.read_text("utf-8"), text), "utf-8")


def _case(prediction: Prediction, effects: np.ndarray, scale: Scale) -> Case:
    target = prediction.value
    assert isinstance(target, float)
    values = np.exp(effects) if scale == "log" else effects
    return Case("", values, 0, target, prediction.band(target))


if __name__ == "__main__":
    main()
