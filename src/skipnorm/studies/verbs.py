"""The probes of a whole network as verbs: what each finds, as a labelled dataset."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

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
    @functools.wraps(probe)
    def verb(*args: P.args, **kwargs: P.kwargs) -> xr.Dataset:
        return labelled(probe(*args, **kwargs))

    return verb


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
