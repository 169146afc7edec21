"""The picture of a network: every mark is there once, in the colour and with the marker of its ruling."""

import pytest

from skipnorm.figures.circuit import SHADES, Mark, circuit
from skipnorm.figures.contrast import Cell, contrast

MARKS = [
    Mark("norm 1", "norm", 0, 0, "idle", "all norms: idle"),
    Mark("act", "activation", 1, 1),
    Mark("add", "shortcut", 0, 2, "load-bearing"),
    Mark("add", "branch", 0.25, 1.75, "not tested"),
    Mark("norm 2", "norm", 3, 3, "idle"),
]


def test_every_mark_is_drawn_once_and_says_its_name():
    traces = [trace for trace in circuit(MARKS).data if trace.mode == "markers"]
    words = [text for trace in traces for text in trace.text]
    assert len(words) == len(MARKS)
    assert all(any(mark.name in text for text in words) for mark in MARKS)


@pytest.mark.parametrize("ruling", SHADES)
def test_a_ruling_has_a_colour_and_a_marker_of_its_own(ruling: str):
    colour, symbol = SHADES[ruling]
    trace = next(t for t in circuit([Mark("a", "norm", 0, 0, ruling)]).data if t.name == ruling)
    assert (trace.marker.color, trace.marker.symbol) == (colour.light, symbol)
    others = [pair for name, pair in SHADES.items() if name != ruling]
    assert symbol not in {each for _, each in others}


def test_an_arc_begins_and_ends_on_the_line_where_its_sites_are():
    lines = [
        t for t in circuit(MARKS).data if t.mode == "lines" and t.legendgroup == "load-bearing"
    ]
    across, along = (
        [v for v in lines[0].x if v is not None],
        [v for v in lines[0].y if v is not None],
    )
    assert (across[0], across[-1]) == (0, 2)
    assert (along[0], along[-1]) == pytest.approx((0, 0), abs=1e-9)
    assert max(along) == pytest.approx(1)


def test_rows_without_anything_in_them_have_no_name():
    figure = circuit([MARKS[0]])
    assert figure.layout.yaxis.ticktext == ("norms",)


def test_a_contrast_says_what_left_its_band():
    cells = [
        Cell("without norms", "signal", 1.0, 1e9, "out of its band"),
        Cell("without norms", "gradient", 1.0, 1.1, "as before"),
    ]
    figure = contrast(cells)
    assert {trace.name: list(trace.x) for trace in figure.data} == {
        "out of its band": ["signal"],
        "as before": ["gradient"],
    }
