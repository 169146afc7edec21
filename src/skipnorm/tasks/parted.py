"""Data sets of a user's own: with parts of their own, or shared out here; labels or real targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError
from skipnorm.tasks.images import Images, labels_within
from skipnorm.tasks.samples import Samples, Split, check_share, held_out

__all__ = ["Half", "Parted", "as_images", "as_targets", "as_told", "shared_out"]

#: Inputs and targets of one part.
Half = tuple[NDArray[Any], NDArray[Any]]

_KEPT: WeakKeyDictionary[Parted, Samples] = WeakKeyDictionary()


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class Parted(Images):
    """Samples of any kind. Whole numbers as targets are labels; real ones are to be met in square.

    ``test``: the share held out to test, of every class alike, where the data bring no test part.
    A validation part that the data bring is taken in place of the ``validation`` share.
    """

    test: float = 0.2

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        super().__post_init__()
        check_share(self, "test", self.test)

    @property
    def loss(self) -> str:
        """Cross-entropy for labels, the mean squared error for real targets."""
        return "mse" if self.classes is None else "cross_entropy"

    @property
    def classes(self) -> int | None:
        """How many labels there are; None where targets are real numbers."""
        targets = self.arrays()["train_targets"]
        return int(targets.max()) + 1 if targets.dtype.kind == "i" else None

    def kept(self, read: Callable[[], Samples]) -> Samples:
        """What was read for an equal task in this process, or is read now."""
        found = _KEPT.get(self)
        if found is None:
            found = _KEPT[self] = read()
        return found


def shared_out(parts: Mapping[Split, Half], test: float, where: str) -> Samples:
    """The samples of a task from the parts that the data bring, checked against each other.

    Raises:
        TaskError: no training part, another number of targets than of inputs, parts of other
            shapes, labels that the training part has not, or inputs that are not finite.
    """
    if "train" not in parts:
        raise TaskError(f"{where}: expected a training part, found only {', '.join(parts)}.")
    for split, (inputs, targets) in parts.items():
        check_half(inputs, targets, parts["train"], f"{where}, {split} part")
    found = dict(parts)
    if "test" not in found:
        inputs, targets = found["train"]
        kept, out = held_out(targets, test, key=1)
        found["train"], found["test"] = (inputs[kept], targets[kept]), (inputs[out], targets[out])
    arrays = {f"{split}_inputs": inputs for split, (inputs, _) in found.items()}
    return Samples(arrays | {f"{split}_targets": targets for split, (_, targets) in found.items()})


def check_half(inputs: NDArray[Any], targets: NDArray[Any], train: Half, where: str) -> None:
    """Refuse a part that does not hold together."""
    if not len(inputs) or len(inputs) != len(targets):
        raise TaskError(
            f"{where}: expected as many targets as inputs, and some, found {len(inputs)} inputs and "
            f"{len(targets)} targets."
        )
    for what, one, other in (("inputs", inputs, train[0]), ("targets", targets, train[1])):
        if one.shape[1:] != other.shape[1:] or one.dtype.kind != other.dtype.kind:
            raise TaskError(
                f"{where}: expected {what} as in the training part, {other.shape[1:]} {other.dtype}, "
                f"found {one.shape[1:]} {one.dtype}."
            )
        if one.dtype.kind == "f" and not np.isfinite(one).all():
            row = int(np.argwhere(~np.isfinite(one))[0][0])
            raise TaskError(f"{where}: expected finite {what}, found NaN or inf in sample {row}.")
    if targets.dtype.kind == "i" and targets.ndim == 1:
        labels_within(targets, int(train[1].max()) + 1, where)


def as_images(inputs: NDArray[Any], where: str) -> NDArray[Any]:
    """Inputs with their channels second: bytes are images, whose channels may be last or missing.

    >>> as_images(np.zeros((5, 8, 8), np.uint8), "").shape
    (5, 1, 8, 8)
    >>> as_images(np.zeros((5, 8, 8, 3), np.uint8), "").shape
    (5, 3, 8, 8)
    >>> as_images(np.zeros((5, 8, 8)), "").shape
    (5, 8, 8)
    """
    if inputs.dtype.kind not in "uif" or inputs.ndim < 2:
        raise TaskError(
            f"{where}: expected inputs as numbers with samples first, found {inputs.dtype} of shape "
            f"{inputs.shape}. Text has to be turned into numbers first."
        )
    if inputs.dtype != np.uint8:
        return inputs if inputs.dtype.kind == "f" else inputs.astype(np.float64)
    if inputs.ndim == 3:
        return inputs[:, None]
    last = inputs.ndim == 4 and inputs.shape[-1] in (1, 3, 4) and inputs.shape[1] not in (1, 3)
    return np.ascontiguousarray(np.moveaxis(inputs, -1, 1)) if last else inputs


def as_targets(targets: NDArray[Any], where: str) -> NDArray[Any]:
    """Labels as int64 of one dimension, real targets as (samples, outputs)."""
    if targets.ndim == 2 and targets.shape[1] == 1 and targets.dtype.kind in "uib":
        targets = targets[:, 0]
    if targets.dtype.kind in "uib" and targets.ndim == 1:
        return targets.astype(np.int64)
    if targets.dtype.kind == "f" and targets.ndim:
        return targets[:, None] if targets.ndim == 1 else targets
    raise TaskError(
        f"{where}: expected targets as whole numbers, one label a sample, or as real numbers, found "
        f"{targets.dtype} of shape {targets.shape}."
    )


def as_told(task: Parted, shown: str) -> str:
    """The text of a task whose source is no text: its settings, and what the source is."""
    settings = [
        f"{each.name}={value!r}"
        for each in fields(task)
        if each.name != "source" and (value := getattr(task, each.name)) != each.default
    ]
    return f"{type(task).__name__}({', '.join([shown, *settings])})"
