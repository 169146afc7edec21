"""The page of error rates: made by this code, within what the audit states, from noise that was measured."""

import doctest
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from benchmarks import audit_rates
from benchmarks.audit_noise import SUBJECTS, measured
from benchmarks.audit_rates import (
    AUDITS,
    BEGIN,
    BETTER,
    FAILS,
    HALF,
    MARGIN,
    NOISE,
    NONE,
    PAGE,
    SOME,
    STARTS,
    TRUTHS,
    TWO,
    Noise,
    Truth,
    audited,
    cell,
    chosen,
    most_diverging,
    noises,
    page_with,
    slice_table,
)
from scipy import stats

from skipnorm.audit.rulings import LOOKS, RULINGS, alpha_at
from skipnorm.verdicts.statistics import ALPHA

TEXT = PAGE.read_text("utf-8")


def rows(title: str) -> dict[tuple[str, str], list[str]]:
    """The cells of one table of the page, by noise and truth."""
    table = TEXT.split(f"**{title}")[1].split("\n\n")[1].splitlines()
    cells = [[part.strip() for part in line.strip("|").split("|")] for line in table[2:]]
    return {(row[0], row[1]): row for row in cells}


def within(share: float, audits: int, bound: float) -> bool:
    """Whether so many audits leave it possible that the share is at most this (99.9 %)."""
    return bool(stats.binomtest(round(share * audits), audits).proportion_ci(0.999).low <= bound)


def test_every_number_rests_on_five_hundred_audits_or_more():
    assert int(re.findall(r"of (\d+) simulated audits", TEXT)[0]) == AUDITS >= 500


def test_a_slice_of_the_table_comes_out_again():
    assert slice_table(chosen()["middle"]) in TEXT


def test_a_row_of_the_table_comes_out_again():
    found = cell(chosen()["quiet"], FAILS, STARTS[0], AUDITS)
    expected = rows(f"Rulings, from {STARTS[0]} seeds")["quiet", FAILS.name]
    pairs = [f"{100 * found.first[r]:.1f} / {100 * found.last[r]:.1f}" for r in RULINGS]
    assert [*pairs, f"{found.seeds:.1f}"] == expected[2:]
    alarms = rows("False alarms")["quiet", FAILS.name][2:4]
    for text, shares in zip(alarms, (found.wrong_first, found.wrong_last), strict=True):
        assert text == " / ".join(f"{100 * share:.1f}" for share in shares)


def test_false_alarms_are_as_rare_as_the_audit_states():
    table = rows("False alarms")
    assert {truth for _, truth in table} == {truth.name for truth in TRUTHS} - {SOME.name}
    first, fewest = map(alpha_at, STARTS)
    for row in table.values():
        for text, stated in zip(row[2:], (first, ALPHA, fewest, ALPHA), strict=True):
            for share in filter(None, text.split(" / ")):
                assert within(float(share) / 100, AUDITS, stated), row


def test_budgets_that_end_between_looks_err_no_more_often():
    for row in rows("Budgets that end").values():
        for share in " / ".join(row[2:]).split(" / "):
            assert within(float(share) / 100, AUDITS, ALPHA), row


def test_an_audit_looks_when_its_code_says():
    found = audited(chosen()["loss"], NONE, STARTS[0], 0)
    assert found.looks == tuple(seeds for seeds, _ in LOOKS)
    assert set(found.seeds.values()) == {LOOKS[-1][0]}
    assert audited(chosen()["quiet"], NONE, STARTS[0], 0).looks == (STARTS[0],)
    assert set(audited(chosen()["quiet"], FAILS, STARTS[0], 0).last.values()) == {"load-bearing"}


def test_the_same_audit_comes_out_the_same():
    one, other = (audited(chosen()["loud"], HALF, STARTS[1], 7, 40) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("law", ["measured", "normal", "t"])
@pytest.mark.parametrize("name", ["quiet", "loss"])
def test_simulated_effects_scatter_as_those_measured(name: str, law: str):
    noise = replace(chosen()[name], law=law)
    random = np.random.default_rng(0)
    effects = noise.draw(random, True, 100_000) - noise.draw(random, False, 100_000)
    assert effects.mean() == pytest.approx(0, abs=0.02 * noise.spread)
    assert effects.std() == pytest.approx(noise.spread, rel=0.02 if law != "t" else 0.1)


def test_what_was_measured_is_on_the_page():
    kept = json.loads(NOISE.read_text("utf-8"))
    assert kept["seeds"] >= 8
    for noise in noises():
        network, arm = noise.name.rsplit(", ", 1)
        arms = kept["scores"][network][noise.score]
        one, two = (np.array(arms[each]) for each in ("original", arm))
        effect = one - two if noise.score == "accuracy" else np.log(two / one)
        assert noise.spread == pytest.approx(effect.std(ddof=1))
        assert f"| {noise.name} | {noise.score} | {effect.std(ddof=1):.4f} |" in TEXT
        assert abs(noise.pool.mean()) < 1e-12
        assert noise.pool.std() == pytest.approx(1)


def test_how_many_runs_may_diverge_where_none_did():
    """0 of n: the rule of three, exactly 1 - 0.05 ** (1 / n)."""
    runs = sum(
        len(values)
        for scores in json.loads(NOISE.read_text("utf-8"))["scores"].values()
        for values in scores["loss"].values()
    )
    assert most_diverging() == pytest.approx(1 - 0.05 ** (1 / runs))


@pytest.mark.parametrize(
    ("truth", "wrong"),
    [
        (NONE, {"load-bearing", "helpful", "harmful"}),
        (HALF, {"load-bearing", "harmful"}),
        (MARGIN, {"load-bearing", "idle", "harmful"}),
        (TWO, {"idle", "harmful"}),
        (BETTER, {"load-bearing", "helpful", "idle"}),
        (FAILS, {"idle", "harmful"}),
        (SOME, set()),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_which_rulings_are_false(truth: Truth, wrong: set[str]):
    assert {ruling for ruling in RULINGS if truth.refutes(ruling)} == wrong


def test_a_noise_that_breaks_the_audit_is_seen():
    """One run in ten far off: Student's interval errs with eight seeds, and the count shows it."""
    pool = np.array([-3.0] + [1 / 3] * 9)
    skewed = Noise("skewed", "accuracy", 0.15, (0.0, 0.15), (0.0, 0.0), pool)
    found = cell(skewed, NONE, STARTS[0], 40)
    assert not within(found.wrong_first[1], 40, alpha_at(STARTS[0]))


def test_tables_take_their_place_in_a_page():
    assert BEGIN in TEXT
    new = page_with(TEXT, "tables\n")
    assert page_with(new, "tables\n") == new
    with pytest.raises(ValueError, match="expected the lines"):
        page_with("no markers", "tables")
    assert "(audit_rates.md)" in PAGE.with_name("audit.md").read_text("utf-8")


def test_examples():
    assert doctest.testmod(audit_rates).failed == 0


@pytest.mark.slow
def test_the_stored_scores_are_what_training_gives():
    name = "mnist1d, plain, batch norm"
    kept = json.loads(NOISE.read_text("utf-8"))
    again = measured(*SUBJECTS[name], 3, kept["updates"])
    for score, arms in again.items():
        for arm, values in arms.items():
            assert values == pytest.approx(kept["scores"][name][score][arm][:3], abs=0.02)
