"""The points of a landscape on disk: what is done survives, and what belongs to another landscape is set aside."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skipnorm.errors import ProbeError

__all__ = ["PointStore", "fingerprint"]

_EVERY = 2.0
"""Seconds between two writes."""

_KIND = "skipnorm landscape points, 1"


class PointStore:
    """The losses found so far, (points x batches), kept in memory and, if there is a path, in one file.

    The file is replaced as a whole, so that it is never half written.

    Attributes:
        losses: what was found; what was not is NaN, and so may be what was.
        done: which points were.
        notes: what became of a file that was in the way.
    """

    def __init__(self, path: str | Path | None, identity: str, points: int, batches: int) -> None:
        self.losses = np.full((points, batches), np.nan)
        self.done = np.zeros(points, bool)
        self.notes: tuple[str, ...] = ()
        self._path = None if path is None else Path(path)
        self._identity, self._written = identity, time.monotonic()
        if self._path is not None:
            self._take_up(self._path)
            self.write()

    def keep(self, numbers: Sequence[int], losses: Tensor) -> None:
        """Remember the losses of these points, and write them down now and then."""
        self.losses[list(numbers)] = losses.numpy()
        self.done[list(numbers)] = True
        if time.monotonic() - self._written > _EVERY:
            self.write()

    def write(self) -> None:
        """Write down all that is known, whole or not at all.

        Raises:
            ProbeError: the file cannot be written.
        """
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
            draft = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    np.savez(
                        file,
                        kind=_KIND,
                        identity=self._identity,
                        losses=self.losses,
                        done=self.done,
                    )
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self._path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as cause:
            raise ProbeError(
                f"cannot keep the points in {self._path}: {cause}. Give resume= the path of a file that can be written."
            ) from cause
        self._written = time.monotonic()

    def _take_up(self, path: Path) -> None:
        if not path.exists():
            return
        if not path.is_file():
            raise ProbeError(f"expected resume= to be the path of a file, found a folder at {path}")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                kind, identity = str(found["kind"]), str(found["identity"])
                losses, done = found["losses"], found["done"]
        except Exception as cause:  # every kind of damage raises another error
            self._set_aside(path, "damaged", f"could not be read ({type(cause).__name__})")
            return
        if (kind, identity) != (_KIND, self._identity) or losses.shape != self.losses.shape:
            self._set_aside(path, "foreign", "holds points of another landscape")
            return
        self.losses, self.done = losses, done

    def _set_aside(self, path: Path, word: str, reason: str) -> None:
        number = 1
        while (aside := path.with_name(f"{path.name}.{word}-{number}")).exists():
            number += 1
        path.rename(aside)
        self.notes += (f"{path.name} {reason}, was set aside as {aside.name} and begun anew",)


def fingerprint(*parts: Any) -> str:
    """A digest of tensors and plain values, to the last bit of each.

    >>> fingerprint(torch.ones(1)) == fingerprint(torch.ones(1)), fingerprint(1) == fingerprint(2)
    (True, False)
    """
    digest = hashlib.sha256()
    for piece in _pieces(parts):
        digest.update(piece)
        digest.update(b"\0")
    return digest.hexdigest()


def _pieces(value: Any) -> Iterable[bytes]:
    if isinstance(value, Tensor):
        plain = value.detach()
        plain = (plain.to_dense() if plain.layout != torch.strided else plain).cpu().contiguous()
        yield f"{plain.dtype} {tuple(plain.shape)}".encode()
        yield plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name).encode()
            yield from _pieces(each)
    elif isinstance(value, list | tuple):
        yield f"{len(value)}".encode()
        for each in value:
            yield from _pieces(each)
    elif callable(value) and not isinstance(value, type):
        named = getattr(value, "__qualname__", type(value).__qualname__)
        yield f"{getattr(value, '__module__', '')}.{named}".encode()
    elif value is None or isinstance(value, str | int | float | bool):
        yield repr(value).encode()
    else:
        yield type(value).__qualname__.encode()
        yield from _pieces(
            {name: each for name, each in vars(value).items()} if hasattr(value, "__dict__") else {}
        )
