"""What holds for every task."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from skipnorm.errors import TaskError
from skipnorm.tasks import TASKS, Digits, Gaussian, Mnist1d, named
from skipnorm.tasks.task import content_hash

LABELLED = [Digits(), Digits(flat=True), Mnist1d(), Mnist1d(flat=True)]
ALL = [*LABELLED, Gaussian(), Gaussian((3, 8), 5)]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("task", ALL, ids=str)
def test_batches_depend_on_the_seed_alone(task):
    torch.manual_seed(0)
    (inputs, targets), (again, _) = task.batch(16, seed=3), task.batch(16, seed=3)
    assert torch.equal(inputs, again)
    assert not torch.equal(inputs, task.batch(16, seed=4)[0])
    assert inputs.shape == (16, *task.inputs_shape)
    assert inputs.dtype == torch.get_default_dtype()
    assert len(targets) == 16


@pytest.mark.parametrize("task", ALL, ids=str)
def test_global_random_states_stay(task):
    random.seed(1)
    before = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    task.batch(4, seed=0)
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("task", ALL, ids=str)
def test_hash_is_sha256_and_stable(task):
    assert len(task.hash) == 64
    assert task.hash == task.hash
    assert eval(str(task), dict(Digits=Digits, Mnist1d=Mnist1d, Gaussian=Gaussian)) == task


@pytest.mark.parametrize("task", ALL, ids=str)
def test_refusals(task):
    with pytest.raises(TaskError, match="at least 1"):
        task.batch(0, seed=0)
    with pytest.raises(TaskError, match="seed of at least 0"):
        task.batch(1, seed=-1)


@pytest.mark.parametrize("task", LABELLED, ids=str)
def test_parts(task):
    inputs, targets = task.full("train")
    test_inputs, test_targets = task.full("test")
    assert targets.dtype == torch.int64
    assert set(targets.tolist()) == set(test_targets.tolist()) == set(range(task.classes))
    rows = {tuple(row) for row in inputs.flatten(1).tolist()}
    assert not rows & {tuple(row) for row in test_inputs.flatten(1).tolist()}
    whole, _ = task.batch(len(inputs), seed=0)
    assert {tuple(row) for row in whole.flatten(1).tolist()} == rows  # without replacement
    with pytest.raises(TaskError, match=f"at most {len(test_inputs)}"):
        task.batch(len(test_inputs) + 1, seed=0, split="test")
    with pytest.raises(TaskError, match="Did you mean 'test'"):
        task.full("tset")


def test_samples_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="read-only"):
        Digits().arrays()["train_inputs"][:] = 0
    inputs, _ = Digits().full("train")
    kept = inputs.clone()
    inputs.zero_()
    assert torch.equal(Digits().full("train")[0], kept)


def test_hash_sees_every_change():
    array = np.arange(4.0)
    assert content_hash({"a": array}) == content_hash({"a": array.astype(">f8")})
    others = [
        {"b": array},
        {"a": array[::-1]},
        {"a": array.reshape(2, 2)},
        {"a": array.astype("f4")},
    ]
    assert len({content_hash(other) for other in [{"a": array}, *others]}) == 5


def test_names():
    assert [named(name).name for name in TASKS] == list(TASKS)
    with pytest.raises(TaskError, match="Did you mean 'digits'"):
        named("digit")


def test_tasks_are_read_without_torch():
    script = (
        "import sys\n"
        "from skipnorm.tasks import Digits, Gaussian, Mnist1d\n"
        "assert str(Gaussian(8)) == 'Gaussian(shape=(8,))'\n"
        "assert not {'torch', 'sklearn', 'mnist1d'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
