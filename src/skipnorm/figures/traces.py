"""Series below one another along one axis, each on a scale of its own: for shapes, not for sizes."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.figures.layout import blank
from skipnorm.figures.palette import INK, series_colour

_ROW, _GAP = 84, 0.34
_FLAT = 1e-9


def traces(
    series: Mapping[str, xr.DataArray], x: str, *, x_title: str = "", y_title: str = ""
) -> go.Figure:
    """Several series over `x`, a row each under its name; what is flat to rounding is drawn flat.

    Rows share the horizontal axis and nothing else: heights of different rows do not compare, and
    have no ticks. Where a series is not finite its line is broken.

    Args:
        series: one-dimensional arrays, by the name of their row.
        x: their dimension.
        x_title: the name of the horizontal axis; `x` if empty.
        y_title: what the rows show, with a word on their scales.

    Raises:
        EvidenceError: no series, or one with dimensions other than `x`.
    """
    if not series:
        raise EvidenceError("expected at least one series to draw, found none")
    figure = blank(x_title or x, y_title, height=120 + _ROW * len(series))
    for index, (name, array) in enumerate(series.items()):
        if array.dims != (x,):
            raise EvidenceError(
                f"expected a series over {x!r} alone, found {tuple(map(str, array.dims))}; select "
                "one label of every other dimension"
            )
        _draw(figure, index, name, array, x)
        _place(figure, index, name, array.values, len(series))
    figure.update_xaxes(anchor=f"y{len(series)}" if len(series) > 1 else "y")
    figure.update_layout(showlegend=False)
    return figure


def _draw(figure: go.Figure, index: int, name: str, array: xr.DataArray, x: str) -> None:
    figure.add_scatter(
        x=array[x].values,
        y=array.values,
        name=name,
        mode="lines",
        line={"color": series_colour(index).light, "width": 1.25},
        yaxis=_axis(index, "y"),
        meta={"role": "measured"},
        hovertemplate="%{x:.3g}: %{y:.4g}",
    )


def _place(figure: go.Figure, index: int, name: str, values: np.ndarray, rows: int) -> None:
    """The row's axis, which takes its share of the height, and its name above it."""
    top = 1 - index / rows
    bottom = 1 - (index + 1) / rows
    height = (top - bottom) * (1 - _GAP)
    figure.update_layout(
        {
            _axis(index, "yaxis"): {
                "domain": [bottom, bottom + height],
                "range": _range(values),
                "visible": False,
                "fixedrange": True,
            }
        }
    )
    figure.add_annotation(
        text=name,
        x=0,
        xref="paper",
        xanchor="left",
        y=bottom + height,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        font={"color": str(INK), "size": 12},
    )


def _axis(index: int, letter: str) -> str:
    return letter if index == 0 else f"{letter}{index + 1}"


def _range(values: np.ndarray) -> list[float]:
    """From the lowest to the highest value, with room; wide around what is flat."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return [-1.0, 1.0]
    low, high = float(finite.min()), float(finite.max())
    tallest = max(abs(low), abs(high)) or 1.0
    room = 0.08 * (high - low) if high - low > _FLAT * tallest else tallest
    return [low - room, high + room]
