"""Every seed as a dot, by variant, with the mean and its interval beside: nothing hidden."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.summaries import Scale, interval_over
from skipnorm.figures.layout import blank, log_ticks
from skipnorm.figures.palette import MUTED, PREDICTED, series_colour, series_marker


def strip(
    measured: xr.DataArray,
    by: str = "variant",
    *,
    theory: xr.DataArray | None = None,
    log_y: bool = False,
    x_title: str = "",
    y_title: str = "",
    level: float = 0.95,
) -> go.Figure:
    """The seeds of every variant side by side, with mean and interval; theory as a dash.

    Seeds that are not finite stand as crosses at the upper edge, and their variant has no mean.

    Args:
        measured: one number over `by` and `seed`.
        by: the dimension along the horizontal axis.
        theory: what is predicted, over `by`.
        log_y: whether the vertical axis is logarithmic, and the mean geometric.
        x_title: the name of the horizontal axis; `by` if empty.
        y_title: the name of the vertical axis, with the unit; the array's name if empty.
        level: the coverage of the intervals.

    Raises:
        EvidenceError: the array has dimensions other than `by` and `seed`.
    """
    if set(measured.dims) != {by, "seed"}:
        found = tuple(map(str, measured.dims))
        raise EvidenceError(f"expected an array over {by!r} and seed, found {found}")
    figure = blank(x_title or by, y_title or str(measured.name or ""), log_y=log_y)
    scale: Scale = "log" if log_y else "linear"
    rows = measured.transpose(by, "seed")
    labels = [str(label) for label in rows[by].values]
    ceiling = _ceiling(rows.values, log_y)
    for index, label in enumerate(labels):
        _draw_seeds(figure, index, label, rows.values[index], ceiling)
    _draw_means(figure, labels, interval_over(rows, "seed", level, scale))
    if theory is not None:
        _draw_theory(figure, labels, [float(theory.sel({by: v})) for v in rows[by].values])
    if log_y:
        usable = rows.values[np.isfinite(rows.values) & (rows.values > 0)]
        figure.update_yaxes(**(log_ticks(usable.min(), ceiling) if len(usable) else {}))
    figure.update_xaxes(
        tickmode="array",
        tickvals=list(range(len(labels))),
        ticktext=labels,
        range=[-0.6, len(labels) - 0.4],
    )
    return figure


def _ceiling(values: np.ndarray, log_y: bool) -> float:
    usable = values[np.isfinite(values) & ((values > 0) | (not log_y))]
    if not len(usable):
        return 1.0
    top, bottom = float(usable.max()), float(usable.min())
    return top * (top / bottom) ** 0.08 * 1.1 if log_y else top + 0.08 * ((top - bottom) or 1.0)


def _draw_seeds(
    figure: go.Figure, index: int, label: str, values: np.ndarray, ceiling: float
) -> None:
    finite = np.isfinite(values)
    spread = np.linspace(-0.22, 0.0, len(values)) if len(values) > 1 else np.zeros(1)
    colour = series_colour(index).light
    figure.add_scatter(
        x=index + spread[finite],
        y=values[finite],
        mode="markers",
        name=label,
        showlegend=False,
        marker={"color": colour, "size": 7, "opacity": 0.55, "symbol": series_marker(index)},
        customdata=[label] * int(finite.sum()),
        meta={"role": "seeds"},
        hovertemplate="%{customdata}: %{y:.4g}",
    )
    if finite.all():
        return
    lost = int((~finite).sum())
    figure.add_scatter(
        x=index + spread[~finite],
        y=np.full(lost, ceiling),
        mode="markers+text",
        name=f"{label}: {lost} diverged",
        text=[f"{lost} of {len(values)} diverged", *[""] * (lost - 1)],
        textposition="top center",
        textfont={"color": str(MUTED), "size": 12},
        showlegend=False,
        marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": colour}},
        customdata=[f"{label}: not finite"] * lost,
        meta={"role": "diverged"},
        hovertemplate="%{customdata}",
    )


def _draw_means(figure: go.Figure, labels: list[str], summary: xr.Dataset) -> None:
    mean, low, high = (summary[name].values for name in ("mean", "low", "high"))
    colours = [series_colour(index).light for index in range(len(labels))]
    for index, label in enumerate(labels):
        figure.add_scatter(
            x=[index + 0.18],
            y=mean[index : index + 1],
            mode="markers",
            name=label,
            showlegend=False,
            marker={"color": colours[index], "size": 11, "symbol": series_marker(index)},
            error_y={
                "array": (high - mean)[index : index + 1],
                "arrayminus": (mean - low)[index : index + 1],
                "thickness": 2,
                "width": 6,
                "color": colours[index],
            },
            customdata=[[low[index], high[index]]],
            meta={"role": "measured"},
            hovertemplate="mean %{y:.4g}<br>%{customdata[0]:.4g} to %{customdata[1]:.4g}",
        )


def _draw_theory(figure: go.Figure, labels: list[str], values: list[float]) -> None:
    for index, value in enumerate(values):
        figure.add_scatter(
            x=[index - 0.32, index + 0.32],
            y=[value, value],
            mode="lines",
            name="theory",
            legendgroup="theory",
            showlegend=index == 0,
            line={"color": PREDICTED.light, "width": 2, "dash": "6px,4px"},
            meta={"role": "theory"},
            hovertemplate=f"theory, {labels[index]}: %{{y:.4g}}",
        )
