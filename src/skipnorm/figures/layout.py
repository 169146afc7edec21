"""The look that every figure shares: quiet axes, no frame, a legend above."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from skipnorm.evidence.wording import number, superscript
from skipnorm.figures.palette import GRID, INK, MUTED

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def blank(
    x_title: str, y_title: str, *, log_x: bool = False, log_y: bool = False, height: int = 400
) -> go.Figure:
    """An empty figure in the house style, with its axes named.

    Args:
        x_title: the name of the horizontal axis.
        y_title: the name of the vertical axis, drawn upright above it.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
        height: in pixels; the width is the page's.
    """
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13, "color": str(INK)},
        margin={"l": 56, "r": 16, "t": 56, "b": 52},
        hovermode="closest",
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.1,
            "yanchor": "bottom",
            "font": {"color": str(INK), "size": 12},
            "itemwidth": 30,
        },
    )
    quiet = {
        "gridcolor": str(GRID),
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"color": str(MUTED), "size": 12},
        "automargin": True,
    }
    figure.update_xaxes(title=_title(x_title), type="log" if log_x else None, **quiet)
    figure.update_yaxes(type="log" if log_y else None, **quiet)
    figure.update_xaxes(showgrid=False, showline=True, linecolor=str(GRID))
    _upright(figure, y_title)
    return figure


def log_ticks(low: float, high: float) -> dict[str, object]:
    """Ticks for a logarithmic axis, written out: powers of ten, or rounder steps between them.

    >>> log_ticks(1.0, 1e6)["ticktext"]
    ['1', '10', '100', '1000', '10⁴', '10⁵', '10⁶']
    >>> log_ticks(1.4, 2.1)["ticktext"]
    ['1.4', '1.6', '1.8', '2']
    """
    if not (0 < low < high < math.inf):
        return {}
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if high / low > 1e3:
        every = max(1, (last - first) // 7)
        values = [10.0**power for power in range(first, last + 1, every)]
    elif high / low > 8:
        values = [k * 10.0**power for power in range(first, last + 1) for k in (1, 2, 5)]
    else:
        step = 10.0 ** math.floor(math.log10((high - low) / 3))
        step *= 2 if (high - low) / step > 6 else 1
        values = [
            step * k for k in range(math.ceil(low / step - 1e-9), int(high / step + 1e-9) + 1)
        ]
    kept = [value for value in values if low / 1.001 <= value <= high * 1.001]
    return {"tickmode": "array", "tickvals": kept, "ticktext": [_tick(value) for value in kept]}


def _tick(value: float) -> str:
    power = round(math.log10(value))
    exact = math.isclose(value, 10.0**power)
    return f"10{superscript(power)}" if exact and not -3 <= power <= 3 else number(value)


def alt_text(figure: go.Figure) -> str:
    """One sentence for someone who cannot see the figure: its axes and its series.

    >>> alt_text(blank("depth", "gain"))
    'Chart of gain against depth.'
    """
    names = [
        str(trace.name) for trace in figure.data if trace.name and trace.showlegend is not False
    ]
    axes = f"Chart of {_y_title(figure)} against {figure.layout.xaxis.title.text or 'x'}"
    return axes + (f", with {_listed(names)}." if names else ".")


def _title(text: str) -> dict[str, object]:
    return {"text": text, "font": {"color": str(MUTED), "size": 13}, "standoff": 12}


def _upright(figure: go.Figure, text: str) -> None:
    figure.add_annotation(
        name="y title",
        text=text,
        x=0,
        xref="paper",
        xanchor="left",
        y=1,
        yref="paper",
        yanchor="bottom",
        yshift=6,
        showarrow=False,
        font={"color": str(MUTED), "size": 13},
    )


def _y_title(figure: go.Figure) -> str:
    named = [note.text for note in figure.layout.annotations if note.name == "y title"]
    return str((named[0] if named else figure.layout.yaxis.title.text) or "y")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
