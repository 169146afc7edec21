"""Where each update's samples come from: a task, a list of batches, or a loader that is run through again and again.

What is at step k depends on the source and the seed alone, never on the network.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from skipnorm.anatomy.tensors import mapped, tensors_in
from skipnorm.errors import TaskError, TrainingError
from skipnorm.tasks.losses import usable
from skipnorm.training.draws import Draws
from skipnorm.training.order import AUGMENT, ORDER, number, permutation

__all__ = ["Drawn", "Epochs", "Loaded", "Source", "batches_of"]

_END = object()


class Source(Protocol):
    """A batch for every step, asked for in order."""

    def __call__(self, step: int) -> Any:
        """The batch of this step."""

    def place(self) -> Any:
        """What a checkpoint keeps so that the next batch can be found again."""

    def resume(self, step: int, place: Any) -> Any:
        """Go to where `place` was taken, before this step, and give the batch before it; step 0 is the beginning."""


class Epochs:
    """A task's training samples, all in memory: every epoch in an order of its own, whole batches only."""

    def __init__(self, task: Any, samples: Any, size: int, seed: int, device: str) -> None:
        samples = _plain(samples)
        altered = getattr(task, "augments", True)
        self._augment = getattr(task, "augment", None) if altered else None
        self._device, self._size, self._seed = torch.device(device), size, seed
        self._count = _count(task, samples)
        if size > self._count:
            raise TrainingError(
                f"expected a batch of at most {self._count} samples, which are all that {task!r} has "
                f"to train, found {size}. With batch={self._count} every update sees them all."
            )
        # what is altered by chance is altered on the CPU, then moved
        self._samples = samples if self._augment else mapped(self._moved, samples)
        self._pair = isinstance(samples, tuple) and [*map(type, samples)] == [Tensor, Tensor]
        self._generator = torch.Generator()
        self._epoch = -1
        self._rows: tuple[Tensor, ...] = ()

    def __call__(self, step: int) -> Any:
        """The rows of this step, altered by the task's ``augment`` where it has one."""
        epoch, position = divmod(step, self._count // self._size)
        if epoch != self._epoch:
            rows = torch.from_numpy(permutation(self._seed, epoch, self._count))
            self._epoch = epoch
            self._rows = torch.split(rows if self._augment else self._moved(rows), self._size)
        rows = self._rows[position]
        if self._pair:  # by far the most common, and the quickest
            inputs, targets = self._samples
            batch = inputs[rows], targets[rows]
        else:
            batch = mapped(lambda each: each[rows], self._samples)
        if self._augment is None:
            return batch
        self._generator.manual_seed(number(self._seed, AUGMENT, step))
        if isinstance(batch, tuple | list):
            inputs, targets = batch
            batch = self._augment(inputs, self._generator), targets
        else:  # named inputs, targets among them
            batch = self._augment(batch, self._generator)
        return mapped(self._moved, batch)

    def place(self) -> None:
        """The step says it all."""

    def resume(self, step: int, place: Any) -> Any:
        """The batch before this step; there is nothing to go to."""
        return self(step - 1) if step else None

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device)


class Drawn:
    """A task without a last sample: fresh ones at every step."""

    def __init__(self, task: Any, size: int, seed: int, device: str) -> None:
        self._task, self._size, self._seed = task, size, seed
        self._device = torch.device(device)

    def __call__(self, step: int) -> Any:
        """A batch that no other step has."""
        batch = self._task.batch(self._size, number(self._seed, ORDER, step))
        return _moved(batch, self._device)

    def place(self) -> None:
        """The step says it all."""

    def resume(self, step: int, place: Any) -> Any:
        """The batch before this step; there is nothing to go to."""
        return self(step - 1) if step else None


