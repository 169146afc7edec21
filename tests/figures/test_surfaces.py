"""Several surfaces beside each other: one scale for all, each number in its own panel, nothing hidden."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.figures.palette import twins
from skipnorm.figures.surfaces import surfaces
from skipnorm.report.tables import numbers_of


def bowl(low: float, steep: float) -> xr.DataArray:
    x, y = np.linspace(-1, 1, 5), np.linspace(-1, 1, 7)
    values = low + steep * (x[:, None] ** 2 + 2 * y[None, :] ** 2)
    return xr.DataArray(values, {"x": x, "y": y}, ("x", "y"))


PANELS = {"plain": bowl(1.0, 10.0), "BN": bowl(0.5, 1.0), "residual": bowl(0.1, 0.2)}


def traces(figure: go.Figure, role: str) -> list[Any]:
    return [trace for trace in figure.data if trace.meta["role"] == role]


def test_every_panel_holds_its_own_numbers_twice() -> None:
    figure = surfaces(PANELS)
    for role in ("surface", "twin"):
        found = traces(figure, role)
        assert [trace.name for trace in found] == list(PANELS)
        for trace, array in zip(found, PANELS.values(), strict=True):
            np.testing.assert_array_equal(trace.z, array.transpose("y", "x"))


def test_heights_and_colours_are_those_of_one_scale() -> None:
    figure = surfaces(PANELS)
    assert {(trace.cmin, trace.cmax) for trace in traces(figure, "surface")} == {(0.1, 31.0)}
    assert {(trace.zmin, trace.zmax) for trace in traces(figure, "twin")} == {(0.1, 31.0)}
    levels = {(t.contours.start, t.contours.end, t.contours.size) for t in traces(figure, "twin")}
    assert len(levels) == 1
    scenes = [figure.layout[name].zaxis for name in ("scene", "scene2", "scene3")]
    assert len({axis.range for axis in scenes}) == len({axis.tickvals for axis in scenes}) == 1
    assert scenes[0].range[0] < 0.1 < 31.0 < scenes[0].range[1]


def test_the_scale_is_shown_once() -> None:
    assert [trace.showscale for trace in traces(surfaces(PANELS), "twin")] == [True, False, False]


def test_each_panel_has_a_scene_and_axes_of_its_own() -> None:
    figure = surfaces(PANELS)
    assert [trace.scene for trace in traces(figure, "surface")] == ["scene", "scene2", "scene3"]
    assert [(t.xaxis, t.yaxis) for t in traces(figure, "twin")] == [
        ("x", "y"),
        ("x2", "y2"),
        ("x3", "y3"),
    ]
    boxes = []
    for mark in ("", "2", "3"):
        scene = figure.layout[f"scene{mark}"].domain
        across, along = (figure.layout[f"{axis}axis{mark}"].domain for axis in "xy")
        assert scene.x == across
        assert along[1] < scene.y[0]
        boxes += [(*scene.x, *scene.y), (*across, *along)]
    for index, (left, right, bottom, top) in enumerate(boxes):
        assert 0 <= left < right <= 1
        assert 0 <= bottom < top <= 1
        for other in boxes[:index]:
            apart = left >= other[1] or right <= other[0] or bottom >= other[3] or top <= other[2]
            assert apart


@pytest.mark.parametrize(("columns", "rows"), [(1, 3), (2, 2), (3, 1)])
def test_panels_wrap_and_the_figure_grows(columns: int, rows: int) -> None:
    figure = surfaces(PANELS, columns=columns)
    tops = {figure.layout[name].domain.y for name in ("scene", "scene2", "scene3")}
    assert len(tops) == rows
    assert figure.layout.height - surfaces(dict([*PANELS.items()][:1])).layout.height == 540 * (
        rows - 1
    )


def test_what_is_not_finite_is_a_cross_in_its_panel() -> None:
    broken = PANELS["BN"].copy()
    broken[1, 2] = math.inf
    figure = surfaces({**PANELS, "BN": broken})
    (crosses,) = traces(figure, "diverged")
    assert (crosses.xaxis, list(crosses.x)) == ("x2", [float(broken["x"][1])])
    assert {trace.cmax for trace in traces(figure, "surface")} == {31.0}


def test_a_panel_above_the_ceiling_is_flat_and_says_so() -> None:
    figure = surfaces({"low": PANELS["BN"], "high": bowl(50.0, 1.0)}, ceiling=3.0, log_z=True)
    low, high = traces(figure, "surface")
    np.testing.assert_allclose(high.z, math.log10(3.0))
    assert all("cut off" in word for word in np.ravel(np.array(high.customdata, dtype=object)))
    assert low.cmax == pytest.approx(math.log10(3.0))


def test_errors_stand_behind_the_numbers_that_they_belong_to() -> None:
    errors = {"BN": xr.zeros_like(PANELS["BN"])}
    errors["BN"][4, 0] = 0.25
    figure = surfaces(PANELS, errors=errors)
    said = np.array(traces(figure, "twin")[1].customdata, dtype=object)
    assert said[0, 4].endswith("± 0.25")
    assert sum("0.25" in word for word in said.ravel()) == 1
    assert not any("±" in word for word in np.ravel(traces(figure, "twin")[0].customdata))


def test_every_colour_has_a_dark_twin() -> None:
    figure = surfaces(PANELS)
    colours = {colour for trace in traces(figure, "surface") for _, colour in trace.colorscale}
    colours |= {trace.line.color for trace in traces(figure, "twin")}
    colours |= {note.font.color for note in figure.layout.annotations}
    assert colours <= set(twins())


def test_the_table_names_the_panels() -> None:
    rows = numbers_of(surfaces(PANELS)).rows
    assert {row[0] for row in rows} == set(PANELS)
    assert ("plain", -1.0, -1.0, 31.0) in rows


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(EvidenceError, match="at least one panel"):
        surfaces({})
    with pytest.raises(EvidenceError, match="x and y"):
        surfaces({"seeds": PANELS["BN"].expand_dims(seed=[0])})
