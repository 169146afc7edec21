"""The probes of a whole network as verbs: what each finds, as a labelled dataset."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, ParamSpec

from skipnorm.errors import ProbeError
from skipnorm.probes.activation import activation as _activation
from skipnorm.probes.curvature import curvature as _curvature
from skipnorm.probes.findings import Findings
from skipnorm.probes.jacobian import jacobian as _jacobian
from skipnorm.probes.landscape import landscape as _landscape
from skipnorm.probes.paths import paths as _paths
from skipnorm.probes.scores import scores as _scores
from skipnorm.probes.shattering import gradient_correlation as _gradient_correlation
from skipnorm.probes.shattering import (
    input_gradient_autocorrelation as _input_gradient_autocorrelation,
)
from skipnorm.probes.shift import drift as _drift
from skipnorm.probes.shift.gradient import shift_gradient as _shift_gradient
from skipnorm.probes.shift.identical import identical as _identical
from skipnorm.probes.smoothness import smoothness as _smoothness
from skipnorm.studies.measure import labelled

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "activation",
    "curvature",
    "drift",
    "gradient_correlation",
    "identical",
    "input_gradient_autocorrelation",
    "jacobian",
    "landscape",
    "paths",
    "scores",
    "shift_gradient",
    "smoothness",
]

P = ParamSpec("P")


def _verb(probe: Callable[P, Findings]) -> Callable[P, xr.Dataset]:
    defaults = {
        name: (parameter.default, str(parameter.annotation))
        for name, parameter in inspect.signature(probe).parameters.items()
    }

    @functools.wraps(probe)
    def verb(*args: P.args, **kwargs: P.kwargs) -> xr.Dataset:
        for name, value in kwargs.items():
            _check(name, value, *defaults.get(name, (None, "")))
        return labelled(probe(*args, **kwargs))

    return verb


def _check(name: str, value: object, usual: object, annotation: str) -> None:
    """Refuse a setting of another kind than its usual value: a probe would end midway, or round in silence."""
    if value is usual or (annotation.endswith("Any") and not isinstance(value, str | Real)):
        return
    if isinstance(usual, tuple):
        expected, fits = "several", hasattr(value, "__iter__") and not isinstance(value, str)
        if fits and usual and isinstance(usual[0], Real):
            expected = "several numbers"
            fits = all(isinstance(each, Real) for each in value)  # type: ignore[attr-defined]
    elif isinstance(usual, str):
        expected, fits = "a name", isinstance(value, str)
    elif isinstance(usual, int) and isinstance(value, str | Real):
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        expected, fits = "a whole number", whole
    elif isinstance(usual, float):
        real = isinstance(value, Real) and not isinstance(value, bool)
        expected, fits = "a number", real and value == value  # NaN is not equal to itself
    else:
        return
    if not fits:
        raise ProbeError(f"{name}: expected {expected}, found {value!r}. Usual is {usual!r}.")


activation = _verb(_activation)
curvature = _verb(_curvature)
drift = _verb(_drift)
gradient_correlation = _verb(_gradient_correlation)
identical = _verb(_identical)
input_gradient_autocorrelation = _verb(_input_gradient_autocorrelation)
jacobian = _verb(_jacobian)
landscape = _verb(_landscape)
paths = _verb(_paths)
scores = _verb(_scores)
shift_gradient = _verb(_shift_gradient)
smoothness = _verb(_smoothness)
