"""A slow run is kept by the clock as well. Truth: counts of updates, and the run that was not interrupted."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skipnorm.tasks import Digits
from skipnorm.training import Training, checkpoint
from skipnorm.training.learner import Learner
from skipnorm.training.train import train

TASK, PLAN = Digits(flat=True), Training(steps=12, batch=32, settings={"momentum": 0.9})


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))


@pytest.fixture
def updates(monkeypatch):
    """The updates made; the power fails before those that are put into ``fatal``."""
    made: list[int] = []
    advance = Learner.advance

    def counted(self):
        if self.step in fatal:
            raise KeyboardInterrupt
        made.append(self.step)
        advance(self)

    fatal: set[int] = set()
    monkeypatch.setattr(Learner, "advance", counted)
    return made, fatal


@pytest.mark.parametrize(("seconds", "kept"), [(31, 7), (11, 6), (1, 0)])
def test_a_run_is_kept_after_thirty_seconds(tmp_path, updates, monkeypatch, seconds, kept):
    made, fatal = updates
    clock = SimpleNamespace(monotonic=lambda: seconds * len(made))
    monkeypatch.setattr(checkpoint, "time", clock)
    (whole,) = train(network(), TASK, PLAN, seed=0, at="end")
    made.clear()
    fatal.add(7)
    settings = {"seed": 0, "at": "end", "kept": tmp_path / "run", "every": 1000}
    with pytest.raises(KeyboardInterrupt):
        list(train(network(), TASK, PLAN, **settings))
    fatal.clear()
    made.clear()
    (later,) = train(network(), TASK, PLAN, **settings)
    assert made == [*range(kept, 12)]
    assert later.losses.tolist() == whole.losses.tolist()
    for one, other in zip(later.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_broken_parameters_are_not_kept_by_the_clock(tmp_path, monkeypatch):
    """A parameter that no loss depends on: only the checks that belong to the run may end it."""
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(64, 10), nn.Parameter(torch.full((1,), torch.nan))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    with_file = Idle()
    with_file.idle.data.fill_(1.0)
    seen = []

    def loss(outputs, targets):
        seen.append((tmp_path / "run").exists())
        with_file.idle.data.fill_(torch.nan)
        return F.cross_entropy(outputs, targets)

    settings = {"seed": 0, "at": "end", "kept": tmp_path / "run", "every": 1000}
    (state,) = train(with_file, TASK, PLAN, loss=loss, **settings)
    assert not any(seen)
    assert state.diverged is not None
    assert state.diverged.step == PLAN.steps - 1  # found by the check at the end, as without a file
