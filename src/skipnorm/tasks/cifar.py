"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in their binary and in their Python format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError
from skipnorm.tasks.files import Stamp, contents, folder_with, places, stamped
from skipnorm.tasks.images import Images, halves, labels_within
from skipnorm.tasks.samples import Samples
from skipnorm.tasks.unpickling import unpickled

__all__ = ["Cifar10", "Cifar100"]

#: Bytes of one image: three planes (red, green, blue) of 32 rows of 32.
PIXELS = 3 * 32 * 32


class Layout(NamedTuple):
    """How one format keeps a set."""

    folder: str
    train: tuple[str, ...]
    test: str
    records: tuple[int, int]  # in each training file, in the test file
    marks: tuple[str, ...]  # the labels before each image, or the names of their lists

    @property
    def binary(self) -> bool:
        """Bytes and nothing else, or a pickle."""
        return self.test.endswith(".bin")


Half = tuple[NDArray[Any], NDArray[Any]]


def binary_half(file: Stamp, layout: Layout, mark: int, records: int) -> Half:
    """Images and labels of a file of records: the labels' bytes, then 3072 pixels."""
    data, width = contents(file.path), len(layout.marks) + PIXELS
    if len(data) != records * width:
        raise TaskError(
            f"{file.path!r}: expected {records * width} bytes, {records} records of {width}, found "
            f"{len(data)}{'' if len(data) % width else f', {len(data) // width} records'}. The file "
            "is cut off or of another data set; fetch it again. A subset goes into an .npz file."
        )
    rows = np.frombuffer(data, np.uint8).reshape(records, width)
    return rows[:, len(layout.marks) :], rows[:, mark]


def pickled_half(file: Stamp, layout: Layout, mark: int, records: int) -> Half:
    """Images and labels of a pickled dict."""
    found = unpickled(contents(file.path), repr(file.path))
    wanted = ("data", layout.marks[mark])
    if lacking := [key for key in wanted if key not in found]:
        raise TaskError(
            f"{file.path!r}: expected the keys {', '.join(wanted)}, found {', '.join(found)}; "
            f"without {lacking[0]!r} it is a file of another data set."
        )
    pixels, labels = found["data"], label_array(found[wanted[1]], file)
    shape = getattr(pixels, "shape", None)
    if shape != (records, PIXELS) or pixels.dtype != np.uint8 or labels.shape != (records,):
        raise TaskError(
            f"{file.path!r}: expected {records} x {PIXELS} bytes of images and {records} labels, "
            f"found {shape} {getattr(pixels, 'dtype', type(pixels).__name__)} and {labels.shape}."
        )
    return pixels, labels


def label_array(labels: Any, file: Stamp) -> NDArray[Any]:
    """The labels as whole numbers."""
    found = np.asarray(labels) if isinstance(labels, list | np.ndarray) else np.empty(0)
    if found.dtype.kind not in "iu":
        raise TaskError(f"{file.path!r}: expected a list of whole numbers as labels, found others.")
    return found


@lru_cache(maxsize=4)
def read_set(files: tuple[Stamp, ...], layout: Layout, mark: int, classes: int) -> Samples:
    """The whole set; the last file is the test part."""
    half = binary_half if layout.binary else pickled_half
    sizes = [layout.records[0]] * len(layout.train) + [layout.records[1]]
    halved = [half(file, layout, mark, size) for file, size in zip(files, sizes, strict=True)]
    checked = [
        (pixels.reshape(-1, 3, 32, 32), labels_within(labels, classes, repr(file.path)))
        for file, (pixels, labels) in zip(files, halved, strict=True)
    ]
    return Samples(halves(joined(checked[:-1]), joined(checked[-1:])))


def joined(parts: Sequence[Half]) -> Half:
    """Several files as one."""
    return np.concatenate([each[0] for each in parts]), np.concatenate([each[1] for each in parts])


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class Cifar10(Images):
    """CIFAR-10: 50,000 images of 3 x 32 x 32 to train, 10,000 to test, ten classes.

    ``root``: the folder ``cifar-10-batches-bin`` or ``cifar-10-batches-py``, or the one above it.
    Without it the folders in ``SKIPNORM_DATA`` and the usual ones are looked through. Both formats
    give the same samples and the same hash; pickles are read without running anything in them.

    >>> Cifar10(crop=4, flip=True)
    Cifar10(crop=4, flip=True)
    """

    root: str | None = field(default=None, compare=False)

    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(
            "cifar-10-batches-bin",
            tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            "test_batch.bin",
            (10_000, 10_000),
            ("labels",),
        ),
        Layout(
            "cifar-10-batches-py",
            tuple(f"data_batch_{number}" for number in range(1, 6)),
            "test_batch",
            (10_000, 10_000),
            ("labels",),
        ),
    )

    @property
    def classes(self) -> int:
        """Ten."""
        return 10

    @property
    def mark(self) -> int:
        """Which of a record's labels is asked for."""
        return 0

    def read(self) -> Samples:
        """The samples, from the first format that is there."""
        layout = self.layout()
        names = [[name] for name in (*layout.train, layout.test)]
        hint = f"Unpacked it is the folder {' or '.join(each.folder for each in self.layouts)}."
        what = type(self).__name__
        folder, found = folder_with(what, self.root, (layout.folder,), names, hint)
        return read_set(stamped(folder, found), layout, self.mark, self.classes)

    def layout(self) -> Layout:
        """The format whose test file is found first."""
        looked = [
            (layout, place / folder / layout.test)
            for place in places(self.root)
            for layout in self.layouts
            for folder in (layout.folder, "")
        ]
        return next((layout for layout, file in looked if file.is_file()), self.layouts[0])


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class Cifar100(Cifar10):
    """CIFAR-100: like CIFAR-10 with 100 fine classes, or 20 with ``coarse``.

    >>> Cifar100().classes, Cifar100(coarse=True).classes
    (100, 20)
    """

    coarse: bool = False

    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(
            "cifar-100-binary",
            ("train.bin",),
            "test.bin",
            (50_000, 10_000),
            ("coarse_labels", "fine_labels"),
        ),
        Layout(
            "cifar-100-python",
            ("train",),
            "test",
            (50_000, 10_000),
            ("coarse_labels", "fine_labels"),
        ),
    )

    @property
    def classes(self) -> int:
        """A hundred, or twenty."""
        return 20 if self.coarse else 100

    @property
    def mark(self) -> int:
        """The coarse label comes first."""
        return 0 if self.coarse else 1
