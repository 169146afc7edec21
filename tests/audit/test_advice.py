"""Advice: what is recommended was run, and its code makes the network that was measured."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import skipnorm as sn
from skipnorm.audit.advice import code_of, simplest
from skipnorm.audit.arms import Arm, arms_of, feasible
from skipnorm.audit.budget import Purse
from skipnorm.audit.contest import Contest
from skipnorm.audit.costs import costs_of
from skipnorm.audit.groups import groups_of
from skipnorm.audit.models import model_of
from skipnorm.audit.rulings import ruled
from skipnorm.audit.variants import built

TASK = sn.Digits(flat=True)
TRAINING = sn.Training(steps=3, batch=32, settings={"momentum": 0.9})

MODULE = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.weight = nn.BatchNorm1d(64), nn.Linear(64, 64)
    def forward(self, x):
        return x + self.weight(self.norm(x).relu())

def build():
    return nn.Sequential(Block(), Block(), nn.Linear(64, 10))

def with_inputs():
    import torch
    return build(), torch.zeros(2, 64)
"""


def contest(model: Any, folder: Path) -> Contest:
    return Contest(model, TASK, TRAINING, "accuracy", folder, Purse(1.0, lambda: 0.0))


def same(one: nn.Module, other: nn.Module, inputs: torch.Tensor) -> bool:
    mine, others = one.state_dict(), other.state_dict()
    alike = mine.keys() == others.keys() and all(
        torch.equal(mine[key], others[key]) for key in mine
    )
    return alike and torch.equal(one.train()(inputs), other.train()(inputs))


@pytest.mark.parametrize("name", ["usersmodel:build", "usersmodel:with_inputs", "recipe"])
def test_the_code_makes_the_network_that_was_measured(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "usersmodel.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    given = (
        sn.Perceptron(depth=2, width=64, residual=True, norm="batch") if name == "recipe" else name
    )
    model, place = model_of(given, TASK)
    inputs = TASK.batch(32, 3)[0]
    network = model.build(0)
    sites = sn.anatomy(network, inputs)
    arms, refused = feasible(arms_of(groups_of(sites), sites), network, inputs)
    assert not refused
    for number, arm in enumerate(arms):
        path = tmp_path / f"pasted_{number}.py"
        path.write_text(code_of(arm, model, place, "digits"))
        pasted: dict[str, Any] = {}
        exec(compile(path.read_text(), str(path), "exec"), pasted)
        made = pasted["build"](inputs, seed=3)
        assert same(made, built(contest(model, tmp_path), arm, 3), inputs), arm.name
    sys.modules.pop("usersmodel", None)


def test_weights_that_are_drawn_anew_differ_from_seed_to_seed(tmp_path: Path):
    model = sn.Perceptron(depth=2, width=8, norm="batch")
    arm = Arm(
        "redrawn", "removal", "all norms", (sn.Reinitialize(scheme="he"), sn.SwapNorm(to="none"))
    )
    one, other = (built(contest(model, tmp_path), arm, seed).stem.weight for seed in (0, 1))
    assert not torch.equal(one, other)


def standing(effect: float, spread: float = 0.001) -> Any:
    values = [effect + spread * step for step in (-2, -1, -0.5, 0, 0, 0.5, 1, 2)]
    return ruled({"it": values}, 0.02)["it"]


ARMS = [
    Arm("half", "removal", keeps=5),
    Arm("most", "removal", keeps=2),
    Arm("added", "addition", keeps=10),
]


def test_of_those_as_good_the_one_that_leaves_least_is_recommended():
    standings = {"half": standing(0.0), "most": standing(0.001), "added": standing(0.0)}
    chosen = simplest(ARMS, standings, 10, 0.02)
    assert chosen is not None
    assert chosen.name == "most"


def test_what_is_better_by_more_than_the_margin_comes_first():
    standings = {"half": standing(0.0), "most": standing(0.0), "added": standing(-0.3)}
    chosen = simplest(ARMS, standings, 10, 0.02)
    assert chosen is not None
    assert chosen.name == "added"


@pytest.mark.parametrize("effect", [0.3, math.inf, 0.02])
def test_nothing_worse_and_nothing_undecided_is_recommended(effect: float):
    worse = standing(effect) if math.isfinite(effect) else ruled({"it": [math.inf] * 8}, 0.02)["it"]
    undecided = standing(0.0, 0.05)
    assert undecided.ruling == "undecided"
    assert simplest(ARMS, {"half": worse, "most": undecided}, 10, 0.02) is None


def test_nothing_that_was_not_run_is_recommended():
    assert simplest(ARMS, {}, 10, 0.02) is None


def test_costs_count_parameters_and_what_is_kept_for_the_backward_pass():
    deep = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    flat = nn.Sequential(nn.Linear(64, 10))
    found = costs_of({"deep": deep, "flat": flat}, TASK.batch(16, 0))
    assert found["flat"].parameters == 64 * 10 + 10
    inputs, hidden, outputs = (16 * width * 4 for width in (64, 32, 10))
    assert found["deep"].kept - found["flat"].kept == 2 * hidden
    assert found["flat"].kept >= inputs + outputs
    assert 0 < found["deep"].saving(found["flat"])["parameters"] < 1
