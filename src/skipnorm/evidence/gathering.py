"""Many datasets side by side: readings of one trial, and one file per trial in, one dataset out."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.parts import Array, Part
from skipnorm.evidence.schema import check
from skipnorm.evidence.store import read

TRIAL = ("variant", "seed")
FIRST = (*TRIAL, "rate", "step")
"""The dimensions that stand before those of the measurement."""

RECORDED = "recorded"
"""The variable that tells a trial that diverged (NaN, recorded) from one that never ran."""

Labels = Mapping[str, np.ndarray]


def gather(trials: Iterable[str | Path | xr.Dataset]) -> xr.Dataset:
    """All trials in one dataset: the outer join of their labels along variant and seed.

    Text labels (variants, sites) keep the order in which they first appear, so that sites stay
    in order of execution; numbers (seeds, rates, steps) are sorted. Where a trial has no value there
    is NaN or empty text, and the variable `recorded` (variant, seed) says which trials exist: a NaN
    of a recorded trial is a result. A label of a site that differs between variants becomes a
    label of (variant, site). Provenance that differs is joined with `" | "`.

    Where some trials have a grid of learning rates, `rate` is a dimension of all: a trial without
    one stands at its single label `rate`, or at 0 where it learnt nothing. Where a variable has the
    dimension `step` in some trials, it was read at step 0 in those where it has not.

    Args:
        trials: files written by `write`, or datasets; each has a `variant` and a `seed`, as
            dimensions or as single labels.

    Raises:
        EvidenceError: no trial at all, a trial without variant or seed, the same trial twice, or
            a variable whose dimensions differ between trials.
    """
    datasets = [_dataset(trial) for trial in trials]
    if not datasets:
        raise EvidenceError("expected at least one trial to gather, found none")
    rated = any("rate" in dataset.dims for dataset in datasets)
    parts = [_trial(dataset, rated=rated) for dataset in datasets]
    _start_at_step_zero(parts)
    labels = _labels(parts)
    recorded = _recorded(parts, labels, (*TRIAL, "rate") if rated else TRIAL)
    return _joined(parts, labels, recorded)


def beside(parts: Sequence[tuple[xr.Dataset, Mapping[str, Any]]]) -> xr.Dataset:
    """Readings of one trial in one dataset: the outer join of their labels, each under its place.

    Args:
        parts: pairs of a dataset and where it belongs: a label for each dimension that it lacks.

    Raises:
        EvidenceError: two readings give the same variable at the same place, or differ in a label.

    >>> loss = {"unit": "1", "meaning": "loss", "source": "definition"}
    >>> early, late = (xr.Dataset({"loss": ((), value, loss)}) for value in (2.0, 1.0))
    >>> beside([(early, {"step": 0}), (late, {"step": 100})])["loss"].values
    array([2., 1.])
    """
    found = [Part(dataset, place) for dataset, place in parts]
    return _joined(found, _labels(found))


def _dataset(trial: str | Path | xr.Dataset) -> xr.Dataset:
    name = "a dataset" if isinstance(trial, xr.Dataset) else str(trial)
    dataset = trial if isinstance(trial, xr.Dataset) else read(trial)
    for dim in TRIAL:
        if dim not in dataset.coords:
            raise EvidenceError(
                f"{name} has no {dim!r}; expected a trial, labelled with its variant and its seed"
            )
    return dataset


def _trial(dataset: xr.Dataset, *, rated: bool) -> Part:
    """A trial with variant, seed and, where some have one, rate as dimensions of all it measured."""
    dims = (*TRIAL, "rate") if rated else TRIAL
    missing = [dim for dim in dims if dim not in dataset.dims]
    place = {dim: dataset[dim].item() if dim in dataset.coords else 0.0 for dim in missing}
    part = Part(dataset, place)
    part.broadcast(dims)
    return part


def _start_at_step_zero(parts: Sequence[Part]) -> None:
    """What is read along steps elsewhere was read at step 0 here."""
    stepped = {n for part in parts for n, array in part.variables.items() if "step" in array.dims}
    for part in parts:
        for name in stepped & set(part.variables):
            if "step" not in part.labels:
                part.variables[name] = part.variables[name].under("step")
        if "step" not in part.labels and stepped & set(part.variables):
            part.labels["step"] = np.array([0])


def _labels(parts: Sequence[Part]) -> dict[str, np.ndarray]:
    found = dict.fromkeys(dim for part in parts for dim in part.labels)
    dims = [*(dim for dim in FIRST if dim in found), *(dim for dim in found if dim not in FIRST)]
    labels = {dim: _union([p.labels[dim] for p in parts if dim in p.labels]) for dim in dims}
    for part in parts:
        part.find_places(labels)
    return labels


def _union(columns: list[np.ndarray]) -> np.ndarray:
    values = np.concatenate(columns)
    if values.dtype.kind in "biuf":
        return np.unique(values)
    return np.asarray(list(dict.fromkeys(values.tolist())))


def _joined(
    parts: Sequence[Part], labels: Labels, recorded: xr.Variable | None = None
) -> xr.Dataset:
    variables = {} if recorded is None else {RECORDED: recorded}
    for name in dict.fromkeys(name for part in parts for name in part.variables):
        if name not in variables:
            own = [(part, part.variables[name]) for part in parts if name in part.variables]
            variables[name] = _join(name, own, labels, once=recorded is None)
    extras = {
        name: _join_labels(name, parts, labels)
        for name in dict.fromkeys(name for part in parts for name in part.extras)
        if name not in labels
    }
    attrs = _join_attrs([part.attrs for part in parts])
    joined = xr.Dataset(variables, {**labels, **extras}, attrs)
    check(joined)
    return joined


def _join(
    name: str, arrays: Sequence[tuple[Part, Array]], labels: Labels, *, once: bool = False
) -> xr.Variable:
    """All arrays in one; ``once`` refuses to fill a place twice."""
    first = arrays[0][1]
    if any(set(array.dims) != set(first.dims) for _, array in arrays):
        found = sorted({str(array.dims) for _, array in arrays})
        raise EvidenceError(f"variable {name!r} has different dimensions in the trials: {found}")
    dims = _in_order(first.dims)
    shape = tuple(len(labels[dim]) for dim in dims)
    filled = np.zeros(shape, bool)
    whole = _blank(shape, [array.values.dtype for _, array in arrays])
    for part, array in arrays:
        where = part.where(dims)
        if once and filled[where].any():
            raise EvidenceError(
                f"variable {name!r} is given twice for the same place; two probes give their "
                "numbers the same name: ask one of them in a study of its own"
            )
        whole[where] = array.along(dims)
        filled[where] = True
    if filled.all() and all(array.values.dtype.kind in "biu" for _, array in arrays):
        whole = whole.astype(first.values.dtype)
    text = whole.astype(str) if whole.dtype.kind == "O" else whole
    return xr.Variable(dims, text, dict(first.attrs))


def _in_order(dims: Sequence[str]) -> tuple[str, ...]:
    return (*(d for d in FIRST if d in dims), *(d for d in dims if d not in FIRST))


def _blank(shape: tuple[int, ...], kinds: list[np.dtype[Any]]) -> np.ndarray:
    if any(kind.kind in "UTO" for kind in kinds):
        return np.full(shape, "", object)
    return np.full(shape, np.nan)


def _join_labels(name: str, parts: Sequence[Part], labels: Labels) -> xr.Variable:
    """Labels of labels: of (variant, site) where the variants differ in them."""
    having = [part for part in parts if name in part.extras]
    arrays = [(part, part.extras[name]) for part in having]
    whole = _join(name, arrays, labels)
    if "variant" in whole.dims or all(_agrees(*each, whole) for each in arrays):
        return whole
    apart = [
        (part, array.repeated("variant", len(part.labels["variant"])))
        for part, array in arrays
        if "variant" in part.labels
    ]
    whole = _join(name, apart, labels) if len(apart) == len(arrays) else whole
    if not all(_agrees(part, array, whole) for part, array in apart or arrays):
        raise EvidenceError(f"label {name!r} differs within a variant; expected one for each place")
    return whole


def _agrees(part: Part, array: Array, whole: xr.Variable) -> bool:
    dims = tuple(map(str, whole.dims))
    there, here = whole.values[part.where(dims)], array.along(dims)
    return bool(np.array_equal(there.astype(here.dtype), here, equal_nan=here.dtype.kind == "f"))


def _recorded(parts: Sequence[Part], labels: Labels, dims: tuple[str, ...]) -> xr.Variable:
    count = np.zeros(tuple(len(labels[dim]) for dim in dims), int)
    for part in parts:
        where = part.where(dims)
        known = part.variables.get(RECORDED)
        count[where] += 1 if known is None else known.along(dims).astype(int)
    if count.max() > 1:
        variant, seed, *_ = np.argwhere(count > 1)[0]
        raise EvidenceError(
            f"variant {str(labels['variant'][variant])!r} with seed {labels['seed'][seed]} was "
            "given more than once; gather every trial only once"
        )
    attrs = {"unit": "1", "meaning": "whether this trial was run", "source": "definition"}
    return xr.Variable(dims, count.astype(bool), attrs)


def _join_attrs(attrs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    keys = dict.fromkeys(key for one in attrs for key in one)
    return {
        key: " | ".join(dict.fromkeys(str(one[key]) for one in attrs if key in one)) for key in keys
    }
