"""Training, validation and test: disjoint, complete, fair to every class, the same everywhere."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skipnorm.errors import TaskError
from skipnorm.tasks import Digits, Mnist1d
from skipnorm.tasks.samples import Samples, held_out


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.37, 0.9])
@pytest.mark.parametrize("sizes", [(50, 50), (97, 5, 1), (3,) * 40])
def test_shares_are_fair_and_complete(share, sizes):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    kept, out = held_out(labels, share)
    assert sorted([*kept, *out]) == list(range(len(labels)))
    counts = np.bincount(labels[out], minlength=len(sizes))
    assert (np.abs(counts - share * np.array(sizes)) < 1 + 1e-9).all()
    assert set(labels[kept]) == set(labels)  # no class loses its last sample
    if min(sizes) > 3:
        assert len(out) == round(share * len(labels))


def test_which_rows_are_held_out_follows_the_published_generator():
    # PCG64's own order by NEP 19: seeds and raw output never change between versions of numpy.
    ranks = np.random.PCG64(0).random_raw(100)
    _, out = held_out(np.zeros(100, dtype=int), 0.1)
    assert set(out) == set(np.argsort(ranks)[:10])
    _, real = held_out(np.zeros((100, 2)), 0.1)
    assert np.array_equal(real, out)
    assert not np.array_equal(held_out(np.zeros(100, dtype=int), 0.1, key=1)[1], out)


def test_parts_of_a_task_share_no_sample():
    task = Digits()
    parts = {split: task.full(split) for split in ("train", "validation", "test")}
    assert sum(len(targets) for _, targets in parts.values()) == len(load_digits().target)
    assert [task.count(split) for split in parts] == [1150, 287, 360]
    rows = [{tuple(row) for row in inputs.flatten(1).tolist()} for inputs, _ in parts.values()]
    assert len(rows[0] | rows[1] | rows[2]) == sum(map(len, rows))
    again = Digits(flat=True).full("validation")
    assert again[0].tolist() == parts["validation"][0].flatten(1).tolist()


def test_the_hash_is_of_the_samples_and_the_share_is_of_the_settings():
    assert Digits(validation=0.5).hash == Digits().hash
    assert Mnist1d(validation=0.5) != Mnist1d()
    assert str(Mnist1d(validation=0.5)) == "Mnist1d(validation=0.5)"
    assert Digits(validation=0).count("train") == 1437


def test_a_part_without_samples_is_refused():
    with pytest.raises(TaskError, match="holds no sample of the part 'validation'"):
        Digits(validation=0.0).batch(1, 0, split="validation")
    for share in (1, -0.1, "half", True):
        with pytest.raises(TaskError, match="expected validation as a share"):
            Digits(validation=share)


def test_what_is_known_of_samples_is_computed_once():
    samples = Samples({"train_inputs": np.zeros(3)})
    assert [samples.remembered("a", lambda: []) is samples.remembered("a", list)] == [True]
    with pytest.raises(ValueError, match="read-only"):
        samples["train_inputs"][0] = 1
