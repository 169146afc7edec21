"""A landscape over a plane: the surface in three dimensions, and the same as a map beside it."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.figures.palette import GRID, INK, MUTED, PREDICTED, SERIES
from skipnorm.figures.surface_relief import ALONE, Place, Relief, framed, relief_of

COLOURS = [[0.0, str(SERIES[0])], [1.0, str(GRID)]]
"""Valleys are dark on paper and bright in the dark; heights fade into the page."""

AXES = ("x (fraction of the weight norm)", "y (fraction of the weight norm)")


def surface(
    measured: xr.DataArray,
    *,
    log_z: bool = False,
    ceiling: float | None = None,
    track: xr.DataArray | None = None,
    x_title: str = AXES[0],
    y_title: str = AXES[1],
    z_title: str = "",
    height: int = 440,
) -> go.Figure:
    """A quantity over a plane, as a surface to turn and as a map with contours, in one scale of colours.

    The centre, (0, 0), is marked. Where a value is not finite the surface has a hole and the map a cross, and so has
    a value that is not positive where the scale is logarithmic. What lies above the ceiling is cut off there and says
    so: the height of a wall far out would otherwise flatten everything near the centre.

    Args:
        measured: numbers over `x` and `y`, such as a landscape's `loss`.
        log_z: whether heights and colours are logarithmic.
        ceiling: the value above which the surface is cut off; by default none.
        track: where the states of a trajectory lie: over `step` and `direction`, with the directions x and y.
        x_title: the name of the horizontal axis.
        y_title: the name of the axis into the depth.
        z_title: the name of the quantity, with its unit; the array's name if empty.
        height: in pixels; the width is the page's.

    Raises:
        EvidenceError: the array has dimensions other than `x` and `y`, or a ceiling leaves nothing to draw.
    """
    relief = relief_of(measured, log_z, ceiling)
    title = z_title or str(measured.name or "")
    figure = framed(x_title, y_title, height)
    draw_surface(figure, relief, title)
    draw_map(figure, relief, title, title)
    mark_centre(figure, relief)
    if track is not None:
        _draw_track(figure, track)
    mark_broken(figure, relief)
    figure.update_scenes(zaxis=relief.ticks)
    return figure


def draw_surface(figure: go.Figure, relief: Relief, name: str, place: Place = ALONE) -> None:
    """The heights as a surface, in the scene of this place."""
    levels = {"start": relief.low, "end": relief.high, "size": relief.step}
    figure.add_surface(
        x=relief.x,
        y=relief.y,
        z=relief.heights,
        customdata=relief.words,
        name=name,
        scene=place.scene,
        colorscale=COLOURS,
        cmin=relief.low,
        cmax=relief.high,
        showscale=False,
        connectgaps=False,
        lighting={"ambient": 0.75, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
        contours={"z": {"show": True, "color": str(INK), "width": 1, **levels}},
        meta={"role": "surface"},
        hovertemplate="x %{x:.3g}, y %{y:.3g}<br>%{customdata}<extra></extra>",
    )


def draw_map(
    figure: go.Figure, relief: Relief, name: str, title: str, place: Place = ALONE
) -> None:
    """The same as a map with contours, on the axes of this place; the scale of colours is titled at the first."""
    levels = {"start": relief.low, "end": relief.high, "size": relief.step}
    figure.add_contour(
        x=relief.x,
        y=relief.y,
        z=relief.heights,
        customdata=relief.words,
        name=name,
        xaxis=place.xaxis,
        yaxis=place.yaxis,
        showscale=place.first,
        colorscale=COLOURS,
        zmin=relief.low,
        zmax=relief.high,
        connectgaps=False,
        autocontour=False,
        contours={"coloring": "heatmap", **levels},
        line={"color": str(INK), "width": 0.75, "smoothing": 0},
        colorbar={
            "x": 1.0,
            "xanchor": "right",
            "thickness": 12,
            "len": 0.9,
            "outlinewidth": 0,
            "title": {"text": title, "font": {"color": str(MUTED), "size": 12}},
            "tickfont": {"color": str(MUTED), "size": 12},
            **relief.ticks,
        },
        meta={"role": "twin"},
        hovertemplate="x %{x:.3g}, y %{y:.3g}<br>%{customdata}<extra></extra>",
    )


def mark_centre(figure: go.Figure, relief: Relief, place: Place = ALONE) -> None:
    """Where the network itself is, on the surface and on the map."""
    across, along = np.flatnonzero(relief.x == 0), np.flatnonzero(relief.y == 0)
    if not (len(across) and len(along)):
        return
    style = {"color": str(SERIES[1]), "size": 8, "symbol": "circle"}
    figure.add_scatter(
        x=[0.0],
        y=[0.0],
        mode="markers",
        name="the network",
        xaxis=place.xaxis,
        yaxis=place.yaxis,
        showlegend=place.first,
        marker={**style, "line": {"color": str(INK), "width": 1}},
        meta={"role": "legend"},
        hovertemplate="the network<extra></extra>",
    )
    height = relief.heights[along[0], across[0]]
    if np.isfinite(height):
        figure.add_scatter3d(
            x=[0.0],
            y=[0.0],
            z=[height],
            mode="markers",
            name="the network",
            scene=place.scene,
            showlegend=False,
            marker={**style, "size": 4},
            meta={"role": "legend"},
            hovertemplate="the network<extra></extra>",
        )


def _draw_track(figure: go.Figure, track: xr.DataArray) -> None:
    if set(track.dims) != {"step", "direction"} or track.sizes["direction"] != 2:
        raise EvidenceError(
            f"expected a track over step and two directions, found {dict(track.sizes)}"
        )
    steps = track.transpose("step", "direction")
    figure.add_scatter(
        x=steps.values[:, 0],
        y=steps.values[:, 1],
        mode="lines+markers",
        name="trajectory",
        line={"color": str(PREDICTED), "width": 2},
        marker={"color": str(PREDICTED), "size": 5},
        customdata=[str(step) for step in steps["step"].values],
        meta={"role": "track"},
        hovertemplate="state %{customdata}<extra></extra>",
    )


def mark_broken(figure: go.Figure, relief: Relief, place: Place = ALONE) -> None:
    """Crosses on the map where there is no height."""
    rows, columns = np.nonzero(np.isnan(relief.heights))
    if not len(rows):
        return
    lost = relief.values[rows, columns]
    figure.add_scatter(
        x=relief.x[columns],
        y=relief.y[rows],
        mode="markers",
        name="not finite" if not np.isfinite(lost).any() else "not finite, or no logarithm",
        xaxis=place.xaxis,
        yaxis=place.yaxis,
        showlegend=place.first,
        marker={"symbol": "x-thin", "size": 7, "line": {"width": 1.5, "color": str(SERIES[1])}},
        customdata=relief.words[rows, columns],
        meta={"role": "diverged"},
        hovertemplate="x %{x:.3g}, y %{y:.3g}: %{customdata}<extra></extra>",
    )
