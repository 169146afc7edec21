"""What data sets from files share: where they lie, scale, standardisation, augmentation, checksum."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError
from skipnorm.tasks.augmentation import cropped, flipped
from skipnorm.tasks.samples import Arrays, Samples
from skipnorm.tasks.task import Labelled

if TYPE_CHECKING:
    import torch

__all__ = ["Images", "Kept", "channel_moments", "labels_within"]


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class Kept(Labelled):
    """A task whose samples lie in files. Where they lie is no part of what is measured.

    ``sha256``: the hash that the samples must have, as ``task.hash`` prints it: the same for every
    format that the samples come in. Files are read once, and again when they change; of a folder
    of images or a data set of ``datasets`` a change is not noticed while an equal task is in use.

    Raises:
        TaskError: files are missing, cut off or mislabelled, or their hash is another one.
    """

    sha256: str | None = field(default=None, compare=False)

    # Fields with compare=False stay out of a trial's key, which is what `compare` means to studies;
    # two tasks with different files are different tasks all the same.
    def __eq__(self, other: object) -> bool:
        """Equal settings, and the same files."""
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, each.name) == getattr(other, each.name) for each in fields(self))

    def __hash__(self) -> int:
        """By the printed value."""
        return hash(repr(self))

    def read(self) -> Samples:
        """The samples, from the files."""
        raise NotImplementedError

    def arrays(self) -> Samples:
        """All samples as they are kept: images as bytes, not yet standardised."""
        samples = self.read()
        if self.sha256 is not None and samples.hash != self.sha256.lower():
            raise TaskError(
                f"{self!r}: expected samples with the SHA-256 {self.sha256}, found {samples.hash}. "
                "The files hold other samples than those the number was taken of; fetch them again, "
                "or, if these are the ones you mean, write this number."
            )
        return samples


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class Images(Kept):
    """Samples with channels: bytes are divided by 255, then every channel is standardised.

    ``standardise``: each channel less its mean and over its standard deviation, both over all
    samples and positions of the training part (validation left out). ``crop``: pixels of zeros
    around a training image before it is cropped at random; ``flip``: mirror every second one.
    Augmentation happens only in :meth:`augment`.
    """

    standardise: bool = True
    crop: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        super().__post_init__()
        if isinstance(self.crop, bool) or not isinstance(self.crop, int) or self.crop < 0:
            raise TaskError(
                f"{type(self).__name__}: expected crop as pixels of padding from 0 up, found "
                f"{self.crop!r}. Usual is 4 for images of 32 x 32."
            )

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of every channel over the training part, bytes over 255."""
        inputs, _ = self.part("train")
        return self.samples.remembered(
            ("moments", self.validation), lambda: channel_moments(inputs)
        )

    def shown(self, inputs: torch.Tensor) -> torch.Tensor:
        """The inputs as the network sees them."""
        import torch

        real = torch.get_default_dtype()
        scale = 1 / 255 if inputs.dtype == torch.uint8 else 1.0
        if not self.standardise:
            return inputs.to(real) * scale
        mean, spread = (torch.from_numpy(each).to(real) for each in self.moments())
        shape = (-1, *[1] * (inputs.dim() - 2))
        return (inputs.to(real) * scale - mean.view(shape)) / spread.view(shape)

    @property
    def augments(self) -> bool:
        """Whether :meth:`augment` alters anything."""
        return bool(self.crop or self.flip)

    def augment(self, inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Inputs of a batch cropped and flipped at random, as ``crop`` and ``flip`` say.

        The draws come from ``generator`` alone; without augmentation none is made and the inputs
        come back as they are.
        """
        if not self.augments:
            return inputs
        shape = self.arrays()["train_inputs"].shape[1:]
        if len(shape) < 2:
            raise TaskError(f"{self!r}: expected maps to crop or flip, found samples of {shape}.")
        maps = inputs.reshape(len(inputs), *shape)
        if self.crop:
            maps = cropped(maps, self.crop, generator)
        if self.flip:
            maps = flipped(maps, generator)
        return maps.reshape(inputs.shape)


def channel_moments(
    inputs: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every channel, in float64; a constant channel has spread 1.

    Bytes stand for their 255ths; their sums are whole numbers, so their moments are exact.

    >>> mean, spread = channel_moments(np.array([[[0, 255]]], dtype=np.uint8))
    >>> float(mean[0]), float(spread[0])
    (0.5, 0.5)
    """
    axes = (0, *range(2, inputs.ndim))
    if inputs.dtype == np.uint8:
        mean, spread = byte_moments(inputs, axes)
    else:
        mean = inputs.mean(axis=axes, dtype=np.float64)
        spread = inputs.std(axis=axes, dtype=np.float64)
    spread[spread == 0] = 1.0
    return mean, spread


def byte_moments(
    inputs: NDArray[np.uint8], axes: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every channel's 255ths, from their exact sums."""
    count = inputs.size // inputs.shape[1]
    sums = np.zeros((2, inputs.shape[1]))  # exact: below 2 ** 53 for 10 ** 11 pixels
    for start in range(0, len(inputs), 1000):
        values = inputs[start : start + 1000].astype(np.float64)
        sums += values.sum(axis=axes), np.square(values, out=values).sum(axis=axes)
    totals, squares = ([int(each) for each in row] for row in sums)
    # In whole numbers of any length, so that a channel without spread has exactly none.
    spans = [square * count - total**2 for total, square in zip(totals, squares, strict=True)]
    return np.array(totals) / (count * 255), np.sqrt(np.array(spans, dtype=float)) / (count * 255)


def labels_within(labels: NDArray[Any], classes: int, where: str) -> NDArray[np.int64]:
    """The labels as int64; TaskError unless all are among 0 ... ``classes`` - 1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise TaskError(
            f"{where}: expected labels from 0 to {classes - 1}, found {labels[wrong[0]]} at sample "
            f"{wrong[0]} and {len(wrong) - 1} more outside. The file is damaged or of another data "
            "set."
        )
    return labels.astype(np.int64)


def halves(train: tuple[Any, Any], test: tuple[Any, Any]) -> Arrays:
    """The arrays of a set with its training and its test part."""
    return {
        "train_inputs": train[0],
        "train_targets": train[1],
        "test_inputs": test[0],
        "test_targets": test[1],
    }
