"""A quantity against depth, step or batch size: measured with its interval, theory dashed."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.summaries import Scale, interval_over
from skipnorm.figures.layout import blank, log_ticks
from skipnorm.figures.palette import (
    BAND,
    MUTED,
    PREDICTED,
    Colour,
    series_colour,
    series_marker,
)

DASH = "6px,4px"
Series = xr.DataArray | Mapping[str, xr.DataArray]


def profile(
    measured: Series,
    x: str,
    *,
    by: str | None = None,
    theory: Series | None = None,
    error: Literal["band", "bars"] = "band",
    log_x: bool = False,
    log_y: bool = False,
    x_title: str = "",
    y_title: str = "",
    absent: bool = False,
    level: float = 0.95,
) -> go.Figure:
    """One or several measured series against `x`, with theory as dashed lines beside them.

    Every series is the mean over its seeds with Student's interval (on a logarithmic axis the
    geometric mean, as a verdict on the log scale takes it). Where a seed is not finite there is
    no mean: a cross at the upper edge marks the place and says how many seeds it concerns.

    Args:
        measured: arrays over `x` and, if there are seeds, `seed`; either by the name of the
            series, or one array whose dimension `by` names them.
        x: the dimension of the horizontal axis.
        by: the dimension that tells the series apart, where `measured` is one array.
        theory: likewise, without seeds; a name that a series has takes that series' colour.
        error: whether intervals are drawn as a band or as bars.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is.
        x_title: its name; `x` if empty.
        y_title: its name, with the unit; the array's name if empty.
        absent: set it where a series does not exist at every `x`: positions at which *all* seeds
            are NaN are then left out instead of marked as diverged.
        level: the coverage of the intervals.

    Raises:
        EvidenceError: a series has dimensions other than `x` and `seed`.
    """
    series = _named(measured, by, "measured")
    figure = blank(x_title or x, y_title or _name(series), log_x=log_x, log_y=log_y)
    scale: Scale = "log" if log_y else "linear"
    summaries = {name: _summary(array, x, scale, level) for name, array in series.items()}
    if absent:
        gone = {name: array.isnull() for name, array in series.items()}
        summaries = {name: summaries[name].isel({x: ~_all(gone[name], x)}) for name in summaries}
    for index, (name, summary) in enumerate(summaries.items()):
        _draw(figure, name, summary, x, index, error)
    lines = _named(theory, by, "theory") if theory is not None else {}
    for name, line in lines.items():
        _draw_theory(figure, name, line, x, list(series))
    if set(lines) & set(series):
        _legend_theory(figure)
    heights = [summary[key] for summary in summaries.values() for key in ("mean", "high", "low")]
    ceiling = _ceiling([*heights, *lines.values()], log_y)
    for index, (name, summary) in enumerate(summaries.items()):
        _mark_broken(figure, name, summary, x, index, ceiling)
    _write_ticks(figure, log_x, log_y)
    return figure


def _write_ticks(figure: go.Figure, log_x: bool, log_y: bool) -> None:
    for letter, log in (("x", log_x), ("y", log_y)):
        ends = [np.asarray(trace[letter], float) for trace in figure.data if log]
        values = np.concatenate([*ends, np.zeros(0)])
        values = values[np.isfinite(values) & (values > 0)]
        if len(values):
            figure.update_layout({f"{letter}axis": log_ticks(values.min(), values.max())})


def _named(values: Series, by: str | None, fallback: str) -> dict[str, xr.DataArray]:
    if isinstance(values, Mapping):
        return {str(name): array for name, array in values.items()}
    if by is None or by not in values.dims:
        return {fallback: values}
    return {str(name): values.sel({by: name}) for name in values[by].values}


def _name(series: Mapping[str, xr.DataArray]) -> str:
    first = next(iter(series.values()), xr.DataArray(0))
    return str(first.name or "")


def _summary(array: xr.DataArray, x: str, scale: Scale, level: float) -> xr.Dataset:
    if set(array.dims) - {"seed"} != {x}:
        raise EvidenceError(
            f"expected a series over {x!r} and seed, found {tuple(map(str, array.dims))}; "
            "select one label of the other dimensions, or name one with by="
        )
    whole = array if "seed" in array.dims else array.expand_dims("seed")
    return interval_over(whole.transpose(x, "seed"), "seed", level, scale)


def _all(gone: xr.DataArray, x: str) -> xr.DataArray:
    return gone.all([dim for dim in gone.dims if dim != x])


def _draw(
    figure: go.Figure, name: str, summary: xr.Dataset, x: str, index: int, error: str
) -> None:
    colour = series_colour(index)
    at, mean = summary[x].values, summary["mean"].values
    low, high = summary["low"].values, summary["high"].values
    certain = not np.isfinite(low).any()
    if error == "band" and not certain:
        _draw_band(figure, name, at, low, high, colour)
    bars = None
    if error == "bars" and not certain:
        up, down = high - mean, mean - low
        bars = {"array": up, "arrayminus": down, "thickness": 1.5, "width": 4}
    figure.add_scatter(
        x=at,
        y=mean,
        name=name,
        legendgroup=name,
        mode="markers" if error == "bars" else "lines+markers",
        line={"color": colour.light, "width": 2},
        marker={"color": colour.light, "size": 7, "symbol": series_marker(index)},
        error_y=bars,
        customdata=np.stack([low, high], axis=-1),
        meta={"role": "measured"},
        hovertemplate="%{x}: %{y:.4g}<br>%{customdata[0]:.4g} to %{customdata[1]:.4g}",
    )


def _draw_band(
    figure: go.Figure, name: str, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: Colour
) -> None:
    for run in _runs(np.isfinite(low) & np.isfinite(high)):
        figure.add_scatter(
            x=np.concatenate([x[run], x[run][::-1]]),
            y=np.concatenate([high[run], low[run][::-1]]),
            fill="toself",
            fillcolor=colour.wash(BAND),
            line={"width": 0, "color": colour.light},
            mode="lines",
            name=name,
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
            meta={"role": "band"},
        )


def _runs(usable: np.ndarray) -> list[slice]:
    """The stretches of neighbouring positions where an interval exists."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(int)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _draw_theory(
    figure: go.Figure, name: str, line: xr.DataArray, x: str, names: list[str]
) -> None:
    own = name in names
    colour = series_colour(names.index(name)) if own else PREDICTED
    figure.add_scatter(
        x=line[x].values,
        y=line.values,
        name=f"{name}: theory" if own else name,
        legendgroup=name,
        showlegend=not own,
        mode="lines",
        line={"color": colour.light, "width": 1.75, "dash": DASH},
        meta={"role": "theory"},
        hovertemplate="theory, %{x}: %{y:.4g}",
    )


