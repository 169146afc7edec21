"""CIFAR against records written by hand from its page, and pickles as its authors' Python wrote."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from skipnorm.errors import TaskError
from skipnorm.tasks import Cifar10, Cifar100
from skipnorm.tasks.unpickling import unpickled

RECORDS = 10
PUBLISHED = {kind: kind.layouts for kind in (Cifar10, Cifar100)}

#: The page: "<1 x label><3072 x pixel>", first 1024 red, then green, then blue, row by row.
ONE = bytes([6]) + bytes([1] * 32 + [2] * 992) + bytes([3] * 1024) + bytes([4] * 1024)

#: What Python 2 wrote for {'data': array([[7, 8]], uint8), 'labels': [3]} with protocol 2.
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
    b"q\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01"
    b"\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x07\x08tb"
    b"U\x06labelsq\x08]q\tK\x03au."
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of ten records where the published ones hold ten thousand."""
    for kind in (Cifar10, Cifar100):
        few = tuple(layout._replace(records=(RECORDS, RECORDS)) for layout in kind.layouts)
        monkeypatch.setattr(kind, "layouts", few)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (RECORDS, 3072), np.uint8)


def labels(seed: int, classes: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(RECORDS) % classes).astype(np.uint8)


def binary(folder: Path, kind=Cifar10) -> Path:
    layout = kind.layouts[0]
    (folder / layout.folder).mkdir(parents=True)
    for seed, name in enumerate((*layout.train, layout.test)):
        marks = [labels(seed, 10)[:, None]]
        if kind is Cifar100:
            marks = [labels(seed, 20)[:, None], labels(seed, 100)[:, None] + np.uint8(90)]
        (folder / layout.folder / name).write_bytes(np.hstack([*marks, pixels(seed)]).tobytes())
    return folder


def pickles(folder: Path, kind=Cifar10, protocol: int = 2) -> Path:
    layout = kind.layouts[1]
    (folder / layout.folder).mkdir(parents=True)
    for seed, name in enumerate((*layout.train, layout.test)):
        found = {"data": pixels(seed), "labels": labels(seed, 10).tolist()}
        if kind is Cifar100:
            found = {
                "data": pixels(seed),
                "coarse_labels": labels(seed, 20).tolist(),
                "fine_labels": (labels(seed, 100) + 90).tolist(),
            }
        (folder / layout.folder / name).write_bytes(pickle.dumps(found, protocol=protocol))
    return folder


def test_record_of_the_specification(tmp_path):
    folder = binary(tmp_path) / "cifar-10-batches-bin"
    (folder / "test_batch.bin").write_bytes(ONE * RECORDS)
    arrays = Cifar10(root=str(tmp_path)).arrays()
    image = arrays["test_inputs"][0]
    assert image.shape == (3, 32, 32)
    assert image[0, 0].tolist() == [1] * 32  # the first row of red
    assert set(image[0, 1:].ravel()) == {2}
    assert set(image[1].ravel()) == {3}
    assert set(image[2].ravel()) == {4}
    assert arrays["test_targets"].tolist() == [6] * RECORDS
    assert np.array_equal(arrays["train_inputs"][10:20].reshape(10, -1), pixels(1))
    assert arrays["train_inputs"].shape == (50, 3, 32, 32)


def test_pickle_that_python_2_wrote():
    found = unpickled(PYTHON_2, "here")
    assert found["data"].tolist() == [[7, 8]]
    assert found["data"].dtype == np.uint8
    assert found["labels"] == [3]
    trusted = pickle.loads(PYTHON_2, encoding="bytes")
    assert np.array_equal(trusted[b"data"], found["data"])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_protocol_are_read_as_pickle_reads_them(protocol, order):
    arrays = {
        "bytes": np.asarray(np.arange(6, dtype="u1").reshape(2, 3), order=order),
        "big": np.arange(3, dtype=">i4"),
        "real": np.array([0.5, -2.0]),
        "none": np.zeros((0, 3), "u1"),
    }
    found = unpickled(pickle.dumps(arrays, protocol=protocol), "here")
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("kind", [Cifar10, Cifar100])
@pytest.mark.parametrize("protocol", [2, 5])
def test_both_formats_give_the_same_samples(tmp_path, kind, protocol):
    one = kind(root=str(binary(tmp_path / "bin", kind)))
    other = kind(root=str(pickles(tmp_path / "py", kind, protocol)))
    assert one.hash == other.hash
    assert one.batch(4, 0)[0].shape == (4, 3, 32, 32)


