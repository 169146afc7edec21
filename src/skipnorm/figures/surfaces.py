"""Several landscapes beside each other on one scale of heights and colours, each over its map."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.wording import number
from skipnorm.figures.palette import INK, MUTED
from skipnorm.figures.surface import AXES, draw_map, draw_surface, mark_broken, mark_centre
from skipnorm.figures.surface_relief import (
    Place,
    Relief,
    framed,
    on_one_scale,
    relief_of,
    scene_over,
)

WIDTH, GUTTER = 0.9, 0.08
"""Which part of the width the panels have, the rest being the scale's; and what lies between two of them."""

ROW, ABOVE, BELOW = 540, 44, 60
"""Pixels: of a surface with its map, above the first row, and below the last."""

AWAY = 1.15
"""Smaller scenes are seen from farther away, so that their labels have room."""

MAPS = (0.07, 0.40)
"""Which part of a row's height its maps have, from below."""


def surfaces(
    measured: Mapping[str, xr.DataArray],
    *,
    errors: Mapping[str, xr.DataArray] | None = None,
    log_z: bool = False,
    ceiling: float | None = None,
    x_title: str = AXES[0],
    y_title: str = AXES[1],
    z_title: str = "loss",
    columns: int = 2,
) -> go.Figure:
    """One quantity over several planes: equal heights and equal colours mean equal numbers in every panel.

    Each panel is a surface to turn with a map below it; see `surface` for the centre, for what is not finite and for
    the ceiling, which holds for all of them.

    Args:
        measured: numbers over `x` and `y`, by the name of their panel.
        errors: their standard errors likewise; shown with each number that is pointed at.
        log_z: whether heights and colours are logarithmic.
        ceiling: the value above which all surfaces are cut off; by default none.
        x_title: the name of the horizontal axes.
        y_title: the name of the axes into the depth.
        z_title: the name of the quantity, with its unit.
        columns: how many panels stand beside each other.

    Raises:
        EvidenceError: no panel, other dimensions than `x` and `y`, or a ceiling that leaves nothing to draw of any.
    """
    if not measured or columns < 1:
        raise EvidenceError(
            f"expected at least one panel and one column, found {len(measured)} and {columns}"
        )
    reliefs = {name: _relief(array, log_z, ceiling) for name, array in measured.items()}
    for name, relief in reliefs.items():
        if errors is not None and name in errors:
            _say_errors(relief, errors[name])
    on_one_scale(list(reliefs.values()))
    across = min(columns, len(reliefs))
    rows = -(-len(reliefs) // across)
    figure = framed(x_title, y_title, ABOVE + ROW * rows + BELOW)
    for index, (name, relief) in enumerate(reliefs.items()):
        place = _place(figure, index, across, rows, (x_title, y_title), relief)
        _head(figure, name, index, across, rows)
        draw_surface(figure, relief, name, place)
        draw_map(figure, relief, name, z_title, place)
        mark_centre(figure, relief, place)
        mark_broken(figure, relief, place)
    return figure


def _relief(array: xr.DataArray, log_z: bool, ceiling: float | None) -> Relief:
    """One that lies above the ceiling as a whole is a plain at its height, and is said to be cut off."""
    finite = array.values[np.isfinite(array.values)]
    if ceiling is None or not len(finite) or finite.min() < ceiling:
        return relief_of(array, log_z, ceiling)
    relief = relief_of(array, log_z, None)
    top = np.log10(ceiling) if log_z else ceiling
    relief.heights = np.minimum(relief.heights, top)
    relief.words = np.vectorize(lambda word: f"{word} (cut off)", otypes=[object])(relief.words)
    return relief


def _say_errors(relief: Relief, errors: xr.DataArray) -> None:
    found = errors.transpose("y", "x").values
    relief.words = np.array(
        [
            [f"{word} ± {number(error)}" for word, error in zip(*row, strict=True)]
            for row in zip(relief.words, found, strict=True)
        ],
        dtype=object,
    )


def _spans(index: int, across: int, rows: int) -> tuple[float, float, float, float]:
    """From where to where a panel reaches: left, right, bottom and top, as parts of the figure."""
    width = (WIDTH - GUTTER * (across - 1)) / across
    left = (index % across) * (width + GUTTER)
    top = 1 - (index // across) / rows
    return left, left + width, top - 1 / rows, top


def _place(
    figure: go.Figure, index: int, across: int, rows: int, titles: tuple[str, str], relief: Relief
) -> Place:
    """Lay out the scene and the axes of a panel, and say what they are called."""
    left, right, bottom, top = _spans(index, across, rows)
    tall = top - bottom
    mark = "" if index == 0 else str(index + 1)
    place = Place(f"scene{mark}", f"x{mark}", f"y{mark}", first=index == 0)
    span = relief.high - relief.low
    scene = scene_over((left, right), (bottom + MAPS[1] * tall, top - 0.02 * tall), AWAY)
    heights = {"range": [relief.low - 0.02 * span, relief.high + 0.02 * span], **relief.ticks}
    scene["zaxis"] = {**dict(scene["zaxis"]), **heights}  # type: ignore[call-overload]
    ink = {"color": str(MUTED), "size": 12}
    quiet = {"showgrid": False, "zeroline": False, "ticks": "", "tickfont": ink}
    titled = {"font": {"color": str(MUTED), "size": 12}, "standoff": 6}
    outer, lowest = index % across == 0, index // across == rows - 1
    figure.update_layout(
        {
            place.scene: scene,
            f"xaxis{mark}": {
                **quiet,
                "domain": [left, right],
                "anchor": place.yaxis,
                "title": {"text": titles[0] if lowest else "", **titled},
            },
            f"yaxis{mark}": {
                **quiet,
                "domain": [bottom + MAPS[0] * tall, bottom + (MAPS[1] - 0.02) * tall],
                "anchor": place.xaxis,
                "title": {"text": titles[1] if outer and rows == 1 else "y" * outer, **titled},
            },
        }
    )
    return place


def _head(figure: go.Figure, name: str, index: int, across: int, rows: int) -> None:
    left, _, _, top = _spans(index, across, rows)
    figure.add_annotation(
        text=f"<b>{name}</b>",
        x=left,
        xref="paper",
        xanchor="left",
        y=top,
        yref="paper",
        yanchor="top",
        showarrow=False,
        font={"color": str(INK), "size": 13},
    )
