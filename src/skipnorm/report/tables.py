"""The numbers behind a figure, as a table that can be read without seeing it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

LONGEST = 2_000
"""Rows after which a table is cut, with a note."""


@dataclass(frozen=True)
class Table:
    """Columns, rows, and how many rows were left out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: int = 0


def numbers_of(figure: go.Figure) -> Table:
    """Every point that a figure draws: its series, its place, its interval.

    Bands are left out, since their ends are the intervals of the points; what is not finite is
    written as such.

    >>> table = numbers_of(go.Figure(go.Scatter(x=[1], y=[2.5], name="plain")))
    >>> table.columns, table.rows
    (('series', 'x', 'y'), (('plain', 1, 2.5),))
    """
    traces = [trace for trace in figure.data if _role(trace) not in ("band", "legend", "twin")]
    axes = (_axis(figure, "x"), _axis(figure, "y"))
    if any(trace.type in ("heatmap", "contour", "surface") for trace in traces):
        return _cut(("series", *axes, "value"), [row for trace in traces for row in _grid(trace)])
    rows = [row for trace in traces for row in _points(trace)]
    if any(row[3] != "" for row in rows):
        return _cut(("series", *axes, "low", "high"), rows)
    return _cut(("series", *axes), [row[:3] for row in rows])


def _cut(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    return Table(columns, tuple(rows[:LONGEST]), max(0, len(rows) - LONGEST))


def _role(trace: Any) -> str:
    meta = trace.meta
    return str(meta.get("role", "")) if isinstance(meta, dict) else ""


def _axis(figure: go.Figure, letter: str) -> str:
    title = figure.layout[f"{letter}axis"].title.text
    if letter == "y" and not title:
        named = [note.text for note in figure.layout.annotations if note.name == "y title"]
        title = named[0] if named and named[0] else None
    return str(title or letter)


def _points(trace: Any) -> list[tuple[Any, ...]]:
    if trace.x is None or trace.y is None:
        return []
    name = str(trace.name or "")
    role = _role(trace)
    ends: list[tuple[Any, Any]] = [("", "")] * len(trace.x)
    if role == "measured" and trace.customdata is not None:
        ends = [(_plain(row[0]), _plain(row[1])) for row in trace.customdata]
    values = ["not finite"] * len(trace.x) if role == "diverged" else trace.y
    return [
        (name, _plain(x), _plain(y), low, high)
        for x, y, (low, high) in zip(trace.x, values, ends, strict=True)
    ]


def _grid(trace: Any) -> list[tuple[Any, ...]]:
    if getattr(trace, "z", None) is None:
        return [(*row[:3], "") for row in _points(trace)]
    values = np.asarray(trace.z)
    across = trace.x if trace.x is not None else range(values.shape[1])
    along = trace.y if trace.y is not None else range(values.shape[0])
    return [
        (str(trace.name or ""), _plain(x), _plain(y), _plain(values[row, column]))
        for row, y in enumerate(along)
        for column, x in enumerate(across)
    ]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
