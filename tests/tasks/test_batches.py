"""A user's loader: the samples it gives, no more and no fewer, whatever its batches look like."""

import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from skipnorm.errors import TaskError
from skipnorm.studies.identity import canonical
from skipnorm.tasks import Batches

INPUTS, TARGETS = torch.arange(40.0).view(20, 2), torch.arange(20) % 4


def loader(**settings):
    return DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=6, **settings)


def test_every_sample_of_a_loader_is_in_one_part():
    task = Batches(loader())
    parts = [task.full(split) for split in ("train", "validation", "test")]
    assert [len(targets) for _, targets in parts] == [13, 3, 4]
    assert sorted(float(row[0]) for inputs, _ in parts for row in inputs) == INPUTS[:, 0].tolist()
    for inputs, targets in parts:
        assert torch.equal(targets, (inputs[:, 0] / 2).long() % 4)  # still its own target
    assert (task.classes, task.inputs_shape) == (4, (2,))


def test_shuffled_loaders_are_gone_through_the_same_way_and_leave_no_trace():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    hashes = {Batches(loader(shuffle=True)).hash for _ in range(2)}
    assert len(hashes) == 1
    assert hashes != {Batches(loader()).hash}
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # noqa: NPY002


def test_loaders_for_every_part():
    task = Batches(
        loader(), validation=[(INPUTS[:2], TARGETS[:2])], test=[(INPUTS[:3], TARGETS[:3])]
    )
    assert [task.count(split) for split in ("train", "validation", "test")] == [20, 2, 3]
    assert torch.equal(task.full("test")[0], INPUTS[:3])


def test_dicts_and_nested_inputs_come_back_as_they_were():
    tokens = [
        {"input_ids": TARGETS.view(10, 2)[i : i + 5], "labels": TARGETS[i : i + 5]} for i in (0, 5)
    ]
    task = Batches(tokens, validation=0.0, test=0.0)
    assert set(task.batch(3, 0)) == {"input_ids", "labels"}
    assert torch.equal(task.full("train")["input_ids"], TARGETS.view(10, 2))
    nested = [(({"a": INPUTS}, INPUTS.numpy() + 1), TARGETS)]
    (first, second), targets = Batches(nested, validation=0.0, test=0.0).full("train")
    assert torch.equal(first["a"], INPUTS)
    assert torch.equal(second, INPUTS + 1)
    assert torch.equal(targets, TARGETS)


def test_a_loader_that_writes_each_batch_into_the_one_before():
    def reusing():
        room = torch.zeros(2, 1)
        for number in range(3):
            yield room.fill_(number), torch.zeros(2, dtype=torch.long)

    inputs, _ = Batches(reusing(), validation=0.0, test=0.0).full("train")
    assert inputs.flatten().tolist() == [0, 0, 1, 1, 2, 2]


def test_a_loader_without_end_needs_a_limit():
    def endless():
        while True:
            yield INPUTS, TARGETS

    assert Batches(endless(), test=0.0, validation=0.0, limit=50).count("train") == 50


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_another_process_gets_the_samples(dtype):
    inputs = (INPUTS + 0.1).to(dtype)
    task = Batches((pair for pair in [(inputs, TARGETS)]), loss="cross_entropy")
    sent = pickle.loads(pickle.dumps(task))
    assert sent.hash == task.hash
    assert sent == task
    assert hash(sent) == hash(task)
    assert canonical(sent) == canonical(task)
    for split in ("train", "validation", "test"):
        assert torch.equal(sent.full(split)[0], task.full(split)[0])
        assert torch.equal(sent.batch(2, 5, split=split)[1], task.batch(2, 5, split=split)[1])


def test_the_hash_sees_samples_types_and_parts():
    base = Batches([(INPUTS, TARGETS)])
    others = [
        Batches([(INPUTS + 1, TARGETS)]),
        Batches([(INPUTS.double(), TARGETS)]),
        Batches([(INPUTS.bfloat16(), TARGETS)]),
        Batches([(INPUTS, TARGETS)], validation=0.3),
        Batches([(INPUTS, TARGETS)], test=0.3),
    ]
    assert len({task.hash for task in [base, *others]}) == 6
    assert base == Batches([(INPUTS.clone(), TARGETS)])
    assert base != others[0]


def test_real_numbers_come_in_the_default_precision():
    task = Batches([(INPUTS.double(), INPUTS.double())])
    inputs, targets = task.batch(2, 0)
    assert inputs.dtype == targets.dtype == torch.float32
    assert task.classes is None


@pytest.mark.parametrize(
    ("batches", "says"),
    [
        ([], "at least one batch with samples, found none"),
        ([INPUTS], "expected batches as .* found Tensor of 20"),
        ([(INPUTS, INPUTS, TARGETS)], "found tuple of 3"),
        ([(INPUTS, ["a"])], "found str at '.1.0'"),
        ([(INPUTS, TARGETS[:5])], "one number of samples everywhere"),
        ([(INPUTS, TARGETS), {"x": INPUTS}], "batch 1: expected a batch built like the first"),
        ([(INPUTS, TARGETS), (INPUTS[:, :1], TARGETS)], r"expected \(2,\) torch.float32 at '.0'"),
    ],
)
def test_batches_that_do_not_fit_are_refused(batches, says):
    with pytest.raises(TaskError, match=says):
        Batches(batches).full("train")


def test_refusals():
    with pytest.raises(TaskError, match="expected test as a share"):
        Batches([], test=1.0)
    with pytest.raises(TaskError, match="no sample of the part 'test'"):
        Batches([(INPUTS, TARGETS)], test=0.0).full("test")
    with pytest.raises(TaskError, match="at most 13"):
        Batches([(INPUTS, TARGETS)]).batch(14, 0)
    with pytest.raises(TaskError, match="to test built like those to train"):
        Batches([(INPUTS, TARGETS)], test=[{"x": INPUTS}]).full("train")
