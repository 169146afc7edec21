"""Which of several things brings which benefit: a table of cells, each with a sign and a word."""

import textwrap

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.errors import EvidenceError, nearest
from skipnorm.evidence.wording import number
from skipnorm.figures.layout import blank
from skipnorm.figures.palette import GRID, INK, SERIES, SHADE

SIGNS = {"better": "+", "same": "=", "worse": "−", "open": "?"}
"""What a cell may say, and the sign that says it without colour."""

NEEDED = ("ruling", "effect", "low", "high")
FILLS = {
    "better": SERIES[0].wash(SHADE),
    "same": str(GRID),
    "worse": SERIES[1].wash(SHADE),
    "open": "rgba(0,0,0,0)",
}
ROW, HALF, NARROW = 44, 0.5, 15


def matrix(
    cells: xr.Dataset,
    rows: str = "case",
    columns: str = "variant",
    *,
    x_title: str = "",
    y_title: str = "",
) -> go.Figure:
    """A cell for every row and column: its sign, its word, its colour; effect and interval when pointed at.

    Colour repeats what sign and word say. The table behind the figure has a line for every cell.

    Args:
        cells: over `rows` and `columns`: `ruling`, one of better, same, worse and open, or empty where there
            is no such cell; and `effect`, `low` and `high`, above 0 where it is better. The unit of a row
            is the coordinate `unit` along `rows`, if there is one.
        rows: the dimension from top to bottom.
        columns: the dimension from left to right.
        x_title: the name of the horizontal axis; `columns` if empty.
        y_title: the name of the vertical axis; `rows` if empty.

    Raises:
        EvidenceError: a variable is missing, has other dimensions, or a ruling is none of these words.
    """
    table = _checked(cells, rows, columns)
    figure = blank(x_title or columns, y_title or rows, height=130 + ROW * table.sizes[rows])
    across, down = ([str(label) for label in table[dim].values] for dim in (columns, rows))
    _colour(figure, table["ruling"].values, across, down)
    for word in SIGNS:
        _write(figure, table, word, rows, columns)
    figure.update_xaxes(range=[-HALF, len(across) - HALF], **_named(across))
    figure.update_yaxes(range=[len(down) - HALF, -HALF], **_named(down))
    return figure


def _named(labels: list[str]) -> dict[str, object]:
    """An axis with a place for every label, in their order; long ones broken, for narrow pages."""
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": labels,
        "tickmode": "array",
        "tickvals": list(range(len(labels))),
        "ticktext": ["<br>".join(textwrap.wrap(label, NARROW)) for label in labels],
        "showgrid": False,
        "showline": False,
    }


def _checked(cells: xr.Dataset, rows: str, columns: str) -> xr.Dataset:
    for name in NEEDED:
        if name not in cells:
            raise EvidenceError(
                f"a matrix needs {', '.join(NEEDED)}: {nearest(name, map(str, cells))}"
            )
        if set(cells[name].dims) != {rows, columns}:
            found = tuple(map(str, cells[name].dims))
            raise EvidenceError(f"expected {name} over {rows!r} and {columns!r}, found {found}")
    for word in np.unique(cells["ruling"].values):
        if word and word not in SIGNS:
            raise EvidenceError(f"a cell of a matrix: {nearest(str(word), SIGNS)}")
    return cells.transpose(rows, columns)


def _colour(figure: go.Figure, rulings: np.ndarray, across: list[str], down: list[str]) -> None:
    """The fills, as steps of a scale of colours."""
    order = list(SIGNS)
    places = [[order.index(word) if word else None for word in row] for row in rulings]
    edges = np.linspace(0, 1, len(order) + 1)
    scale = [
        [edge, FILLS[word]]
        for word, low, high in zip(order, edges, edges[1:], strict=False)
        for edge in (low, high)
    ]
    figure.add_heatmap(
        z=places,
        x=across,
        y=down,
        zmin=-0.5,
        zmax=len(order) - 0.5,
        colorscale=scale,
        showscale=False,
        xgap=3,
        ygap=3,
        name="fills",
        meta={"role": "twin"},
        hoverinfo="skip",
    )


def _write(figure: go.Figure, table: xr.Dataset, word: str, rows: str, columns: str) -> None:
    """A sign and a word in every cell that says so; nothing where none does."""
    down, across = np.nonzero(table["ruling"].values == word)
    if not len(down):
        return
    across_names = [str(label) for label in table[columns].values[across]]
    down_names = [str(label) for label in table[rows].values[down]]
    units = table["unit"].values if "unit" in table.coords else [""] * table.sizes[rows]
    low, high, effect = (table[name].values[down, across] for name in ("low", "high", "effect"))
    says = [
        f"{row}, {column}: {word}, {number(float(middle))} {units[r]}".strip()
        for row, column, middle, r in zip(down_names, across_names, effect, down, strict=True)
    ]
    figure.add_scatter(
        x=across_names,
        y=down_names,
        mode="text",
        text=[f"<b>{SIGNS[word]}</b><br>{word}"] * len(down),
        textfont={"color": str(INK), "size": 11},
        name=word,
        showlegend=False,
        customdata=[[a, b, text] for a, b, text in zip(low, high, says, strict=True)],
        meta={"role": "measured"},
        hovertemplate="%{customdata[2]}<br>%{customdata[0]:.3g} to %{customdata[1]:.3g}"
        "<extra></extra>",
    )
