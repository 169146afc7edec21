"""IDX against bytes written by hand from the specification (LeCun's page on MNIST)."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from skipnorm.errors import TaskError
from skipnorm.tasks import FashionMnist, Mnist
from skipnorm.tasks.idx import NAMES, idx_array

#: From the specification: magic number 0x00000803, sizes as 4 big-endian bytes, rows of pixels.
TWO_IMAGES = bytes.fromhex("00000803 00000002 00000002 00000003 000102030405 fffefdfcfbfa")
TWO_LABELS = bytes.fromhex("00000801 00000002 0709")


def idx(array: np.ndarray, code: int = 8) -> bytes:
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(seed)
    return numbers.integers(0, 256, (count, 4, 5), np.uint8), (np.arange(count) % 10).astype("u1")


def laid(folder: Path, packed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = [*drawn(60, 0), *drawn(20, 1)]
    for name, array in zip(NAMES, arrays, strict=True):
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return folder


def test_bytes_of_the_specification():
    images = idx_array(TWO_IMAGES, "here")
    assert images.tolist() == [[[0, 1, 2], [3, 4, 5]], [[255, 254, 253], [252, 251, 250]]]
    assert idx_array(TWO_LABELS, "here").tolist() == [7, 9]


@pytest.mark.parametrize(
    ("code", "text", "values"),
    [
        (0x09, "ff 80", [-1, -128]),
        (0x0B, "0102 fffe", [258, -2]),
        (0x0C, "00010000 ffffffff", [65536, -1]),
        (0x0D, "3f800000 c0000000", [1.0, -2.0]),  # IEEE 754 single precision
        (0x0E, "3ff0000000000000 c000000000000000", [1.0, -2.0]),
    ],
)
def test_every_type_of_the_specification(code, text, values):
    data = bytes([0, 0, code, 1, 0, 0, 0, 2]) + bytes.fromhex(text)
    assert idx_array(data, "here").tolist() == values


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "found nothing"),
        (b"<!DOCTYPE html>", "found 3c 21 44 4f"),
        (bytes([0, 0, 7, 1, 0, 0, 0, 0]), "a type of 08, 09"),
        (TWO_IMAGES[:9], "a file of 9 bytes"),
        (TWO_IMAGES[:-1], "expected 28 bytes for 2 x 2 x 3.* found 27.* cut off"),
        (TWO_IMAGES + b"\0", "found 29.* longer than it says"),
    ],
)
def test_what_is_no_whole_idx_file_is_refused(data, says):
    with pytest.raises(TaskError, match=says):
        idx_array(data, "here")


def test_packed_and_plain_files_give_the_same_samples(tmp_path):
    plain = Mnist(root=str(laid(tmp_path / "a")))
    packed = Mnist(root=str(laid(tmp_path / "b", packed=True).parent / "b"))
    images, labels = drawn(20, 1)
    assert np.array_equal(plain.arrays()["test_inputs"][:, 0], images)
    assert np.array_equal(packed.arrays()["test_targets"], labels)
    assert plain.hash == packed.hash
    assert plain != packed  # other files, though equal settings
    assert plain == Mnist(root=str(tmp_path / "a"))


def test_files_are_found_by_root_by_variable_and_beside_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    laid(tmp_path / "data" / "mnist")
    beside = Mnist().hash
    laid(tmp_path / "sets" / "MNIST" / "raw", packed=True)
    monkeypatch.setenv("SKIPNORM_DATA", os.pathsep.join(["nowhere", "sets"]))
    assert Mnist().hash == beside == Mnist(root="data").hash == Mnist(root="data/mnist").hash


def test_files_that_change_are_read_again(tmp_path):
    task = Mnist(root=str(laid(tmp_path)))
    before = task.hash
    labels = tmp_path / NAMES[1]
    labels.write_bytes(idx(np.zeros(60, np.uint8)))
    os.utime(labels, ns=(1, 1))
    assert task.hash != before
    assert set(task.arrays()["train_targets"]) == {0}


def swap(folder):
    (folder / NAMES[0]).rename(folder / "kept")
    (folder / NAMES[1]).rename(folder / NAMES[0])
    (folder / "kept").rename(folder / NAMES[1])


DAMAGE = {
    "lacks": (lambda f: (f / NAMES[3]).unlink(), "found some in .* but not t10k-labels"),
    "count": (
        lambda f: (f / NAMES[1]).write_bytes(idx(np.zeros(59, "u1"))),
        "found 60 images and 59 labels",
    ),
    "range": (
        lambda f: (f / NAMES[1]).write_bytes(idx(np.full(60, 10, "u1"))),
        "labels from 0 to 9, found 10 at sample 0 and 59 more",
    ),
    "swapped": (swap, "images and labels swapped"),
    "type": (
        lambda f: (f / NAMES[0]).write_bytes(idx(np.zeros((60, 4, 5), ">i2"), 11)),
        "found int16 of rank 3",
    ),
    "sizes": (
        lambda f: (f / NAMES[2]).write_bytes(idx(np.zeros((20, 4, 6), "u1"))),
        r"one size, found \(4, 5\) and \(4, 6\)",
    ),
    "empty": (lambda f: (f / NAMES[0]).write_bytes(idx(np.zeros((0, 4, 5), "u1"))), "nothing"),
    "gzip": (
        lambda f: (f / NAMES[0]).write_bytes(gzip.compress(TWO_IMAGES)[:-9]),
        "whole gzip file, found one that is cut off",
    ),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_and_mislabelled_files_are_refused(tmp_path, damage, says):
    damage(laid(tmp_path))
    with pytest.raises(TaskError, match=says):
        Mnist(root=str(tmp_path)).full("train")


def test_missing_files_say_where_they_were_looked_for(tmp_path):
    with pytest.raises(TaskError, match=r"found none.*SKIPNORM_DATA.*apt install dataset-fashion"):
        FashionMnist(root=str(tmp_path)).batch(1, 0)


def test_checksum(tmp_path):
    root = str(laid(tmp_path))
    right = Mnist(root=root).hash
    assert len(Mnist(root=root, sha256=right.upper()).full("test")[1]) == 20
    with pytest.raises(
        TaskError, match=f"expected samples with the SHA-256 {'0' * 64}, found {right}"
    ):
        Mnist(root=root, sha256="0" * 64).batch(1, 0)


def test_fashion_mnist_is_the_published_one():
    try:
        task = FashionMnist(validation=0.0)
        images, labels = task.part("train")
    except TaskError as error:
        pytest.skip(str(error)[:60])
    assert images.shape == (60_000, 1, 28, 28)
    assert len(task.part("test")[1]) == 10_000
    assert np.bincount(labels).tolist() == [6000] * 10
    assert labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    mean, spread = task.moments()
    assert mean[0] == pytest.approx(0.2860, abs=5e-5)  # the constants that everyone uses
    assert spread[0] == pytest.approx(0.3530, abs=5e-5)
    held = FashionMnist()
    assert held.count("train") == 48_000
    assert np.bincount(held.part("validation")[1]).tolist() == [1200] * 10
    inputs, _ = held.batch(64, 0)
    assert inputs.shape == (64, 1, 28, 28)
    assert inputs.dtype == torch.float32
