"""The docket: an arm is ruled on when it has new seeds, with what its own looks have left to spend."""

from types import SimpleNamespace

import numpy as np
import pytest

from skipnorm.audit.arms import Arm
from skipnorm.audit.contest import Tuned
from skipnorm.audit.groups import Group
from skipnorm.audit.judging import Docket
from skipnorm.audit.rulings import alpha_at, ruled

MARGIN = 0.02
GROUPS = [Group(f"norm n{k}", "norms", (f"n{k}",), 2) for k in range(3)]
ARMS = [Arm(f"without {group.name}", "removal", group.name) for group in GROUPS]


class Kept:
    """A contest that hands out made-up effects: one list an arm, as long as it has been judged."""

    def __init__(self, spread: float) -> None:
        random = np.random.default_rng(3)
        self.all = {arm.name: random.normal(0, spread, 32) for arm in ARMS}
        self.judged = dict.fromkeys(self.all, 0)
        self.purse = SimpleNamespace(left=1e9, price=lambda trials, steps: float(trials))

    def judge(self, arms, rates, steps, seeds, number) -> None:
        for arm in arms:
            if arm.name in self.judged:
                self.judged[arm.name] += len(seeds)

    def effects(self, arm: str) -> np.ndarray:
        return self.all[arm][: self.judged[arm]]


def opened(spread: float, seeds: int) -> Docket:
    sites = SimpleNamespace(norms=("n0", "n1", "n2"), skips=())
    subject = SimpleNamespace(groups=GROUPS, control=None, anatomy=sites)
    docket = Docket(subject, Kept(spread), SimpleNamespace(seeds=seeds, steps=1), MARGIN)
    docket.tuned = {arm.name: Tuned(arm.name, 0.1, 0.0, 0, "", 1) for arm in ARMS}
    return docket


def test_a_look_between_leaves_less_to_the_next():
    docket = opened(spread=0.2, seeds=5)
    docket.judge(ARMS, 1)
    assert set(docket.looked.values()) == {5}
    docket.settle()
    assert set(docket.looked.values()) == {32}
    effects = {arm.name: docket.contest.effects(arm.name) for arm in ARMS}
    assert docket.standings == ruled(effects, MARGIN, alpha=alpha_at(32, before=16))


def test_an_arm_of_a_later_wave_has_a_look_of_its_own_and_the_others_keep_their_ruling():
    docket = opened(spread=0.2, seeds=8)
    docket.judge(ARMS[:1], 1)
    alone = docket.standings[ARMS[0].name]
    assert alone.level == pytest.approx(1 - alpha_at(8))
    docket.judge(ARMS[1:], 2)
    assert docket.standings[ARMS[0].name] is alone
    assert docket.standings[ARMS[1].name].level == pytest.approx(1 - alpha_at(8) / 3)


def test_arms_last_seen_at_different_looks_spend_what_is_theirs():
    docket = opened(spread=0.2, seeds=8)
    docket.judge(ARMS, 1)
    docket._look(ARMS[:1], list(range(8, 16)))
    docket._look(ARMS, list(range(16, 32)))
    levels = [docket.standings[arm.name].level for arm in ARMS]
    assert docket.looked == {ARMS[0].name: 32, ARMS[1].name: 24, ARMS[2].name: 24}
    expected = [alpha_at(32, before=16), *[alpha_at(24, before=8)] * 2]
    assert levels == pytest.approx([1 - each / 3 for each in expected])
