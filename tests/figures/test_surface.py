"""A surface draws the numbers it was given, once in three dimensions and once as a map, and hides nothing."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.figures.palette import twins
from skipnorm.figures.surface import surface
from skipnorm.report.tables import numbers_of


def measured() -> xr.DataArray:
    x, y = np.linspace(-1, 1, 5), np.linspace(-2, 2, 7)
    values = x[:, None] ** 2 + 10 * y[None, :] ** 2 + 1
    return xr.DataArray(values, {"x": x, "y": y}, ("x", "y"), name="loss")


def traces(figure: go.Figure, role: str) -> list[Any]:
    return [trace for trace in figure.data if trace.meta["role"] == role]


def test_surface_and_map_hold_the_same_numbers_in_the_right_places() -> None:
    array = measured()
    figure = surface(array)
    (relief,), (twin,) = traces(figure, "surface"), traces(figure, "twin")
    for trace in (relief, twin):
        np.testing.assert_array_equal(trace.z, array.transpose("y", "x"))
        np.testing.assert_array_equal(trace.x, array["x"])
        np.testing.assert_array_equal(trace.y, array["y"])
    assert (relief.cmin, relief.cmax) == (twin.zmin, twin.zmax) == (1.0, 42.0)
    assert relief.colorscale == twin.colorscale
    np.testing.assert_array_equal(surface(array.transpose("y", "x")).data[0].z, relief.z)


def test_logarithmic_heights_have_ticks_in_plain_numbers() -> None:
    figure = surface(measured(), log_z=True)
    (relief,), (twin,) = traces(figure, "surface"), traces(figure, "twin")
    np.testing.assert_allclose(relief.z, np.log10(measured().values.T), rtol=1e-14)
    texts, places = twin.colorbar.ticktext, twin.colorbar.tickvals
    assert [float(text) for text in texts] == pytest.approx([10**place for place in places])
    assert figure.layout.scene.zaxis.ticktext == texts


@pytest.mark.parametrize("scale", [1e-9, 1.0, 3.7, 1e12])
def test_linear_heights_have_about_five_round_ticks(scale: float) -> None:
    array = scale * measured()
    bar = surface(array).data[1].colorbar
    assert 3 <= len(bar.tickvals) <= 7
    assert float(array.min()) <= bar.tickvals[0] < bar.tickvals[-1] <= float(array.max())


def test_what_is_not_finite_is_a_hole_and_a_cross() -> None:
    array = measured()
    array[1, 2], array[3, 4] = math.nan, math.inf
    figure = surface(array)
    (relief,), (crosses,) = traces(figure, "surface"), traces(figure, "diverged")
    assert np.isnan(relief.z).sum() == 2
    assert not relief.connectgaps
    places = {
        (float(array["x"][1]), float(array["y"][2])),
        (float(array["x"][3]), float(array["y"][4])),
    }
    assert set(zip(crosses.x, crosses.y, strict=True)) == places
    assert set(crosses.customdata) == {"not a number", "∞"}
    assert crosses.name == "not finite"
    assert relief.cmax == 42.0


def test_what_has_no_logarithm_is_a_hole_that_says_so() -> None:
    array = measured() - 1.0
    (crosses,) = traces(surface(array, log_z=True), "diverged")
    assert (list(crosses.x), list(crosses.y)) == ([0.0], [0.0])
    assert "no logarithm" in crosses.name


def test_a_landscape_that_diverged_everywhere_is_still_a_figure() -> None:
    array = xr.full_like(measured(), math.nan)
    (crosses,) = traces(surface(array, log_z=True), "diverged")
    assert len(crosses.x) == array.size


def test_above_the_ceiling_is_cut_off_and_said() -> None:
    array = measured()
    figure = surface(array, ceiling=10.0)
    (relief,) = traces(figure, "surface")
    np.testing.assert_array_equal(relief.z, np.minimum(array.values.T, 10.0))
    said = np.array(relief.customdata, dtype=object)
    cut = array.values.T > 10
    assert all("cut off" in word for word in said[cut])
    assert not any("cut off" in word for word in said[~cut])
    assert said[0, 0].startswith("42")
    with pytest.raises(EvidenceError, match="above the lowest"):
        surface(array, ceiling=1.0)
    with pytest.raises(EvidenceError, match="above the lowest"):
        surface(array, ceiling=-1.0, log_z=True)


def test_the_centre_is_marked_where_there_is_one() -> None:
    flat, upright = traces(surface(measured()), "legend")
    assert (flat.x[0], flat.y[0]) == (0.0, 0.0)
    assert upright.z[0] == 1.0
    assert traces(surface(measured().isel(x=[0, 1])), "legend") == []


def test_a_trajectory_runs_where_its_states_are() -> None:
    track = xr.DataArray(
        [[0.5, 1.0], [0.2, 0.1]], {"step": [0, 9], "direction": ["x", "y"]}, ("step", "direction")
    )
    (line,) = traces(surface(measured(), track=track), "track")
    assert (list(line.x), list(line.y)) == ([0.5, 0.2], [1.0, 0.1])
    with pytest.raises(EvidenceError, match="two directions"):
        surface(measured(), track=track.isel(direction=[0]))


def test_every_colour_has_a_dark_twin() -> None:
    figure = surface(measured())
    colours = {colour for _, colour in figure.data[0].colorscale}
    colours |= {figure.data[0].contours.z.color, figure.data[1].line.color}
    assert colours <= set(twins())


def test_the_table_behind_it_names_its_axes() -> None:
    table = numbers_of(surface(measured()))
    assert table.columns[1].startswith("x (fraction")
    assert ("loss", -1.0, -2.0, 42.0) in table.rows


def test_other_dimensions_are_named() -> None:
    with pytest.raises(EvidenceError, match=r"found \('x', 'y', 'seed'\)"):
        surface(measured().expand_dims(seed=[0, 1], axis=2))
