"""The samples of a task as guarded arrays, and how they fall into training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError

__all__ = ["SPLITS", "Arrays", "Samples", "Split", "content_hash", "held_out", "read_only"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

#: ``train_inputs``, ``train_targets``, ``test_inputs``, ``test_targets``, and for validation
#: ``validation_inputs``, ``validation_targets`` where the data bring a part of their own.
Arrays = Mapping[str, NDArray[Any]]

_Found = TypeVar("_Found")


class Samples(Mapping[str, NDArray[Any]]):
    """Arrays that nobody can change in place, and what was computed from them, computed once."""

    def __init__(self, arrays: Arrays) -> None:
        """Take the arrays and guard them: they are shared."""
        self._arrays = dict(arrays)
        self._known: dict[Hashable, Any] = {}
        for array in self._arrays.values():
            array.setflags(write=False)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def remembered(self, what: Hashable, compute: Callable[[], _Found]) -> _Found:
        """What is known of these arrays under this name, computed at the first time of asking."""
        if what not in self._known:
            self._known[what] = compute()
        known: _Found = self._known[what]
        return known

    @property
    def hash(self) -> str:
        """SHA-256 of all arrays."""
        return self.remembered("hash", lambda: content_hash(self._arrays))

    def part(self, split: Split, share: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs and targets of one part, the validation part being this share of the training one.

        Where the data bring a validation part of their own, that is taken and ``share`` is not read.
        """
        if split == "test" or "validation_inputs" in self:
            return self[f"{split}_inputs"], self[f"{split}_targets"]
        return self.remembered((split, share), lambda: self._carved(split, share))

    def _carved(self, split: Split, share: float) -> tuple[NDArray[Any], NDArray[Any]]:
        inputs, targets = self["train_inputs"], self["train_targets"]
        if not share:  # all of it to train, no copy
            whole = slice(None) if split == "train" else slice(0)
            return inputs[whole], targets[whole]
        kept, out = held_out(targets, share)
        rows = kept if split == "train" else out
        chosen = inputs[rows], targets[rows]
        for array in chosen:
            array.setflags(write=False)
        return chosen


def read_only(arrays: Arrays) -> Samples:
    """The same arrays, guarded against being changed in place: they are shared."""
    return arrays if isinstance(arrays, Samples) else Samples(arrays)


def held_out(
    targets: NDArray[Any], share: float, *, key: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which rows stay and which are held out, each in ascending order.

    Of every label the same share, and of all together ``share`` rounded to whole samples: labels
    round down, and those with the largest remainders give one more (Hamilton's method), but none
    its last. Of targets that are no labels the share of all. Which samples these are depends on
    nothing but the targets, the share and ``key``: rows are ranked by the raw output of a PCG64,
    which numpy promises never to change.

    >>> kept, out = held_out(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25)
    >>> len(kept), len(out), sorted(np.array([0, 0, 0, 0, 1, 1, 1, 1])[out].tolist())
    (6, 2, [0, 1])
    """
    ranks = np.random.PCG64(key).random_raw(len(targets))
    labels = targets.ndim == 1 and targets.dtype.kind in "iub"
    groups = targets if labels else np.zeros(len(targets), dtype=np.int64)
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    out = np.zeros(len(targets), dtype=bool)
    for number, count in enumerate(shares(sizes, share)):
        rows = np.flatnonzero(group.ravel() == number)
        out[rows[np.argsort(ranks[rows], kind="stable")[:count]]] = True
    return np.flatnonzero(~out), np.flatnonzero(out)


def shares(sizes: NDArray[np.intp], share: float) -> list[int]:
    """How many of each group make up this share of all, by largest remainders.

    >>> shares(np.array([10, 10]), 0.25), shares(np.array([7, 3, 1]), 0.2)
    ([3, 2], [1, 1, 0])
    """
    wanted = share * sizes
    counts = np.floor(wanted).astype(int)
    lacking = int(np.floor(share * sizes.sum() + 0.5)) - int(counts.sum())
    for number in np.argsort(np.round(counts - wanted, 9), kind="stable"):
        if lacking > 0 and counts[number] + 1 < sizes[number]:
            counts[number] += 1
            lacking -= 1
    found: list[int] = counts.tolist()
    return found


def content_hash(arrays: Arrays) -> str:
    """Which arrays these are: SHA-256 over names, shapes, types and bytes, order of names aside.

    >>> a, b = np.zeros(2), np.ones(2)
    >>> content_hash({"a": a, "b": b}) == content_hash({"b": b, "a": a})
    True
    >>> content_hash({"a": a}) == content_hash({"a": b})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {little.dtype.str} {array.shape};".encode())
        digest.update(little.data if little.size else b"")
    return digest.hexdigest()


def check_share(task: Any, name: str, share: Any) -> None:
    """Refuse a share outside [0, 1)."""
    number = isinstance(share, int | float) and not isinstance(share, bool)
    if not number or not 0 <= share < 1:
        raise TaskError(
            f"{type(task).__name__}: expected {name} as a share from 0 up and below 1, found "
            f"{share!r}. Usual is 0.2, or 0 to hold nothing out."
        )
