"""Pickles of arrays, lists and numbers read without running anything that they ask for."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError

__all__ = ["unpickled"]

#: The only types of number that a pickled array may hold.
KINDS = "buif"


class Kind:
    """Stands where numpy's dtype would: keeps the type's letters and nothing else."""

    def __init__(self, letters: Any, *_flags: Any) -> None:
        self.letters = letters.decode("ascii") if isinstance(letters, bytes) else str(letters)
        self.order = "<"

    def __setstate__(self, state: Sequence[Any]) -> None:
        order = state[1]
        self.order = order.decode("ascii") if isinstance(order, bytes) else str(order)

    def found(self) -> np.dtype[Any]:
        """The type of number meant; only plain ones."""
        kind = np.dtype(self.letters)
        if kind.kind not in KINDS:
            raise pickle.UnpicklingError(f"an array of {kind}")
        return kind.newbyteorder("<" if self.order == "|" else self.order)  # type: ignore[arg-type]


class Array:
    """Stands where numpy's array would, until all bytes are there and fit the shape."""

    def __init__(self, *_arguments: Any) -> None:
        self.state: Sequence[Any] = ()

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.state = state

    def found(self) -> NDArray[Any]:
        """The array, if its bytes are as many as its shape needs."""
        _, shape, kind, columns_first, data = self.state
        return filled(data, kind, shape, "F" if columns_first else "C")


def filled(data: Any, kind: Kind, shape: Sequence[int], order: Any = "C") -> NDArray[Any]:
    """The array of these bytes."""
    raw, wanted = bytes(data), kind.found()
    if len(raw) != math.prod(shape) * wanted.itemsize:
        raise pickle.UnpicklingError(f"{len(raw)} bytes for an array of {tuple(shape)} {wanted}")
    return np.frombuffer(raw, wanted).reshape(shape, order="F" if order in ("F", b"F") else "C")


def encoded(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into an old pickle."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text in {encoding}")
    return text.encode("latin1")


#: Every name that may be asked for, and what stands in its place. numpy's own code never runs.
STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): Kind,
    ("numpy", "ndarray"): Array,
    ("_codecs", "encode"): encoded,
    ("__builtin__", "bytes"): lambda: b"",  # how protocols up to 2 write no bytes at all
    **{(f"{core}.multiarray", "_reconstruct"): Array for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): filled for core in ("numpy.core", "numpy._core")},
}


class Reader(pickle.Unpickler):
    """An unpickler that knows nothing but arrays and what every pickle can hold."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name, or a refusal."""
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return STAND_INS[module, name]


def unpickled(data: bytes, where: str) -> dict[str, Any]:
    """What a pickled dict of arrays, lists, numbers and text holds, its keys as text.

    Nothing that the file names is imported or called, so a file of unknown origin can be read.

    Raises:
        TaskError: the pickle is cut off, asks for anything else, or holds no dict.

    >>> unpickled(pickle.dumps({"labels": [3, 1]}), "here")
    {'labels': [3, 1]}
    """
    try:
        found = Reader(io.BytesIO(data), encoding="bytes").load()
        if isinstance(found, dict):
            return {named(key): settled(value) for key, value in found.items()}
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to say
        raise TaskError(
            f"{where}: expected a whole pickle of arrays, lists and text, found one that cannot be "
            f"read: {type(error).__name__}: {error}. Fetch it again; nothing in it was run."
        ) from error
    raise TaskError(f"{where}: expected a pickled dict, found {type(found).__name__}.")


def named(key: Any) -> str:
    """A key as text: Python 2 wrote bytes."""
    return key.decode("ascii") if isinstance(key, bytes) else str(key)


def settled(value: Any) -> Any:
    """The array in place of its stand-in."""
    return value.found() if isinstance(value, Array) else value
