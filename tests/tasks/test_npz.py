"""Archives against the arrays that were saved, scikit-learn's and mnist1d's among them."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits

from skipnorm.errors import TaskError
from skipnorm.tasks import Mnist1d, Npz


def saved(folder, **arrays):
    np.savez(folder / "set.npz", **arrays)
    return Npz(folder / "set.npz")


def test_digits_of_scikit_learn(tmp_path):
    found = load_digits()
    task = saved(tmp_path, images=found.images.astype(np.uint8), labels=found.target)
    assert task.inputs_shape == (1, 8, 8)
    assert task.classes == 10
    assert task.loss == "cross_entropy"
    counts = [task.count(split) for split in ("train", "validation", "test")]
    assert sum(counts) == 1797
    assert counts[2] == round(0.2 * 1797)
    parts = [
        Npz(tmp_path / "set.npz", standardise=False).full(s)
        for s in ("train", "validation", "test")
    ]
    rows = sorted(
        tuple(row) for inputs, _ in parts for row in (inputs * 255).flatten(1).round().tolist()
    )
    assert rows == sorted(tuple(row) for row in found.data.tolist())


def test_mnist1d_as_it_is(tmp_path):
    made = Mnist1d().arrays()
    np.savez(tmp_path / "set.npz", **made)
    kept, made_task = Npz(tmp_path / "set.npz", standardise=False), Mnist1d()
    for split in ("train", "validation", "test"):
        for one, other in zip(kept.full(split), made_task.full(split), strict=True):
            assert torch.equal(one, other)
    assert kept.hash == made_task.hash


def test_real_targets_make_a_regression(tmp_path):
    found = load_diabetes()
    task = saved(tmp_path, X=found.data, y=found.target)
    assert (task.loss, task.classes, task.inputs_shape) == ("mse", None, (10,))
    inputs, targets = task.full("train")
    assert targets.shape == (len(inputs), 1)
    assert targets.dtype == inputs.dtype == torch.get_default_dtype()
    torch.testing.assert_close(inputs.mean(dim=0), torch.zeros(10), atol=1e-6, rtol=0)


def test_a_validation_part_of_the_datas_own_is_taken(tmp_path):
    parts = {"train": 30, "val": 7, "test": 9}  # as MedMNIST keeps them
    arrays = {f"{name}_images": np.full((n, 4, 4, 3), n, np.uint8) for name, n in parts.items()}
    labels = {f"{name}_labels": (np.arange(n) % 3)[:, None] for name, n in parts.items()}
    task = saved(tmp_path, **arrays, **labels)
    assert [task.count(split) for split in ("train", "validation", "test")] == [30, 7, 9]
    assert task.inputs_shape == (3, 4, 4)
    assert set(task.part("validation")[0].ravel()) == {7}


def test_images_are_standardised_over_the_part_that_trains(tmp_path):
    task = saved(
        tmp_path,
        x_train=np.random.default_rng(0).normal(3, 2, (40, 2, 5)),
        y_train=np.arange(40) % 4,
    )
    inputs, _ = task.full("train")
    assert inputs.mean(dim=(0, 2)).abs().max() < 1e-6
    assert np.allclose(task.moments()[0], 3, atol=0.5)


GOOD = {"x": np.zeros((10, 3)), "y": np.arange(10) % 2}


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"a": np.zeros(3)}, "expected an array called train_inputs or .* found a"),
        ({"x": np.zeros((3, 2))}, "called train_targets or .* found x"),
        ({**GOOD, "y": np.arange(9) % 2}, "found 10 inputs and 9 targets"),
        ({**GOOD, "x": np.full((10, 3), np.nan)}, "finite inputs, found NaN or inf in sample 0"),
        ({**GOOD, "y": np.arange(10) - 1}, "labels from 0 to 8, found -1"),
        ({**GOOD, "y": np.array(["a"] * 10)}, "targets as whole numbers"),
        ({**GOOD, "x": np.array([["a"]] * 10)}, "inputs as numbers"),
        (
            {**GOOD, "x_test": np.zeros((4, 3)), "y_test": np.full(4, 2)},
            "test part: expected labels from 0 to 1, found 2",
        ),
        (
            {**GOOD, "x_test": np.zeros((4, 5)), "y_test": np.zeros(4, int)},
            r"expected inputs as in the training part, \(3,\)",
        ),
        ({**GOOD, "x": np.array([{}] * 10)}, "Object arrays cannot be loaded"),
        ({"x": np.zeros((0, 3)), "y": np.zeros(0, int)}, "found 0 inputs"),
    ],
)
def test_arrays_that_do_not_hold_together_are_refused(tmp_path, arrays, says):
    with pytest.raises(TaskError, match=says):
        saved(tmp_path, **arrays).full("train")


def test_files_that_are_no_archive_are_refused(tmp_path):
    task = saved(tmp_path, **GOOD)
    whole = (tmp_path / "set.npz").read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"<html>"):
        (tmp_path / "set.npz").write_bytes(data)
        with pytest.raises(TaskError, match=r"expected a whole \.npz file"):
            task.full("train")
    np.save(tmp_path / "set.npy", np.zeros(3))
    with pytest.raises(TaskError, match="it is a single array"):
        Npz(tmp_path / "set.npy").full("train")
    with pytest.raises(TaskError, match=r"found No such file.*Beside it: set.npy, set.npz"):
        Npz(tmp_path / "sett.npz").full("train")
