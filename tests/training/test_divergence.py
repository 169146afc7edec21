"""Divergence is recorded where and as it happens. Truth: stability of linear recurrences; floating point's bounds."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.subjects import DUMMY, Bowl, Formula, descend, itself, last

from skipnorm.training import Training, resolved
from skipnorm.training import learner as learners
from skipnorm.training.state import CAUSES, Divergence
from skipnorm.training.train import train

LARGEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_gradient_descent_is_stable_up_to_two_over_the_largest_eigenvalue(momentum: float) -> None:
    """(2 + 2 mu) / lambda with heavy-ball momentum mu (Polyak 1964)."""
    threshold = 2 * (1 + momentum) / 10.0
    settings = {"steps": 500, "settings": {"momentum": momentum}, "blow_up": 1e3}
    below = descend(Bowl(1.0, 10.0), rate=threshold * (1 - 1e-2), **settings)
    above = descend(Bowl(1.0, 10.0), rate=threshold * (1 + 1e-2), **settings)
    assert below.diverged is None
    assert below.losses[-1] < 1e-6
    assert above.diverged is not None
    assert above.diverged.cause == "blow_up"


def test_exactly_at_the_threshold_it_swings_for_ever() -> None:
    found = descend(Bowl(4.0), rate=0.5, steps=500)
    assert found.diverged is None
    assert set(found.losses.tolist()) == {2.0}


@pytest.mark.parametrize("excess", [1e-2, 0.1, 3.0])
def test_the_step_at_which_a_bound_is_passed(excess: float) -> None:
    """w grows by the factor -(1 + excess) per update, from a loss of 2."""
    bound = 1e4
    found = descend(Bowl(4.0), rate=0.5 * (1 + excess / 2), steps=10_000, blow_up=bound)
    expected = math.ceil(math.log(bound / 2) / (2 * math.log1p(excess)))
    assert found.diverged == Divergence(expected, "blow_up")
    assert found.step == len(found.losses) == expected + 1
    assert found.losses[-1] > bound >= found.losses[-2]


def test_the_step_at_which_float32_ends() -> None:
    """Half of 4 * 9^t, which is infinite from the first t on where it is above the largest number."""
    found = descend(Bowl(4.0, dtype=torch.float32), rate=1.0, steps=100)
    first = next(t for t in range(100) if 4 * 9.0**t > LARGEST)
    assert found.diverged == Divergence(first, "loss")
    assert found.losses[-1] == math.inf
    assert np.isfinite(found.losses[:-1]).all()


ROOT = Formula(lambda w: w + w.abs().sqrt() * (w == 0), 2.0)  # w = 2, 1, 0: there it has no slope

CASES: dict[str, tuple[Any, dict[str, Any], Divergence]] = {
    "loss": (Formula(torch.exp, 1000.0), {}, Divergence(0, "loss")),
    "loss is nan": (Formula(lambda w: (w - 3).log(), 1.0), {}, Divergence(0, "loss")),
    "minus infinity": (Formula(lambda w: (w * 0).log(), 1.0), {}, Divergence(0, "loss")),
    "loss, later": (Formula(lambda w: w.sqrt(), 1.0), {"rate": 4.0}, Divergence(1, "loss")),
    "blow_up": (Bowl(4.0), {"rate": 1.0, "blow_up": 100}, Divergence(2, "blow_up")),
    "gradient": (Formula(lambda w: w.abs().sqrt(), 0.0), {}, Divergence(0, "gradient")),
    "gradient, clipped": (
        Formula(lambda w: w.abs().sqrt(), 0.0), {"clip": 1.0}, Divergence(0, "gradient"),
    ),
    "parameters": (Formula(lambda w: 10 * w, 1.0), {"rate": 1e38}, Divergence(0, "parameters")),
    "gradient, later": (ROOT, {"rate": 1.0}, Divergence(2, "gradient")),
    "later, clipped": (ROOT, {"rate": 1.0, "clip": 9.0}, Divergence(2, "gradient")),
    "from the start": (Formula(lambda w: w, math.nan), {}, Divergence(0, "parameters")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("at", [("end",), ("initial", "end"), range(6)], ids=["end", "ends", "all"])
def test_the_first_thing_to_go_wrong_is_named_wherever_one_looks(name: str, at: Any) -> None:
    network, settings, expected = CASES[name]
    training = Training(steps=5, **settings)
    states = train(copy.deepcopy(network), DUMMY, training, seed=0, at=at, loss=itself)
    *whole, found = states
    assert found.diverged == expected
    assert found.step == (0 if name == "from the start" else expected.step + 1)
    assert len(found.losses) == len(found.rates) == found.step
    wanted = resolved(at, 5)
    assert [state.step for state in whole] == [step for step in wanted if step < found.step]
    assert all(state.diverged is None for state in whole)


@pytest.mark.parametrize("name", [name for name in CASES if name != "from the start"])
def test_the_state_before_it_is_whole_whatever_the_file_holds(name: str, tmp_path: Path) -> None:
    """A file in which the run diverged says nothing of the states before that."""
    network, settings, expected = CASES[name]
    training, file = Training(steps=5, **settings), tmp_path / "run"
    kept: dict[str, Any] = {"seed": 0, "loss": itself, "kept": file}
    for at in ("end", expected.step):
        found = last(train(copy.deepcopy(network), DUMMY, training, at=at, **kept))
        assert found.notes == ()
    assert (found.step, found.diverged) == (expected.step, None)


def test_a_gradient_that_overflows_only_in_its_norm_is_clipped_like_any_other() -> None:
    """3 and 4 times 1e30: its squares are too large for float32, and clipped to 1 it is (0.6, 0.8)."""
    network = Bowl(3e30, 4e30, dtype=torch.float32)
    found = descend(network, steps=1, rate=0.5, clip=1.0)
    assert found.diverged is None
    assert found.network.w.tolist() == pytest.approx([1 - 0.3, 1 - 0.4], rel=1e-6)


def test_a_scaler_that_leaves_out_every_update_hides_no_divergence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From 4 down to 1 a lower scale might have helped; below, the gradient itself is infinite."""
    made = torch.amp.GradScaler("cpu", init_scale=4.0)
    monkeypatch.setattr(learners, "scaler_of", lambda _: made)
    found = descend(Formula(lambda w: w.abs().sqrt(), 0.0), steps=50)
    assert found.diverged == Divergence(2, "gradient")
    assert found.network.w.item() == 0


def test_states_before_it_are_handed_out_and_the_last_one_says_so() -> None:
    network = Bowl(4.0)
    training = Training(steps=100, rate=1.0, blow_up=100)  # losses 2, 18, 162
    states = train(network, DUMMY, training, seed=0, at=(0, 1, 50, "end"), loss=itself)
    seen = [(state.step, state.diverged) for state in states]
    assert seen == [(0, None), (1, None), (3, Divergence(2, "blow_up"))]


def test_history_as_plain_values_keeps_what_is_not_finite() -> None:
    found = descend(Formula(torch.exp, 1000.0), steps=5, rate=0.25)
    assert found.history == {
        "losses": [math.inf], "rates": [0.25], "diverged_at": 0, "cause": "loss"
    }  # fmt: skip
    assert descend(Bowl(1.0), steps=1).history["cause"] is None


def test_every_cause_is_told_in_words() -> None:
    assert set(CAUSES) == {case[2].cause for case in CASES.values()}
    assert "not finite" in str(Divergence(3, "loss"))
