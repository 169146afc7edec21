"""A user's own DataLoader, or any iterable of batches, as a task."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError, nearest
from skipnorm.tasks.columns import Columns, plain, put
from skipnorm.tasks.mnist1d import global_random_state_kept
from skipnorm.tasks.samples import SPLITS, Split, check_share, content_hash, held_out
from skipnorm.tasks.task import Task, check_size, random_numbers

__all__ = ["Batches"]

_Found = TypeVar("_Found")


@dataclass(frozen=True, repr=False, eq=False)
class Batches(Task):
    """The samples of a user's own loader, gone through once and kept in memory.

    ``train``: a DataLoader or any iterable of batches as ``measure`` takes them, ``(inputs,
    targets)`` or a dict that the network takes by name; inputs may be nested. ``validation`` and
    ``test``: loaders of their own, or the share that is held out of ``train`` for it. ``loss``: a
    name, a function of (outputs, targets), or None: the loss that the network returns, else
    cross-entropy for whole numbers and the mean squared error for real ones. ``limit``: take no
    more than this many samples of each loader, as is needed for one without end.

    A loader that shuffles or augments is gone through with seeded random states (torch, numpy,
    Python), which are put back; its worker processes seed themselves from torch's. Real numbers
    come in torch's default dtype. The hash is taken over all samples.

    Raises:
        TaskError: no batch, or batches that do not fit each other or hold anything but tensors.

    >>> import torch
    >>> loader = [(torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]))] * 5
    >>> task = Batches(loader, validation=0.25, test=0.0)
    >>> task.count("train"), task.count("validation"), task.classes
    (15, 5, 2)
    """

    train: Any = field(compare=False)
    validation: Any = field(default=0.2, compare=False)
    test: Any = field(default=0.2, compare=False)
    loss: Any = None
    limit: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        for name in ("validation", "test"):
            if is_share(getattr(self, name)):
                check_share(self, name, getattr(self, name))
        if self.limit is not None and self.limit < 1:
            raise TaskError(f"Batches: expected a limit of at least 1 sample, found {self.limit}.")

    def __repr__(self) -> str:
        """The canonical text: what the loaders are, and the settings."""
        shown = [f"<{type(self.train).__name__}>"]
        for each in fields(self)[1:]:
            value = getattr(self, each.name)
            if not is_share(value) and each.name in SPLITS:
                shown.append(f"{each.name}=<{type(value).__name__}>")
            elif value != each.default:
                shown.append(f"{each.name}={value!r}")
        return f"Batches({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        """The same loaders and settings, or the same samples and loss."""
        if not isinstance(other, Batches):
            return NotImplemented
        mine, others = (
            [getattr(task, each.name) for each in fields(task)] for task in (self, other)
        )
        if all(one is another for one, another in zip(mine, others, strict=True)):
            return True
        return bool(self.loss == other.loss) and self.hash == other.hash

    def __hash__(self) -> int:
        """By kind: equal tasks may have come from different loaders."""
        return hash(Batches)

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: the samples, as one batch for each part, and no loader."""
        whole: dict[str, Any] = {
            split: [put(part.outline, part.tensors)] if len(part) else 0.0
            for split, part in self.parts.items()
        }
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            **whole,
            "limit": None,
        }

    @property
    def parts(self) -> Mapping[Split, Columns]:
        """All samples, gone through at the first time of asking."""
        return self._once("parts", lambda: gathered(self))

    @property
    def hash(self) -> str:
        """SHA-256 of all samples of all parts."""
        return self._once("hash", lambda: hash_of(self.parts))

    def _once(self, what: str, compute: Callable[[], _Found]) -> _Found:
        """What was computed before, kept beside the fields, of which it is none."""
        known = self.__dict__.setdefault("_known", {})
        if what not in known:
            known[what] = compute()
        found: _Found = known[what]
        return found

    @property
    def inputs_shape(self) -> tuple[int, ...]:
        """The shape of one sample's input, of the first where there are several."""
        return tuple(next(iter(self.parts["train"].tensors.values())).shape[1:])

    @property
    def classes(self) -> int | None:
        """How many labels there are; None where targets are no whole numbers, one a sample."""
        targets = self.parts["train"].targets
        if targets is None or targets.is_floating_point() or targets.dim() != 1:
            return None
        return int(targets.max()) + 1

    def count(self, split: Split) -> int:
        """How many samples one part holds."""
        if split not in SPLITS:
            raise TaskError(f"Unknown split: {nearest(str(split), SPLITS)}")
        return len(self.parts[split])

    def batch(self, size: int, seed: int, *, split: Split = "train") -> Any:
        """``size`` different samples, the same ones for the same seed, built like the loader's."""
        check_size(self, size)
        count = self.count(split)
        if size > count:
            raise TaskError(
                f"{self!r} has {count} samples to {split}: expected a batch of at most {count}, "
                f"found {size}. Take a smaller batch, or full({split!r})."
            )
        rows = random_numbers(self, seed).choice(count, size, replace=False)
        return self.parts[split].rows(rows).batch()

    def full(self, split: Split) -> Any:
        """Every sample of one part, in fixed order."""
        count = self.count(split)
        if not count:
            raise TaskError(
                f"{self!r} holds no sample of the part {split!r}: expected some, found none. Give "
                f"{split}= a loader or a share."
            )
        return self.parts[split].rows(np.arange(count)).batch()


def is_share(given: Any) -> bool:
    """Whether a part is to be held out, and is no loader."""
    return isinstance(given, int | float)


def gathered(task: Batches) -> dict[Split, Columns]:
    """Every part: gone through, or held out of the training samples."""
    given = {split: getattr(task, split) for split in SPLITS}
    with seeded():
        found = {
            split: Columns.of(loader, task.limit, f"{task!r}, {split}")
            for split, loader in given.items()
            if not is_share(loader)
        }
    shared: tuple[tuple[int, Split], ...] = ((1, "test"), (0, "validation"))
    for key, split in shared:
        if split not in found:
            train = found["train"]
            kept, out = held_out(numbered(train), given[split], key=key)
            found["train"], found[split] = train.rows(kept), train.rows(out)
    for split, part in found.items():
        if part.outline != found["train"].outline:
            raise TaskError(
                f"{task!r}: expected batches to {split} built like those to train, "
                f"{found['train'].outline}, found {part.outline}."
            )
    return {split: found[split] for split in SPLITS}


def numbered(columns: Columns) -> NDArray[Any]:
    """The labels, by which a share is held out; zeros where there are none."""
    targets = columns.targets
    if targets is None or targets.is_floating_point() or targets.dim() != 1:
        return np.zeros(len(columns), dtype=np.int64)
    labels: NDArray[Any] = targets.numpy()
    return labels


def hash_of(parts: Mapping[Split, Columns]) -> str:
    """SHA-256 of all samples of all parts."""
    arrays = {
        f"{split} {name}": raw
        for split, columns in parts.items()
        for name, raw in plain(columns.tensors)
    }
    return content_hash(arrays)


@contextmanager
def seeded() -> Iterator[None]:
    """The global random states begun anew, and afterwards as they were."""
    import torch

    with torch.random.fork_rng(devices=[]), global_random_state_kept():
        torch.default_generator.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        yield
