"""What a task is: samples, how they are split, and the loss by which answers are judged.

No torch is imported until samples are asked for.
"""

from __future__ import annotations

import operator
from dataclasses import MISSING, Field, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError, nearest
from skipnorm.tasks.samples import (
    SPLITS,
    Arrays,
    Samples,
    Split,
    check_share,
    content_hash,
    read_only,
)

if TYPE_CHECKING:
    import torch

__all__ = ["Arrays", "Labelled", "Samples", "Split", "Task", "content_hash", "read_only"]


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
        """Every sample of one part, inputs and targets."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """The canonical text: class and non-default settings."""
        settings = sorted(fields(self), key=lambda each: bool(each.kw_only))
        named = ((each, getattr(self, each.name)) for each in settings)
        chosen = [f"{each.name}={value!r}" for each, value in named if not is_default(each, value)]
        return f"{type(self).__name__}({', '.join(chosen)})"


def is_default(setting: Field[Any], value: Any) -> bool:
    """Whether a setting was left as it is, asked without comparing arrays or tensors."""
    default = setting.default
    return default is not MISSING and (value is default or bool(value == default))


@dataclass(frozen=True, repr=False, kw_only=True)
class Labelled(Task):
    """A task on a fixed set of samples, most often one of classification.

    ``flat``: inputs as vectors instead of maps with a channel. ``validation``: the share of the
    training samples that is held out, of every class alike, to choose settings by; the three parts
    ``train``, ``validation`` and ``test`` never share a sample. Batches are drawn without
    replacement; inputs come in torch's default dtype, targets as int64.

    Raises:
        TaskError: a batch larger than its part of the samples, or an unknown or empty part.
    """

    flat: bool = False
    validation: float = 0.2

    #: 2: the validation part is no longer in the training part.
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        check_share(self, "validation", self.validation)

    def arrays(self) -> Arrays:
        """All samples as numpy arrays, maps with a channel; validation still among training."""
        raise NotImplementedError

    @property
    def samples(self) -> Samples:
        """The arrays, guarded."""
        return read_only(self.arrays())

    @property
    def loss(self) -> str:
        """Cross-entropy."""
        return "cross_entropy"

    @property
    def classes(self) -> int | None:
        """How many labels there are."""
        return int(self.arrays()["train_targets"].max()) + 1

    @property
    def inputs_shape(self) -> tuple[int, ...]:
        """The shape of one sample's input."""
        shape = self.arrays()["train_inputs"].shape[1:]
        return (int(np.prod(shape)),) if self.flat else tuple(shape)

    @property
    def hash(self) -> str:
        """SHA-256 of all samples and their split into training and test part."""
        return self.samples.hash

    def count(self, split: Split) -> int:
        """How many samples one part holds."""
        return len(self.part(split)[1])

    def batch(
        self, size: int, seed: int, *, split: Split = "train"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``size`` different samples, the same ones for the same seed."""
        count = self.count(split)
        check_size(self, size)
        if size > count:
            raise TaskError(
                f"{self!r} has {count} samples to {split}: expected a batch of at most {count}, "
                f"found {size}. Take a smaller batch, or full({split!r})."
            )
        chosen = random_numbers(self, seed).choice(count, size=size, replace=False)
        return self.tensors(split, chosen)

    def full(self, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        """Every sample of one part, in fixed order."""
        return self.tensors(split, np.arange(self.count(split)))

    def part(self, split: Split) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs and targets of one part, as arrays."""
        if split not in SPLITS:
            raise TaskError(f"Unknown split: {nearest(str(split), SPLITS)}")
        inputs, targets = self.samples.part(split, self.validation)
        if not len(targets):
            raise TaskError(
                f"{self!r} holds no sample of the part {split!r}: expected at least one, found "
                f"{len(self.arrays()['train_targets'])} samples to share out. Choose another share."
            )
        return inputs, targets

    def tensors(self, split: Split, rows: NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The samples of these rows of one part."""
        import torch

        inputs, targets = self.part(split)
        shown = self.shown(torch.from_numpy(inputs[rows]))
        answers = torch.from_numpy(targets[rows])
        if answers.is_floating_point():
            answers = answers.to(torch.get_default_dtype())
        return shown.reshape(len(rows), *self.inputs_shape), answers

    def shown(self, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs as the network sees them: real numbers in torch's default dtype."""
        import torch

        return inputs.to(torch.get_default_dtype())


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
