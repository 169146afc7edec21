"""How often do the rulings of an audit err, and how often do they find what is there? Audits of simulated scores.

    python benchmarks/audit_rates.py                 prints the tables: some minutes of one core
    python benchmarks/audit_rates.py --write         the same, into docs/audit_rates.md
    python benchmarks/audit_rates.py --audits 50     a tenth of it

Scores scatter as those measured by `audit_noise.py`. All that decides is the audit's own: its docket of arms, its
looks, its purse, its effects and its rulings. Only training is left out: `Drawn` gives a score in its place.
"""

import argparse
import json
import math
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
from scipy import stats

from skipnorm.audit.arms import ORIGINAL, Arm
from skipnorm.audit.budget import TUNERS, Course, Purse
from skipnorm.audit.conduct import MARGINS
from skipnorm.audit.contest import TUNING_SEED, Contest, Tuned
from skipnorm.audit.groups import Group
from skipnorm.audit.judging import Docket
from skipnorm.audit.rulings import LOOKS, RULINGS, Ruling, alpha_at
from skipnorm.verdicts.statistics import ALPHA, FEWEST

NOISE = Path(__file__).with_name("audit_noise.json")
PAGE = Path(__file__).parents[1] / "docs" / "audit_rates.md"
BEGIN = "<!-- tables: python benchmarks/audit_rates.py --write -->"
END = "<!-- end of tables -->"

AUDITS = 500
STARTS = (LOOKS[0][0], FEWEST)
"""Seeds of the first look: as planned, and where the budget is small."""

_AMPLE, _PACES = 1e9, (0.5, 1.2)
SLICE = 20
Budget = int | Literal["singly"] | None
BUDGETS = (5, 10, 20, 40, 80)


@dataclass(frozen=True)
class Truth:
    """What the absence of each group costs.

    Attributes:
        name: what tables call it.
        cost: in margins; positive where the group is missed.
        diverging: the share of runs without it that diverge.
    """

    name: str
    cost: float
    diverging: float = 0.0

    def refutes(self, ruling: Ruling) -> bool:
        """Whether a ruling is wrong; on the border of the margin either side is.

        Where some runs diverge and others cost nothing, no ruling is called wrong.

        >>> two = Truth("2 margins", 2.0)
        >>> two.refutes("idle"), two.refutes("helpful"), two.refutes("load-bearing")
        (True, False, False)
        """
        if ruling == "undecided" or 0 < self.diverging < 1:
            return False
        cost = math.inf if self.diverging else self.cost
        return {
            "load-bearing": cost <= 1,
            "helpful": cost <= 0,
            "idle": abs(cost) >= 1,
            "harmful": cost >= 0,
        }[ruling]


TRUTHS = (
    Truth("none", 0.0),
    Truth("half the margin", 0.5),
    Truth("the margin", 1.0),
    Truth("2 margins", 2.0),
    Truth("5 margins", 5.0),
    Truth("better by 2 margins", -2.0),
    Truth("every run diverges", 0.0, 1.0),
    Truth("one run in five diverges", 0.0, 0.2),
)
NONE, HALF, MARGIN, TWO, FIVE, BETTER, FAILS, SOME = TRUTHS

GROUPS = (
    Group("all norms", "norms", ("n1", "n2", "n3"), 0),
    Group("all shortcuts", "shortcuts", ("s1", "s2", "s3"), 0),
    *(Group(f"norm n{k}", "norms", (f"n{k}",), 2) for k in (1, 2, 3)),
)
"""Two families: the whole questions, and three parts."""

FAMILIES = (GROUPS[:2], GROUPS[2:])
REMOVALS = tuple(Arm(f"without {group.name}", "removal", group.name) for group in GROUPS)
SUBSTITUTE = Arm("static norms", "substitute", "all norms")


