"""Samples in a numpy archive."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError
from skipnorm.tasks.files import Stamp, contents, stamp
from skipnorm.tasks.parted import Half, Parted, as_images, as_targets, shared_out
from skipnorm.tasks.samples import Samples, Split

__all__ = ["Npz"]

#: Under which names the arrays of each part are looked for, the first that is there being taken.
INPUTS: dict[Split, tuple[str, ...]] = {
    "train": ("train_inputs", "train_images", "x_train", "X_train", "inputs", "images", "x", "X"),
    "validation": ("validation_inputs", "val_inputs", "val_images", "x_val", "X_val"),
    "test": ("test_inputs", "test_images", "x_test", "X_test"),
}
TARGETS: dict[Split, tuple[str, ...]] = {
    "train": ("train_targets", "train_labels", "y_train", "targets", "labels", "y"),
    "validation": ("validation_targets", "val_targets", "val_labels", "y_val"),
    "test": ("test_targets", "test_labels", "y_test"),
}


@dataclass(frozen=True, repr=False, eq=False)
class Npz(Parted):
    """The arrays of an ``.npz`` file: ``train_inputs``, ``train_targets`` and so on.

    Other usual names are understood too: ``x_train``/``y_train`` (Keras), ``train_images``/
    ``train_labels`` (MedMNIST), and ``x``/``y`` for a set without parts. Arrays of bytes are images,
    with their channels second, last or missing; other inputs are (samples, features) or
    (samples, channels, ...). Arrays of Python objects are refused, since reading them runs code.

    >>> Npz("samples.npz", flat=True)
    Npz(path='samples.npz', flat=True)
    """

    path: str | Path = field(compare=False)

    def read(self) -> Samples:
        """The samples, from the file."""
        return read_archive(stamp(self.path), self.test)


@lru_cache(maxsize=4)
def read_archive(file: Stamp, test: float) -> Samples:
    """All parts of the archive."""
    where = repr(file.path)
    arrays = opened(contents(file.path), where)
    parts: dict[Split, Half] = {}
    for split in INPUTS:
        names = [first(arrays, choices[split]) for choices in (INPUTS, TARGETS)]
        if any(names):
            if not all(names):
                lacking = (INPUTS, TARGETS)[names.index(None)][split]
                raise TaskError(f"{where}: {none_of(lacking, arrays)}")
            inputs, targets = (arrays[str(name)] for name in names)
            parts[split] = as_images(inputs, where), as_targets(targets, where)
    if "train" not in parts:
        raise TaskError(f"{where}: {none_of(INPUTS['train'], arrays)}")
    return shared_out(parts, test, where)


def first(arrays: dict[str, NDArray[Any]], names: tuple[str, ...]) -> str | None:
    """The first of these names that is there."""
    return next((name for name in names if name in arrays), None)


def none_of(names: tuple[str, ...], arrays: dict[str, NDArray[Any]]) -> str:
    """What to say where none of these names is there."""
    found = ", ".join(arrays) or "no array"
    return f"expected an array called {' or '.join(names)}, found {found}. Save it under that name."


def opened(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """Every array of an archive, or a refusal."""
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise ValueError("it is a single array, as np.save writes it")
        with found as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TaskError(
            f"{where}: expected a whole .npz file of numbers, found one that cannot be read: "
            f"{error}. Write it with np.savez(file, train_inputs=..., train_targets=...)."
        ) from error
