"""The pictures of the inquiry: grids of rates, courses of training, and sharpness."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.evidence.outcomes import outcomes
from skipnorm.figures import profile, strip
from skipnorm.figures.layout import blank, log_ticks
from skipnorm.figures.palette import series_colour, series_marker
from skipnorm.inquiries.effects import of
from skipnorm.inquiries.rates.effects import end_loss, of_fitted_runs, stable, steps_at_best, usable
from skipnorm.inquiries.rates.study import DESCENT_RATES, FAMILIES

__all__ = ["CAPTIONS", "FIGURES"]

_DESCENTS = ("descent", "descent BN")
_SMALL = 0.01


def grid(evidence: xr.Dataset) -> go.Figure:
    """Test loss at the end, by rate."""
    ended = outcomes(evidence, "test_loss")
    found = {n: ended.sel(variant=n, drop=True).dropna("rate", how="all") for n in FAMILIES}
    return profile(
        found,
        "rate",
        log_x=True,
        log_y=True,
        x_title="learning rate",
        y_title="test loss at the end",
    )


def curves(evidence: xr.Dataset) -> go.Figure:
    """The loss along training at one small rate."""
    found = {
        name: of(evidence, name, "loss_curve", rate=_SMALL).dropna("update", how="all")
        for name in FAMILIES
    }
    return profile(
        found,
        "update",
        log_x=True,
        log_y=True,
        x_title="updates",
        y_title="loss of the training batches",
    )


def largest(evidence: xr.Dataset) -> go.Figure:
    """The largest stable rate, by family."""
    return _strip({n: stable(evidence, n) for n in FAMILIES}, "largest stable rate", log=True)


def width(evidence: xr.Dataset) -> go.Figure:
    """Decades of usable rates, by family."""
    return _strip({n: usable(evidence, n) for n in FAMILIES}, "decades of usable rates", log=False)


def speed(evidence: xr.Dataset) -> go.Figure:
    """Updates to a loss of 0.5 at the best rate, by family."""
    found = {name: steps_at_best(evidence, name) for name in FAMILIES}
    return _strip(found, "updates to a loss of 0.5", log=True)


def accuracy(evidence: xr.Dataset) -> go.Figure:
    """Test accuracy at one small rate, by family."""
    found = {name: end_loss(evidence, name, _SMALL, "test_accuracy") for name in FAMILIES}
    return _strip(found, "test accuracy at rate 0.01", log=False)


def descent(evidence: xr.Dataset) -> go.Figure:
    """Sharpness along full-batch descent, against 2 over the rate."""
    found, theory = {}, {}
    for rate in DESCENT_RATES:
        for name in _DESCENTS:
            course = of(evidence, name, "sharpness", rate=rate).dropna("step", how="all")
            norm = "BN" if name.endswith("BN") else "no norm"
            found[f"{norm}, rate {rate:g}"] = course
            if norm == "no norm":
                level = xr.full_like(course.isel(seed=0, drop=True), 2 / rate)
                theory[f"{norm}, rate {rate:g}"] = level
    return profile(
        found,
        "step",
        theory=theory,
        log_y=True,
        x_title="updates",
        y_title="largest eigenvalue",
    )


def descent_loss(evidence: xr.Dataset) -> go.Figure:
    """Test loss at the end of descent, by rate and norm."""
    found = {
        f"{'BN' if name.endswith('BN') else 'no norm'}, rate {rate:g}": end_loss(
            evidence, name, rate, "test_loss"
        )
        for name in _DESCENTS
        for rate in DESCENT_RATES
    }
    return _strip(found, "test loss at the end", log=True)


def gap(evidence: xr.Dataset) -> go.Figure:
    """The gap from training to test loss against the raw eigenvalue, a point a run."""
    return _scatter(evidence, "sharpness", "largest eigenvalue")


def gap_relative(evidence: xr.Dataset) -> go.Figure:
    """The gap against filter-normalised sharpness, a point a run."""
    return _scatter(evidence, "filter_sharpness", "rise of the loss a quarter of the norm away")


def _scatter(evidence: xr.Dataset, quantity: str, title: str) -> go.Figure:
    table = of_fitted_runs(evidence, quantity)
    figure = blank(title, "test loss less training loss", log_x=True)
    ends: list[float] = []
    for index, name in enumerate(FAMILIES):
        part = table.sel(variant=name)
        x, y = (part[each].values.ravel() for each in ("sharpness", "gap"))
        kept = np.isfinite(x) & np.isfinite(y) & (x > 0)
        ends += x[kept].tolist()
        figure.add_scatter(
            x=x[kept],
            y=y[kept],
            mode="markers",
            name=name,
            marker={"color": str(series_colour(index)), "symbol": series_marker(index), "size": 7},
            meta={"role": "run"},
            hovertemplate="%{x:.3g}, %{y:.3g}",
        )
    ticks = log_ticks(min(ends), max(ends)) if len(set(ends)) > 1 else {}
    return figure.update_xaxes(**ticks)


def _strip(found: Mapping[str, xr.DataArray], title: str, *, log: bool) -> go.Figure:
    rows = [array.assign_coords(variant=name) for name, array in found.items()]
    together = xr.concat(rows, "variant", coords="different", compat="equals")
    return strip(together, log_y=log, x_title="network", y_title=title)


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "grid": grid,
    "stable": largest,
    "usable": width,
    "speed": speed,
    "curves": curves,
    "accuracy": accuracy,
    "descent": descent,
    "descent_loss": descent_loss,
    "gap": gap,
    "gap_relative": gap_relative,
}

CAPTIONS: Mapping[str, str] = {
    "grid": "Test loss at the end of training over the grid of rates, 16 blocks. A cross marks rates at which seeds "
    "diverged.",
    "stable": "The largest rate of the grid up to which nothing diverged. The grid ends at 1.",
    "usable": "Over how many decades of rates a run ends with a validation loss of 0.5 or less.",
    "speed": "Updates until the training batches' loss is 0.5 or less, each network at the rate that is best on "
    "validation data.",
    "curves": "The loss of the training batches at one small rate, 0.01, for all.",
    "accuracy": "Accuracy on test data at that rate.",
    "descent": "Sharpness along full-batch descent of small tanh networks. Dashed: 2 over the rate, where descent on a "
    "parabola would become unstable.",
    "descent_loss": "Test loss (mean squared error) at the end of these descents.",
    "gap": "One point a run, of those whose training loss ended below 0.2: the raw largest eigenvalue of the Hessian "
    "and the gap from training to test loss.",
    "gap_relative": "The same runs with a sharpness that does not depend on scale: how much the loss rises along "
    "filter-normalised directions a quarter of the weight norm away.",
}