@dataclass(frozen=True, eq=False)
class Noise:
    """How the scores of the original and of another arm scatter around their means.

    Attributes:
        name: what tables call it.
        score: accuracy, or loss, whose logarithms are drawn.
        spread: standard deviation of the effect over seeds, paired as measured.
        apart: that of the two scores.
        shape: skewness and kurtosis of the effect (3 for a normal distribution).
        pool: deviations of scores with mean 0 and standard deviation 1, drawn from with replacement.
        law: `measured` draws from the pool, `normal` and `t` (3 degrees of freedom) do not.
        diverging: the share of runs that diverge.
    """

    name: str
    score: str
    spread: float
    apart: tuple[float, float]
    shape: tuple[float, float]
    pool: np.ndarray
    law: str = "measured"
    diverging: float = 0.0

    @property
    def margin(self) -> float:
        """The default margin, on the scale of the effect."""
        return MARGINS["accuracy"] if self.score == "accuracy" else math.log1p(MARGINS["loss"])

    def draw(self, random: np.random.Generator, original: bool, count: int) -> np.ndarray:
        """Deviations of so many runs, drawn apart and scaled so that pairs scatter as those measured."""
        one, two = self.apart
        scale = self.spread / math.hypot(one, two) * (one if original else two)
        if self.law == "normal":
            return scale * random.standard_normal(count)
        if self.law == "t":
            return scale * random.standard_t(3, count) / math.sqrt(3)
        return scale * random.choice(self.pool, count)


def noises() -> tuple[Noise, ...]:
    """Every comparison that was measured, from the least spread to the largest, in margins."""
    found = []
    for score in ("accuracy", "loss"):
        networks = {name: _scores(arms[score], score) for name, arms in _measured().items()}
        pool = np.concatenate(
            [_unit(values) for arms in networks.values() for values in arms.values()]
        )
        for name, arms in networks.items():
            for arm, values in arms.items():
                if arm != ORIGINAL:
                    found.append(_noise(f"{name}, {arm}", score, arms[ORIGINAL], values, pool))
    return tuple(sorted(found, key=lambda noise: noise.spread / noise.margin))


def _measured() -> dict[str, dict[str, dict[str, list[float]]]]:
    return json.loads(NOISE.read_text("utf-8"))["scores"]


def _scores(arms: dict[str, list[float]], score: str) -> dict[str, np.ndarray]:
    """Every arm's scores, on the scale on which they are subtracted; NaN where a run diverged."""
    arrays = {arm: np.array(values, float) for arm, values in arms.items()}
    return {arm: np.log(each) if score == "loss" else each for arm, each in arrays.items()}


def _unit(values: np.ndarray) -> np.ndarray:
    known = values[np.isfinite(values)]
    return (known - known.mean()) / known.std()


def _noise(name: str, score: str, one: np.ndarray, two: np.ndarray, pool: np.ndarray) -> Noise:
    both = np.isfinite(one) & np.isfinite(two)
    one, two = one[both], two[both]
    effect = two - one if score == "loss" else one - two
    shape = float(stats.skew(effect)), float(stats.kurtosis(effect, fisher=False))
    apart = float(one.std(ddof=1)), float(two.std(ddof=1))
    diverging = 1 - float(both.mean())
    return Noise(name, score, float(effect.std(ddof=1)), apart, shape, pool, diverging=diverging)


