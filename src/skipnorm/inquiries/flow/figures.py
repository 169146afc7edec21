"""The pictures of the inquiry: evidence in, plotly figure out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile, strip
from skipnorm.inquiries.effects import at_best_rate, cases, line
from skipnorm.inquiries.flow import effects
from skipnorm.inquiries.flow.effects import start

__all__ = ["CAPTIONS", "FIGURES"]

_LABELS = {
    "identity": "identity",
    "no shortcut": "none",
    "half": "½",
    "projection": "linear",
    "dropout": "dropout",
    "shortcut gate": "gate",
    "exclusive gate": "excl. gate",
}


def at_start(evidence: xr.Dataset) -> go.Figure:
    """The gradient block by block before training, relative to the output's."""
    names = {
        "identity, BN": "at start: residual BN",
        "½, BN": "at start: half, BN",
        "½, no norm": "at start: half, SkipInit",
    }
    measured = {
        label: _relative(start(evidence, name, "gradient_size")) for label, name in names.items()
    }
    depth = int(measured["½, BN"]["layer"][-1])
    layers = np.arange(depth + 1)
    no_norm = 0.5**2 + 1 / depth
    lines = {
        "½, BN": line(layers, lambda n: effects.half_rate() ** ((depth - n) / 2), "layer"),
        "½, no norm": line(layers, lambda n: no_norm ** ((depth - n) / 2), "layer"),
    }
    return profile(
        measured,
        "layer",
        theory=lines,
        error="bars",
        log_y=True,
        x_title="behind block",
        y_title="gradient, relative to the output's",
    )


def cancelling(evidence: xr.Dataset) -> go.Figure:
    """The gradient in the network of which one branch is minus the identity."""
    return profile(
        {"a branch is −1": _relative(start(evidence, "branch = -identity", "gradient_size"))},
        "layer",
        error="bars",
        x_title="behind block",
        y_title="gradient, relative to the output's",
    )


def trained(evidence: xr.Dataset) -> go.Figure:
    """The same after training."""
    names = ("identity", "no shortcut", "half", "projection", "shortcut gate")
    measured = {
        _LABELS[name]: _relative(at_best_rate(evidence, name, "gradient_size")) for name in names
    }
    return profile(
        measured,
        "layer",
        log_y=True,
        x_title="behind block",
        y_title="gradient, relative to the output's",
    )


def cancelled(evidence: xr.Dataset) -> go.Figure:
    """For how many samples the branches cancel half of the direct term or more."""
    measured = {
        "before training": start(evidence, "identity", "cancelled"),
        "after training": at_best_rate(evidence, "identity", "cancelled"),
    }
    return profile(measured, "layer", x_title="behind block", y_title="share of samples")


def direct(evidence: xr.Dataset) -> go.Figure:
    """What comes back through the shortcuts alone, against the gradient at the output."""
    names = {
        "identity": ("identity", "direct_cosine"),
        "½": ("half", "direct_cosine"),
        "ReLU after": ("at start: ReLU after", "direct_cosine"),
        "linear": ("projection", "direct_cosine"),
        "gate": ("shortcut gate", "direct_cosine"),
        "excl. gate": ("exclusive gate", "direct_cosine"),
    }
    rows = {label: start(evidence, *where) for label, where in names.items()}
    return strip(cases(rows), by="case", x_title="shortcut", y_title="cosine")


def table(evidence: xr.Dataset) -> go.Figure:
    """The final training loss by shortcut."""
    rows = {label: effects.training_loss(evidence, name) for name, label in _LABELS.items()}
    return strip(
        cases(rows), by="case", log_y=True, x_title="shortcut", y_title="training loss at the end"
    )


def accuracy(evidence: xr.Dataset) -> go.Figure:
    """The final test accuracy by shortcut, deep and shallow."""
    names = {**_LABELS, "shallow identity": "4: id.", "shallow half": "4: ½"}
    names["shallow projection"] = "4: lin."
    rows = {label: effects.accuracy(evidence, name) for name, label in names.items()}
    return strip(cases(rows), by="case", x_title="shortcut", y_title="test accuracy")


def shares(evidence: xr.Dataset) -> go.Figure:
    """How much of the gradient comes through the shortcut, block by block."""
    measured = {
        "before training": start(evidence, "identity", "shortcut_share"),
        "after training": at_best_rate(evidence, "identity", "shortcut_share"),
    }
    blocks = measured["before training"]["block"].values
    law = xr.DataArray(effects.share_law(len(blocks)), {"block": blocks}, "block")
    return profile(
        measured,
        "block",
        theory={"before training": law},
        x_title="block",
        y_title="share of the gradient through the shortcut",
    )


def paths(evidence: xr.Dataset) -> go.Figure:
    """How the squared gradient divides over paths of each length."""
    labels = {"residual": "no norm", "residual BN": "BN", "SkipInit": "SkipInit"}
    measured = {
        label: start(evidence, f"paths: {name}", "path_share") for name, label in labels.items()
    }
    lengths = measured["BN"]["length"].values
    lines = {
        label: xr.DataArray(effects.path_law(name, len(lengths) - 1), {"length": lengths}, "length")
        for name, label in labels.items()
    }
    return profile(
        measured,
        "length",
        theory=lines,
        error="bars",
        x_title="branches on the path",
        y_title="share of the squared gradient",
    )


def _relative(size: xr.DataArray) -> xr.DataArray:
    kept = size.dropna("layer", how="all")
    relative: xr.DataArray = (kept / kept.isel(layer=-1, drop=True)) ** 0.5
    return relative


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "trained": trained,
    "start": at_start,
    "cancelling": cancelling,
    "cancelled": cancelled,
    "direct": direct,
    "table": table,
    "accuracy": accuracy,
    "shares": shares,
    "paths": paths,
}

CAPTIONS: Mapping[str, str] = {
    "trained": "The root mean square of the gradient behind every block after training, relative to the one behind the "
    "last; each network at the rate that each seed chose. Read from right to left, as the gradient goes.",
    "start": "Before training. Halved shortcuts let the gradient vanish without norm, as 0.53 per block, and explode "
    "with batch norm, as 1.16 per block. Dashed: theory.",
    "cancelling": "A random residual network of 8 blocks with rectifiers, in which the branch of the fifth block is "
    "minus the identity: what comes back from the output ends there, and nothing reaches the blocks in front of it.",
    "cancelled": "For how many samples of the batch the branches behind a block cancel more than half of the direct "
    "term of the gradient, in the network with identity shortcuts. At 1 the argument of He et al. would fail.",
    "direct": "What comes back through the shortcuts alone, with all forward values as they are, against the gradient "
    "at the output; before training. A scaled shortcut keeps the direction and loses the size; a ReLU behind the "
    "addition and a linear map lose the direction.",
    "table": "The experiment of He et al. 2016, table 1, on perceptrons of 32 blocks with batch norm, each shortcut at "
    "its own best rate. Gates start with bias −6.",
    "accuracy": "The same as test accuracy, and to the right networks of 4 blocks, in which the shortcuts differ "
    "little.",
    "shares": "How much of the gradient comes through the shortcut at every block. Dashed: 1/(1 + g) with "
    "g = 1/(1 + (1 − 1/π) l), the law of wide networks at initialisation.",
    "paths": "How the squared gradient divides over paths by the number of branches on them, at initialisation. "
    "Dashed: the Poisson-binomial of independent branches, with no free parameter; without norm it is the binomial "
    "of Veit et al. 2016.",
}
