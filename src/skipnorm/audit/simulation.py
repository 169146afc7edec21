"""How often an audit errs and how often it decides, found by ruling on made-up audits whose truth is known.

    python -m skipnorm.audit.simulation                    writes the table to the terminal
    python -m skipnorm.audit.simulation docs/audit.md      writes it into a page

Each audit has a family of four groups with one truth, draws what their absence costs for as many seeds as its
looks ask for, and rules by the code that rules on networks. The noise is that of real audits.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from skipnorm.audit.rulings import LOOKS, RULINGS, Ruling, Standing, alpha_at, ruled

__all__ = ["NOISE", "World", "audits", "is_false"]

MARGIN, FAMILY, AUDITS = 0.02, 4, 500

NOISE = {
    "perceptrons": 0.0065,
    "a small convolutional network": 0.0125,
    "an arm that half fails": 0.08,
}
"""Standard deviation over seeds of accuracy lost, as measured in audits on the digits (`docs/audit.md`)."""

BEGIN = "<!-- table: python -m skipnorm.audit.simulation docs/audit.md -->"
END = "<!-- end of table -->"


@dataclass(frozen=True)
class World:
    """A truth and its noise.

    Args:
        truth: accuracy that the absence of each group costs.
        noise: standard deviation over seeds.
        diverges: the share of runs without the group that diverge.
    """

    truth: float
    noise: float
    diverges: float = 0.0

    @property
    def middle(self) -> float:
        """The median of all runs; of those that do not diverge it is the truth."""
        if self.diverges >= 0.5:
            return math.inf
        return self.truth + self.noise * float(stats.norm.ppf(0.5 / (1 - self.diverges)))

    def draw(self, random: np.random.Generator, seeds: int) -> np.ndarray:
        """What the absence costs, for so many seeds."""
        found = random.normal(self.truth, self.noise, seeds)
        return np.where(random.random(seeds) < self.diverges, math.inf, found)


def is_false(ruling: Ruling, world: World) -> bool:
    """Whether a ruling says what is not so; `undecided` says nothing. Where runs diverge, the median counts."""
    truth = world.middle
    wrong = {
        "load-bearing": truth <= MARGIN,
        "idle": abs(truth) > MARGIN,
        "helpful": truth <= 0,
        "harmful": truth >= 0,
    }
    return wrong.get(ruling, False)


def audits(
    world: World, count: int = AUDITS, *, seed: int = 0
) -> tuple[Counter[Ruling], float, float]:
    """How groups are ruled, in which share of audits any ruling is false, and how many seeds a group takes."""
    random = np.random.default_rng(seed)
    rulings: Counter[Ruling] = Counter()
    wrong, seeds = 0, 0
    for _ in range(count):
        found = _audit(world, random)
        rulings.update(each.ruling for each in found)
        wrong += any(is_false(each.ruling, world) for each in found)
        seeds += sum(each.seeds for each in found)
    return rulings, wrong / count, seeds / (count * FAMILY)


def _audit(world: World, random: np.random.Generator) -> list[Standing]:
    """One family, look by look: what is decided stays, what is open gets more seeds."""
    effects = {str(place): np.empty(0) for place in range(FAMILY)}
    found: dict[str, Standing] = {}
    for most, _ in LOOKS:
        waiting = [
            name for name in effects if name not in found or found[name].ruling == "undecided"
        ]
        for name in waiting:
            more = world.draw(random, most - len(effects[name]))
            effects[name] = np.concatenate([effects[name], more])
        if waiting:
            now = ruled(effects, MARGIN, alpha=alpha_at(most))
            found |= {name: now[name] for name in waiting}
    return list(found.values())


def table(count: int) -> str:
    """Every world in a row, as Markdown."""
    heads = ["absence costs", "noise", *RULINGS, "any false, of four", "seeds a group"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name, noise in NOISE.items():
        for truth in (0.0, 0.01, 0.02, 0.03, 0.06, -0.03):
            lines.append(_row(f"{truth:g}", name, World(truth, noise), count))
    for share in (1.0, 0.9, 0.3):
        world = World(0.0, NOISE["perceptrons"], share)
        lines.append(
            _row(f"{share:.0%} diverge, else 0".replace("%", " %"), "perceptrons", world, count)
        )
    return "\n".join(lines)


def _row(truth: str, noise: str, world: World, count: int) -> str:
    rulings, wrong, seeds = audits(world, count)
    shares = [rulings[ruling] / (count * FAMILY) for ruling in RULINGS]
    cells = [truth, noise, *(f"{100 * share:.1f} %" for share in (*shares, wrong)), f"{seeds:.1f}"]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table to the terminal, or between the markers of a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path)
    parser.add_argument("--audits", type=int, default=AUDITS)
    given = parser.parse_args(arguments)
    text = table(given.audits)
    if given.page is None:
        sys.stdout.write(text + "\n")
        return
    page = given.page.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    given.page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
