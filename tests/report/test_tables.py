"""The table behind a figure holds every number that the figure draws."""

import math

import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile
from skipnorm.report.tables import LONGEST, numbers_of


def test_points_come_with_their_intervals_and_divergences_in_words() -> None:
    gain = xr.DataArray(
        [[1.0, 3.0], [math.inf, 1.0]], {"layer": [1, 2], "seed": [0, 1]}, ("layer", "seed")
    )
    theory = xr.DataArray([2.0, 2.5], {"layer": [1, 2]})
    table = numbers_of(profile({"plain": gain}, "layer", theory={"plain": theory}, y_title="gain"))
    assert table.columns == ("series", "layer", "gain", "low", "high")
    assert table.rows[0][:3] == ("plain", 1, 2.0)
    assert table.rows[0][3] < 2.0 < table.rows[0][4]
    assert ("plain: theory", 2, 2.5, "", "") in table.rows
    assert ("plain: diverged at 2", 2, "not finite", "", "") in table.rows


def test_a_surface_is_listed_cell_by_cell() -> None:
    figure = go.Figure(go.Heatmap(x=[0, 1], y=[5], z=[[1.5, 2.5]], name="loss"))
    table = numbers_of(figure)
    assert table.columns == ("series", "x", "y", "value")
    assert table.rows == (("loss", 0, 5, 1.5), ("loss", 1, 5, 2.5))


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    many = list(range(LONGEST + 7))
    table = numbers_of(go.Figure(go.Scatter(x=many, y=many)))
    assert (len(table.rows), table.cut) == (LONGEST, 7)
