"""The written schema of evidence: which dimensions exist, and what every variable must say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from skipnorm.errors import EvidenceError, nearest

DIMENSIONS = (
    "variant",
    "seed",
    "rate",
    "step",
    "update",
    "site",
    "port",
    "case",
    "lag",
    "direction",
    "eigenvalue",
    "block",
    "layer",
    "unit",
    "quantile",
    "batch",
    "sample",
    "length",
    "draw",
    "curvature",
    "x",
    "y",
)
"""Every dimension that evidence may have. A new one is added here, and nowhere else."""

_REQUIRED = ("unit", "meaning", "source")


@dataclass(frozen=True)
class Quantity:
    """What one measured variable is: its dimensions, its unit, and what its number means.

    Args:
        name: the variable's name, a valid Python identifier.
        dims: its dimensions in order, each one of `DIMENSIONS`.
        unit: its unit; `"1"` for a pure number.
        meaning: one line that says what the number tells.
        source: author, year and equation, or `"definition"`.
    """

    name: str
    dims: tuple[str, ...]
    unit: str
    meaning: str
    source: str

    def __post_init__(self) -> None:
        """Refuse a name, a dimension or a description that the schema does not allow."""
        if not self.name.isidentifier():
            raise EvidenceError(f"expected an identifier as a quantity's name, found {self.name!r}")
        for dim in self.dims:
            if dim not in DIMENSIONS:
                raise EvidenceError(f"quantity {self.name!r}: dimension {nearest(dim, DIMENSIONS)}")
        for field in _REQUIRED:
            if not str(getattr(self, field)).strip():
                raise EvidenceError(
                    f"quantity {self.name!r} leaves its {field} empty; "
                    "write one, for instance unit='1' or source='definition'"
                )


def label(
    values: Mapping[str, Any],
    quantities: Sequence[Quantity],
    coords: Mapping[str, Any],
    provenance: Mapping[str, str],
) -> xr.Dataset:
    """Plain arrays turned into evidence: named dimensions, units, meanings and provenance.

    Args:
        values: one array for every quantity, shaped as its dims say.
        quantities: what the arrays are, in the order the evidence shall have.
        coords: the labels along each dimension; further labels of a dimension, such as the
            kind of every site, as `name: (dimension, labels)`.
        provenance: what made the numbers; becomes the attributes of the whole.

    Raises:
        EvidenceError: a value without a quantity or the reverse, a shape that disagrees with
            the labels, or anything that `check` refuses.

    >>> rate = Quantity("rate", ("seed",), "1", "growth per layer", "definition")
    >>> evidence = label({"rate": [1.5, 1.4]}, [rate], {"seed": [0, 1]}, {"made": "by hand"})
    >>> evidence["rate"].attrs["meaning"], evidence.attrs["made"]
    ('growth per layer', 'by hand')
    """
    _match_names(values, [quantity.name for quantity in quantities])
    labels = xr.Dataset(coords=dict(coords))
    variables = {}
    for quantity in quantities:
        array = np.asarray(values[quantity.name])
        _match_shape(quantity, array, labels)
        attrs = {field: getattr(quantity, field) for field in _REQUIRED}
        variables[quantity.name] = (quantity.dims, array, attrs)
    dataset = xr.Dataset(variables, coords=labels.coords, attrs=dict(provenance))
    check(dataset)
    return dataset


def check(dataset: xr.Dataset) -> None:
    """Whether a dataset keeps to the schema: returns in silence, or raises and says what breaks.

    Evidence has only dimensions from `DIMENSIONS`, each with unrepeated labels; every variable
    is numbers, truths or text, and states its `unit`, `meaning` and `source`.

    Raises:
        EvidenceError: naming the first variable or dimension that breaks the schema.

    >>> check(xr.Dataset({"rate": ("sede", [1.0])}))
    Traceback (most recent call last):
    ...
    skipnorm.errors.EvidenceError: dimension expected one of ... Did you mean 'seed'?
    """
    for dim in dataset.dims:
        _check_dimension(dataset, str(dim))
    for name in dataset.data_vars:
        variable = dataset.variables[name]
        for field in _REQUIRED:
            if not str(variable.attrs.get(field, "")).strip():
                raise EvidenceError(
                    f"variable {name!r} states no {field}; "
                    f"set its attribute {field!r}, or make the evidence with label(...)"
                )
        if variable.dtype.kind not in "biufUST":
            raise EvidenceError(
                f"variable {name!r} holds {variable.dtype}; expected real numbers, truths or text"
            )


def _check_dimension(dataset: xr.Dataset, dim: str) -> None:
    if dim not in DIMENSIONS:
        raise EvidenceError(f"dimension {nearest(dim, DIMENSIONS)}")
    if dim not in dataset.indexes:
        raise EvidenceError(f"dimension {dim!r} has no labels; give them as a coordinate {dim!r}")
    index = dataset.indexes[dim]
    if not index.is_unique:
        repeated = index[index.duplicated()].tolist()[0]
        raise EvidenceError(f"dimension {dim!r} has the label {repeated!r} more than once")


def _match_names(values: Mapping[str, Any], expected: Sequence[str]) -> None:
    for name in values:
        if name not in expected:
            raise EvidenceError(f"value without a quantity: {nearest(name, expected)}")
    for name in expected:
        if name not in values:
            raise EvidenceError(f"quantity without a value: {nearest(name, values)}")


def _match_shape(quantity: Quantity, array: np.ndarray, labels: xr.Dataset) -> None:
    unlabelled = [dim for dim in quantity.dims if dim not in labels.sizes]
    if unlabelled:
        raise EvidenceError(
            f"quantity {quantity.name!r} has the dimension {unlabelled[0]!r}, which has no labels; "
            f"give coords[{unlabelled[0]!r}]"
        )
    expected = tuple(labels.sizes[dim] for dim in quantity.dims)
    if array.shape != expected:
        raise EvidenceError(
            f"quantity {quantity.name!r}: expected the shape {expected} for {quantity.dims}, "
            f"found {array.shape}"
        )
