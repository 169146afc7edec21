"""Simulated audits: rulings that are false are as rare as promised, and what is plain is found."""

import math

import pytest

from skipnorm.audit.simulation import MARGIN, World, audits, is_false


@pytest.mark.parametrize(
    ("truth", "diverges", "false", "true"),
    [
        (0.0, 0.0, {"load-bearing", "helpful", "harmful"}, {"idle", "undecided"}),
        (0.01, 0.0, {"load-bearing", "harmful"}, {"idle", "helpful", "undecided"}),
        (0.05, 0.0, {"idle", "harmful"}, {"load-bearing", "helpful", "undecided"}),
        (-0.05, 0.0, {"idle", "load-bearing", "helpful"}, {"harmful", "undecided"}),
        (0.0, 1.0, {"idle", "harmful"}, {"load-bearing", "helpful", "undecided"}),
    ],
)
def test_what_is_false_is_told_by_the_truth(truth: float, diverges: float, false: set, true: set):
    world = World(truth, 0.01, diverges)
    assert all(is_false(ruling, world) for ruling in false)
    assert not any(is_false(ruling, world) for ruling in true)


@pytest.mark.parametrize("truth", [0.0, 0.019, 0.021, -0.021])
def test_a_family_of_four_errs_in_five_per_cent_of_audits_at_most(truth: float):
    count = 60
    _, wrong, _ = audits(World(truth, 0.0125), count)
    assert wrong <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / count)


def test_an_edit_that_changes_nothing_is_never_anything_but_idle():
    rulings, wrong, seeds = audits(World(0.0, 0.0), 50)
    assert (dict(rulings), wrong, seeds) == ({"idle": 200}, 0.0, 8.0)


def test_what_is_plain_is_found_with_the_first_seeds():
    rulings, _, seeds = audits(World(10 * MARGIN, 0.0065), 30)
    assert (rulings["load-bearing"], seeds) == (120, 8.0)
    rulings, _, seeds = audits(World(0.0, 0.0065, diverges=1.0), 30)
    assert (rulings["load-bearing"], seeds) == (120, 8.0)
