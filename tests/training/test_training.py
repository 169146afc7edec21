"""The value that says how a network is taught. Truth: what equality and identity mean; hand-picked nonsense."""

import math
import pickle
import subprocess
import sys
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skipnorm.errors import TrainingError
from skipnorm.studies.identity import canonical
from skipnorm.training import Training, linear, log_spaced, resolved

BLOCK_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("torch is blocked in this test")
sys.meta_path.insert(0, NoTorch())
from skipnorm.training import Training, log_spaced
from skipnorm.training.order import permutation
print(Training(steps=3), log_spaced(1000, 5))
"""


def my_optimizer(parameters: Any, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr)


def test_it_is_read_without_torch() -> None:
    command = [sys.executable, "-c", BLOCK_TORCH]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Training(steps=3) (0, 1, 10, 100, 1000)"


def test_defaults_are_left_out_of_its_identity() -> None:
    assert canonical(Training()) == "Training@1()"
    assert canonical(Training(rate=0.1, steps=1000, settings={})) == "Training@1()"
    assert canonical(Training().with_rate(1)) == "Training@1(rate=1.0)"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"settings": {"nesterov": True, "momentum": 0.9}}, {"settings": {"momentum": 0.9, "nesterov": True}}),
        ({"settings": {"betas": [0.9, 0.99]}}, {"settings": {"betas": (0.9, 0.99)}}),
        ({"optimizer": "SGD"}, {"optimizer": torch.optim.SGD}),
        ({"optimizer": "AdamW"}, {"optimizer": "adamw"}),
        ({"rate": 1, "clip": 2}, {"rate": 1.0, "clip": 2.0}),
        ({"milestones": [0.25]}, {"milestones": (0.25,)}),
        ({"device": torch.device("cpu")}, {}),
    ],
)  # fmt: skip
def test_equal_settings_are_equal_values(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = Training(**one), Training(**other)
    assert first == second
    assert hash(first) == hash(second)
    assert repr(first) == repr(second)
    assert canonical(first) == canonical(second)


def test_every_setting_is_part_of_its_identity() -> None:
    others = {
        "steps": 7, "rate": 0.7, "batch": 7, "optimizer": "adam", "settings": {"momentum": 0.7},
        "schedule": "cosine", "warmup": 7, "milestones": (0.7,), "gamma": 0.7, "clip": 0.7,
        "precision": "bf16", "device": "cuda", "blow_up": 7.0,
    }  # fmt: skip
    assert set(others) == {field.name for field in fields(Training)}
    changed = [replace(Training(), **{name: value}) for name, value in others.items()]
    assert (
        len({canonical(each) for each in changed}) == len({repr(e) for e in changed}) == len(others)
    )


def test_functions_are_named_by_where_they_live() -> None:
    training = Training(optimizer=my_optimizer, schedule=math.cos)
    assert "my_optimizer" in canonical(training)
    assert "math:cos" in canonical(training)
    assert " at 0x" not in repr(training)
    assert pickle.loads(pickle.dumps(training)) == training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps as a whole number from 0 up, found -1"),
        ({"steps": 1.5}, "found 1.5"),
        ({"rate": 0}, "rate as a number above 0, found 0"),
        ({"rate": math.nan}, "found nan"),
        ({"rate": math.inf}, "a finite rate"),
        ({"batch": 0}, "a batch of at least 1"),
        ({"clip": -1.0}, "clip as a number above 0"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"precision": "bf"}, "Did you mean 'bf16'"),
        ({"optimizer": 3}, "an optimiser's name or a function"),
        ({"settings": {"lr": 0.5}}, "rate=0.5"),
        ({"milestones": (0.75, 0.5)}, "rising shares"),
        ({"milestones": (100,)}, "rising shares"),
        ({"milestones": 0.5}, "rising shares"),
        ({"milestones": ("half",)}, "rising shares"),
        ({"settings": 0.9}, "settings as a dict"),
        ({"warmup": 11, "steps": 10}, "at most 10 steps, found 11"),
        ({"schedule": "one_cycle", "steps": 3}, "a cycle that rises"),
        ({"schedule": "one_cycle", "warmup": 1}, "a cycle that rises"),
    ],
)
def test_nonsense_is_refused_in_words(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        Training(**settings)


@given(st.integers(0, 10**6), st.integers(2, 40))
def test_spaced_steps_rise_from_the_first_to_the_last(steps: int, count: int) -> None:
    for spaced in (linear(steps, count), log_spaced(steps, count)):
        assert spaced[0] == 0
        assert spaced[-1] == steps
        assert list(spaced) == sorted(set(spaced))
        assert len(spaced) <= count
        assert all(type(step) is int for step in spaced)


def test_steps_by_equal_factors_and_by_equal_distances() -> None:
    assert log_spaced(64, 8) == (0, 1, 2, 4, 8, 16, 32, 64)
    assert linear(60, 4) == (0, 20, 40, 60)
    assert linear(3, 11) == (0, 1, 2, 3)
    assert log_spaced(0, 5) == linear(0, 5) == (0,)


def test_steps_by_name_number_and_function() -> None:
    assert resolved("end", 9) == (9,)
    assert resolved(3, 9) == (3,)
    assert resolved(("end", "half", 4, 1, "initial"), 9) == (0, 1, 4, 9)
    assert resolved(partial(log_spaced, count=5), 1000) == (0, 1, 10, 100, 1000)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (("initail",), "Did you mean 'initial'"),
        ((11,), "from 0 to 10, which is the end, found 11"),
        ((-1,), "found -1"),
        ((0.5,), "found 0.5"),
        ((), "at least one step"),
    ],
)
def test_steps_that_are_none(at: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        resolved(at, 10)


@pytest.mark.parametrize("spaced", [linear, log_spaced])
def test_one_state_is_no_spacing(spaced: Any) -> None:
    with pytest.raises(TrainingError, match="at least 2 states"):
        spaced(10, 1)
