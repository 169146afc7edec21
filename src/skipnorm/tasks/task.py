"""What a task is: samples, how they are split, and the loss by which answers are judged.

No torch is imported until samples are asked for.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError, nearest

if TYPE_CHECKING:
    import torch

__all__ = ["Arrays", "Labelled", "Split", "Task", "content_hash"]

Split = Literal["train", "test"]

#: ``train_inputs``, ``train_targets``, ``test_inputs``, ``test_targets``.
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, repr=False)
class Task:
    """Samples and a loss. Its text is its class and the settings that differ from their defaults.

    ``loss``: how :func:`skipnorm.measure` names it. ``inputs_shape``: of one sample. ``classes``:
    how many labels there are, None where targets are no labels.
    """

    @property
    def name(self) -> str:
        """What it is called in tables and on the command line."""
        return type(self).__name__.lower()

    @property
    def loss(self) -> str:
        """The name of the loss."""
        raise NotImplementedError

    @property
    def inputs_shape(self) -> tuple[int, ...]:
        """The shape of one sample's input."""
        raise NotImplementedError

    @property
    def classes(self) -> int | None:
        """How many labels there are."""
        raise NotImplementedError

    @property
    def hash(self) -> str:
        """Which samples these are: 64 hexadecimal digits that change with any of them."""
        raise NotImplementedError

    def batch(
        self, size: int, seed: int, *, split: Split = "train"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``size`` samples, inputs and targets; the same ones for the same seed."""
        raise NotImplementedError

    def full(self, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        """Every sample of the training or the test part, inputs and targets."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """The canonical text: class and non-default settings."""
        named = ((field, getattr(self, field.name)) for field in fields(self))
        chosen = [f"{field.name}={value!r}" for field, value in named if value != field.default]
        return f"{type(self).__name__}({', '.join(chosen)})"


@dataclass(frozen=True, repr=False)
class Labelled(Task):
    """A task of classification on a fixed set of samples.

    ``flat``: inputs as vectors instead of maps with a channel. Batches are drawn without
    replacement; inputs come in torch's default dtype, targets as int64.

    Raises:
        TaskError: a batch larger than its part of the samples, or an unknown part.
    """

    flat: bool = False

    def arrays(self) -> Arrays:
        """All samples as numpy arrays, maps with a channel dimension."""
        raise NotImplementedError

    @property
    def loss(self) -> str:
        """Cross-entropy."""
        return "cross_entropy"

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return int(self.arrays()["train_targets"].max()) + 1

    @property
    def inputs_shape(self) -> tuple[int, ...]:
        """The shape of one sample's input."""
        shape = self.arrays()["train_inputs"].shape[1:]
        return (int(np.prod(shape)),) if self.flat else tuple(shape)

    @property
    def hash(self) -> str:
        """SHA-256 of all samples and their split."""
        return content_hash(self.arrays())

    def batch(
        self, size: int, seed: int, *, split: Split = "train"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``size`` different samples, the same ones for the same seed."""
        count = len(self.part(split)[1])
        check_size(self, size)
        if size > count:
            raise TaskError(
                f"{self!r} has {count} samples to {split}: expected a batch of at most {count}, "
                f"found {size}. Take a smaller batch, or full({split!r})."
            )
        chosen = random_numbers(self, seed).choice(count, size=size, replace=False)
        return self.tensors(split, chosen)

    def full(self, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        """Every sample of the training or the test part, in fixed order."""
        return self.tensors(split, np.arange(len(self.part(split)[1])))

    def part(self, split: Split) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs and targets of one part, as arrays."""
        if split not in ("train", "test"):
            raise TaskError(f"Unknown split: {nearest(str(split), ('train', 'test'))}")
        arrays = self.arrays()
        return arrays[f"{split}_inputs"], arrays[f"{split}_targets"]

    def tensors(self, split: Split, rows: NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The samples of these rows."""
        import torch

        inputs, targets = self.part(split)
        chosen = inputs[rows].reshape(len(rows), *self.inputs_shape)
        return (
            torch.from_numpy(chosen).to(torch.get_default_dtype()),
            torch.from_numpy(targets[rows]),
        )


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
        little = array.astype(array.dtype.newbyteorder("<"))
        digest.update(f"{name} {little.dtype.str} {array.shape};".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def read_only(arrays: Arrays) -> Arrays:
    """The same arrays, guarded against being changed in place: they are shared."""
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def check_size(task: Task, size: int) -> None:
    """Refuse a batch without samples."""
    if size < 1:
        raise TaskError(f"{task!r}: expected a batch of at least 1 sample, found {size}.")


def random_numbers(task: Task, seed: int) -> np.random.Generator:
    """A generator that shares no algorithm with the one weights come from: no seed ties them."""
    number = operator.index(seed)
    if number < 0:
        raise TaskError(f"{task!r}: expected a seed of at least 0, found {seed}.")
    return np.random.default_rng(number)
