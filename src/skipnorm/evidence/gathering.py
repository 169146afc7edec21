"""Many trials side by side: one file per trial in, one dataset over variant x seed out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.schema import check
from skipnorm.evidence.store import read

TRIAL = ("variant", "seed")
RECORDED = "recorded"
"""The variable that tells a trial that diverged (NaN, recorded) from one that never ran."""


def gather(trials: Iterable[str | Path | xr.Dataset]) -> xr.Dataset:
    """All trials in one dataset: the outer join of their labels along variant and seed.

    Text labels (variants, sites) keep the order in which they first appear, so that sites stay
    in order of execution; numbers (seeds, steps) are sorted. Where a trial has no value there is
    NaN or empty text, and the variable `recorded` (variant, seed) says which trials exist: a NaN
    of a recorded trial is a result. A label of a site that differs between variants becomes a
    label of (variant, site). Provenance that differs is joined with `" | "`.

    Args:
        trials: files written by `write`, or datasets; each has a `variant` and a `seed`, as
            dimensions or as single labels.

    Raises:
        EvidenceError: no trial at all, a trial without variant or seed, the same trial twice, or
            a variable whose dimensions differ between trials.
    """
    parts = [_as_trials(trial) for trial in trials]
    if not parts:
        raise EvidenceError("expected at least one trial to gather, found none")
    labels = {
        dim: _union([part[dim].values for part in parts if dim in part.dims])
        for dim in dict.fromkeys(str(dim) for part in parts for dim in part.dims)
    }
    joined = xr.Dataset(coords=labels, attrs=_join_attrs([part.attrs for part in parts]))
    joined[RECORDED] = _recorded(parts, labels)
    for name in dict.fromkeys(str(name) for part in parts for name in part.data_vars):
        if name != RECORDED:
            joined[name] = _join(name, [part[name] for part in parts if name in part], labels)
    for name in dict.fromkeys(str(name) for part in parts for name in part.coords):
        if name not in labels:
            joined[name] = _join_labels(name, parts, labels)
            joined = joined.set_coords(name)
    check(joined)
    return joined


def _as_trials(trial: str | Path | xr.Dataset) -> xr.Dataset:
    name = "a dataset" if isinstance(trial, xr.Dataset) else str(trial)
    dataset = trial if isinstance(trial, xr.Dataset) else read(trial)
    for dim in TRIAL:
        if dim not in dataset.coords:
            raise EvidenceError(
                f"{name} has no {dim!r}; expected a trial, labelled with its variant and its seed"
            )
        if dim not in dataset.dims:
            dataset = dataset.expand_dims(dim)
    return dataset.map(_over_trials, args=(dataset,), keep_attrs=True)


def _over_trials(array: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    missing = {dim: dataset[dim].values for dim in TRIAL if dim not in array.dims}
    return array.expand_dims(missing).transpose(*TRIAL, ...)


def _union(columns: list[np.ndarray]) -> np.ndarray:
    values = np.concatenate(columns)
    if values.dtype.kind in "biuf":
        return np.unique(values)
    return np.asarray(list(dict.fromkeys(values.tolist())))


def _positions(array: xr.DataArray, labels: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    where = []
    for dim in array.dims:
        place = {label: at for at, label in enumerate(labels[str(dim)].tolist())}
        where.append([place[label] for label in array[dim].values.tolist()])
    return tuple(np.ix_(*where))


def _join(name: str, arrays: list[xr.DataArray], labels: Mapping[str, np.ndarray]) -> xr.DataArray:
    dims = arrays[0].dims
    if any(set(array.dims) != set(dims) for array in arrays):
        found = sorted({str(array.dims) for array in arrays})
        raise EvidenceError(f"variable {name!r} has different dimensions in the trials: {found}")
    shape = tuple(len(labels[str(dim)]) for dim in dims)
    filled = np.zeros(shape, bool)
    whole = _blank(shape, [array.dtype for array in arrays])
    for array in arrays:
        where = _positions(array.transpose(*dims), labels)
        whole[where] = array.transpose(*dims).values
        filled[where] = True
    if filled.all() and all(array.dtype.kind in "biu" for array in arrays):
        whole = whole.astype(arrays[0].dtype)
    text = whole.astype(str) if whole.dtype.kind == "O" else whole
    return xr.DataArray(text, dims=dims, attrs=arrays[0].attrs)


def _blank(shape: tuple[int, ...], kinds: list[np.dtype[Any]]) -> np.ndarray:
    if any(kind.kind in "UTO" for kind in kinds):
        return np.full(shape, "", object)
    return np.full(shape, np.nan)


def _join_labels(
    name: str, parts: list[xr.Dataset], labels: Mapping[str, np.ndarray]
) -> xr.DataArray:
    arrays = [part[name] for part in parts if name in part.coords]
    whole = _join(name, arrays, labels)
    if "variant" in whole.dims or all(_agrees(array, whole, labels) for array in arrays):
        return whole
    apart = [
        part[name].expand_dims({"variant": part["variant"].values})
        for part in parts
        if name in part.coords
    ]
    return _join(name, apart, labels)


def _agrees(array: xr.DataArray, whole: xr.DataArray, labels: Mapping[str, np.ndarray]) -> bool:
    array = array.transpose(*whole.dims)
    there = whole.values[_positions(array, labels)]
    return bool(np.array_equal(there.astype(array.dtype), array.values))


def _recorded(parts: list[xr.Dataset], labels: Mapping[str, np.ndarray]) -> xr.DataArray:
    count = np.zeros(tuple(len(labels[dim]) for dim in TRIAL), int)
    for part in parts:
        here = part[RECORDED] if RECORDED in part else xr.ones_like(_grid(part), dtype=bool)
        count[_positions(here, labels)] += here.values.astype(int)
    if count.max() > 1:
        variant, seed = np.argwhere(count > 1)[0]
        raise EvidenceError(
            f"variant {str(labels['variant'][variant])!r} with seed {labels['seed'][seed]} was "
            "given more than once; gather every trial only once"
        )
    attrs = {"unit": "1", "meaning": "whether this trial was run", "source": "definition"}
    return xr.DataArray(count.astype(bool), dims=TRIAL, attrs=attrs)


def _grid(part: xr.Dataset) -> xr.DataArray:
    shape = tuple(part.sizes[dim] for dim in TRIAL)
    return xr.DataArray(np.ones(shape), {dim: part[dim] for dim in TRIAL}, TRIAL)


def _join_attrs(attrs: list[Mapping[Any, Any]]) -> dict[str, str]:
    keys = dict.fromkeys(str(key) for one in attrs for key in one)
    return {
        key: " | ".join(dict.fromkeys(str(one[key]) for one in attrs if key in one)) for key in keys
    }
