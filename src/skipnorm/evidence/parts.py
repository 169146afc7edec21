"""A dataset taken apart into plain arrays, so that thousands of them are joined in no time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["Array", "Part"]


@dataclass(frozen=True)
class Array:
    """Numbers, their dimensions and what they mean."""

    dims: tuple[str, ...]
    values: np.ndarray
    attrs: Mapping[Any, Any]

    def under(self, *dims: str) -> Array:
        """The same with further dimensions in front, each with one label."""
        shape = (1,) * len(dims) + self.values.shape
        return Array((*dims, *self.dims), self.values.reshape(shape), self.attrs)

    def along(self, dims: Sequence[str]) -> np.ndarray:
        """The numbers with their dimensions in this order."""
        return self.values.transpose([self.dims.index(dim) for dim in dims])

    def repeated(self, dim: str, count: int) -> Array:
        """The same at each of so many labels of a dimension."""
        shape = (count, *self.values.shape)
        return Array((dim, *self.dims), np.broadcast_to(self.values, shape), self.attrs)


class Part:
    """One dataset among several to be joined.

    Attributes:
        labels: along each dimension.
        variables: what was measured.
        extras: further labels of a dimension, such as the kind of every site.
        attrs: provenance.
    """

    def __init__(self, dataset: xr.Dataset, place: Mapping[str, Any]) -> None:
        found = dataset.variables  # plain ones: a DataArray for each would cost most of the time
        self.labels: dict[str, np.ndarray] = {
            **{dim: np.asarray([label]) for dim, label in place.items()},
            **{
                str(d): found[d].values if d in found else np.arange(n)
                for d, n in dataset.sizes.items()
            },
        }
        self.variables = {
            str(name): _array(found[name]).under(*place) for name in dataset.data_vars
        }
        self.extras = {
            str(name): _array(found[name]) for name in dataset.coords if name not in self.labels
        }
        self.attrs = {str(key): value for key, value in dataset.attrs.items()}
        self._places: dict[str, np.ndarray] = {}

    def broadcast(self, dims: Sequence[str]) -> None:
        """Let every variable have these dimensions, the same numbers at each label."""
        for name, array in self.variables.items():
            for dim in dims:
                if dim not in array.dims:
                    array = array.repeated(dim, len(self.labels[dim]))
            self.variables[name] = array

    def find_places(self, labels: Mapping[str, np.ndarray]) -> None:
        """Note where among these labels its own are."""
        for dim, own in self.labels.items():
            place = {label: at for at, label in enumerate(labels[dim].tolist())}
            self._places[dim] = np.array([place[label] for label in own.tolist()], int)

    def where(self, dims: Sequence[str]) -> tuple[Any, ...]:
        """Where its numbers along these dimensions go in the whole."""
        return tuple(np.ix_(*(self._places[dim] for dim in dims)))


def _array(variable: xr.Variable) -> Array:
    return Array(tuple(map(str, variable.dims)), variable.values, variable.attrs)