def test_coarse_labels(tmp_path):
    root = str(binary(tmp_path, Cifar100))
    fine, coarse = (Cifar100(root=root, coarse=which).arrays() for which in (False, True))
    assert np.array_equal(fine["test_targets"], labels(1, 100) + 90)
    assert np.array_equal(coarse["test_targets"], labels(1, 20))
    assert Cifar100(root=root).hash != Cifar100(root=root, coarse=True).hash


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize(
    "content",
    [
        {"data": Trap(), "labels": []},
        {"data": np.array([Trap()], dtype=object), "labels": []},
        {"data": np.zeros(2, dtype=[("a", "u1")])},
    ],
)
def test_a_pickle_runs_nothing(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError, match=r"UnpicklingError.* nothing in it was run"):
        unpickled(pickle.dumps(content, protocol=2), "here")
    assert not Path("sprung").exists()


@pytest.mark.parametrize("cut", [0, 5, 100, -1])
def test_a_pickle_cut_off_is_refused(cut):
    with pytest.raises(TaskError, match="whole pickle"):
        unpickled(pickle.dumps({"data": pixels(0)}, protocol=2)[:cut], "here")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (ONE * RECORDS + b"\0", "expected 30730 bytes.* found 30731.* cut off or of another"),
        (ONE * (RECORDS - 1), "found 27657, 9 records"),
        (bytes([10]) * (3073 * RECORDS), "labels from 0 to 9, found 10 at sample 0"),
    ],
)
def test_binary_files_that_are_not_whole_are_refused(tmp_path, data, says):
    file = binary(tmp_path) / "cifar-10-batches-bin" / "data_batch_3.bin"
    file.write_bytes(data)
    with pytest.raises(TaskError, match=says):
        Cifar10(root=str(tmp_path)).full("test")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"data": pixels(0), "fine_labels": [0] * 10}, "found data, fine_labels; without 'labels'"),
        ({"data": pixels(0)[:9], "labels": [0] * 10}, r"found \(9, 3072\) uint8 and \(10,\)"),
        ({"data": pixels(0), "labels": [0] * 9}, r"found \(10, 3072\) uint8 and \(9,\)"),
        ({"data": pixels(0), "labels": ["cat"] * 10}, "whole numbers as labels"),
        ({"data": pixels(0), "labels": [-1] * 10}, "labels from 0 to 9, found -1"),
        ([1], "expected a pickled dict, found list"),
    ],
)
def test_pickles_of_something_else_are_refused(tmp_path, content, says):
    file = pickles(tmp_path) / "cifar-10-batches-py" / "test_batch"
    file.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(TaskError, match=says):
        Cifar10(root=str(tmp_path)).full("test")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(TaskError, match=r"found none.*cifar-10-batches-bin or cifar-10-batches-py"):
        Cifar10(root=str(tmp_path)).full("test")
    (binary(tmp_path) / "cifar-10-batches-bin" / "data_batch_2.bin").unlink()
    with pytest.raises(TaskError, match=r"found some in .* but not data_batch_2.bin"):
        Cifar10(root=str(tmp_path)).full("test")


def test_published_sizes():
    # The files' sizes on the data sets' page: 30,730,000, 153,700,000 and 30,740,000 bytes.
    ten, hundred = (PUBLISHED[kind][0] for kind in (Cifar10, Cifar100))
    assert [count * 3073 for count in ten.records] == [30_730_000] * 2
    assert [count * 3074 for count in hundred.records] == [153_700_000, 30_740_000]
    assert len(ten.train) == 5


def test_no_file_is_needed_where_nothing_is_augmented():
    inputs = torch.zeros(2, 3, 32, 32)
    assert Cifar10(root="nowhere").augment(inputs, torch.Generator()) is inputs