def _legend_theory(figure: go.Figure) -> None:
    """One entry for all theories that share a colour with their series."""
    figure.add_scatter(
        x=[None],
        y=[None],
        name="theory",
        mode="lines",
        line={"color": MUTED.light, "width": 1.75, "dash": DASH},
        meta={"role": "legend"},
        hoverinfo="skip",
    )


def _ceiling(heights: list[xr.DataArray], log_y: bool) -> float:
    values = np.concatenate([np.asarray(height.values, float).ravel() for height in heights])
    values = values[np.isfinite(values) & ((values > 0) | (not log_y))]
    if not len(values):
        return 1.0
    top, bottom = float(values.max()), float(values.min())
    if log_y:
        return top * float(max((top / bottom) ** 0.08, 1.1))
    return top + 0.08 * ((top - bottom) or abs(top) or 1.0)


def _mark_broken(
    figure: go.Figure, name: str, summary: xr.Dataset, x: str, index: int, ceiling: float
) -> None:
    lost = ~np.isfinite(summary["mean"].values)
    if not lost.any():
        return
    at = summary[x].values[lost]
    count = int(summary["count"])
    says = [
        f"{broken} of {count} seeds not finite" if broken else "zero or negative: no logarithm"
        for broken in summary["broken"].values[lost].tolist()
    ]
    word = "diverged" if int(summary["broken"].max()) else "no logarithm"
    figure.add_scatter(
        x=at,
        y=np.full(len(at), ceiling),
        name=f"{name}: {word} at {at[0]}",
        legendgroup=name,
        mode="markers+text",
        text=[f"{word} at {at[0]}\u2002", *[""] * (len(at) - 1)],
        textposition="middle left" if len(at) < len(summary[x]) / 2 else "bottom right",
        textfont={"color": str(MUTED), "size": 12},
        marker={
            "symbol": "x-thin",
            "size": 9,
            "line": {"width": 2, "color": series_colour(index).light},
        },
        showlegend=False,
        customdata=says,
        meta={"role": "diverged"},
        hovertemplate="%{x}: %{customdata}",
    )
