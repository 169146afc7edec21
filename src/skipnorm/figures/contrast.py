"""What changes against an original: one row an alteration, one column a reading, each cell in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from skipnorm.evidence.wording import number
from skipnorm.figures.layout import blank
from skipnorm.figures.palette import INK, MUTED, SERIES, Colour

__all__ = ["Cell", "contrast"]

_LOOKS: dict[str, tuple[Colour, str]] = {
    "as before": (MUTED, "circle-open"),
    "changed": (SERIES[4], "diamond"),
    "out of its band": (SERIES[1], "square"),
    "in its band again": (SERIES[2], "cross"),
}


@dataclass(frozen=True)
class Cell:
    """One reading of one alteration."""

    row: str
    column: str
    before: float
    after: float
    look: str


def contrast(cells: Sequence[Cell]) -> go.Figure:
    """A matrix of markers: whether a reading stayed, changed, or left the band that theory gives.

    >>> contrast([Cell("without norms", "signal", 1.0, 1e9, "out of its band")]).data[0].name
    'out of its band'
    """
    rows = list(dict.fromkeys(cell.row for cell in cells))
    columns = list(dict.fromkeys(cell.column for cell in cells))
    figure = blank("", "", height=190 + 34 * len(rows))
    for look, (colour, symbol) in _LOOKS.items():
        mine = [cell for cell in cells if cell.look == look]
        if not mine:
            continue
        figure.add_scatter(
            x=[cell.column for cell in mine],
            y=[cell.row for cell in mine],
            mode="markers+text" if look != "as before" else "markers",
            name=look,
            text=[number(float(f"{cell.after:.2g}")) for cell in mine],
            textposition="middle right",
            textfont={"size": 11, "color": INK.light},
            marker={
                "color": colour.light,
                "symbol": symbol,
                "size": 11,
                "line": {"width": 2, "color": colour.light},
            },
            customdata=[[number(cell.before), number(cell.after)] for cell in mine],
            hovertemplate="%{y}<br>%{x}: %{customdata[0]} to %{customdata[1]}<extra></extra>",
        )
    figure.update_xaxes(
        type="category", categoryorder="array", categoryarray=columns, side="bottom"
    )
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=rows[::-1], showgrid=True
    )
    return figure
