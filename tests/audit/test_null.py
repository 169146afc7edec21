"""The null: an edit that changes nothing, trained under its own key, differs from the original in no number."""

from pathlib import Path

import pytest
import torch
from torch import nn

import skipnorm as sn
from skipnorm.audit.arms import NO_OP, ORIGINAL, Arm, no_op
from skipnorm.audit.budget import Purse
from skipnorm.audit.contest import Contest
from skipnorm.audit.groups import groups_of
from skipnorm.audit.models import model_of

TASK = sn.Digits(flat=True)
TRAINING = sn.Training(steps=6, batch=32, rate=0.05, settings={"momentum": 0.9})


class Noisy(nn.Module):
    """Dropout, stochastic depth's cousin, around a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.weight, self.head = nn.LayerNorm(64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x + self.drop(self.weight(self.norm(x)).relu()))


NETWORKS = {
    "residual, batch norm": sn.Perceptron(depth=2, width=8, residual=True, norm="batch"),
    "plain, batch norm": sn.Perceptron(depth=2, width=8, norm="batch"),
    "plain, RMS norm": sn.Perceptron(depth=2, width=8, norm="rms"),
    "dropout around a skip": Noisy,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_recorded_number_differs(name: str, tmp_path: Path):
    model, _ = model_of(NETWORKS[name], TASK)
    sites = sn.anatomy(model.build(0), TASK.batch(8, 0)[0])
    control = no_op(sites, groups_of(sites))
    assert control is not None
    contest = Contest(model, TASK, TRAINING, "accuracy", tmp_path, Purse(1e9, lambda: 0.0))
    arms = [Arm(ORIGINAL, "original"), control]
    contest.judge(arms, {ORIGINAL: 0.05}, TRAINING.steps, range(3), 1)
    assert len(contest.controls) == 3
    for original, other in contest.controls:
        for quantity in other.data_vars:
            one, two = original[quantity], other[quantity]
            assert one.drop_vars("variant").identical(two.drop_vars("variant")), quantity
    lost = {float(original["test_loss"].squeeze()) for original, _ in contest.controls}
    assert len(lost) == 3  # seeds differ, so that equality is no accident


def test_an_edit_that_changes_something_is_seen_by_the_same_comparison(tmp_path: Path):
    model = NETWORKS["residual, batch norm"]
    contest = Contest(model, TASK, TRAINING, "accuracy", tmp_path, Purse(1e9, lambda: 0.0))
    slight = Arm(NO_OP, "no-op", operations=(sn.ScaleSkips(branch=1.0001),))
    contest.judge([Arm(ORIGINAL, "original"), slight], {ORIGINAL: 0.05}, 6, range(1), 1)
    ((original, other),) = contest.controls
    assert float(original["test_loss"].squeeze()) != float(other["test_loss"].squeeze())