class Loaded:
    """Batches as they come, run through again from the beginning when they end.

    Whatever a loader draws from the global random states (its order, its augmentation), it draws
    from states that belong to it and begin anew with every epoch.
    """

    def __init__(self, loader: Iterable[Any], seed: int, device: str) -> None:
        self._loader, self._seed = loader, seed
        self._device = torch.device(device)
        self._draws = Draws(seed)
        draws_nothing = isinstance(loader, list)
        self._drawing = nullcontext if draws_nothing else self._draws
        self._running: Iterator[Any] | None = None
        self._epoch, self._position = 0, 0

    def __call__(self, step: int) -> Any:
        """The next batch, from the beginning again where they have ended."""
        for _ in range(2):
            batch = self._next()
            if batch is not _END:
                self._position += 1
                return _moved(batch, self._device)
            self._epoch, self._position, self._running = self._epoch + 1, 0, None
        raise TrainingError(
            f"expected {type(self._loader).__name__} to go on with batches, found none for step {step}. "
            "What can be run through but once is too short for so many steps: give a list or a DataLoader."
        )

    def _next(self) -> Any:
        if self._running is None:
            self._draws.restart(number(self._seed, ORDER, self._epoch))
        with self._drawing():
            if self._running is None:
                self._running = iter(self._loader)
            return next(self._running, _END)

    def place(self) -> tuple[int, int]:
        """The epoch, and how many of its batches were seen."""
        return self._epoch, self._position

    def resume(self, step: int, place: Any) -> Any:
        """Run through the epoch as far as it was seen, and give the last batch of that."""
        if self._running is not None and self._running is self._loader:
            raise TrainingError(
                f"expected batches that can be run through again, found {type(self._loader).__name__}, of "
                "which some are gone: give a list or a DataLoader, or remove the checkpoint."
            )
        self._epoch, seen = place or (0, 0)
        self._position, self._running = 0, None
        batch = None
        for _ in range(seen):
            batch = self(step)
        return batch


def batches_of(task: Any, size: int, seed: int, device: str) -> Source:
    """The batches that a task, or what is given in its place, holds for training.

    A pair, a dict or a tensor is one batch, seen at every step; a list is run through in its order;
    anything else that can be iterated over (a DataLoader) is iterated over again and again.

    Raises:
        TrainingError: something else, or a batch larger than the training samples.
    """
    if callable(getattr(task, "batch", None)):
        return _of_task(task, size, seed, device)
    if isinstance(task, Mapping | tuple | Tensor):
        return Loaded([task], seed, device)
    if not isinstance(task, Iterable) or isinstance(task, str | bytes):
        raise TrainingError(
            "expected a task, a batch such as (inputs, targets), or an iterable of batches such as a "
            f"DataLoader, found {type(task).__name__}."
        )
    return Loaded(task, seed, device)


def _of_task(task: Any, size: int, seed: int, device: str) -> Source:
    if inspect.isroutine(getattr(task, "full", None)):
        try:
            samples = task.full("train")
        except (TaskError, NotImplementedError):
            # Samples without a last one come in batches; whatever else is amiss, this says too.
            task.batch(size, seed)
        else:
            return Epochs(task, samples, size, seed, device)
    return Drawn(task, size, seed, device)


def _count(task: Any, samples: Any) -> int:
    """How many samples these are, all of them in tensors of that length."""
    shapes = [tuple(each.shape) for each in tensors_in(samples)]
    counts = {shape[0] if shape else 0 for shape in shapes}
    if len(counts) != 1 or 0 in counts or _out_of_reach(samples):
        raise TrainingError(
            f"expected full('train') of {task!r} as tensors with the samples first, in tuples, lists or "
            f"dicts, found {type(samples).__name__} with tensors of the shapes {shapes}."
        )
    return counts.pop()


def _out_of_reach(samples: Any) -> bool:
    """Whether a tensor lies in something of which rows are not taken: it would come whole every time."""
    return any(len(each) for each in tensors_in(mapped(lambda each: each[:0], samples)))


def _moved(batch: Any, device: torch.device) -> Any:
    """The batch on the device, in tensors and containers that the network may write into."""

    def moved(tensor: Tensor) -> Tensor:
        there = tensor.to(device)
        return there.clone() if there is tensor else there

    return mapped(moved, _plain(batch))


def _plain(batch: Any) -> Any:
    """The same in dicts and tuples, of which classes of their own are not taken apart."""
    return usable(tuple(batch) if isinstance(batch, tuple) else batch)
