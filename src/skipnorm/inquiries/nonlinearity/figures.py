"""The pictures of `nonlinearity`: theory dashed beside the measurement."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile, strip
from skipnorm.formulas import theory
from skipnorm.formulas.kernels import arc_cosine_slope, correlations
from skipnorm.formulas.quadrature import nonlinearity_index
from skipnorm.inquiries import effects as common
from skipnorm.inquiries.nonlinearity import effects, gradients
from skipnorm.inquiries.nonlinearity.study import GAINS, GROWTH_BATCH

__all__ = ["CAPTIONS", "FIGURES"]


def sigmoid(evidence: xr.Dataset) -> go.Figure:
    """The curve, the essay's line and the right one, and where a trained network's pre-activations lie."""
    inner = np.arange(-10, 11) / 10
    wide = np.arange(-20, 21) / 10
    measured = {
        "sigmoid": effects.started(evidence, "sigmoid BN", "curve"),
        "pre-activations, with scale and shift": effects.settled(evidence, "sigmoid BN", "density"),
        "pre-activations, without": effects.settled(evidence, "sigmoid BN bare", "density"),
    }
    lines = {
        "x, the essay's line": xr.DataArray(inner, {"x": inner}, "x"),
        "1/2 + x/4": xr.DataArray(0.5 + wide / 4, {"x": wide}, "x"),
    }
    figure = profile(
        measured,
        "x",
        theory=lines,
        x_title="pre-activation x",
        y_title="sigmoid of x; density of x in the network",
    )
    figure.update_traces(mode="lines", selector={"mode": "lines+markers"})
    for trace, colour in zip(
        [each for each in figure.data if (each.meta or {}).get("role") == "theory"],
        (_colour(4), _colour(3)),
        strict=True,
    ):
        trace.line.color = colour
    figure.update_yaxes(range=[-0.35, 1.08])
    return figure


def index(evidence: xr.Dataset) -> go.Figure:
    """The non-linearity index against the gain."""
    measured, lines = {}, {}
    dense = np.geomspace(GAINS[0], GAINS[-1], 40)
    for name in ("sigmoid", "tanh"):
        values = common.of(evidence, f"{name} layer", "index", rate=0.0)
        measured[name] = values.sel(case=list(GAINS)).rename(case="x")
        lines[name] = xr.DataArray(
            [nonlinearity_index(name, gain=gain) for gain in dense], {"x": dense}, "x"
        )
    return profile(
        measured,
        "x",
        theory=lines,
        error="bars",
        log_x=True,
        x_title="gain behind the norm",
        y_title="share of variance that a line leaves",
    )


def use(evidence: xr.Dataset) -> go.Figure:
    """The index in trained networks, with and without scale and shift."""
    found: dict[str, xr.DataArray] = {}
    laws: dict[str, float] = {}
    for activation, name in effects.PAIRS.items():
        before = effects.started(evidence, f"{name} bare", "nonlinearity")
        found[f"{activation}, at the start"] = before.dropna("layer", how="all").mean("layer")
        found[f"{activation}, without"] = effects.used(evidence, f"{name} bare")
        found[f"{activation}, with"] = effects.used(evidence, name)
        law = nonlinearity_index(activation.lower())
        laws |= {f"{activation}, at the start": law}
    predicted = common.numbered({case: laws.get(case, np.nan) for case in found})
    return strip(
        common.cases(found),
        by="case",
        theory=predicted,
        log_y=True,
        x_title="batch norm with or without scale and shift, at the start and trained",
        y_title="share of variance that a line leaves, mean over layers",
    )


def losses(evidence: xr.Dataset) -> go.Figure:
    """How well the training data are fitted."""
    names = {"sigmoid, with": "sigmoid BN", "sigmoid, without": "sigmoid BN bare"}
    names |= {"ReLU, with": "ReLU BN", "ReLU, without": "ReLU BN bare"}
    found = {case: common.best(evidence, name, "training_loss") for case, name in names.items()}
    return strip(
        common.cases(found),
        by="case",
        log_y=True,
        x_title="batch norm with or without scale and shift",
        y_title="training loss at the end, best rate",
    )


def accuracies(evidence: xr.Dataset) -> go.Figure:
    """Test accuracies, with the sigmoid network that has no norm."""
    names = {"sigmoid, no norm": "sigmoid", "sigmoid, with": "sigmoid BN"}
    names |= {"sigmoid, without": "sigmoid BN bare", "ReLU, with": "ReLU BN"}
    names |= {"ReLU, without": "ReLU BN bare"}
    found = {case: common.best(evidence, name, "test_accuracy") for case, name in names.items()}
    return strip(
        common.cases(found),
        by="case",
        x_title="no norm; batch norm with or without scale and shift",
        y_title="test accuracy, best rate",
    )


def alone(evidence: xr.Dataset) -> go.Figure:
    """Scale and shift alone."""
    found = {
        f"{depth} blocks": common.best(evidence, f"norms only, {depth}", "test_accuracy")
        for depth in (4, 16)
    }
    return strip(
        common.cases(found),
        by="case",
        x_title="residual networks in which only scale and shift learn",
        y_title="test accuracy, best rate",
    )


def sides(evidence: xr.Dataset) -> go.Figure:
    """Dead and always-on units by depth."""
    measured = {
        "dead, no norm": effects.drawn(evidence, "drawn", "dead"),
        "always on, no norm": effects.drawn(evidence, "drawn", "always_on"),
        "either, batch norm": effects.one_sided(evidence, "drawn BN"),
    }
    return _by_depth(measured, {}, "share of units")


def linearity(evidence: xr.Dataset) -> go.Figure:
    """The index by depth, with and without norm."""
    measured = {
        "no norm": effects.drawn(evidence, "drawn", "nonlinearity"),
        "batch norm": effects.drawn(evidence, "drawn BN", "nonlinearity"),
    }
    law = {
        "on a Gaussian of mean 0": lambda _: nonlinearity_index("relu"),
    }
    return _by_depth(measured, law, "share of variance that a line leaves")


def together(evidence: xr.Dataset) -> go.Figure:
    """Co-activation by depth."""
    measured = {
        "no norm": effects.drawn(evidence, "drawn", "co_activation"),
        "batch norm": effects.drawn(evidence, "drawn BN", "co_activation"),
    }
    alike = correlations(int(measured["no norm"]["layer"].max()))
    laws = {
        "no norm": lambda layer: float(arc_cosine_slope(alike[layer - 1])) / 2,
        "batch norm": lambda _: 0.25,
    }
    return _by_depth(measured, laws, "both of two samples on")


def idle(evidence: xr.Dataset) -> go.Figure:
    """One-sided units after training."""
    names = {"no norm": "deep ReLU", "batch norm": "deep ReLU BN"}
    found = {case: effects.idle(evidence, name) for case, name in names.items()}
    return strip(
        common.cases(found),
        by="case",
        x_title="sixteen layers, trained",
        y_title="dead or always on, mean over layers",
    )


def growth(evidence: xr.Dataset) -> go.Figure:
    """Growth of the squared gradient by gain and shift."""
    names = ["tanh, gain 0.1", "tanh, gain 1", "tanh, gain 4", "ReLU, shift 0", "ReLU, shift 2"]
    linear = gradients.linear_growth()
    laws = {
        "tanh, gain 0.1": linear,
        "ReLU, shift 0": theory.relu_batchnorm_explosion_rate(GROWTH_BATCH),
    }
    return strip(
        common.cases({name: gradients.grown(evidence, name) for name in names}),
        by="case",
        theory=common.numbered({name: laws.get(name, np.nan) for name in names}),
        log_y=True,
        x_title="plain networks with batch norm, as drawn",
        y_title="growth of the squared gradient per layer",
    )


def _by_depth(
    measured: dict[str, xr.DataArray], laws: dict[str, Callable[[int], float]], title: str
) -> go.Figure:
    layers = next(iter(measured.values()))["layer"].values
    lines = {name: common.line(layers, law, "layer") for name, law in laws.items()}
    return profile(measured, "layer", theory=lines, x_title="layer", y_title=title)


def _colour(index: int) -> str:
    from skipnorm.figures import SERIES

    return SERIES[index].light


FIGURES = {
    "sigmoid": sigmoid,
    "index": index,
    "use": use,
    "losses": losses,
    "accuracies": accuracies,
    "growth": growth,
    "sides": sides,
    "linearity": linearity,
    "together": together,
    "idle": idle,
    "alone": alone,
}

CAPTIONS = {
    "sigmoid": "The essay's picture from data: the sigmoid, dashed the line y = x that the essay names and the line "
    "1/2 + x/4 that it follows near 0. Below, the density of what the activations of a trained six-layer network "
    "are given behind batch norm, all layers together, with scale and shift and without.",
    "index": "What the best straight line leaves of the variance of a unit's output, if its input is a normalised "
    "Gaussian times a gain. Dashed: the integral. The sigmoid at a gain is tanh at half of it.",
    "use": "The same share in whole networks, mean over layers: at the start, and after training without and with "
    "scale and shift. Dashed: a Gaussian of mean 0 and variance 1.",
    "losses": "Training loss at the end, each network at the rate that is best on validation data.",
    "accuracies": "Test accuracy, each network at the rate that is best on validation data. Chance is 10 %.",
    "growth": "By what the squared gradient grows per layer, towards the input. Dashed: theory, of a linear network "
    "for the smallest gain. A larger gain makes tanh less linear, a shift makes ReLU more so.",
    "sides": "Units that are on for none of 256 samples, or for all of them, as networks are drawn.",
    "linearity": "What the best straight line leaves of the variance of a ReLU's output, mean over the units that "
    "move, as networks are drawn. Dashed: behind a norm, on a Gaussian.",
    "together": "How often a unit is on for both of two samples. Dashed: the arc-cosine kernel, and one in four.",
    "idle": "Units of trained networks that are dead or always on, at the rate that is best on validation data.",
    "alone": "Test accuracy where stem, head and every matrix stay random and only scale and shift are trained.",
}
