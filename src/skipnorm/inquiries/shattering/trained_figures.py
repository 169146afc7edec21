"""Pictures of how networks end, against how their gradients were before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import strip
from skipnorm.figures.layout import blank, log_ticks
from skipnorm.figures.palette import series_colour, series_marker
from skipnorm.inquiries.shattering.learners import NETWORKS, WITHOUT_MOMENTUM
from skipnorm.inquiries.shattering.performance import alike, ended, gain, recalled

__all__ = ["batches", "momentum", "performance"]


def performance(evidence: xr.Dataset) -> go.Figure:
    """How well every network ends against its autocorrelation, a mark for each seed."""
    figure = blank(
        "ACF at lag 1, at initialisation",
        "training loss at the rate at which it is lowest",
        log_y=True,
    )
    points = {
        name: xr.align(
            recalled(evidence, name).dropna("seed"), ended(evidence, name).dropna("seed")
        )
        for name in NETWORKS
    }
    losses = np.concatenate([loss.values for _, loss in points.values()])
    there = losses[np.isfinite(losses) & (losses > 0)]
    ceiling = 2 * float(there.max()) if len(there) else 1.0
    for index, (name, (remembered, loss)) in enumerate(points.items()):
        lost = np.isinf(loss.values)
        if not lost.all():
            _draw(figure, name, index, remembered.values[~lost], loss.values[~lost], "measured")
        if lost.any():
            edge = np.full(lost.sum(), ceiling)
            label = f"{name}: diverged at every rate"
            _draw(figure, label, index, remembered.values[lost], edge, "diverged")
    if len(there):
        figure.update_yaxes(**log_ticks(float(there.min()), ceiling))
    return figure


def _draw(
    figure: go.Figure, name: str, index: int, x: np.ndarray, y: np.ndarray, role: str
) -> None:
    lost = role == "diverged"
    figure.add_scatter(
        x=x,
        y=y,
        name=name,
        mode="markers",
        marker={
            "color": series_colour(index).light,
            "size": 10,
            "symbol": "x-thin" if lost else series_marker(index),
            "line": {"width": 2 if lost else 0, "color": series_colour(index).light},
        },
        meta={"role": role},
        hovertemplate=f"{name}: ACF %{{x:.3f}}, loss %{{y:.3g}}",
    )


def momentum(evidence: xr.Dataset) -> go.Figure:
    """By what factor momentum lowers the training loss, network by network."""
    rows = {name: gain(evidence, name) for name in WITHOUT_MOMENTUM}
    return strip(
        _beside(rows),
        theory=xr.DataArray(np.ones(len(rows)), {"variant": list(rows)}, "variant"),
        log_y=True,
        x_title="16 blocks",
        y_title="training loss without momentum, with it is 1",
    )


def batches(evidence: xr.Dataset) -> go.Figure:
    """How alike the gradients of parts of a batch are, network by network."""
    rows = {name.replace(" ", "<br>"): alike(evidence, name) for name in NETWORKS}
    return strip(
        _beside(rows), x_title="16 blocks", y_title="mean cosine between gradients of batches of 32"
    )


def _beside(rows: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """One row each, of the seeds with which the learners were drawn."""
    found = [row.assign_coords(variant=name) for name, row in rows.items()]
    whole = xr.concat(found, "variant", coords="different", compat="equals", join="outer")
    return whole.dropna("seed", how="all")
