"""What a surface draws, and the empty figure that it draws it in: a scene to turn, and a map beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.wording import number
from skipnorm.figures.layout import FONT, log_ticks
from skipnorm.figures.palette import GRID, INK, MUTED

SCENE, MAP = (0.0, 0.5), (0.58, 0.93)
"""Which part of the width the surface and the map have."""

LINES = 12
"""Levels of height between the lowest and the highest."""


@dataclass(frozen=True)
class Place:
    """Where a surface and its map are drawn in a figure that may hold several."""

    scene: str = "scene"
    xaxis: str = "x"
    yaxis: str = "y"
    first: bool = True


ALONE = Place()


@dataclass
class Relief:
    """The heights over a grid, with one scale for the surface, the map and the colours.

    Attributes:
        x: where the columns are.
        y: where the rows are.
        values: what was measured, a row for each y.
        log: whether heights are logarithms.
        ceiling: the value above which they are cut off.
        heights: what is drawn: NaN where a value has no height.
        words: the values in print.
        low: the lowest height.
        high: the highest.
        ticks: of the axis of heights and of the colours.
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    log: bool
    ceiling: float | None
    heights: np.ndarray = field(init=False)
    words: np.ndarray = field(init=False)
    low: float = field(init=False, default=-0.5)
    high: float = field(init=False, default=0.5)
    ticks: dict[str, object] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Find heights, words and scale."""
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = np.log10(self.values) if self.log else self.values.copy()
        whole[~np.isfinite(whole)] = np.nan
        self.heights = np.minimum(whole, self._top(whole))
        self.words = np.array(
            [
                [number(value) + " (cut off)" * bool(cut) for value, cut in zip(*row, strict=True)]
                for row in zip(self.values, self.heights < whole, strict=True)
            ],
            dtype=object,
        )
        finite = self.heights[np.isfinite(self.heights)]
        if len(finite):
            self.low, self.high = float(finite.min()), float(finite.max())
        if self.low == self.high:
            self.low, self.high = self.low - 0.5, self.high + 0.5
        self.ticks = (_logarithmic if self.log else _round)(self.low, self.high)

    @property
    def step(self) -> float:
        """From one level to the next."""
        return (self.high - self.low) / LINES

    def _top(self, whole: np.ndarray) -> float:
        if self.ceiling is None:
            return math.inf
        finite = whole[np.isfinite(whole)]
        positive = self.ceiling > 0 or not self.log
        top = (math.log10(self.ceiling) if self.log else self.ceiling) if positive else -math.inf
        if math.isnan(top) or (len(finite) and finite.min() >= top):
            raise EvidenceError(
                f"expected a ceiling above the lowest value, found {self.ceiling:g}: it would cut off everything"
            )
        return top


def relief_of(measured: xr.DataArray, log: bool, ceiling: float | None) -> Relief:
    """The heights of an array over x and y.

    Raises:
        EvidenceError: other dimensions, or a ceiling that leaves nothing to draw.
    """
    if set(measured.dims) != {"x", "y"}:
        raise EvidenceError(
            f"expected an array over x and y, found {tuple(map(str, measured.dims))}; select one label of the other "
            "dimensions"
        )
    grid = measured.transpose("y", "x")
    x, y = (np.asarray(grid[axis].values, dtype=float) for axis in "xy")
    return Relief(x, y, np.array(grid.values, dtype=float), log, ceiling)


def _round(low: float, high: float) -> dict[str, object]:
    """About five round numbers from low to high."""
    size = 10.0 ** math.floor(math.log10(high - low))
    step = next(size * by for by in (0.2, 0.5, 1.0, 2.0) if (high - low) / (size * by) <= 6)
    values = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return {
        "tickmode": "array",
        "tickvals": values,
        "ticktext": [number(value) for value in values],
    }


def _logarithmic(low: float, high: float) -> dict[str, object]:
    ticks = log_ticks(10**low, 10**high)
    values = np.asarray(ticks.get("tickvals", []), dtype=float)
    return {**ticks, "tickvals": np.log10(values).tolist()} if len(values) else {}


def framed(x_title: str, y_title: str, height: int) -> go.Figure:
    """An empty figure in the house style, with a scene on the left and axes for a map on the right."""
    figure = go.Figure()
    ink = {"color": str(MUTED), "size": 12}
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13, "color": str(INK)},
        margin={"l": 8, "r": 8, "t": 44, "b": 56},
        legend={
            "orientation": "h",
            "x": SCENE[0],
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"color": str(INK), "size": 12},
        },
    )
    quiet = {"showgrid": False, "zeroline": False, "ticks": "", "tickfont": ink, "automargin": True}
    titled = {"font": {"color": str(MUTED), "size": 13}, "standoff": 10}
    figure.update_layout(
        xaxis={**quiet, "domain": list(MAP), "title": {"text": x_title, **titled}},
        yaxis={**quiet, "anchor": "x", "title": {"text": y_title, **titled}},
    )
    figure.update_layout(scene=scene_over(SCENE, (0.0, 1.0)))
    return figure


def scene_over(
    x: tuple[float, float], y: tuple[float, float], away: float = 1.0
) -> dict[str, object]:
    """The layout of a scene over this part of the figure, seen from so many times the usual distance."""
    wall = {
        "backgroundcolor": "rgba(0,0,0,0)",
        "gridcolor": str(GRID),
        "zeroline": False,
        "tickfont": {"color": str(MUTED), "size": 12},
        "nticks": 5,
    }
    plain = {"font": {"color": str(MUTED), "size": 12}}
    return {
        "domain": {"x": list(x), "y": list(y)},
        "xaxis": {**wall, "title": {"text": "x", **plain}},
        "yaxis": {**wall, "title": {"text": "y", **plain}},
        "zaxis": {**wall, "title": {"text": ""}},
        "aspectmode": "manual",
        "aspectratio": {"x": 1, "y": 1, "z": 0.72},
        "camera": {
            "eye": {"x": 1.25 * away, "y": -1.35 * away, "z": 0.85 * away},
            "center": {"x": 0, "y": 0, "z": -0.14},
        },
    }


def on_one_scale(reliefs: Sequence[Relief]) -> None:
    """Give several reliefs the lowest and the highest of all their heights, and the ticks of that range."""
    heights = np.concatenate([each.heights.ravel() for each in reliefs])
    finite = heights[np.isfinite(heights)]
    if not len(finite):
        return
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    for each in reliefs:
        each.low, each.high = low, high
        each.ticks = (_logarithmic if each.log else _round)(low, high)
