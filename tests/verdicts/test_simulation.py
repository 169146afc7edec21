"""Error rates and power of rulings, against their closed forms and their nominal bounds.

Power of a t-test is a non-central t distribution, that of two one-sided tests an integral over the
standard deviation (Phillips 1990); both are computed by scipy. Simulated shares are held to them
by binomial tests.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from skipnorm.errors import ClaimError
from skipnorm.verdicts import AtLeast, AtMost, Equivalent, Near
from skipnorm.verdicts.simulation import (
    SUBJECTS,
    WORLDS,
    Subject,
    World,
    diverging,
    false_alarms,
    family,
    heavy,
    main,
    normal,
    shares,
    skewed,
)
from skipnorm.verdicts.simulation_tables import BEGIN, END, page_with, tables

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "statistics.md"
MANY = 1_500
NORMAL, HEAVY, TENTH, QUARTER, SKEWED = WORLDS


def one_sided_power(distance: float, seeds: int, level: float = 0.95) -> float:
    critical = stats.t.isf((1 - level) / 2, seeds - 1)
    return float(stats.nct.sf(critical, seeds - 1, distance * math.sqrt(seeds)))


def equivalence_power(margin: float, seeds: int, level: float = 0.95) -> float:
    """P(|mean| + t s / sqrt(n) < margin) for a true difference of 0 and sigma 1."""
    critical, root = stats.t.isf((1 - level) / 2, seeds - 1), math.sqrt(seeds)

    def given(s: float) -> float:
        room = margin * root - critical * s
        inside = max(0.0, 2 * float(stats.norm.cdf(room)) - 1)
        return inside * float(stats.chi.pdf(s * math.sqrt(seeds - 1), seeds - 1))

    return math.sqrt(seeds - 1) * float(integrate.quad(given, 0, margin * root / critical)[0])


def agrees(share: float, expected: float, worlds: int = MANY) -> bool:
    """Whether the 99.9 % binomial interval of a simulated share holds what is expected."""
    found = stats.binomtest(round(share * worlds), worlds).proportion_ci(0.999)
    return bool(found.low <= expected <= found.high)


def exceeds(share: float, bound: float, worlds: int = MANY) -> bool:
    """Whether the 99.9 % binomial interval of a simulated share lies above a bound."""
    return bool(stats.binomtest(round(share * worlds), worlds).proportion_ci(0.999).low > bound)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
@pytest.mark.parametrize("seeds", [5, 8])
def test_on_normal_effects_either_error_is_two_and_a_half_per_cent(
    subject: Subject, seeds: int
) -> None:
    """At one border of a band that is wide: exactly alpha / 2, by the definition of the t-test."""
    edge = subject.edges[-1]
    found = shares(subject.prediction, NORMAL, edge, seeds, MANY, scale=subject.scale)
    assert agrees(found["refuted"], 0.025)
    if subject.name in ("AtLeast", "AtMost"):
        assert agrees(found["supported"], 0.025)
    assert not exceeds(found["supported"], 0.025)


@pytest.mark.parametrize("world", [HEAVY, TENTH, QUARTER], ids=lambda world: world.name)
def test_with_heavy_tails_or_divergence_false_rulings_stay_below_five_per_cent(
    world: World,
) -> None:
    for subject in SUBJECTS[:3]:
        for seeds in (5, 12):
            supported, refuted = false_alarms(subject, world, seeds, MANY // 2)
            assert not exceeds(supported, 0.05, MANY // 2)
            assert not exceeds(refuted, 0.05, MANY // 2)


def test_a_skewed_loss_on_the_linear_scale_breaks_the_bound_and_on_the_log_scale_keeps_it() -> None:
    """Why a claim declares its scale: the logarithm of a log-normal is normal."""
    assert exceeds(false_alarms(SUBJECTS[1], SKEWED, 8, MANY)[0], 0.05)
    ratio = Subject("ratio", AtMost(1.0), (0.0,), (-1.0, -2.0), (AtMost(1.0),) * 2, "log")
    assert agrees(false_alarms(ratio, NORMAL, 8, MANY)[0], 0.025)


@pytest.mark.parametrize("seeds", [5, 12])
def test_power_is_that_of_the_non_central_t(seeds: int) -> None:
    expected = one_sided_power(1.0, seeds)
    assert agrees(shares(AtLeast(0.0), NORMAL, 1.0, seeds, MANY)["supported"], expected)
    assert agrees(shares(AtMost(0.0), NORMAL, 1.0, seeds, MANY)["refuted"], expected)


@pytest.mark.parametrize("seeds", [5, 12])
def test_power_of_equivalence_is_phillips(seeds: int) -> None:
    expected = equivalence_power(1.0, seeds)
    assert agrees(shares(Near(0.0, 1.0), NORMAL, 0.0, seeds, MANY)["supported"], expected)
    ratio = shares(Equivalent(factor=math.e), NORMAL, 0.0, seeds, MANY, scale="log")
    assert agrees(ratio["supported"], expected)


def test_a_narrow_band_can_be_missed_on_both_sides() -> None:
    """The chance that a 95 % interval misses a point is 5 %; it would be 10 % for one at 90 %."""
    narrow = Near(0.0, 1e-9)
    assert agrees(shares(narrow, NORMAL, 0.0, 8, MANY)["refuted"], 0.05)
    assert agrees(shares(narrow, NORMAL, 0.0, 8, MANY, level=0.9)["refuted"], 0.10)


def test_six_cases_together_err_in_at_most_five_per_cent() -> None:
    assert not exceeds(family(NORMAL, 8, 120), 0.05, 120)


def test_the_noise_is_what_it_says() -> None:
    random = np.random.default_rng(0)
    for draw in (normal, heavy):
        quartile = np.quantile(draw(random, 200_000), 0.75)
        assert quartile == pytest.approx(stats.norm.ppf(0.75), abs=0.015)
    draws = skewed(random, 400_000)
    assert draws.mean() == pytest.approx(0.0, abs=0.02)
    assert draws.std() == pytest.approx(1.0, abs=0.05)
    ended = diverging(0.25).effects(random, 200_000, 3.0)
    assert np.isinf(ended).mean() == pytest.approx(0.25, abs=0.01)
    assert np.median(ended) == pytest.approx(3.0, abs=0.02)


def page_rows(title: str) -> dict[tuple[str, str], list[list[float]]]:
    """The numbers of one table of the page, as shares, by claim and kind of effects."""
    text = PAGE.read_text("utf-8").split(f"**{title}.**")[1].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines()]
    return {
        (row[0], row[1]): [[float(part) / 100 for part in cell.split("/")] for cell in row[2:]]
        for row in rows[2:]
    }


def test_the_page_holds_what_theory_and_a_small_simulation_find() -> None:
    worlds = int(re.findall(r"share of (\d+) simulated", PAGE.read_text("utf-8"))[0])
    assert worlds >= 10_000
    alarms, power = page_rows("False alarms"), page_rows("Power")
    assert len(alarms) == len(power) == len(SUBJECTS) * len(WORLDS)
    for place, seeds in enumerate((5, 8, 12, 20)):
        for claim in ("AtLeast", "AtMost"):
            for column in (0, 1):
                assert agrees(alarms[claim, "normal"][place][column], 0.025, worlds)
                expected = one_sided_power(column + 1.0, seeds)
                assert power[claim, "normal"][place][column] == pytest.approx(expected, abs=0.02)
        for claim in ("Near", "Equivalent, as a ratio"):
            for column in (0, 1):
                expected = equivalence_power(column + 1.0, seeds)
                assert power[claim, "normal"][place][column] == pytest.approx(expected, abs=0.02)
    found = shares(AtMost(0.0), TENTH, -2.0, 8, MANY)["supported"]
    assert agrees(found, power["AtMost", "10 % diverge"][1][1])


def test_tables_take_their_place_in_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    new = page_with(page, "table\n")
    assert new == f"before\n{BEGIN}\n\ntable\n\n{END}\nafter\n"
    assert page_with(new, "table\n") == new
    with pytest.raises(ClaimError, match="expected the lines"):
        page_with("no markers", "table")
    assert BEGIN in PAGE.read_text("utf-8")
    assert "python -m skipnorm.verdicts.simulation docs/statistics.md" in BEGIN
    file = tmp_path / "page.md"
    file.write_text(page, "utf-8")
    main([str(file), "--worlds", "4"])
    main(["--worlds", "4"])
    shown = capsys.readouterr().out
    assert shown == tables(4)
    assert file.read_text("utf-8") == page_with(page, shown)
