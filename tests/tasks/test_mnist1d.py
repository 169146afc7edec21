"""MNIST-1D: generated deterministically, cached whole or not at all, never believed when damaged."""

import random

import numpy as np
import pytest
from mnist1d.data import get_dataset_args, make_dataset

from skipnorm.tasks import mnist1d


def states():
    return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


@pytest.fixture(scope="module")
def generated():
    """The set, made once: it takes a second. Whoever makes it finds the random states as they were."""
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    before = states()
    found = mnist1d.generate()
    assert states() == before
    return found


def equal(one, other):
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def test_generation_is_deterministic_and_the_packages_own(generated):
    np.random.seed(8)  # noqa: NPY002
    random.seed(8)
    made = make_dataset(get_dataset_args())
    assert np.array_equal(generated["test_inputs"][:, 0], made["x_test"].astype("f4"))
    assert np.array_equal(generated["train_targets"], made["y"])
    assert generated["train_inputs"].shape == (4000, 1, 40)


def test_cache_holds_what_was_generated(tmp_path, generated, monkeypatch):
    path = tmp_path / "deep" / "file.npz"
    monkeypatch.setattr(mnist1d, "generate", lambda: dict(generated))
    assert equal(mnist1d.read_or_generate(path), generated)
    assert [kept.name for kept in path.parent.iterdir()] == ["file.npz"]
    monkeypatch.setattr(mnist1d, "generate", lambda: pytest.fail("generated again"))
    assert equal(mnist1d.read_or_generate(path), generated)


def truncated(path):
    path.write_bytes(path.read_bytes()[:5000])


def flipped(path):
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 0xFF
    path.write_bytes(bytes(contents))


def emptied(path):
    path.write_bytes(b"")


def forged(path):
    with np.load(path) as file:
        arrays = dict(file)
    arrays["train_targets"] = arrays["train_targets"][::-1]
    np.savez(path, **arrays)


def foreign(path):
    np.savez(path, something=np.zeros(3))


@pytest.mark.parametrize("damage", [truncated, flipped, emptied, forged, foreign])
def test_damaged_cache_is_made_again(tmp_path, generated, damage, monkeypatch):
    path = tmp_path / "file.npz"
    mnist1d.write(generated, path)
    damage(path)
    assert mnist1d.read(path) is None
    monkeypatch.setattr(mnist1d, "generate", lambda: dict(generated))
    assert equal(mnist1d.read_or_generate(path), generated)
    assert equal(mnist1d.read(path), generated)


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path, generated, monkeypatch):
    path = tmp_path / "file.npz"
    mnist1d.write(generated, path)

    def fail(*_args, **_arrays):
        raise OSError("disk full")

    monkeypatch.setattr(mnist1d.np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        mnist1d.write({name: array + 1 for name, array in generated.items()}, path)
    assert equal(mnist1d.read(path), generated)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, generated, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(mnist1d, "generate", lambda: dict(generated))
    found = mnist1d.read_or_generate(tmp_path / "file" / "cache.npz")
    assert equal(found, generated)


def test_cache_folder_follows_the_xdg_rule(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert mnist1d.cache_file().parent == tmp_path / "skipnorm"
    monkeypatch.setenv("HOME", str(tmp_path))
    for invalid in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", invalid)
        assert mnist1d.cache_file().parent == tmp_path / ".cache" / "skipnorm"
