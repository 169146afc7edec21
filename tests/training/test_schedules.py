"""The course of the learning rate. Truth: torch's own schedulers, and their closed forms on paper."""

import math
from typing import Any

import pytest
import torch
from tests.training.subjects import Bowl, descend
from torch.optim import lr_scheduler

from skipnorm.training import Training


def halved_after_a_half(share: float) -> float:
    return 1.0 if share < 0.5 else 0.5


def rates(**settings: Any) -> list[float]:
    return descend(Bowl(1.0), **settings).rates.tolist()


def by_torch(made: Any, steps: int, rate: float = 0.1) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    course, found = made(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        course.step()
    return found


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({"schedule": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=40)),
        ({"schedule": "linear"}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=40)),
        ({"schedule": "step"}, lambda o: lr_scheduler.MultiStepLR(o, [20, 30], gamma=0.1)),
        (
            {"schedule": "step", "milestones": (0.25,), "gamma": 0.3},
            lambda o: lr_scheduler.MultiStepLR(o, [10], gamma=0.3),
        ),
        (
            {"schedule": "one_cycle"},
            lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=40, cycle_momentum=False),
        ),
        (
            {"schedule": "one_cycle", "warmup": 4},
            lambda o: lr_scheduler.OneCycleLR(
                o, 0.1, total_steps=40, pct_start=0.1, cycle_momentum=False
            ),
        ),
        (
            {"schedule": halved_after_a_half},
            lambda o: lr_scheduler.LambdaLR(o, lambda step: halved_after_a_half(step / 40)),
        ),
    ],
    ids=["cosine", "linear", "step", "milestones", "one_cycle", "one_cycle rise", "function"],
)  # fmt: skip
def test_it_is_torchs(settings: dict[str, Any], made: Any) -> None:
    assert rates(steps=40, rate=0.1, **settings) == by_torch(made, 40)


CLOSED = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1 - share,
    "cosine": lambda share: (1 + math.cos(math.pi * share)) / 2,
    "math:exp": math.exp,
}


@pytest.mark.parametrize("schedule", CLOSED)
@pytest.mark.parametrize("warmup", [0, 1, 8])
def test_closed_forms_after_the_warm_up(schedule: str, warmup: int) -> None:
    left = 40 - warmup
    rising = [(step + 1) / (warmup + 1) for step in range(warmup)]
    expected = rising + [CLOSED[schedule](step / left) for step in range(left)]
    found = rates(steps=40, rate=1.0, schedule=schedule, warmup=warmup)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_milestones_are_shares_of_all_steps_with_a_warm_up_too() -> None:
    found = rates(steps=40, rate=1.0, schedule="step", warmup=6)
    assert found[6:20] == [1.0] * 14
    assert found[20:30] == pytest.approx([0.1] * 10)
    assert found[30:] == pytest.approx([0.01] * 10)


def test_one_cycle_peaks_where_the_rise_ends_and_never_touches_the_momentum() -> None:
    training = {"steps": 100, "rate": 0.5, "schedule": "one_cycle", "settings": {"momentum": 0.3}}
    state = descend(Bowl(0.01), **training)
    assert int(state.rates.argmax()) == 29  # torch counts the steps of the rise from 0
    assert state.rates.max() == 0.5
    assert state.rates[0] == pytest.approx(0.5 / 25)


def test_a_warm_up_of_all_steps() -> None:
    assert rates(steps=4, rate=1.0, warmup=4) == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_no_steps_at_all() -> None:
    state = descend(Bowl(1.0), steps=0)
    assert (state.step, len(state.losses), state.diverged) == (0, 0, None)
    assert Training(steps=0, schedule="cosine").steps == 0
