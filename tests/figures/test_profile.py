"""A profile draws what it was given: means by numpy, intervals by scipy, crosses for the rest."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from scipy import stats

from skipnorm.errors import EvidenceError
from skipnorm.figures import profile


def measured() -> xr.DataArray:
    values = np.random.default_rng(0).lognormal(size=(2, 3, 6))
    coords = {"variant": ["plain", "skip"], "layer": [1, 2, 4], "seed": range(6)}
    return xr.DataArray(values, coords, ("variant", "layer", "seed"), name="gain")


def traces(figure: go.Figure, role: str) -> list[Any]:
    return [trace for trace in figure.data if trace.meta["role"] == role]


def test_means_and_intervals_are_numpys_and_scipys() -> None:
    array = measured()
    figure = profile(array, "layer", by="variant")
    drawn = traces(figure, "measured")
    assert [trace.name for trace in drawn] == ["plain", "skip"]
    for index, trace in enumerate(drawn):
        values = array.values[index]
        expected = stats.ttest_1samp(values, 0, axis=1).confidence_interval(0.95)
        np.testing.assert_allclose(trace.y, values.mean(axis=1), rtol=1e-12)
        ends = np.array(trace.customdata.tolist())
        np.testing.assert_allclose(ends, np.stack([expected.low, expected.high], 1), rtol=1e-12)
    assert len(traces(figure, "band")) == 2
    assert figure.layout.xaxis.title.text == "layer"


def test_a_logarithmic_axis_has_geometric_means() -> None:
    array = measured().isel(variant=0)
    figure = profile({"only": array}, "layer", log_y=True, error="bars")
    (trace,) = traces(figure, "measured")
    np.testing.assert_allclose(trace.y, stats.gmean(array.values, axis=1), rtol=1e-12)
    assert figure.layout.yaxis.type == "log"
    assert trace.error_y.array is not None
    assert traces(figure, "band") == []


def test_theory_is_dashed_in_the_colour_of_its_series() -> None:
    array = measured()
    theory = array.mean("seed")
    figure = profile(array, "layer", by="variant", theory=theory)
    lines, points = traces(figure, "theory"), traces(figure, "measured")
    assert [line.line.color for line in lines] == [point.line.color for point in points]
    assert all(line.line.dash for line in lines)
    assert [trace.name for trace in traces(figure, "legend")] == ["theory"]
    other = profile(array, "layer", by="variant", theory={"limit": theory.isel(variant=0)})
    assert traces(other, "theory")[0].name == "limit"


@pytest.mark.parametrize("log_y", [False, True])
def test_a_divergence_is_marked_where_it_happened_above_everything(log_y: bool) -> None:
    array = measured()
    array[1, 1, 2] = math.inf
    figure = profile(array, "layer", by="variant", log_y=log_y)
    (cross,) = traces(figure, "diverged")
    assert list(cross.x) == [2]
    assert cross.text[0].strip() == "diverged at 2"
    assert list(cross.customdata) == ["1 of 6 seeds not finite"]
    broken = traces(figure, "measured")[1]
    assert np.isnan(broken.y[1])
    assert np.isfinite(broken.y[[0, 2]]).all()
    drawn = np.concatenate([np.asarray(t.y, float) for t in figure.data if t is not cross])
    assert cross.y[0] > np.nanmax(drawn)


def test_everything_diverged_is_still_a_figure() -> None:
    nothing = xr.full_like(measured(), math.nan)
    figure = profile(nothing, "layer", by="variant", log_y=True)
    assert len(traces(figure, "diverged")) == 2


def test_positions_that_a_series_does_not_have_are_left_out_on_request() -> None:
    array = measured()
    array[0, 2] = math.nan
    assert len(traces(profile(array, "layer", by="variant"), "diverged")) == 1
    figure = profile(array, "layer", by="variant", absent=True)
    assert traces(figure, "diverged") == []
    assert list(traces(figure, "measured")[0].x) == [1, 2]


def test_zero_has_no_logarithm_and_says_so() -> None:
    array = measured()
    array[0, 0, 0] = 0.0
    (cross,) = traces(profile(array, "layer", by="variant", log_y=True), "diverged")
    assert "no logarithm" in cross.customdata[0]


def test_a_series_without_seeds_has_no_interval() -> None:
    figure = profile(measured().isel(seed=0, variant=0, drop=True), "layer")
    assert len(figure.data) == 1


def test_a_dimension_too_many_is_named() -> None:
    with pytest.raises(EvidenceError, match=r"found \('variant', 'layer', 'seed'\)"):
        profile(measured(), "layer")