def chosen() -> dict[str, Noise]:
    """Of the comparisons by accuracy the quietest, the middle and the loudest, and the loudest by loss."""
    accuracy, loss = (
        [noise for noise in noises() if noise.score == score] for score in ("accuracy", "loss")
    )
    return {
        "quiet": accuracy[0],
        "middle": accuracy[len(accuracy) // 2],
        "loud": accuracy[-1],
        "loss": loss[-1],
    }


@dataclass
class Clock:
    """Seconds that pass when a training is drawn."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Drawn(Contest):
    """A contest whose scores are drawn around a known truth, with everything else as it is."""

    random: np.random.Generator = field(default_factory=np.random.default_rng)
    noise: Noise | None = None
    truth: Truth = NONE
    paces: tuple[float, float] = (1.0, 1.0)
    looks: set[int] = field(default_factory=set)

    def tune(self, arms: Sequence[Arm], course: Course, wave: int) -> dict[str, Tuned]:
        """Each arm's validation score: the middle of the tuning seeds."""
        seeds = range(TUNING_SEED, TUNING_SEED + TUNERS)
        found = {arm.name: [*self._scores(arm, seeds).values()] for arm in arms}
        sign = -1.0 if self.score == "accuracy" else 1.0
        return {
            name: Tuned(name, 0.1, float(np.median(sign * np.array(values))), 0, "", 1)
            for name, values in found.items()
        }

    def judge(
        self,
        arms: Sequence[Arm],
        rates: dict[str, float],
        steps: int,
        seeds: Sequence[int],
        number: int,
    ) -> None:
        """Scores in place of trainings, which take a part or a multiple of the time expected."""
        self.looks.add(max(seeds) + 1)
        trials = len(arms) * len(seeds)
        taken = self.purse.price(trials, steps) * self.random.uniform(*self.paces)
        self.purse.clock.now += taken
        self.purse.learn(trials, steps, taken)
        for arm in arms:
            self.results.setdefault(arm.name, {}).update(self._scores(arm, seeds))

    def _scores(self, arm: Arm, seeds: Sequence[int]) -> dict[int, float]:
        own, count = arm.name == ORIGINAL, len(seeds)
        lost = 0.0 if own else self.truth.cost * self.noise.margin
        share = max(self.noise.diverging, 0.0 if own else self.truth.diverging)
        drawn = self.noise.draw(self.random, own, count)
        if self.score == "accuracy":
            values, worst = 0.9 - lost + drawn, -np.inf
        else:
            values, worst = np.exp(lost + drawn), np.inf
        values = np.where(self.random.random(count) < share, worst, values)
        return dict(zip(seeds, values.tolist(), strict=True))


@dataclass(frozen=True)
class Outcome:
    """The rulings of one simulated audit on its groups, after the first look and at the end."""

    first: dict[str, Ruling]
    last: dict[str, Ruling]
    seeds: dict[str, int]
    looks: tuple[int, ...]
    stopped: bool


def audited(noise: Noise, truth: Truth, start: int, number: int, budget: Budget = None) -> Outcome:
    """One audit, the same whenever the arguments are.

    Args:
        noise: how scores scatter.
        truth: what the absence of each group costs.
        start: seeds of the first look.
        number: which audit.
        budget: how many trainings there seems to be room for after the first look; each then takes half
            to one and a fifth of the time that the audit expects by those before it. By default there
            is room for all looks; `singly` too, but the parts are judged in waves of one.
    """
    world = zlib.crc32(f"{noise.name}, {noise.score}".encode())
    random = np.random.default_rng([world, start, number])
    clock = Clock()
    purse = Purse(_AMPLE, clock, step=0.01, overhead=0.0)
    course = Course(100, (0.1,), REMOVALS[:2], (SUBSTITUTE, *REMOVALS[2:]), start)
    drawn = Drawn(
        *(None, None, None, noise.score, Path(), purse),
        random=random,
        noise=noise,
        truth=truth,
        paces=_PACES if isinstance(budget, int) else (1.0, 1.0),
    )
    sites = SimpleNamespace(norms=("n1", "n2", "n3"), skips=("s1", "s2", "s3"))
    subject = SimpleNamespace(groups=GROUPS, control=None, anatomy=sites)
    docket = Docket(subject, drawn, course, noise.margin)
    rest = [(arm,) for arm in course.rest] if budget == "singly" else [course.rest]
    for wave, arms in enumerate((course.arms, *rest), start=1):
        docket.tune(arms, wave)
        docket.judge(arms, wave)
    first = _rulings(docket)
    if isinstance(budget, int):
        purse.budget = clock.now + purse.price(budget, course.steps)
    docket.settle()
    seeds = {arm.group: docket.standings[arm.name].seeds for arm in REMOVALS}
    looks = tuple(sorted(drawn.looks))
    return Outcome(first, _rulings(docket), seeds, looks, bool(docket.stopped))


def _rulings(docket: Docket) -> dict[str, Ruling]:
    return {arm.group: docket.standings[arm.name].ruling for arm in REMOVALS}


@dataclass(frozen=True)
class Cell:
    """What came of many audits of one truth.

    Attributes:
        first: share of each ruling after the first look.
        last: at the end.
        wrong_first: share of audits in which a family held a false ruling, for each family.
        wrong_last: the same at the end.
        seeds: mean number of seeds of a group.
        stopped: share of audits that stopped the substitute before it was judged.
    """

    first: dict[Ruling, float]
    last: dict[Ruling, float]
    wrong_first: tuple[float, ...]
    wrong_last: tuple[float, ...]
    seeds: float
    stopped: float


def cell(
    noise: Noise, truth: Truth, start: int, audits: int, budgets: Sequence[Budget] = (None,)
) -> Cell:
    """Many audits of one truth; budgets take turns."""
    found = [
        audited(noise, truth, start, number, budgets[number % len(budgets)])
        for number in range(audits)
    ]
    return Cell(
        _shares(one.first for one in found),
        _shares(one.last for one in found),
        _wrong([one.first for one in found], truth),
        _wrong([one.last for one in found], truth),
        float(np.mean([count for one in found for count in one.seeds.values()])),
        float(np.mean([one.stopped for one in found])),
    )


def _shares(rulings: Iterable[dict[str, Ruling]]) -> dict[Ruling, float]:
    counts = Counter(ruling for each in rulings for ruling in each.values())
    return {name: counts[name] / counts.total() for name in RULINGS}


def _wrong(rulings: Sequence[dict[str, Ruling]], truth: Truth) -> tuple[float, ...]:
    """The share of audits in which any ruling of a family is false, for each family."""
    return tuple(
        float(
            np.mean([any(truth.refutes(each[group.name]) for group in family) for each in rulings])
        )
        for family in FAMILIES
    )


def stressed(noise: Noise) -> dict[str, Noise]:
    """The same spread in other shapes, and with as many diverged runs as those seen leave possible."""
    return {
        "normal": replace(noise, law="normal"),
        "heavy tails": replace(noise, law="t"),
        "some diverge": replace(noise, diverging=most_diverging()),
    }


def diverged() -> tuple[int, int]:
    """How many of the measured runs diverged, and how many there are."""
    runs = [v for arms in _measured().values() for values in arms["loss"].values() for v in values]
    return sum(value is None for value in runs), len(runs)


def most_diverging() -> float:
    """The upper end of the one-sided 95 % interval of the share of runs that diverge (Clopper & Pearson 1934)."""
    broken, runs = diverged()
    return float(stats.beta.ppf(0.95, broken + 1, runs - broken))


Cells = dict[tuple[str, Truth, int], Cell]


def planned() -> Iterator[tuple[str, Truth, int]]:
    """What is simulated: all of it from the planned number of seeds, the chief of it from the fewest."""
    for name in chosen():
        truths = TRUTHS if name != "loss" else (NONE, MARGIN, TWO, FIVE, FAILS)
        yield from ((name, truth, STARTS[0]) for truth in truths)
    for name in list(chosen())[:-1]:
        yield from ((name, truth, STARTS[1]) for truth in (NONE, MARGIN, TWO, BETTER, FAILS))


def tables(audits: int, tell: Callable[[str], None] = lambda text: None) -> str:
    """All tables, with a line above each that says how to read it."""
    worlds, found = chosen(), Cells()
    for name, truth, start in planned():
        tell(f"{name} noise, {truth.name}, from {start} seeds")
        found[name, truth, start] = cell(worlds[name], truth, start, audits)
    tell("other noise; budgets that end between looks")
    parts = [
        f"Every number is a share in per cent, of {audits} simulated audits or of their {len(GROUPS)} groups each.",
        _noise_table(worlds),
        _alarms(found),
        *(_rates(found, start) for start in STARTS),
        _stress(worlds["middle"], audits),
        _partial(worlds, audits),
        _singly(worlds["middle"], audits),
        _stopped(found),
        slice_table(worlds["middle"]),
    ]
    return "\n\n".join(parts) + "\n"


def _noise_table(worlds: dict[str, Noise]) -> str:
    names = {(noise.name, noise.score): name for name, noise in worlds.items()}
    broken, runs = diverged()
    text = (
        "**Noise.** Spread: the standard deviation over seeds of what the absence costs, in accuracy or in the "
        f"logarithm of the ratio of losses. {broken} of {runs} judged runs diverged: the share of such runs is at most "
        f"{100 * most_diverging():.1f} % (at 95 %)."
    )
    rows = [
        [
            names.get((noise.name, noise.score), ""),
            noise.name,
            noise.score,
            f"{noise.spread:.4f}",
            f"{noise.spread / noise.margin:.2f}",
            *(f"{value:.1f}" for value in noise.shape),
        ]
        for noise in noises()
    ]
    head = ["called", "network, what is missing", "score", "spread", "in margins"]
    return f"{text}\n\n{_table([*head, 'skewness', 'kurtosis'], rows, 3)}"


def _alarms(found: Cells) -> str:
    first, fewest, whole = (100 * share for share in (*map(alpha_at, STARTS), ALPHA))
    text = (
        "**False alarms.** Audits in which any ruling of a family was wrong: of the family of two whole groups / of "
        f"that of three parts. Stated: at most {first:.1f} after {STARTS[0]} seeds, {fewest:.1f} after {STARTS[1]}, "
        f"{whole:.0f} after all. Wrong are load-bearing up to the margin, helpful up to none, idle from the margin on, "
        "harmful from none on."
    )
    head = ["noise", "true cost", *(f"after {n} seeds" for s in STARTS for n in (s, looks_from(s)))]
    rows = []
    for name, truth, _ in found:
        cells = [found.get((name, truth, start)) for start in STARTS]
        parts = [(each.wrong_first, each.wrong_last) if each else () for each in cells]
        row = [_percents(shares) for pair in parts for shares in pair]
        line = [name, truth.name, *row, *[""] * (4 - len(row))]
        if line not in rows and truth is not SOME:
            rows.append(line)
    return f"{text}\n\n{_table(head, rows, 2)}"


def looks_from(start: int) -> str:
    """After how many seeds an audit looks.

    >>> looks_from(8)
    '8, 16, 32'
    """
    return ", ".join(map(str, sorted({start, *(seeds for seeds, _ in LOOKS)})))


def _rates(found: Cells, start: int) -> str:
    text = (
        f"**Rulings, from {start} seeds.** Shares of groups after the first look / after all looks "
        f"({looks_from(start)}, for groups that are undecided); and how many seeds a group had in the mean."
    )
    rows = [
        [name, truth.name, *_row(found[name, truth, first])]
        for name, truth, first in found
        if first == start
    ]
    return f"{text}\n\n{_table(['noise', 'true cost', *RULINGS, 'seeds'], rows, 2)}"


def _row(one: Cell) -> list[str]:
    pairs = [f"{_percent(one.first[name])} / {_percent(one.last[name])}" for name in RULINGS]
    return [*pairs, f"{one.seeds:.1f}"]


def _stress(middle: Noise, audits: int) -> str:
    text = (
        "**Other noise than measured.** The middle spread with normal deviations, with the tails of Student's t with 3 "
        "degrees of freedom, and with as many diverged runs, of the original too, as those measured leave possible; "
        f"from {STARTS[0]} seeds, after all looks."
    )
    rows = []
    for name, noise in stressed(middle).items():
        for truth in (NONE, MARGIN, TWO):
            one = cell(noise, truth, STARTS[0], audits)
            shares = [_percent(one.last[ruling]) for ruling in RULINGS]
            rows.append([name, truth.name, *shares, _percents(one.wrong_last)])
    head = ["noise", "true cost", *RULINGS, "wrong in a family"]
    return f"{text}\n\n{_table(head, rows, 2)}"


def _partial(worlds: dict[str, Noise], audits: int) -> str:
    text = (
        f"**Budgets that end between looks.** Room for {', '.join(map(str, BUDGETS))} trainings (by turns) after the "
        "first look, and each takes 0.5 to 1.2 of the time expected: the audit looks where the money ends, and again "
        f"if some is left. Stated: at most {100 * ALPHA:.0f}. Any ruling of the two whole groups / of the three "
        "parts wrong."
    )
    rows = []
    for name in ("middle", "loud"):
        for start in STARTS:
            ended = [cell(worlds[name], each, start, audits, BUDGETS) for each in (NONE, MARGIN)]
            wrong = [_percents(each.wrong_last) for each in ended]
            rows.append([name, str(start), *wrong])
    head = ["noise", "first look", "wrong, cost none", "wrong, cost the margin"]
    return f"{text}\n\n{_table(head, rows, 2)}"


def _singly(middle: Noise, audits: int) -> str:
    text = (
        f"**Parts judged one by one**, as where time comes free bit by bit: the middle noise from {STARTS[0]} seeds. "
        "Any ruling on the three parts wrong, after the first look / after all looks, beside all three judged together."
    )
    rows = []
    for truth in (NONE, MARGIN):
        cells = [cell(middle, truth, STARTS[0], audits, (budget,)) for budget in ("singly", None)]
        rows.append([truth.name, *(_percents((c.wrong_first[1], c.wrong_last[1])) for c in cells)])
    return f"{text}\n\n{_table(['true cost', 'one by one', 'together'], rows, 1)}"


def _stopped(found: Cells) -> str:
    text = (
        "**Stopped early.** Audits that did not judge a substitute because it was worse by 2.5 margins on validation "
        "samples while its rate was chosen, by what it truly costs. (Groups are never stopped.)"
    )
    truths = (NONE, MARGIN, TWO, FIVE)
    rows = [
        [name, *(_percent(found[name, truth, STARTS[0]].stopped) for truth in truths)]
        for name in chosen()
    ]
    return f"{text}\n\n{_table(['noise', *(truth.name for truth in truths)], rows, 1)}"


def slice_table(middle: Noise) -> str:
    """A few audits of the tables above, as counts, which a test makes again."""
    text = (
        f"**The first {SLICE} audits** of the middle noise from {STARTS[0]} seeds, after all looks: how many of their "
        f"{SLICE * len(GROUPS)} groups. A test makes them again."
    )
    rows = []
    for truth in (NONE, HALF, MARGIN, TWO):
        shares = cell(middle, truth, STARTS[0], SLICE).last
        rows.append([truth.name, *(f"{SLICE * len(GROUPS) * shares[r]:.0f}" for r in RULINGS)])
    return f"{text}\n\n{_table(['true cost', *RULINGS], rows, 1)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    lines = [head, [*["---"] * words, *["---:"] * (len(head) - words)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percents(shares: Iterable[float]) -> str:
    return " / ".join(map(_percent, shares))


def page_with(page: str, text: str) -> str:
    """A page with these tables between its markers, in place of those it had."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"expected the lines {BEGIN!r} and {END!r} in the page; found none")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"into docs/{PAGE.name}")
    parser.add_argument("--audits", type=int, default=AUDITS, help="simulated audits per number")
    asked = parser.parse_args()
    begun = time.process_time()
    text = tables(asked.audits, lambda line: print(line, file=sys.stderr, flush=True))
    print(f"{time.process_time() - begun:.0f} seconds of process time", file=sys.stderr)
    if asked.write:
        PAGE.write_text(page_with(PAGE.read_text("utf-8"), text), "utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
