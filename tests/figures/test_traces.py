"""Rows share the horizontal axis and nothing else; what is flat is drawn flat, what is not finite breaks."""

import math

import numpy as np
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.figures import traces
from skipnorm.report.tables import numbers_of


def series(values):
    return xr.DataArray(values, {"x": np.arange(len(values))}, "x")


def test_every_series_has_a_row_of_its_own_that_overlaps_no_other() -> None:
    figure = traces({"large": series([1e9, -1e9]), "small": series([0.0, 1e-9])}, "x")
    assert [trace.yaxis for trace in figure.data] == ["y", "y2"]
    upper, lower = figure.layout.yaxis.domain, figure.layout.yaxis2.domain
    assert 0 <= lower[0] < lower[1] < upper[0] < upper[1] <= 1
    assert figure.layout.xaxis.anchor == "y2"
    for trace, axis in zip(figure.data, (figure.layout.yaxis, figure.layout.yaxis2), strict=True):
        assert axis.range[0] < min(trace.y) < max(trace.y) < axis.range[1]
    assert {note.text for note in figure.layout.annotations} >= {"large", "small"}


def test_rounding_is_not_blown_up_to_a_shape() -> None:
    figure = traces({"constant": series([3.0, 3.0 + 4e-16, 3.0])}, "x")
    low, high = figure.layout.yaxis.range
    assert (high - low) > 1.0


def test_what_is_not_finite_stays_and_leaves_the_scale_alone() -> None:
    figure = traces({"broken": series([0.0, math.inf, 1.0, math.nan])}, "x")
    assert figure.layout.yaxis.range[1] < 2.0
    assert figure.data[0].y[1] == math.inf
    assert traces({"lost": series([math.nan])}, "x").layout.yaxis.range == (-1.0, 1.0)


def test_the_table_behind_it_holds_the_values_as_they_are() -> None:
    table = numbers_of(traces({"a": series([5.0, 7.0])}, "x", x_title="x", y_title="gradient"))
    assert table.columns == ("series", "x", "gradient")
    assert table.rows == (("a", 0, 5.0), ("a", 1, 7.0))


def test_a_wrong_dimension_is_named() -> None:
    seeds = xr.DataArray(np.zeros((2, 3)), {"seed": range(2), "x": range(3)}, ("seed", "x"))
    with pytest.raises(EvidenceError, match=r"over 'x' alone, found \('seed', 'x'\)"):
        traces({"a": seeds}, "x")
    with pytest.raises(EvidenceError, match="at least one"):
        traces({}, "x")
