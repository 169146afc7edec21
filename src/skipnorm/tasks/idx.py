"""The IDX format (LeCun et al. 1998) and the data sets that come in it: MNIST and Fashion-MNIST."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError
from skipnorm.tasks.files import Stamp, contents, folder_with, stamped
from skipnorm.tasks.images import Images, halves, labels_within
from skipnorm.tasks.samples import Samples

__all__ = ["FashionMnist", "Mnist", "idx_array"]

#: The third byte of an IDX file, and what its numbers are: big-endian all of them.
TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_array(data: bytes, where: str) -> NDArray[Any]:
    """The array that an IDX file holds: two zero bytes, type, rank, sizes of 4 bytes, numbers.

    Raises:
        TaskError: another beginning, or more or fewer bytes than the header announces.

    >>> idx_array(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), "here").tolist()
    [7, 9]
    """
    start = data[:4].hex(" ")
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES or not data[3]:
        raise TaskError(
            f"{where}: expected an IDX file, which begins with the bytes 00 00, a type of "
            f"{', '.join(f'{code:02x}' for code in TYPES)} and a rank, found {start or 'nothing'}. "
            "Is it another format, or a web page that was saved in its place?"
        )
    kind, rank = np.dtype(TYPES[data[2]]), data[3]
    header = 4 + 4 * rank
    if len(data) < header:
        raise TaskError(
            f"{where}: expected {rank} sizes after the magic number {start}, found a file of "
            f"{len(data)} bytes. It is cut off; fetch it again."
        )
    shape = struct.unpack(f">{rank}I", data[4:header])
    wanted = header + math.prod(shape) * kind.itemsize
    if len(data) != wanted:
        raise TaskError(
            f"{where}: expected {wanted} bytes for {' x '.join(map(str, shape))} numbers of "
            f"{kind.itemsize} bytes, found {len(data)}. The file is "
            f"{'cut off' if len(data) < wanted else 'longer than it says'}; fetch it again."
        )
    return np.frombuffer(data, kind, offset=header).reshape(shape)


def half(images: Stamp, labels: Stamp, classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images with a channel, and their labels, from the two files of one part."""
    pixels = byte_array(images, 3, "images")
    numbers = byte_array(labels, 1, "labels")
    if len(pixels) != len(numbers):
        raise TaskError(
            f"{images.path!r} and {labels.path!r}: expected as many labels as images, found "
            f"{len(pixels)} images and {len(numbers)} labels. Do the files belong together?"
        )
    return pixels[:, None], labels_within(numbers, classes, repr(labels.path))


def byte_array(file: Stamp, rank: int, what: str) -> NDArray[np.uint8]:
    """The bytes of one file, of this rank."""
    found = idx_array(contents(file.path), repr(file.path))
    if found.ndim != rank or found.dtype != np.uint8:
        raise TaskError(
            f"{file.path!r}: expected {what}, bytes of rank {rank} (magic number 00 00 08 0{rank}), "
            f"found {found.dtype.name} of rank {found.ndim}. Were images and labels swapped?"
        )
    if not found.size:
        raise TaskError(f"{file.path!r}: expected {what}, found a header with nothing behind it.")
    return found


@lru_cache(maxsize=4)
def read_set(files: tuple[Stamp, ...], classes: int) -> Samples:
    """All four files; their order is that of ``NAMES``."""
    train, test = half(files[0], files[1], classes), half(files[2], files[3], classes)
    if train[0].shape[1:] != test[0].shape[1:]:
        raise TaskError(
            f"{files[0].path!r} and {files[2].path!r}: expected images of one size, found "
            f"{train[0].shape[2:]} and {test[0].shape[2:]}."
        )
    return Samples(halves(train, test))


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class Mnist(Images):
    """MNIST (LeCun et al. 1998): 60,000 digits of 28 x 28 to train, 10,000 to test.

    ``root``: the folder with the four IDX files, packed or not, or the one above it. Without it the
    folders in ``SKIPNORM_DATA`` and the usual ones are looked through. Nothing is downloaded.

    >>> Mnist(root="somewhere", crop=2)
    Mnist(crop=2, root='somewhere')
    """

    root: str | None = field(default=None, compare=False)

    folders: ClassVar[tuple[str, ...]] = ("mnist", "MNIST/raw", "MNIST")
    hint: ClassVar[str] = ""

    @property
    def classes(self) -> int:
        """Ten."""
        return 10

    def read(self) -> Samples:
        """The samples, from the files."""
        choices = [
            [
                spelling + packed
                for spelling in (name, name.replace("-idx", ".idx"))
                for packed in ("", ".gz")
            ]
            for name in NAMES
        ]
        what = type(self).__name__
        folder, names = folder_with(what, self.root, self.folders, choices, self.hint)
        return read_set(stamped(folder, names), self.classes)


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class FashionMnist(Mnist):
    """Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): like MNIST, but clothes of ten kinds.

    >>> FashionMnist().name, FashionMnist().classes
    ('fashion-mnist', 10)
    """

    folders: ClassVar[tuple[str, ...]] = ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST")
    hint: ClassVar[str] = "On Debian and Ubuntu: apt install dataset-fashion-mnist."

    @property
    def name(self) -> str:
        """What it is called in tables and on the command line."""
        return "fashion-mnist"
