"""A dataset as the bytes of a NetCDF-4 file, and back, at a thirtieth of the usual cost.

What is written is an ordinary file for xarray, h5netcdf and netCDF: numbers, text, dimension
scales and attributes. It holds what evidence needs and no more: no fill values, no unlimited or
unlabelled dimensions; compressed is only what is large. That is little enough to be said to the HDF5
library directly.

Source: NetCDF-4 file format specification (Unidata); HDF5 dimension scales specification.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from h5py import h5, h5a, h5d, h5ds, h5f, h5p, h5r, h5s, h5t

from skipnorm.errors import EvidenceError

__all__ = ["decoded", "encoded"]

_MADE_BY = b"_NCProperties"
_BY_US = "version=2,skipnorm=1"
"""Tells our files, which hold nothing unexpected, from those that another library wrote."""

_COORDINATES, _DTYPE = "coordinates", "dtype"
_NUMBER, _DIMS = b"_Netcdf4Dimid", b"_Netcdf4Coordinates"
_SCALES = (b"CLASS", b"NAME", b"DIMENSION_LIST", b"REFERENCE_LIST")
_HIDDEN = {_MADE_BY, _NUMBER, _DIMS, *_SCALES}

_LARGE = 1 << 20
"""Bytes from which numbers are compressed: gathered trials are mostly NaN where variants differ in labels."""

_ORDERED = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED
_SCALAR = h5s.create(h5s.SCALAR)
_TEXT = h5py.string_dtype()
_TEXT_KEPT, _TEXT_HERE = h5t.py_create(_TEXT, logical=True), h5t.py_create(_TEXT)
_REFERENCE = h5py.special_dtype(ref=h5py.Reference)
_REFERENCES = h5py.vlen_dtype(_REFERENCE)
_USE = np.dtype([("dataset", _REFERENCE), ("dimension", np.int32)])


def encoded(dataset: xr.Dataset) -> bytes:
    """The content of the file.

    Truths are kept as xarray keeps them, text of fixed length as text, half precision as single.

    Raises:
        EvidenceError: a label, an attribute or a name is of a kind that NetCDF does not have.
    """
    file = _file_in_memory()
    names = sorted(map(str, dataset.variables), key=lambda name: name not in dataset.dims)
    try:
        kept = {name: _variable(file, name, dataset.variables[name]) for name in names}
        _scales(kept, {str(n): tuple(map(str, v.dims)) for n, v in dataset.variables.items()})
        for name, value in dataset.attrs.items():
            _attribute(file, str(name), value)
        labels = " ".join(str(name) for name in dataset.coords if name not in dataset.dims)
        if labels:
            _attribute(file, _COORDINATES, labels)
        _attribute(file, _MADE_BY.decode(), _BY_US)
        h5f.flush(file)
        content: bytes = file.get_file_image()
        return content
    except (TypeError, ValueError, RuntimeError) as cause:
        raise EvidenceError(f"this evidence cannot be kept in a NetCDF file: {cause}") from cause
    finally:
        file.close()


def decoded(path: Path) -> xr.Dataset | None:
    """The dataset in a file that `encoded` made; None where another library has written it.

    Raises:
        Exception: of various classes, if the file is damaged.
    """
    file = h5f.open(str(path).encode(), h5f.ACC_RDONLY)
    try:
        return _dataset(file) if _is_ours(file) else None
    finally:
        file.close()


def _file_in_memory() -> Any:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 16, False)
    access.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_V18)  # what every library of today can read
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_link_creation_order(_ORDERED)
    creation.set_attr_creation_order(_ORDERED)
    return h5f.create(b"evidence", h5f.ACC_TRUNC, creation, access)


def _variable(file: Any, name: str, variable: xr.Variable) -> Any:
    if "/" in name or " " in name:
        raise ValueError(f"expected names without '/' and blanks, found {name!r}")
    array, attrs = _plain(name, np.asarray(variable.values)), dict(variable.attrs)
    if variable.dtype.kind == "b":
        attrs[_DTYPE] = "bool"
    kept, here = _types(array)
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_attr_creation_order(_ORDERED)
    if array.dtype.kind != "O" and array.nbytes > _LARGE:
        creation.set_chunk(_chunk(array))
        creation.set_shuffle()
        creation.set_deflate(1)
    found = h5d.create(file, name.encode(), kept, _space(array), creation)
    found.write(h5s.ALL, h5s.ALL, array, mtype=here)
    for key, value in attrs.items():
        _attribute(found, str(key), value)
    return found


def _chunk(array: np.ndarray) -> tuple[int, ...]:
    """The shape of the pieces that are compressed one by one, a mebibyte at most: whole along the last dimensions."""
    piece, axis = list(array.shape), 0
    while np.prod(piece, dtype=float) * array.itemsize > _LARGE:
        piece[axis] = -(-piece[axis] // 2)
        axis += piece[axis] == 1
    return tuple(piece)


def _attribute(owner: Any, name: str, value: Any) -> None:
    array = np.asarray(value)
    if array.dtype.kind == "b":
        array = array.astype(np.int8)
    array = _plain(name, array)
    kept, here = _types(array)
    h5a.create(owner, name.encode(), kept, _space(array)).write(array, mtype=here)


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """The same values in one of the types that NetCDF has."""
    kind = array.dtype.kind
    if kind == "b":
        array = array.astype(np.int8)
    elif kind == "S":
        array = np.char.decode(array, "utf-8").astype(_TEXT)
    elif kind in "UT" or (kind == "O" and all(isinstance(each, str) for each in array.flat)):
        array = array.astype(_TEXT)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    elif kind not in "iuf" or array.itemsize > 8:
        raise TypeError(f"expected numbers, truths or text in {name!r}, found {array.dtype}")
    return np.asarray(array, order="C")


def _types(array: np.ndarray) -> tuple[Any, Any]:
    """How values are kept in the file, and how they are here."""
    if array.dtype.kind == "O":
        return _TEXT_KEPT, _TEXT_HERE
    kind = h5t.py_create(array.dtype)
    return kind, kind


def _space(array: np.ndarray) -> Any:
    return h5s.create_simple(array.shape) if array.ndim else _SCALAR


def _scales(kept: Mapping[str, Any], dims: Mapping[str, tuple[str, ...]]) -> None:
    """Which variables are labels of a dimension, and which dimensions each variable has."""
    numbers = {name: at for at, name in enumerate(n for n in kept if dims[n] == (n,))}
    scales = {name: h5r.create(kept[name], b".", h5r.OBJECT) for name in numbers}
    uses: dict[str, list[tuple[Any, int]]] = {name: [] for name in numbers}
    for name, own in dims.items():
        if name in numbers:
            h5ds.set_scale(kept[name], name.encode())
            _attribute(kept[name], _NUMBER.decode(), np.int32(numbers[name]))
        elif own:
            here = h5r.create(kept[name], b".", h5r.OBJECT)
            for place, dim in enumerate(own):
                uses[dim].append((here, place))
            _listed(kept[name], b"DIMENSION_LIST", _references([scales[dim] for dim in own]))
            _attribute(kept[name], _DIMS.decode(), np.array([numbers[dim] for dim in own], "i4"))
    for name, used in uses.items():
        if used:
            _listed(kept[name], b"REFERENCE_LIST", np.array(used, _USE))


def _references(scales: list[Any]) -> np.ndarray:
    """A list of one reference for each dimension, as the specification has it."""
    lists = np.empty(len(scales), _REFERENCES)
    for place, scale in enumerate(scales):
        lists[place] = np.array([scale], _REFERENCE)
    return lists


def _listed(owner: Any, name: bytes, values: np.ndarray) -> None:
    kept, here = h5t.py_create(values.dtype, logical=True), h5t.py_create(values.dtype)
    h5a.create(owner, name, kept, h5s.create_simple(values.shape)).write(values, mtype=here)


def _is_ours(file: Any) -> bool:
    made_by = h5a.open(file, _MADE_BY) if h5a.exists(file, _MADE_BY) else None
    return made_by is not None and _is_text(made_by) and _value(made_by) == _BY_US


def _is_text(kept: Any) -> bool:
    kind = kept.get_type()
    return isinstance(kind, h5t.TypeStringID) and kind.is_variable_str()


def _dataset(file: Any) -> xr.Dataset:
    names: list[bytes] = []
    file.links.iterate(names.append, idx_type=h5.INDEX_CRT_ORDER)
    found = {name: h5d.open(file, name) for name in names}
    scales = {name: each for name, each in found.items() if h5a.exists(each, _NUMBER)}
    dims = {int(_value(h5a.open(each, _NUMBER))): name.decode() for name, each in scales.items()}
    variables = {name.decode(): _decoded(name, each, dims) for name, each in found.items()}
    attrs = _attributes(file)
    labels = str(attrs.pop(_COORDINATES, "")).split()
    coords = {name: variables.pop(name) for name in [*dims.values(), *labels]}
    return xr.Dataset(variables, coords, attrs)


def _decoded(name: bytes, kept: Any, dims: Mapping[int, str]) -> xr.Variable:
    if h5a.exists(kept, _DIMS):
        own = tuple(dims[number] for number in _value(h5a.open(kept, _DIMS)).tolist())
    else:
        own = (name.decode(),) if h5a.exists(kept, _NUMBER) else ()
    values, attrs = _values(kept), _attributes(kept)
    if attrs.pop(_DTYPE, "") == "bool":
        values = values.astype(bool)
    return xr.Variable(own, values, attrs)


def _attributes(owner: Any) -> dict[str, Any]:
    names: list[bytes] = []
    h5a.iterate(owner, names.append, index_type=h5.INDEX_CRT_ORDER)
    return {name.decode(): _value(h5a.open(owner, name)) for name in names if name not in _HIDDEN}


def _value(kept: Any) -> Any:
    """A single text or number as itself."""
    array = _values(kept)
    if array.ndim:
        return array
    return array.item() if array.dtype.kind == "U" else array[()]


def _values(kept: Any) -> np.ndarray:
    """What a variable or an attribute holds."""
    text = _is_text(kept)
    array = np.empty(kept.shape, _TEXT if text else kept.dtype)
    where = (h5s.ALL, h5s.ALL) if isinstance(kept, h5d.DatasetID) else ()
    kept.read(*where, array, mtype=_TEXT_HERE if text else None)
    if not text:
        return array
    words = [each.decode() if isinstance(each, bytes) else each for each in array.flat]
    return np.array(words, str).reshape(array.shape)
