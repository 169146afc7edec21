"""Data sets of Hugging Face's library ``datasets``, an extra: ``pip install skipnorm[hub]``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError, nearest
from skipnorm.tasks.parted import Half, Parted, as_images, as_targets, as_told, shared_out
from skipnorm.tasks.samples import Samples, Split

__all__ = ["Hub"]

#: What parts and columns are usually called, the first that is there being taken.
PARTS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
INPUTS = ("image", "img", "inputs", "x", "features", "pixel_values")
TARGETS = ("label", "labels", "fine_label", "targets", "target", "y")


@dataclass(frozen=True, repr=False, eq=False)
class Hub(Parted):
    """A data set of the library ``datasets``: images, vectors or series, with labels or numbers.

    ``source``: a ``Dataset`` or ``DatasetDict``, the folder that ``save_to_disk`` wrote, or a name
    for ``load_dataset``, with its ``configuration`` and ``revision``. ``inputs``, ``targets``: the
    columns, found by their usual names unless given.

    Raises:
        TaskError: the library is not installed, the columns cannot be told, or they hold text or
            inputs of several shapes.

    >>> Hub("mnist", inputs="image")
    Hub(source='mnist', inputs='image')
    """

    source: Any = field(compare=False)
    inputs: str | None = field(default=None, kw_only=True)
    targets: str | None = field(default=None, kw_only=True)
    configuration: str | None = field(default=None, kw_only=True)
    revision: str | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        """The canonical text; a data set in memory is told by its rows."""
        if isinstance(self.source, str):
            return super().__repr__()
        return as_told(self, f"<{type(self.source).__name__} of {rows_of(self.source)} rows>")

    def read(self) -> Samples:
        """The samples: read once, and not again while an equal task is in use."""
        return self.kept(self._gathered)

    def _gathered(self) -> Samples:
        found = opened(self.source, self.configuration, self.revision)
        halves = {split: self._half(part) for split, part in parts_of(found).items()}
        return shared_out(halves, self.test, repr(self))

    def _half(self, part: Any) -> Half:
        inputs = self._column(part, self.inputs, INPUTS, "inputs")
        targets = self._column(part, self.targets, TARGETS, "targets")
        return (
            as_images(numbers(part, inputs), f"column {inputs!r}"),
            as_targets(numbers(part, targets), f"column {targets!r}"),
        )

    def _column(self, part: Any, asked: str | None, usual: tuple[str, ...], what: str) -> str:
        """The column that is asked for, or the one with a usual name."""
        columns = list(part.column_names)
        if asked is None:
            asked = next((name for name in usual if name in columns), None)
            if asked is None:
                raise TaskError(
                    f"{self!r}: expected a column of {what} called {' or '.join(usual)}, found "
                    f"{', '.join(columns)}. Say which it is: {what}='...'."
                )
        if asked not in columns:
            raise TaskError(f"{self!r}: column of {what}: {nearest(asked, columns)}")
        return asked


def rows_of(source: Any) -> int:
    """How many rows there are in all parts."""
    parts = source.values() if isinstance(source, Mapping) else [source]
    return sum(len(part) for part in parts)


def opened(source: Any, configuration: str | None, revision: str | None) -> Any:
    """The data set in memory; only a name or a path needs the library."""
    if not isinstance(source, str | Path):
        return source
    try:
        library = importlib.import_module("datasets")
    except ImportError as missing:
        raise TaskError(
            f"The data set {str(source)!r} is opened by the library datasets, which is not "
            "installed: try `pip install skipnorm[hub]`."
        ) from missing
    folder = Path(source).expanduser()
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            return library.load_from_disk(str(folder))
        return library.load_dataset(str(source), configuration, revision=revision)
    except Exception as error:  # the library has no common error of its own
        raise TaskError(
            f"{str(source)!r}: expected a folder that save_to_disk wrote or a name that "
            f"load_dataset knows, but the library says {type(error).__name__}: {error}."
        ) from error


def parts_of(found: Any) -> dict[Split, Any]:
    """The parts by their names here; a data set without parts is a training part."""
    if not isinstance(found, Mapping):
        return {"train": found}
    parts: dict[Split, Any] = {}
    for split, choices in PARTS.items():
        name = next((name for name in choices if name in found), None)
        if name is not None:
            parts[split] = found[name]
    if "train" not in parts:
        raise TaskError(f"Expected a part called 'train', found {', '.join(found) or 'none'}.")
    return parts


def coloured(entry: Any) -> Any:
    """An image with its colours where it holds numbers into a palette; anything else as it is."""
    return entry.convert("RGB") if getattr(entry, "mode", "") == "P" else entry


def numbers(part: Any, column: str) -> NDArray[Any]:
    """One column as an array; TaskError where its entries are text or of several shapes."""
    entries = part.with_format(None)[column]  # plain values and Pillow images, no tensors
    rows = [np.asarray(coloured(entry)) for entry in entries]
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        raise TaskError(
            f"Column {column!r}: expected entries of one shape, found {sorted(shapes)[:4]}. Bring "
            "them to one size with the data set's own map() first."
        )
    if any(row.dtype.kind not in "uifb" for row in rows):
        raise TaskError(
            f"Column {column!r}: expected numbers or images, found {rows[0].dtype}. Turn text into "
            "numbers with the data set's own map() first, or take the task Characters."
        )
    return np.stack(rows) if rows else np.empty(0)
