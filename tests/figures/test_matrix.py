"""A matrix says everything without colour: signs, words and a table; colour only repeats them."""

import numpy as np
import pytest
import xarray as xr
from plotly.utils import PlotlyJSONEncoder

from skipnorm.errors import EvidenceError
from skipnorm.figures import matrix, twins
from skipnorm.figures.matrix import FILLS, SIGNS
from skipnorm.report.tables import numbers_of

RULINGS = np.array([["better", "same", ""], ["worse", "open", "better"]])


def cells() -> xr.Dataset:
    effect = np.array([[0.5, 0.01, np.nan], [-0.4, 0.1, np.inf]])
    dims = ("case", "variant")
    return xr.Dataset(
        {
            "ruling": (dims, RULINGS),
            "effect": (dims, effect),
            "low": (dims, effect - 0.1),
            "high": (dims, effect + 0.1),
        },
        {
            "case": ["gradient", "loss"],
            "variant": ["batch", "layer", "none"],
            "unit": ("case", ["decades", "nats"]),
        },
    )


def written(figure):
    """Row and column to what the cell says."""
    return {
        (row, column): text
        for trace in figure.data
        if trace.type == "scatter"
        for row, column, text in zip(trace.y, trace.x, trace.text, strict=True)
    }


def test_every_cell_has_its_sign_and_its_word():
    found = written(matrix(cells()))
    for (row, column), word in np.ndenumerate(RULINGS):
        place = (("gradient", "loss")[row], ("batch", "layer", "none")[column])
        if word:
            assert found.pop(place) == f"<b>{SIGNS[word]}</b><br>{word}"
    assert not found


def test_signs_differ_and_so_do_fills():
    assert len(set(SIGNS.values())) == len(set(FILLS.values())) == len(SIGNS) == len(FILLS)


def test_a_cell_is_filled_as_it_says():
    figure = matrix(cells())
    (fills,) = (trace for trace in figure.data if trace.type == "heatmap")
    for place, word in np.ndenumerate(RULINGS):
        z = fills.z[place[0]][place[1]]
        if not word:
            assert z is None
            continue
        share = (z - fills.zmin) / (fills.zmax - fills.zmin)
        at = next(colour for edge, colour in fills.colorscale[1::2] if share <= edge)
        assert at == FILLS[word]


def test_the_table_has_a_line_for_every_cell_with_its_interval():
    table = numbers_of(matrix(cells()))
    lines = [row for row in table.rows if row[0] == "worse"]
    assert len(table.rows) == 5
    assert lines == [("worse", "batch", "loss", pytest.approx(-0.5), pytest.approx(-0.3))]


def test_effect_and_unit_are_told_when_pointed_at():
    figure = matrix(cells())
    says = [row[2] for trace in figure.data if trace.type == "scatter" for row in trace.customdata]
    assert "loss, batch: worse, −0.4 nats" in says or "loss, batch: worse, -0.4 nats" in says
    assert any("∞" in text or "inf" in text for text in says)


def test_the_first_row_is_on_top():
    axis = matrix(cells()).layout.yaxis
    assert axis.range[0] > axis.range[1]
    assert axis.categoryarray == ("gradient", "loss")


def test_every_colour_has_a_twin_for_the_dark():
    text = PlotlyJSONEncoder().encode(matrix(cells()).to_dict())
    for fill in set(FILLS.values()) - {"rgba(0,0,0,0)"}:
        assert fill in text
        assert fill in twins()


def test_long_names_are_broken_for_narrow_pages():
    long = cells().assign_coords(case=["gradient keeps its scale", "loss"])
    axis = matrix(long).layout.yaxis
    assert axis.ticktext == ("gradient keeps<br>its scale", "loss")
    assert axis.categoryarray == ("gradient keeps its scale", "loss")


def test_columns_may_come_first():
    turned = cells().transpose("variant", "case")
    assert written(matrix(turned)) == written(matrix(cells()))


def test_what_is_no_matrix_is_refused():
    with pytest.raises(EvidenceError, match="needs ruling, effect, low, high"):
        matrix(cells().drop_vars("low"))
    with pytest.raises(EvidenceError, match="expected ruling over 'case' and 'variant'"):
        matrix(cells().isel(case=0))
    wrong = cells().assign(ruling=(("case", "variant"), np.full((2, 3), "beter")))
    with pytest.raises(EvidenceError, match="'better'"):
        matrix(wrong)
