"""Budgets: spans of time by definition, and what fits into them on a clock of our own."""

import pytest

from skipnorm.audit.arms import Arm
from skipnorm.audit.budget import Purse, affordable, planned, seconds_of
from skipnorm.audit.groups import Group
from skipnorm.errors import StudyError

GROUPS = (
    Group("all norms", "norms", ("a", "b"), 0),
    Group("norm a", "norms", ("a",), 2),
)
ARMS = (
    Arm("without norm a", "removal", "norm a"),
    Arm("SkipInit", "substitute", "all norms"),
    Arm("without all norms", "removal", "all norms"),
)
RATES = (0.01, 0.03, 0.1)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def purse(budget: float, **settings: float) -> Purse:
    return Purse(budget, Clock(), step=0.01, overhead=0.0, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("2 min", 120), (7, 7)]
)
def test_spans_of_time(text: str, seconds: float):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3m", "0", "5 d"])
def test_what_is_no_span_of_time_is_refused(text: str):
    with pytest.raises(StudyError, match="span of time"):
        seconds_of(text)


def test_with_plenty_of_time_everything_is_run_with_eight_seeds():
    rich = purse(1e6)
    course = planned(ARMS, GROUPS, RATES, rich)
    assert (course.steps, course.seeds) == (300, 8)
    assert [arm.name for arm in course.arms] == ["without all norms"]
    assert [arm.name for arm in affordable(course.rest, course, rich)] == [
        "SkipInit",
        "without norm a",
    ]


def test_what_is_kept_in_reserve_is_not_spent_on_parts():
    rich = purse(1e6)
    course = planned(ARMS, GROUPS, RATES, rich)
    assert affordable(course.rest, course, rich, reserve=1e6) == ()


def test_little_time_means_fewer_seeds_and_then_shorter_trainings():
    seeds = [planned(ARMS, GROUPS, RATES, purse(budget)).seeds for budget in (1000, 90, 80)]
    assert seeds == sorted(seeds, reverse=True)
    assert planned(ARMS, GROUPS, RATES, purse(50)).steps < 300


def test_too_small_a_budget_names_one_that_would_do():
    with pytest.raises(StudyError, match=r"too small.*Give --budget \d+"):
        planned(ARMS, GROUPS, RATES, purse(5))


def test_steps_that_are_given_are_kept():
    assert planned(ARMS, GROUPS, RATES, purse(1e6), steps=77).steps == 77


def test_the_purse_learns_what_trials_really_take():
    one = purse(100)
    before = one.price(10, 100)
    one.learn(10, 100, 2 * before)
    assert one.price(10, 100) == pytest.approx(2 * before)


def test_time_runs():
    one = purse(100)
    one.clock.now = 30.0  # type: ignore[attr-defined]
    assert (one.spent, one.left) == (30.0, 70.0)


def test_an_audit_that_goes_on_goes_on_as_it_began():
    course = planned(ARMS, GROUPS, RATES, purse(5), begun=(250, 7))
    assert (course.steps, course.seeds) == (250, 7)
