"""Rulings: by definition on made-up effects, and how often they err where the truth is known."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from skipnorm.audit.rulings import LOOKS, alpha_at, detectable, ruled

MARGIN = 0.02
SPREAD = np.array([-1.5, -1.0, -0.5, -0.1, 0.1, 0.5, 1.0, 1.5]) * 0.002


@pytest.mark.parametrize(
    ("centre", "spread", "expected"),
    [
        (0.3, 1.0, "load-bearing"),
        (0.0, 1.0, "idle"),
        (0.01, 1.0, "idle"),
        (-0.01, 1.0, "idle"),
        (0.02, 1.0, "helpful"),
        (0.03, 8.0, "helpful"),
        (-0.03, 1.0, "harmful"),
        (-0.025, 5.0, "harmful"),
        (0.0, 20.0, "undecided"),
        (0.02, 20.0, "undecided"),
    ],
)
def test_each_ruling_is_reached(centre: float, spread: float, expected: str):
    found = ruled({"group": centre + spread * SPREAD}, MARGIN)["group"]
    assert found.ruling == expected
    assert found.effect == pytest.approx(centre, abs=1e-12)
    assert found.low < centre < found.high


def test_the_interval_is_students_at_the_level_of_the_look():
    values = 0.01 + SPREAD
    found = ruled({"group": values}, MARGIN)["group"]
    level = 1 - alpha_at(LOOKS[0][0])
    low, high = stats.t.interval(level, 7, values.mean(), stats.sem(values))
    assert (found.low, found.high, found.level) == pytest.approx((low, high, level))


def test_the_looks_share_one_chance_of_error():
    assert [alpha_at(8), alpha_at(16, 8), alpha_at(32, 16)] == pytest.approx([0.035, 0.01, 0.005])
    assert alpha_at(4) == pytest.approx(0.0175)  # half of the way to 8, half of its part
    assert alpha_at(100) == alpha_at(32) == pytest.approx(0.05)
    assert alpha_at(8, 8) == alpha_at(60, 40) == 0


@pytest.mark.parametrize("looks", [(5, 8, 16, 32), (8, 11, 16, 32), (5, 7, 13, 24, 31, 32, 40)])
def test_more_looks_spend_no_more(looks: tuple[int, ...]):
    spent = [alpha_at(seeds, before) for before, seeds in itertools.pairwise((0, *looks))]
    assert sum(spent) == pytest.approx(0.05)
    assert min(spent) >= 0


def test_fewer_than_five_seeds_decide_nothing():
    assert ruled({"group": [0.3, 0.3, 0.31, 0.3]}, MARGIN)["group"].ruling == "undecided"


def test_eight_diverged_runs_of_eight_are_load_bearing_in_a_family_of_four():
    values = [math.inf] * 8
    found = ruled({f"group {k}": values for k in range(4)}, MARGIN)
    assert {each.ruling for each in found.values()} == {"load-bearing"}
    assert found["group 0"].diverged == 8


def test_runs_that_diverge_on_both_sides_speak_against_any_ruling():
    assert ruled({"group": [math.nan] * 8}, MARGIN)["group"].ruling == "undecided"
    assert ruled({"group": [math.nan] * 4 + [0.5] * 4}, MARGIN)["group"].ruling == "undecided"


def test_an_original_that_alone_diverges_makes_the_group_harmful():
    assert ruled({"group": [-math.inf] * 8}, MARGIN)["group"].ruling == "harmful"


def test_exactly_no_effect_is_idle():
    found = ruled({"group": [0.0] * 8}, MARGIN)["group"]
    assert (found.ruling, found.effect, found.low, found.high) == ("idle", 0.0, 0.0, 0.0)


def test_more_seeds_are_told_where_they_would_settle_it():
    values = 0.0 + 12 * SPREAD
    found = ruled({"group": values}, MARGIN)["group"]
    assert found.ruling == "undecided"
    count = 8 + int(found.more)
    for seeds, enough in ((count, True), (count - 1, False)):
        reach = stats.t.ppf(0.5 + found.level / 2, seeds - 1) * found.spread / math.sqrt(seeds)
        assert bool(reach < MARGIN) is enough


def test_what_is_decided_needs_no_more_seeds():
    assert ruled({"group": 0.3 + SPREAD}, MARGIN)["group"].more == 0


def test_the_detectable_effect_is_found_in_four_of_five_audits():
    random, seeds, level = np.random.default_rng(0), 8, 0.965
    effect = detectable(1.0, seeds, level)
    draws = random.normal(effect, 1.0, (4000, seeds))
    reach = stats.t.ppf(0.5 + level / 2, seeds - 1) * draws.std(axis=1, ddof=1) / math.sqrt(seeds)
    assert (draws.mean(axis=1) - reach > 0).mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("truth", "false"), [(0.0199, "load-bearing"), (0.0201, "idle"), (-0.0201, "idle")]
)
def test_a_false_ruling_at_the_edge_of_the_margin_is_as_rare_as_promised(truth: float, false: str):
    random = np.random.default_rng(1)
    wrong = 0
    for _ in range(500):
        found = ruled({f"{k}": random.normal(truth, 0.01, 8) for k in range(3)}, MARGIN)
        wrong += any(each.ruling == false for each in found.values())
    assert wrong / 500 <= 0.035 + 2.5 * math.sqrt(0.035 * 0.965 / 500)
