"""A network from input to output, with every norm, shortcut and branch in the colour of its ruling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from skipnorm.figures.layout import blank
from skipnorm.figures.palette import GRID, INK, MUTED, SERIES, Colour

__all__ = ["SHADES", "Mark", "circuit"]

SHADES: dict[str, tuple[Colour, str]] = {
    "load-bearing": (SERIES[1], "square"),
    "helpful": (SERIES[4], "triangle-up"),
    "idle": (SERIES[2], "circle"),
    "harmful": (SERIES[3], "x"),
    "undecided": (MUTED, "circle-open"),
    "not tested": (SERIES[5], "line-ns-open"),
}
"""The colour and the marker of each ruling: neither speaks alone."""

_LINE, _ARC, _BRANCH = 0.0, 1.0, -0.75


@dataclass(frozen=True)
class Mark:
    """One thing that is drawn.

    Attributes:
        name: of the site.
        kind: `norm`, `activation`, `shortcut` or `branch`.
        start: where it begins, in order of execution; equal to `end` for what is a point.
        end: where it ends.
        ruling: one of `SHADES`; empty for an activation.
        says: shown beside the name.
    """

    name: str
    kind: str
    start: float
    end: float
    ruling: str = ""
    says: str = ""


def circuit(marks: Sequence[Mark], *, height: int = 300) -> go.Figure:
    """The network as a line: norms and activations on it, shortcuts as arcs above, branches as bars below.

    Args:
        marks: what there is, in order of execution.
        height: in pixels.

    >>> figure = circuit([Mark("a", "norm", 0, 0, "idle"), Mark("b", "activation", 1, 1)])
    >>> [trace.name for trace in figure.data if trace.showlegend]
    ['idle', 'activation']
    """
    figure = blank("order of execution, input to output", "", height=height)
    last = max((mark.end for mark in marks), default=0.0)
    _line(figure, last)
    for ruling in SHADES:
        of_ruling = [mark for mark in marks if mark.ruling == ruling]
        if of_ruling:
            _ruled(figure, of_ruling, ruling)
    points = [mark for mark in marks if mark.kind == "activation"]
    if points:
        _activations(figure, points)
    figure.update_xaxes(range=[-1.6, last + 1.6], showline=False, showticklabels=last > 0)
    kinds = {mark.kind for mark in marks}
    rows = [
        (_BRANCH, "branches", "branch"),
        (_LINE, "norms", "norm"),
        (_ARC, "shortcuts", "shortcut"),
    ]
    shown = [(at, words) for at, words, kind in rows if kind in kinds]
    figure.update_yaxes(
        range=[-1.1 if "branch" in kinds else -0.4, 1.5 if "shortcut" in kinds else 0.4],
        showgrid=False,
        tickvals=[at for at, _ in shown],
        ticktext=[words for _, words in shown],
    )
    return figure


def _line(figure: go.Figure, last: float) -> None:
    figure.add_scatter(
        x=[-1, last + 1],
        y=[_LINE, _LINE],
        mode="lines",
        line={"color": GRID.light, "width": 3},
        showlegend=False,
        hoverinfo="skip",
        meta={"role": "legend"},
    )


def _ruled(figure: go.Figure, marks: Sequence[Mark], ruling: str) -> None:
    """Lines of arcs and bars, then a marker for each thing, which carries name and words."""
    colour, symbol = SHADES[ruling]
    xs: list[float | None] = []
    ys: list[float | None] = []
    for mark in marks:
        if mark.kind in ("shortcut", "branch"):
            across, along = _stroke(mark)
            xs, ys = [*xs, *across, None], [*ys, *along, None]
    if xs:
        figure.add_scatter(
            x=xs,
            y=ys,
            mode="lines",
            line={"color": colour.light, "width": 2.5},
            legendgroup=ruling,
            showlegend=False,
            hoverinfo="skip",
            meta={"role": "legend"},
        )
    at = {"shortcut": _ARC, "branch": _BRANCH}
    figure.add_scatter(
        x=[(mark.start + mark.end) / 2 for mark in marks],
        y=[at.get(mark.kind, _LINE) for mark in marks],
        mode="markers",
        name=ruling,
        legendgroup=ruling,
        showlegend=True,
        marker={
            "color": colour.light,
            "size": 11,
            "symbol": symbol,
            "line": {"width": 2, "color": colour.light},
        },
        text=[f"{mark.kind} {mark.name}<br>{mark.says}" for mark in marks],
        hovertemplate="%{text}<extra>" + ruling + "</extra>",
    )


def _stroke(mark: Mark) -> tuple[list[float], list[float]]:
    if mark.kind == "branch":
        return [mark.start, mark.end], [_BRANCH, _BRANCH]
    turn = np.linspace(0, np.pi, 25)
    middle, half = (mark.start + mark.end) / 2, max((mark.end - mark.start) / 2, 0.3)
    across = middle - half * np.cos(turn)
    return across.tolist(), (_LINE + (_ARC - _LINE) * np.sin(turn)).tolist()


def _activations(figure: go.Figure, marks: Sequence[Mark]) -> None:
    figure.add_scatter(
        x=[mark.start for mark in marks],
        y=[_LINE] * len(marks),
        mode="markers",
        name="activation",
        showlegend=True,
        marker={"color": INK.light, "size": 5, "symbol": "diamond"},
        text=[mark.name for mark in marks],
        hovertemplate="%{text}<extra>activation</extra>",
    )
