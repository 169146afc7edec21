"""The cases of a claim below one another: effect, interval, and the band that was predicted."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.figures.layout import blank, log_ticks
from skipnorm.figures.palette import MUTED, PREDICTED, SERIES, SHADE, Colour

NEEDED = ("effect", "low", "high", "predicted_low", "predicted_high", "ruling")
RULING = {
    "supported": (SERIES[0], "circle"),
    "refuted": (SERIES[1], "x"),
    "undecided": (MUTED, "circle-open"),
}


def intervals(
    cases: xr.Dataset,
    *,
    x_title: str = "effect",
    log_x: bool = False,
    looks: Mapping[str, tuple[Colour, str]] = RULING,
) -> go.Figure:
    """A forest plot: one row for every case, its interval against the predicted band.

    Args:
        cases: over `case`: `effect, low, high, predicted_low, predicted_high, ruling`, as
            `Verdict.to_dataset()` gives them.
        x_title: what the effect is, with its unit.
        log_x: whether the effects' axis is logarithmic.
        looks: colour and marker of each ruling, where there are others than of claims.

    Raises:
        EvidenceError: a variable is missing.
    """
    missing = [name for name in NEEDED if name not in cases]
    if missing:
        raise EvidenceError(
            f"expected {missing[0]!r} over the cases; give a verdict's to_dataset()"
        )
    labels = [str(label) for label in cases["case"].values]
    figure = blank(x_title, "", log_x=log_x, height=120 + 40 * len(labels))
    left, right = _limits(cases, log_x)
    _draw_predictions(figure, cases, left, right)
    for ruling in dict.fromkeys(cases["ruling"].values.tolist()):
        _draw_cases(
            figure, cases.isel(case=cases["ruling"].values == ruling), ruling, left, right, looks
        )
    ends = np.log10([left, right]) if log_x else np.array([left, right])
    ticks = log_ticks(left, right) if log_x else {}
    figure.update_xaxes(range=ends.tolist(), showgrid=True, **ticks)
    figure.update_yaxes(
        categoryorder="array", categoryarray=labels[::-1], showgrid=False, type="category"
    )
    return figure


def _limits(cases: xr.Dataset, log_x: bool) -> tuple[float, float]:
    values = np.concatenate([cases[name].values.ravel() for name in NEEDED[:5]]).astype(float)
    values = values[np.isfinite(values) & ((values > 0) | (not log_x))]
    if not len(values):
        return (0.1, 10.0) if log_x else (-1.0, 1.0)
    if log_x:
        room = max((values.max() / values.min()) ** 0.12, 1.05)
        return float(values.min() / room), float(values.max() * room)
    room = 0.12 * float(values.max() - values.min()) or 0.1 * abs(float(values.max())) or 1.0
    return float(values.min()) - room, float(values.max()) + room


def _draw_predictions(figure: go.Figure, cases: xr.Dataset, left: float, right: float) -> None:
    for row, label in enumerate(cases["case"].values):
        low = max(float(cases["predicted_low"][row]), left)
        high = min(float(cases["predicted_high"][row]), right)
        figure.add_scatter(
            x=[low, high],
            y=[str(label)] * 2,
            mode="lines",
            line={"color": PREDICTED.wash(SHADE), "width": 22},
            name="predicted",
            legendgroup="predicted",
            showlegend=row == 0,
            meta={"role": "band"},
            hoverinfo="skip",
        )


def _draw_cases(
    figure: go.Figure,
    cases: xr.Dataset,
    ruling: str,
    left: float,
    right: float,
    looks: Mapping[str, tuple[Colour, str]],
) -> None:
    colour, symbol = looks.get(ruling, (MUTED, "circle"))
    effect = cases["effect"].values.astype(float)
    low, high = cases["low"].values.astype(float), cases["high"].values.astype(float)
    shown = np.clip(np.nan_to_num(effect, nan=right), left, right)
    seen_low = np.clip(np.nan_to_num(low, nan=np.inf), left, shown)
    seen_high = np.clip(np.nan_to_num(high, nan=-np.inf), shown, right)
    says = [
        "effect not finite: at the edge" if not np.isfinite(value) else f"{value:.4g}"
        for value in effect
    ]
    figure.add_scatter(
        x=shown,
        y=[str(label) for label in cases["case"].values],
        mode="markers",
        name=ruling,
        marker=_marker(colour, symbol),
        error_x={
            "array": seen_high - shown,
            "arrayminus": shown - seen_low,
            "thickness": 2,
            "width": 5,
            "color": colour.light,
        },
        customdata=[[a, b, word] for a, b, word in zip(low, high, says, strict=True)],
        meta={"role": "measured"},
        hovertemplate="%{y}: %{customdata[2]}<br>%{customdata[0]:.4g} to %{customdata[1]:.4g}",
    )


def _marker(colour: Colour, symbol: str) -> dict[str, object]:
    line = {"width": 2, "color": colour.light}
    return {"color": colour.light, "size": 10, "symbol": symbol, "line": line}
